"""An offline replay: fixture, decoding, the replay step on memory stores, result files."""

import time
from collections.abc import Mapping

from tidegauge.adapters.fixture_decoder import offered_by
from tidegauge.adapters.fixtures import (
    Fixture,
    FixtureKind,
    bare_blocks,
    manifest_path,
    open_fixture,
    recorded_shards,
)
from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.replay_output import ReplayFiles, replay_files
from tidegauge.cli.recorded import recorded_items
from tidegauge.cli.replay_options import (
    Progress,
    ReplayOptions,
    print_json,
    print_table,
    progress_bar,
    with_stream_names,
)
from tidegauge.domain.decode import SeriesBy
from tidegauge.settings import (
    Clocks,
    JudgingSettings,
    StreamSettings,
    WindowSettings,
    read_settings,
)
from tidegauge.steps.replay import Judging, OfflineReplay, ReplaySums
from tidegauge.steps.replay_clock import with_beats


def replay_offline(options: ReplayOptions, env: Mapping[str, str]) -> None:
    """Replay a fixture on memory stores and show the sums.

    Raises:
        InvalidInput: the fixture, a model or an output cannot be used.
        Misconfigured: a setting cannot be used.
    """
    began = time.perf_counter()
    settings = read_settings(
        with_stream_names(env, "offline"), WindowSettings, StreamSettings, JudgingSettings
    )
    fixture = open_fixture(options.fixture)
    inputs = (fixture.path, manifest_path(fixture.path))
    with (
        replay_files(options.outputs, inputs=inputs, size_ms=settings[0].size_ms) as files,
        progress_bar("Replaying", fixture.size_bytes, hidden=options.as_json) as progress,
    ):
        sums = _run(options, fixture, settings, files, progress)
    seconds = time.perf_counter() - began
    if options.as_json:
        print_json(
            {
                "events": sums.events,
                "distinct": sums.distinct,
                "duplicates": sums.duplicates,
                "quarantined": sums.quarantined.total(),
                "late": sums.late,
                "windows": sums.windows,
                "corrected": sums.corrected,
                "alerts": sums.alerts,
                "seconds": round(seconds, 3),
            }
        )
    else:
        _print_sums(options, sums, seconds)


def _run(
    options: ReplayOptions,
    fixture: Fixture,
    settings: tuple[WindowSettings, StreamSettings, JudgingSettings],
    files: ReplayFiles,
    progress: Progress,
) -> ReplaySums:
    windows, stream, judging = settings
    series_by = SeriesBy(windows.series_fields)
    store = MemoryCountStore(
        size_ms=windows.size_ms,
        max_event_age_ms=windows.max_event_age_ms,
        keeps_evidence=False,
    )
    bare = fixture.kind is FixtureKind.BARE
    told = Clocks(fixture.manifest.heartbeats or stream.heartbeats)
    rules = windows.count_rules(
        clock_source=stream.clock_source, clock_is_sweep=not bare and told is Clocks.SWEEP
    )
    replay = OfflineReplay(
        store,
        rules,
        windows.close_rules(),
        judging=_judging(options, store, windows, judging),
        output=files,
    )
    if bare:
        offered = offered_by(bare_blocks(fixture), series_by, jobs=options.jobs, progress=progress)
        return replay.run_bare(with_beats(offered, rules))
    records = recorded_items(fixture, series_by, progress)
    return replay.run_recorded(records, recorded_shards(fixture))


def _judging(
    options: ReplayOptions,
    store: MemoryCountStore,
    windows: WindowSettings,
    judging: JudgingSettings,
) -> Judging | None:
    if options.model is None:
        return None
    # numpy and its features come with this import, and counting alone needs neither
    from tidegauge.cli.offline_judging import OfflineJudging
    from tidegauge.cli.offline_model import predictor_of

    rules = judging.judging_rules(size_ms=windows.size_ms)
    return OfflineJudging(store, predictor_of(options.model), rules)


def _print_sums(options: ReplayOptions, sums: ReplaySums, seconds: float) -> None:
    rows = [
        ("events", f"{sums.events:,}"),
        ("  distinct", f"{sums.distinct:,}"),
        ("  duplicates", f"{sums.duplicates:,}"),
        ("  late", f"{sums.late:,}"),
        ("quarantined", f"{sums.quarantined.total():,}"),
    ]
    rows += [(f"  {reason}", f"{n:,}") for reason, n in sorted(sums.quarantined.items())]
    rows += [
        ("windows", f"{sums.windows:,}"),
        ("  corrected", f"{sums.corrected:,}"),
        ("alerts", "not judged" if options.model is None else f"{sums.alerts:,}"),
        ("seconds", f"{seconds:.2f}"),
    ]
    rows += [("written", str(path)) for path in options.outputs.given()]
    print_table(f"Replay of {options.fixture}", rows)
