"""`tidegauge alert test`: sends a test alert the way real ones go, and says who can hear it."""

import os
import secrets
from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from tidegauge.cli.reached import Reached, as_if_exported, reached
from tidegauge.cli.replay_options import print_json
from tidegauge.domain.errors import InvalidInput, Misconfigured, TidegaugeError, Transient
from tidegauge.domain.incident import Severity
from tidegauge.settings import AlertSettings

_DIRECTIONS = ("low", "high")
_TOPIC = "ALERTS_TOPIC_ARN"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    alerts = typer.Typer(help="Alerts and who hears them.", no_args_is_help=True)
    alerts.command("test")(send_test)
    alerts.callback()(_alerts)  # keeps `test` a command of its own
    app.add_typer(alerts, name="alert")


def _alerts() -> None:
    """Alerts and who hears them."""


def send_test(
    topic: Annotated[
        str | None, typer.Option(metavar="ARN", help="The topic, instead of ALERTS_TOPIC_ARN.")
    ] = None,
    series: Annotated[str, typer.Option(help="Attribute to filter by.")] = "test",
    severity: Annotated[str, typer.Option(help="The same: warning or critical.")] = "warning",
    direction: Annotated[str, typer.Option(help="The same: low or high.")] = "low",
    live: Annotated[bool, typer.Option("--live", help="The topic of `make live`.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Send a test alert through the topic that real alerts go through.

    It says that it is a test, in subject and text; its kind is `test`. The topic is that of --topic
    or ALERTS_TOPIC_ARN, else that of a local stack that is up.
    """
    chosen = _severity(severity)
    if direction not in _DIRECTIONS:
        msg = f"--direction must be low or high, not {direction!r}"
        raise InvalidInput(msg)
    if not series.strip():
        msg = "--series must not be empty: SNS takes no empty attribute"
        raise InvalidInput(msg)
    here = _reached(os.environ, topic, live=live)
    with as_if_exported(here.variables):
        sent = _send(here.variables[_TOPIC], series, chosen, direction)
    if as_json:
        print_json(msgspec.to_builtins(sent))
    else:
        _print(here, sent)


class Sent(msgspec.Struct, frozen=True):
    """What was sent, and who is subscribed; None where nobody may say."""

    topic: str
    alert_id: str
    message_id: str
    subject: str
    attributes: dict[str, str]
    confirmed: int | None
    pending: int | None
    warning: str


def _send(topic: str, series: str, severity: Severity, direction: str) -> Sent:
    from tidegauge.adapters.clock import SystemClock
    from tidegauge.adapters.cloud_look import AwsLook
    from tidegauge.adapters.sns import AlertSink
    from tidegauge.domain.alert import trial_alert
    from tidegauge.ports.diagnosis import Absent

    clock = SystemClock()
    confirmed = pending = None
    warning = ""
    try:
        facts = AwsLook(clock).topic(topic)
    except Absent:
        msg = f"topic {topic} does not exist: take it from the stack's output AlertsTopicArn"
        raise InvalidInput(msg) from None
    except (Transient, Misconfigured):
        raise
    except TidegaugeError as error:
        warning = f"who is subscribed is not known: {error}"
    else:
        confirmed, pending = facts.confirmed, facts.pending
        if not confirmed:
            warning = "nobody is subscribed, so nobody hears of this alert or of any other"
    alert = trial_alert(
        series, direction, severity, at_ms=clock.now_ms(), nonce=secrets.token_hex(8)
    )
    message_id = AlertSink(topic).publish(alert)
    return Sent(
        topic, alert.id, message_id, alert.subject, alert.attributes, confirmed, pending, warning
    )


def _reached(env: Mapping[str, str], topic: str | None, *, live: bool) -> Reached:
    given = (topic or "").strip() or ("" if live else env.get(_TOPIC, "").strip())
    here = Reached("environment", dict(env)) if given and not live else _local(env, live=live)
    variables = {**here.variables, **({_TOPIC: given} if given else {})}
    if not variables.get(_TOPIC):
        raise InvalidInput(_NO_TOPIC)
    AlertSettings.from_env({_TOPIC: variables[_TOPIC]})
    return Reached(here.name, variables)


_NO_TOPIC = (
    "no topic to send to: give --topic ARN, set ALERTS_TOPIC_ARN, or start a local stack with "
    "`make run`"
)


def _local(env: Mapping[str, str], *, live: bool) -> Reached:
    try:
        return reached(env, live=live)
    except InvalidInput:
        if live:
            raise
        raise InvalidInput(_NO_TOPIC) from None


def _severity(text: str) -> Severity:
    try:
        return Severity(text)
    except ValueError:
        msg = f"--severity must be warning or critical, not {text!r}"
        raise InvalidInput(msg) from None


def _print(here: Reached, sent: Sent) -> None:
    attributes = ", ".join(f"{name} {value}" for name, value in sent.attributes.items())
    typer.echo(f"Sent     {sent.subject}")
    typer.echo(f"To       {sent.topic} ({here.name})")
    typer.echo(f"Filters  {attributes}")
    typer.echo(f"Alert    {sent.alert_id}")
    if sent.message_id:
        typer.echo(f"Message  {sent.message_id}")
    if sent.confirmed is not None:
        pending = f", {sent.pending} not confirmed" if sent.pending else ""
        typer.echo(f"Heard    by {sent.confirmed} subscribed{pending}; filter policies may choose")
    if sent.warning:
        typer.echo(f"Warning  {sent.warning}")
