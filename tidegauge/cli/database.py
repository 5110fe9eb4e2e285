"""`tidegauge migrate`: brings the database's schema up to date."""

import os
from typing import Annotated

import msgspec
import typer

from tidegauge.domain.errors import Misconfigured


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("migrate")(migrate)


def migrate(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Create or update the tables in the database of DATABASE_URL.

    Safe to run twice, and by two at once.
    """
    from tidegauge.adapters.mysql.connection import Database
    from tidegauge.adapters.mysql.migrate import migrate as run_migrations
    from tidegauge.settings import DatabaseSettings

    settings = DatabaseSettings.from_env(os.environ)
    if settings.address() is None:
        raise Misconfigured(
            ["DATABASE_URL is not set: a laptop reaches the database by its address"]
        )
    database = Database.from_settings(settings)
    try:
        done = run_migrations(database)
    finally:
        database.close()
    if as_json:
        typer.echo(msgspec.json.encode({"migrated": done}).decode())
    else:
        typer.echo(f"Migrated: {', '.join(done)}." if done else "The schema is up to date.")
