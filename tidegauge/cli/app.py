"""The commands, gathered."""

from inspect import cleandoc

import typer

from tidegauge.cli.alert import register as register_alert
from tidegauge.cli.audit import register as register_audit
from tidegauge.cli.chaos import register as register_chaos
from tidegauge.cli.database import register as register_database
from tidegauge.cli.doctor import register as register_doctor
from tidegauge.cli.exclude import register as register_exclude
from tidegauge.cli.explain import register as register_explain
from tidegauge.cli.live import register as register_live
from tidegauge.cli.local import register as register_local
from tidegauge.cli.models import register as register_models
from tidegauge.cli.quarantine import register as register_quarantine
from tidegauge.cli.replay import register as register_replay
from tidegauge.cli.retrain import register as register_retrain
from tidegauge.cli.rollback import register as register_rollback
from tidegauge.cli.simulate import register as register_simulate

app = typer.Typer(
    name="tidegauge",
    help="Counts events in exact windows and alerts people when the count is not the expected one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
register_local(app)
register_live(app)
register_replay(app)
register_simulate(app)
register_database(app)
register_doctor(app)
register_alert(app)
register_chaos(app)
register_quarantine(app)
register_audit(app)
register_explain(app)
register_exclude(app)
register_retrain(app)
register_models(app)
register_rollback(app)


def _fill_paragraphs(commands: typer.Typer) -> None:
    """Let a help's lines be as long as the terminal is wide, not as a docstring's are."""
    for command in commands.registered_commands:
        text = cleandoc(command.help or getattr(command.callback, "__doc__", None) or "")
        command.help = "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            _fill_paragraphs(group.typer_instance)


_fill_paragraphs(app)
