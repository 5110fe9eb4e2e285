"""The commands, gathered."""

import typer

from tidegauge.cli.alert import register as register_alert
from tidegauge.cli.database import register as register_database
from tidegauge.cli.doctor import register as register_doctor
from tidegauge.cli.live import register as register_live
from tidegauge.cli.local import register as register_local
from tidegauge.cli.replay import register as register_replay
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
