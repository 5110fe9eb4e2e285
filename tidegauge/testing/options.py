"""What a pipeline in memory may be told, read as the settings of a deployed one are."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from tidegauge.domain.errors import InvalidInput
from tidegauge.setting_reader import Reader
from tidegauge.settings import JudgingSettings, WindowSettings, variable_names
from tidegauge.testing.model import Model, model_problem
from tidegauge.testing.moments import Moment, moment_ms

MAX_SHARDS = 100
# A quarantine in memory has no bound, and there is no endpoint to name.
_MEANINGLESS = {"quarantine_max_mb", "endpoint_name"}
_SETTINGS = sorted(
    {name.lower() for kind in (WindowSettings, JudgingSettings) for name in variable_names(kind)}
    - _MEANINGLESS
)
_OWN = ("model", "shards", "start")


@dataclass(frozen=True)
class Options:
    """A pipeline's settings.

    Attributes:
        windows: How events are cut into windows.
        judging: How counts are judged.
        shards: Of the stream.
        model: Who says what is expected; None to count only.
        start_ms: When the stream's clock begins; None for the window of the first event fed.
    """

    windows: WindowSettings
    judging: JudgingSettings
    shards: int
    model: Model
    start_ms: int | None


def read_options(
    settings: Mapping[str, object], *, model: Model, shards: int, start: Moment | None
) -> Options:
    """Return the options that keywords name.

    Args:
        settings: Settings by their names in lower case, such as `window_seconds`.
        model: As for `Options`.
        shards: As for `Options`.
        start: As for `Options`.

    Raises:
        Misconfigured: with one sentence for each keyword that is wrong.
    """
    texts = {name.upper(): str(value) for name, value in settings.items()}
    reader = Reader({**texts, "SHARDS": str(shards)})
    for name in settings:
        reader.require(name in _SETTINGS, _unknown(name))
    options = Options(
        windows=WindowSettings.read(reader),
        judging=JudgingSettings.read(reader),
        shards=reader.whole("SHARDS", 1, 1, MAX_SHARDS),
        model=model,
        start_ms=_start_ms(start, reader),
    )
    problem = model_problem(model)
    reader.require(problem is None, problem or "")
    reader.raise_faults()
    return options


def _unknown(name: str) -> str:
    near = get_close_matches(name, [*_SETTINGS, *_OWN], 1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join([*_OWN, *_SETTINGS])}"
    return f"{name} is no setting of a pipeline in memory: {meant}"


def _start_ms(start: Moment | None, reader: Reader) -> int | None:
    if start is None:
        return None
    try:
        return moment_ms(start)
    except InvalidInput as error:
        reader.require(False, f"START: {error}")
        return None
