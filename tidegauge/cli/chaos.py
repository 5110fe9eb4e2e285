"""`tidegauge chaos`: plays seeded worlds in which everything goes wrong, and tells what held.

The worlds run the very steps that the functions run, over a stream, a database and a mapping that
fail as the real ones may. Nothing but this machine's processors is needed.
"""

import importlib.util
import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from tidegauge.domain.errors import InvalidInput

if TYPE_CHECKING:
    from tests.simulation.run import FaultVerdict, Verdict

_FOUND_WRONG = 1
_MOST_SEEDS_SHOWN = 10
MAX_SEEDS = 1_000_000


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("chaos")(chaos)


def chaos(
    seeds: Annotated[int, typer.Option(min=1, max=MAX_SEEDS, help="How many to play.")] = 100,
    first_seed: Annotated[int, typer.Option(min=0, help="The first of them.")] = 1,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes; one a processor if not given.")
    ] = None,
    mutant: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Break one rule on purpose: the seeds must notice. `list` names the rules.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Check by simulation that counts stay exact when things break.

    Each seed is a world of at least 24 windows: the real steps over a stream that splits, merges
    and repeats itself, a mapping that delivers twice and out of order, processes that die, a
    database that goes away. Its history is delivered in several ways; every window is held against
    a plain recount, and every delivery against the others. The same seed always comes to the same.

    Exit code 1 if any seed fails; it is named, with what was seen.
    """
    _require_simulation()
    if mutant == "list":
        _list_mutants(as_json=as_json)
        return
    _check_mutant(mutant)
    from tests.simulation.jobs import processors
    from tests.simulation.run import by_fault

    began = time.perf_counter()
    n_jobs = min(jobs or processors(), seeds)
    verdicts = _play(first_seed, seeds, n_jobs, mutant, hidden=as_json)
    seconds = time.perf_counter() - began
    faults = by_fault(verdicts)
    if as_json:
        typer.echo(msgspec.json.encode(_told(verdicts, faults, seconds)).decode())
    else:
        _show(verdicts, faults, seconds, mutant)
    if not all(verdict.holds for verdict in verdicts):
        raise typer.Exit(_FOUND_WRONG)


def _require_simulation() -> None:
    try:
        found = importlib.util.find_spec("tests.simulation.run") is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        msg = "the simulation is part of the repository: clone it and run `make setup` there"
        raise InvalidInput(msg)


def _check_mutant(name: str | None) -> None:
    from tests.simulation.mutants import MUTANTS

    if name is not None and name not in MUTANTS:
        msg = f"--mutant {name} is no rule to break; `tidegauge chaos --mutant list` names them"
        raise InvalidInput(msg)


def _list_mutants(*, as_json: bool) -> None:
    from tests.simulation.mutants import MUTANTS

    if as_json:
        told = [{"name": one.name, "breaks": one.breaks} for one in MUTANTS.values()]
        typer.echo(msgspec.json.encode(told).decode())
        return
    from tidegauge.cli.replay_options import print_table

    rows = [(one.name, one.breaks) for one in MUTANTS.values()]
    print_table("Rules that can be broken", rows)


def _play(
    first: int, count: int, jobs: int, mutant: str | None, *, hidden: bool
) -> "list[Verdict]":
    """Play seeds in some processes; return their verdicts in order of seed."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from tests.simulation.jobs import play_side_by_side

    columns = (TextColumn("Playing seeds"), BarColumn(), MofNCompleteColumn(), Remaining())
    verdicts: list[Verdict] = []
    console = Console(stderr=True)
    with Progress(
        *columns, TextColumn("{task.fields[failed]}"), console=console, disable=hidden
    ) as bar:
        task = bar.add_task("", total=count, failed="")
        for verdict in play_side_by_side(first, count, jobs=jobs, mutant=mutant):
            verdicts.append(verdict)
            failed = sum(not one.holds for one in verdicts)
            bar.update(task, advance=1, failed=f"[red]{failed} failed" if failed else "")
    return sorted(verdicts, key=lambda verdict: verdict.seed)


def _told(
    verdicts: "list[Verdict]", faults: "list[FaultVerdict]", seconds: float
) -> dict[str, Any]:
    failed = [verdict for verdict in verdicts if not verdict.holds]
    return {
        "seeds": len(verdicts),
        "first_seed": verdicts[0].seed,
        "holds": not failed,
        "failed": [{"seed": one.seed, "findings": one.findings} for one in failed],
        "faults": faults,
        **_sums(verdicts),
        "seconds": round(seconds, 3),
    }


def _sums(verdicts: "list[Verdict]") -> dict[str, int]:
    return {
        "windows": sum(verdict.windows for verdict in verdicts),
        "deliveries": sum(verdict.deliveries for verdict in verdicts),
        "events": sum(verdict.events for verdict in verdicts),
        "revisions": sum(verdict.revisions for verdict in verdicts),
    }


def _show(
    verdicts: "list[Verdict]", faults: "list[FaultVerdict]", seconds: float, mutant: str | None
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table("fault")
    table.add_column("seeds", justify="right")
    table.add_column("times", justify="right")
    table.add_column("verdict")
    for one in faults:
        if one.seeds == 0:
            held = Text("did not happen", style="dim")
        elif one.failed:
            held = Text(f"{len(one.failed)} seeds with it failed", style="red")
        else:
            held = Text("✓ holds", style="green")
        table.add_row(one.fault, f"{one.seeds:,}", f"{one.times:,}", held)
    console.print(table)
    failed = [verdict for verdict in verdicts if not verdict.holds]
    for verdict in failed[:_MOST_SEEDS_SHOWN]:
        console.print(Text(f"seed {verdict.seed}", style="bold red"))
        for finding in verdict.findings:
            console.print(Text(f"  {finding.check}: {finding.says}"), soft_wrap=True)
    if len(failed) > _MOST_SEEDS_SHOWN:
        console.print(f"and {len(failed) - _MOST_SEEDS_SHOWN} more seeds")
    sums = _sums(verdicts)
    played = (
        f"{sums['windows']:,} windows, delivered in {sums['deliveries'] / len(verdicts):.1f} ways:"
        f" {sums['events']:,} events, {sums['revisions']:,} revisions told ({seconds:.0f} s)"
    )
    if failed:
        console.print(f"✗ {len(failed)} of {len(verdicts)} seeds failed; {played}", soft_wrap=True)
        broken = "" if mutant is None else f" --mutant {mutant}"
        again = f"again: tidegauge chaos --seeds 1 --first-seed {failed[0].seed}{broken}"
        console.print(again, soft_wrap=True)
    else:
        console.print(f"✓ all {len(verdicts)} seeds hold; {played}", soft_wrap=True)
