"""`tidegauge models`: every model, what became of it and why, and which one serves."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tidegauge.cli.reached import as_if_exported, reached
from tidegauge.cli.replay_options import print_json
from tidegauge.domain.errors import InvalidInput, TidegaugeError

if TYPE_CHECKING:
    from tidegauge.domain.endpoint import Endpoint
    from tidegauge.domain.manifest import Manifest
    from tidegauge.ports import StoredModel


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("models")(models)


class EndpointLook(msgspec.Struct, frozen=True):
    """What could be seen of the endpoint.

    Attributes:
        name: Its name.
        endpoint: As it is now; None if there is none, or nobody could tell.
        unknown: Why nobody could tell; empty if somebody could.
    """

    name: str
    endpoint: "Endpoint | None"
    unknown: str = ""

    @property
    def serves(self) -> tuple[str, ...]:
        """The models that answer now."""
        if self.endpoint is None or self.endpoint.dead:
            return ()
        return tuple(variant.name for variant in self.endpoint.variants)


class ManifestLook(msgspec.Struct, frozen=True):
    """A dataset's manifest as it lies there now, or why it could not be read."""

    manifest: "Manifest | None"
    unknown: str = ""


def models(
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="All of this one.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="The models of `make live`.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the models, newest first: state, errors, lineage, and which one is live.

    With VERSION all that is known of one: its dataset, artifact, reasons, the origin of each
    parameter, and the models that its parameters came from.

    Errors are mean absolute ones on the model's scale, twice the square root of a count; those of
    one line are of the same windows.

    Looks at the models of ENDPOINT_NAME in the database of the environment (EVENTS_STREAM with
    DATABASE_URL or DATABASE_SECRET_ARN), else at those of a local stack that is up.
    """
    from tidegauge.cli import models_shown as shown

    here = reached(os.environ, live=live)
    with as_if_exported(here.variables):
        stored, look = _read(here.variables)
        if version is None:
            if as_json:
                print_json(shown.list_told(stored, look))
            else:
                for line in shown.list_lines(stored, look):
                    typer.echo(line)
            return
        one = next((one for one in stored if one.record.version == version), None)
        if one is None:
            msg = f"there is no model {version!r}: `tidegauge models` lists all"
            raise InvalidInput(msg)
        manifest = _manifest(one.record.manifest_uri)
    if as_json:
        print_json(shown.model_told(one, stored, look, manifest))
    else:
        for line in shown.model_lines(one, stored, look, manifest):
            typer.echo(line)


def _read(variables: Mapping[str, str]) -> "tuple[list[StoredModel], EndpointLook]":
    from tidegauge.adapters.mysql.models import MysqlModelLedger
    from tidegauge.cli.opened import opened
    from tidegauge.settings import DatabaseSettings, ModelSettings, read_settings

    settings, databases = read_settings(variables, ModelSettings, DatabaseSettings)
    name = settings.endpoint_name
    with opened(databases) as database:
        # Nothing is locked for looking, so one connection is enough.
        stored = MysqlModelLedger(database, database, endpoint=name).all()
    return stored, _look(name)


def _look(name: str) -> EndpointLook:
    from tidegauge.adapters.sagemaker_serving import SageMakerModelHost

    try:
        return EndpointLook(name, SageMakerModelHost().endpoint(name))
    except TidegaugeError as error:
        return EndpointLook(name, None, str(error))


def _manifest(uri: str) -> ManifestLook:
    from tidegauge.adapters.s3 import S3ObjectStore
    from tidegauge.domain.manifest import MAX_BYTES, Manifest

    if not uri:
        return ManifestLook(None, "nobody noted it")
    try:
        data = S3ObjectStore().read(uri, max_bytes=MAX_BYTES)
        if data is None:
            return ManifestLook(None, "it is not there any more")
        return ManifestLook(Manifest.from_json(data))
    except TidegaugeError as error:
        return ManifestLook(None, str(error))
