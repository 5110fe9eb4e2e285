"""`tidegauge audit FROM TO`: recounts the source of events and holds it against MySQL."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from tidegauge.cli.audit_words import print_audit, told
from tidegauge.cli.moments import moment_ms
from tidegauge.cli.reached import as_if_exported, reached
from tidegauge.cli.replay_options import print_json, progress_bar
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.recount import Span
from tidegauge.settings import (
    Clocks,
    DatabaseSettings,
    StreamSettings,
    WindowSettings,
    read_settings,
)

if TYPE_CHECKING:
    from tidegauge.adapters.fixtures import Fixture
    from tidegauge.domain.audit import Audit
    from tidegauge.domain.fold import CountRules
    from tidegauge.steps.audit import Auditor

# A span of many series and windows takes the database its time.
ANSWER_SECONDS = 300.0
_FOUND_WRONG = 1
_OF_SETTINGS = ""  # --stream without a name
_PARAGRAPHS = (
    "Check that counts are exact: recount the source of the events and hold it against what MySQL "
    "has announced, window by window. Changes nothing.",
    "The windows that start at FROM or later and before TO are compared. Times are in UTC: "
    "2013-02-08, 2013-02-08T20:45Z. What is not closed yet is told as open, and what the stream "
    "may have forgotten as not covered; neither is a difference.",
    "The source is a fixture that was put on the stream (--fixture), or the stream itself as far "
    "as it still holds its records (--stream, behind FROM and TO). A fixture of plain events has "
    "one space of ids; a recording, and the stream, are recounted by shard and lineage. What is "
    "set aside follows from the heartbeats in the source; for plain events quarantine tells it. A "
    "replay whose times were shifted is audited with --stream, and one that still runs once it is "
    "done.",
    "Looks at the stream of the environment (EVENTS_STREAM with DATABASE_URL or "
    "DATABASE_SECRET_ARN), else at a local stack that is up. Exit code 1 if counts differ, 2 if "
    "there is nothing to compare.",
)


class _Command(TyperCommand):
    """Lets `--stream` stand without a name, at the end or before another option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = list(args)
        for at, word in reversed(list(enumerate(args))):
            if word == "--stream" and (at + 1 == len(args) or args[at + 1].startswith("-")):
                given.insert(at + 1, _OF_SETTINGS)
        return super().parse_args(ctx, given)


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("audit", cls=_Command, help="\n\n".join(_PARAGRAPHS))(audit)


def audit(
    since: Annotated[
        str, typer.Argument(metavar="FROM", help="The first window starts here or later.")
    ],
    until: Annotated[str, typer.Argument(metavar="TO", help="The last window starts before this.")],
    fixture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Recount this fixture.")
    ] = None,
    stream: Annotated[
        str | None,
        typer.Option(metavar="[NAME]", help="Recount the stream; without NAME the settings' one."),
    ] = None,
    generation: Annotated[
        int | None, typer.Option(min=1, help="Of an older generation of the stream.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="The stream of `make live`.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Audit; what it does stands in the help."""
    from_ms, until_ms = moment_ms(since, what="FROM"), moment_ms(until, what="TO")
    if from_ms >= until_ms:
        msg = f"FROM must lie before TO, and {since} does not lie before {until}"
        raise InvalidInput(msg)
    source = _source(fixture, stream)
    env = {**os.environ, "EVENTS_STREAM": stream} if stream else os.environ
    variables = dict(reached(env, live=live).variables)
    if stream:
        variables["EVENTS_STREAM"] = stream
    with as_if_exported(variables):
        settings = _Settings(variables, source)
        span = Span.between(from_ms, until_ms, size_ms=settings.windows.size_ms)
        auditor = _auditor(settings, span, generation)
        if source is None:
            found = _of_stream(auditor, settings, hidden=as_json)
        else:
            found = _of_fixture(auditor, settings, source, hidden=as_json)
    if as_json:
        name = settings.name if source is None else str(source.path)
        print_json(told(found, stream=settings.name, source=name))
    else:
        name = "the stream" if source is None else str(source.path)
        print_audit(found, stream=settings.name, source=name)
    if found.differences:
        raise typer.Exit(_FOUND_WRONG)


class _Settings:
    """The settings by which a stream was counted; a recording tells of its own clock."""

    def __init__(self, variables: Mapping[str, str], source: "Fixture | None") -> None:
        # Where windows are announced makes no difference.
        env = {**variables, "WINDOWS_STREAM": variables.get("WINDOWS_STREAM") or "any"}
        self.windows, self.streams, self.database = read_settings(
            env, WindowSettings, StreamSettings, DatabaseSettings
        )
        self.name = self.streams.events_stream
        recorded = source.manifest.heartbeats if source is not None else None
        self._clock = Clocks(recorded or self.streams.heartbeats)

    def series_by(self) -> SeriesBy:
        """Return what names the series of an event."""
        return SeriesBy(self.windows.series_fields)

    def rules(self) -> "CountRules":
        """Return what may be counted."""
        return self.windows.count_rules(
            clock_source=self.streams.clock_source, clock_is_sweep=self._clock is Clocks.SWEEP
        )


def _source(fixture: Path | None, stream: str | None) -> "Fixture | None":
    """Return the fixture; None for the stream."""
    if (fixture is None) == (stream is None):
        both = "not both" if fixture is not None else "to say what is recounted"
        msg = f"give --fixture FILE or --stream [NAME], {both}"
        raise InvalidInput(msg)
    if fixture is None:
        return None
    from tidegauge.adapters.fixtures import open_fixture

    return open_fixture(fixture)


def _auditor(settings: _Settings, span: "Span", generation: int | None) -> "Auditor":
    """Read the books; the connection is not kept while the source is read."""
    from tidegauge.adapters.mysql.audit import MysqlBooks
    from tidegauge.cli.opened import opened
    from tidegauge.steps.audit import Auditor

    with opened(settings.database, answer_seconds=ANSWER_SECONDS) as database:
        books = MysqlBooks(database, settings.name)
        return Auditor(books, settings.rules(), settings.series_by(), span, generation=generation)


def _of_stream(auditor: "Auditor", settings: _Settings, *, hidden: bool) -> "Audit":
    from tidegauge.adapters.clock import SystemClock
    from tidegauge.adapters.kinesis_pages import KinesisPages
    from tidegauge.steps.audit import SHARD_PARTS

    parts = len(auditor.books.shards) * SHARD_PARTS
    with progress_bar("Reading the stream", parts, hidden=hidden) as progress:
        return auditor.of_stream(KinesisPages(settings.name), SystemClock(), progress)


def _of_fixture(
    auditor: "Auditor", settings: _Settings, fixture: "Fixture", *, hidden: bool
) -> "Audit":
    from tidegauge.adapters.fixture_decoder import offered_by
    from tidegauge.adapters.fixtures import FixtureKind, bare_blocks
    from tidegauge.cli.recorded import recorded_items
    from tidegauge.steps.replay_clock import with_beats

    series_by = settings.series_by()
    with progress_bar("Recounting", fixture.size_bytes, hidden=hidden) as progress:
        if fixture.kind is FixtureKind.RECORDED:
            parents = {one.shard_id: one.parent_ids for one in fixture.manifest.shards}
            return auditor.of_recording(recorded_items(fixture, series_by, progress), parents)
        offered = offered_by(bare_blocks(fixture), series_by, jobs=1, progress=progress)
        if settings.streams.heartbeats is Clocks.PRODUCER:  # it was a replay that put them there
            return auditor.of_file(with_beats(offered, settings.rules()))
        return auditor.of_file(offered)
