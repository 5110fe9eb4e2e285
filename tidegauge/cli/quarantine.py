"""`tidegauge quarantine`: looks at what was set aside, counts it anew, or gives it up."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from tidegauge.cli.reached import Reached, reached
from tidegauge.domain.errors import InvalidInput, Misconfigured, TidegaugeError
from tidegauge.domain.event import RejectReason
from tidegauge.domain.fold import CountRules
from tidegauge.ports.quarantine import ItemFilter, QuarantineStore

if TYPE_CHECKING:
    from tidegauge.steps.quarantine import Outcome

MAX_LIMIT = 1_000
MAX_WHY = 255
_FOUND_WRONG = 1

Live = Annotated[bool, typer.Option("--live", help="The stream of `make live`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Reasons = Annotated[
    list[str] | None,
    typer.Option("--reason", metavar="REASON", help="All that were set aside for it; repeatable."),
]
Ids = Annotated[
    list[int] | None, typer.Argument(metavar="ID", help="Numbers as `list` shows them.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    quarantine = typer.Typer(
        help="What was set aside: look at it, count it anew, give it up.", no_args_is_help=True
    )
    quarantine.command("list")(list_items)
    quarantine.command("show")(show_item)
    quarantine.command("retry")(retry_items)
    quarantine.command("discard")(discard_items)
    app.add_typer(quarantine, name="quarantine")


def list_items(
    reason: Reasons = None,
    shard: Annotated[str | None, typer.Option(metavar="SHARD", help="From this shard.")] = None,
    series: Annotated[
        str | None,
        typer.Option(metavar="SERIES", help="Of this series, where that could be read."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what was counted or given up since.")
    ] = False,
    limit: Annotated[int, typer.Option(metavar="N", help="At most so many.")] = 20,
    before: Annotated[
        int | None, typer.Option(metavar="ID", help="Those before this number, to go on.")
    ] = None,
    live: Live = False,
    as_json: AsJson = False,
) -> None:
    """List what was set aside, the newest first."""
    from tidegauge.cli.quarantine_shown import list_told, print_list

    wanted = ItemFilter(_reasons(reason), _shard(shard), _text(series, "--series"), everything)
    if not 1 <= limit <= MAX_LIMIT:
        msg = f"--limit must lie between 1 and {MAX_LIMIT}, not {limit}"
        raise InvalidInput(msg)
    here = reached(os.environ, live=live)
    with _store(here) as store:
        page = store.page(wanted, limit=limit, before=before)
        totals = store.totals()
    if as_json:
        _print_json(list_told(_stream(here), page, totals))
    else:
        print_list(f"{_stream(here)} ({here.name})", page, totals)


def show_item(
    item_id: Annotated[int, typer.Argument(metavar="ID", help="A number as `list` shows it.")],
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the bytes themselves to standard output.")
    ] = False,
    live: Live = False,
    as_json: AsJson = False,
) -> None:
    """Show one thing that was set aside: where it stood, why, what to do, and its bytes."""
    from tidegauge.cli.quarantine_shown import item_told, print_item

    if raw and as_json:
        msg = "--raw and --json do not go together: the JSON holds the bytes as base64"
        raise InvalidInput(msg)
    with _store(reached(os.environ, live=live)) as store:
        item, data = store.item(item_id)
    if raw:
        if data is None:
            msg = f"the bytes of item {item_id} are not kept, only their hash"
            raise TidegaugeError(msg)
        sys.stdout.buffer.write(data)
    elif as_json:
        _print_json(item_told(item, data))
    else:
        print_item(item, data)


def retry_items(
    item_ids: Ids = None, reason: Reasons = None, live: Live = False, as_json: AsJson = False
) -> None:
    """Count what was set aside anew, by the present rules, each event exactly once.

    What it adds is told with the next window that closes. Exit code 1 if something could not be
    counted; it stays as it is.
    """
    from tidegauge.domain.decode import SeriesBy
    from tidegauge.steps.quarantine import retry

    reasons = _reasons(reason)
    here = reached(os.environ, live=live)
    series_fields, rules = _rules(here.variables)
    series_by = SeriesBy(series_fields)
    with _store(here) as store:

        def each(item_ids: list[int]) -> "Iterator[Outcome]":
            for item_id in item_ids:
                yield retry(store, item_id, series_by, rules)

        _go("retry", store, item_ids or [], reasons, each, as_json=as_json)


def discard_items(
    item_ids: Ids = None,
    reason: Reasons = None,
    why: Annotated[str, typer.Option(metavar="TEXT", help="Is noted with them.")] = "",
    live: Live = False,
    as_json: AsJson = False,
) -> None:
    """Give up what was set aside: the bytes go; position, reason, size and hash stay.

    Exit code 1 if something was counted since, and so cannot be given up.
    """
    from tidegauge.steps.quarantine import discard

    if len(_text(why, "--why") or "") > MAX_WHY:
        msg = f"--why must have at most {MAX_WHY} characters, not {len(why)}"
        raise InvalidInput(msg)
    reasons = _reasons(reason)
    with _store(reached(os.environ, live=live)) as store:

        def each(item_ids: list[int]) -> "Iterator[Outcome]":
            return discard(store, item_ids, why)

        _go("discard", store, item_ids or [], reasons, each, as_json=as_json)


Work = Callable[[list[int]], "Iterator[Outcome]"]


def _go(
    command: str,
    store: QuarantineStore,
    item_ids: list[int],
    reasons: frozenset[RejectReason],
    work: Work,
    *,
    as_json: bool,
) -> None:
    """Do some work with all items that are named, and tell what came of it."""
    from tidegauge.cli.quarantine_outcomes import Outcomes, print_outcomes
    from tidegauge.steps.quarantine import held, named

    if bool(item_ids) == bool(reasons):
        both = "not both" if item_ids else "neither is given"
        msg = f"name items by their numbers or all of a --reason; {both}"
        raise InvalidInput(msg)
    last_id = max(item_ids) if item_ids else store.last_id()
    chunks = [named(store, item_ids)] if item_ids else held(store, ItemFilter(reasons), last_id)
    outcomes = Outcomes(command)
    try:
        with _bar(command, n_named=len(item_ids), last_id=last_id, hidden=as_json) as advance:
            for chunk in chunks:
                for outcome in work(chunk):
                    outcomes.add(outcome)
                    advance(outcome.item_id)
    except TidegaugeError as error:
        outcomes.stopped = str(error)
    if as_json:
        _print_json(outcomes.told())
    else:
        print_outcomes(outcomes)
    if outcomes.stopped or not outcomes.all_done:
        raise typer.Exit(_FOUND_WRONG)


@contextmanager
def _bar(
    command: str, *, n_named: int, last_id: int, hidden: bool
) -> Iterator[Callable[[int], None]]:
    """Show how far it is: by how many of those that are named, or by their numbers."""
    from tidegauge.cli.replay_options import progress_bar

    title = "counting anew" if command == "retry" else "giving up"
    done = 0
    with progress_bar(title, n_named or last_id, hidden=hidden or n_named == 1) as advance:

        def to(item_id: int) -> None:
            nonlocal done
            done += 1
            advance(done if n_named else item_id)

        yield to


@contextmanager
def _store(here: Reached) -> Iterator[QuarantineStore]:
    from tidegauge.adapters.mysql.quarantine_store import MysqlQuarantine
    from tidegauge.cli.opened import opened
    from tidegauge.settings import DatabaseSettings

    with opened(DatabaseSettings.from_env(here.variables)) as database:
        yield MysqlQuarantine(database, _stream(here))


def _stream(here: Reached) -> str:
    return here.variables["EVENTS_STREAM"].strip()


# They decide what an event counts as. What they are by default is right for no function that was
# set otherwise, and a count of the wrong series cannot be taken back.
_DECISIVE = ("WINDOW_SECONDS", "SERIES_BY")


def _rules(variables: Mapping[str, str]) -> tuple[tuple[str, ...], CountRules]:
    """Return the fields of a series and the rules of counting, as the functions have them."""
    from tidegauge.setting_reader import Reader
    from tidegauge.settings import Clocks, StreamSettings, WindowSettings

    unset = [name for name in _DECISIVE if not variables.get(name, "").strip()]
    if unset:
        raise Misconfigured([f"{name} is not set: set it as collect has it" for name in unset])
    # How the other stream is called makes no difference.
    reader = Reader({"WINDOWS_STREAM": "any", **variables})
    windows, streams = WindowSettings.read(reader), StreamSettings.read(reader)
    reader.raise_faults()
    by_sweep = streams.heartbeats is Clocks.SWEEP
    rules = windows.count_rules(clock_source=streams.clock_source, clock_is_sweep=by_sweep)
    return windows.series_fields, rules


def _reasons(names: list[str] | None) -> frozenset[RejectReason]:
    known = [reason.value for reason in RejectReason]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        msg = f"there is no reason {unknown[0]!r}; the reasons are {', '.join(sorted(known))}"
        raise InvalidInput(msg)
    return frozenset(map(RejectReason, names or ()))


def _shard(name: str | None) -> str | None:
    if name is not None and not name.isascii():
        msg = f"--shard must be the id of a shard, such as shardId-000000000000, not {name!r}"
        raise InvalidInput(msg)
    return name


def _text(text: str | None, option: str) -> str | None:
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        msg = f"{option} must be text in the encoding of the terminal, not {text!r}"
        raise InvalidInput(msg) from None
    return text


def _print_json(values: Mapping[str, object]) -> None:
    from tidegauge.cli.replay_options import print_json

    print_json(dict(values))
