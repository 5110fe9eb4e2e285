"""`tidegauge explain SERIES WINDOW`: the certificate of a window, from shard to alert."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tidegauge.cli.moments import moment_ms
from tidegauge.cli.reached import Reached, reached
from tidegauge.cli.replay_options import print_json
from tidegauge.domain.decode import MAX_SERIES_BYTES
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.window import window_of

if TYPE_CHECKING:
    from tidegauge.domain.certificate import Certificate
    from tidegauge.domain.health import HealthRules
    from tidegauge.ports.certificate import Certificates

_FOUND_WRONG = 1
# Among so many active series a name is looked for that is like an unknown one.
_MAX_LIKE = 10_000
_SUGGESTIONS = 3


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("explain")(explain)


def explain(
    series: Annotated[str, typer.Argument(metavar="SERIES", help="The series' exact name.")],
    window: Annotated[
        str,
        typer.Argument(metavar="WINDOW", help="Any moment in it, such as 2013-02-08T20:45Z."),
    ],
    generation: Annotated[
        int | None, typer.Option(min=1, help="Of this generation of the stream.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="The stream of `make live`.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Explain how the count of a window came to be, and what was made of it.

    Which shards gave what, and from which records; what was late, duplicate or set aside; each
    revision, its announcement, its judgement, the incident and the alerts. A window that is still
    open tells which shards hold it back. Times are in UTC.

    Looks at the stream of the environment (EVENTS_STREAM with DATABASE_URL or DATABASE_SECRET_ARN),
    else at a local stack that is up. Exit code 1 if what the shards gave does not add up to what
    was told, 2 if there is no such series.
    """
    from tidegauge.cli.explain_shown import print_certificate, told_of
    from tidegauge.domain.certificate import Check
    from tidegauge.steps.health import health_rules

    name, moment = _series(series), moment_ms(window, what="WINDOW")
    here = reached(os.environ, live=live)
    rules = health_rules(here.variables)
    start_ms = window_of(moment, size_ms=rules.size_ms).start_ms
    stream = here.variables["EVENTS_STREAM"].strip()
    told = _certificate(here, rules, stream, name, start_ms, generation)
    if as_json:
        print_json(told_of(told, stream=stream))
    else:
        print_certificate(told, stream=stream)
    if told.check is Check.DIFFERS:
        raise typer.Exit(_FOUND_WRONG)


def _series(text: str) -> str:
    """Return a series' name if it can be one."""
    try:
        n_bytes = len(text.encode())
    except UnicodeEncodeError:
        msg = "SERIES is no UTF-8, and so no series' name: write it as `tidegauge status` shows it"
        raise InvalidInput(msg) from None
    if n_bytes > MAX_SERIES_BYTES:
        msg = f"SERIES has {n_bytes} bytes, and no series' name has more than {MAX_SERIES_BYTES}"
        raise InvalidInput(msg)
    return text


def _certificate(
    here: Reached,
    rules: "HealthRules",
    stream: str,
    series: str,
    start_ms: int,
    generation: int | None,
) -> "Certificate":
    from tidegauge.adapters.mysql.certificate import MysqlCertificates
    from tidegauge.cli.opened import opened
    from tidegauge.domain.certificate import Standing
    from tidegauge.settings import DatabaseSettings

    with opened(DatabaseSettings.from_env(here.variables)) as database:
        certificates = MysqlCertificates(
            database, stream, size_ms=rules.size_ms, lateness_ms=rules.lateness_ms
        )
        told = certificates.read(series, start_ms, generation=generation)
        if told is None:
            raise InvalidInput(_no_generation(stream, generation))
        if told.standing is Standing.UNKNOWN_SERIES:
            raise InvalidInput(_unknown(certificates, told, stream))
    return told


def _no_generation(stream: str, generation: int | None) -> str:
    if generation is not None:
        return f"stream {stream} has no generation {generation} in this database"
    return (
        f"nothing of stream {stream} was ever counted in this database: `tidegauge doctor` holds "
        "EVENTS_STREAM and the database against the functions"
    )


def _unknown(certificates: "Certificates", told: "Certificate", stream: str) -> str:
    from tidegauge.cli.terminal_text import terminal_text

    number = told.generation.number
    names = like(told.series, certificates.active_series(number, _MAX_LIKE))
    where = f"stream {stream}, generation {number}"
    says = f"series '{terminal_text(told.series)}' is not known in {where}"
    if not names:
        return f"{says}: `tidegauge status` names the stream that is looked at"
    quoted = [f"'{terminal_text(name)}'" for name in names]
    return f"{says}; did you mean {' or '.join(quoted)}?"


def like(series: str, names: Sequence[str]) -> list[str]:
    """Return the few names that are most like a series', whatever their case.

    >>> like("order.placed", ["Order.Placed", "order.paid", "login"])
    ['Order.Placed', 'order.paid']
    """
    from difflib import get_close_matches

    by_folded: dict[str, list[str]] = {}
    for name in names:
        by_folded.setdefault(name.casefold(), []).append(name)
    close = get_close_matches(series.casefold(), by_folded, n=_SUGGESTIONS)
    return [name for folded in close for name in by_folded[folded]][:_SUGGESTIONS]
