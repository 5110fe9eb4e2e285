"""How functions read the events stream, and what in it would spoil the counts.

Takes event source mappings as they are set, gives a sentence with the remedy for each fault. A
setting that the platform does not tell is neither right nor wrong: `untold` names it.
"""

from collections.abc import Sequence

import msgspec

FOREVER = -1  # retries and age of a mapping that never gives up
_UPDATE = "aws lambda update-event-source-mapping --uuid"


class StreamReading(msgspec.Struct, frozen=True):
    """How a function reads the stream, as its event source mapping says; None: it does not say.

    Attributes:
        name: The mapping's UUID.
        enabled: Whether it reads, or is about to.
        function: The function's name.
        starting_position: `TRIM_HORIZON`, `LATEST` or `AT_TIMESTAMP`.
        parallelization_factor: Batches of one shard at once.
        maximum_retry_attempts: Retries of a failed batch; -1 without end.
        maximum_record_age_seconds: Older records are skipped; -1 for none.
        bisects: Whether a failed batch is split before it is tried again.
        partial_answers: Whether the function may answer that a part of a batch failed.
        tumbling_window_seconds: Length of Lambda windows; 0 for none.
        filters: Whether records that match no filter are dropped.
    """

    name: str
    enabled: bool
    function: str
    starting_position: str | None
    parallelization_factor: int | None
    maximum_retry_attempts: int | None
    maximum_record_age_seconds: int | None
    bisects: bool | None
    partial_answers: bool | None
    tumbling_window_seconds: int | None
    filters: bool | None = False


class _Rule(msgspec.Struct, frozen=True):
    setting: str
    right: str | int | bool
    harm: str
    remedy: str


_RULES = (
    _Rule(
        "starting_position",
        "TRIM_HORIZON",
        "started at {}, which may miss events while it is made or changed",
        "delete it and deploy template.yaml again, with StartingPosition TRIM_HORIZON",
    ),
    _Rule(
        "parallelization_factor",
        1,
        "has ParallelizationFactor {}, so that batches of one shard overtake each other uncounted",
        "mend it with `{} {} --parallelization-factor 1`",
    ),
    _Rule(
        "maximum_retry_attempts",
        FOREVER,
        "gives up on a batch after {} retries, and its events are lost",
        "mend it with `{} {} --maximum-retry-attempts -1`",
    ),
    _Rule(
        "maximum_record_age_seconds",
        FOREVER,
        "skips records older than {} seconds, and their events are lost",
        "mend it with `{} {} --maximum-record-age-in-seconds -1`",
    ),
    _Rule(
        "bisects",
        False,
        "splits batches that fail, as if a record could be at fault, and delays the good ones",
        "mend it with `{} {} --no-bisect-batch-on-function-error`",
    ),
    _Rule(
        "partial_answers",
        False,
        "takes partial answers, which collect does not give",
        "mend it with `{} {} --function-response-types []`",
    ),
    _Rule(
        "tumbling_window_seconds",
        0,
        "has Lambda windows of {} seconds, which go by arrival time and may end early",
        "mend it with `{} {} --tumbling-window-in-seconds 0`",
    ),
    _Rule(
        "filters",
        False,
        "has filters, and what matches none is dropped uncounted, heartbeats too",
        "mend it with `{} {} --filter-criteria {{}}`",
    ),
)


def reading_faults(readings: Sequence[StreamReading]) -> list[str]:
    """Return what is wrong with how the events stream is read, a sentence with its remedy each.

    Exactly one enabled mapping must read it, and hand over every record, in order, without end.
    Settings that are not told are no faults. Disabled mappings do no harm.

    Args:
        readings: All event source mappings of the stream.
    """
    enabled = [reading for reading in readings if reading.enabled]
    if not enabled:
        return [_nobody_reads(readings)]
    faults = []
    if len(enabled) > 1:
        told = ", ".join(f"{reading.name} of function {reading.function}" for reading in enabled)
        faults.append(
            f"{len(enabled)} enabled mappings read the events stream ({told}); only collect's "
            f"may: disable each other with `{_UPDATE} UUID --no-enabled`, and let others read "
            "through a registered consumer of the stream"
        )
    for reading in enabled:
        faults.extend(
            f"mapping {reading.name} of function {reading.function} {fault}"
            for fault in _faults_of(reading)
        )
    return faults


def untold(readings: Sequence[StreamReading]) -> list[str]:
    """Return a sentence for each enabled mapping that does not tell all of its settings.

    Args:
        readings: All event source mappings of the stream.
    """
    sentences = []
    for reading in readings:
        names = [name for name, value in msgspec.structs.asdict(reading).items() if value is None]
        if reading.enabled and names:
            listed = ", ".join(name.replace("_", " ") for name in names)
            sentences.append(
                f"mapping {reading.name} of function {reading.function} does not tell its "
                f"{listed}; compare with template.yaml by hand"
            )
    return sentences


def _nobody_reads(readings: Sequence[StreamReading]) -> str:
    if not readings:
        return (
            "no mapping reads the events stream, so nothing is counted; deploy template.yaml "
            "again, or check that EVENTS_STREAM names the stream that collect is wired to"
        )
    names = " or ".join(f"{reading.name} of function {reading.function}" for reading in readings)
    return (
        f"no enabled mapping reads the events stream, so counting stands still; enable {names} "
        f"with `{_UPDATE} UUID --enabled`"
    )


def _faults_of(reading: StreamReading) -> list[str]:
    """Return what is wrong with one enabled mapping, to stand behind its name."""
    values = msgspec.structs.asdict(reading)
    return [
        f"{rule.harm.format(values[rule.setting])}; {rule.remedy.format(_UPDATE, reading.name)}"
        for rule in _RULES
        if values[rule.setting] not in (None, rule.right)
    ]
