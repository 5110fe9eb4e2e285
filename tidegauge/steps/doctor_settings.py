"""The doctor on settings: all faults together, here and of each function, and where they differ."""

from collections.abc import Iterator, Mapping, Sequence

from tidegauge.ports.diagnosis import FunctionFacts
from tidegauge.setting_reader import Reader
from tidegauge.settings import (
    AlertSettings,
    DatabaseSettings,
    DeploySettings,
    ExportSettings,
    JudgingSettings,
    ModelSettings,
    Settings,
    StreamSettings,
    TrainingSettings,
    WindowSettings,
)

# The deployables that count and alert, with the settings that each reads.
PARTS: dict[str, tuple[type[Settings], ...]] = {
    "collect": (WindowSettings, StreamSettings, DatabaseSettings),
    "predict": (WindowSettings, JudgingSettings, AlertSettings, DatabaseSettings),
    "sweep": (WindowSettings, StreamSettings, AlertSettings, DatabaseSettings),
}

# Those that bring models. A stack may have been deployed before they were.
RETRAINING: dict[str, tuple[type[Settings], ...]] = {
    "export": (
        WindowSettings,
        StreamSettings,
        JudgingSettings,
        ExportSettings,
        ModelSettings,
        DatabaseSettings,
    ),
    "train": (ModelSettings, TrainingSettings, DatabaseSettings),
    "deploy": (ModelSettings, DeploySettings, AlertSettings, DatabaseSettings),
}

# A count means nothing if these are not the same everywhere.
_SHARED = (
    "WINDOWS_STREAM",
    "HEARTBEATS",
    "CLOCK_SOURCE",
    "WINDOW_SECONDS",
    "ALLOWED_LATENESS_SECONDS",
    "SERIES_BY",
    "DATABASE_SECRET_ARN",
)
# Where these differ, one model is trained and another is asked.
_OF_MODELS = ("ENDPOINT_NAME", "TRAINING_JOB_PREFIX")


def faults_here(env: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the settings as they stand here, a sentence each.

    What is not set is no fault: the functions know it.
    """
    kinds: list[type[Settings]] = [
        WindowSettings,
        StreamSettings,
        JudgingSettings,
        ModelSettings,
        ExportSettings,
        DeploySettings,
    ]
    if "ALERTS_TOPIC_ARN" in env:
        kinds.append(AlertSettings)
    if "DATABASE_URL" in env or "DATABASE_SECRET_ARN" in env:
        kinds.append(DatabaseSettings)
    names = ("EVENTS_STREAM", "WINDOWS_STREAM", "ENDPOINT_NAME", "EXPORTS_BUCKET")
    return _faults({**dict.fromkeys(names, "unset"), **env}, kinds)


def faults_of_function(part: str, variables: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a function's variables, a sentence each."""
    return _faults(variables, {**PARTS, **RETRAINING}[part])


def by_part(functions: Sequence[FunctionFacts]) -> dict[str, list[FunctionFacts]]:
    """Return the functions by what they are, as their handlers say."""
    found: dict[str, list[FunctionFacts]] = {}
    for folder, parts in (("consumers", PARTS), ("retrain", RETRAINING)):
        for part in parts:
            mine = [f for f in functions if f.handler.startswith(f"{folder}.{part}.")]
            if mine:
                found[part] = mine
    return found


def differences(
    functions: Mapping[str, FunctionFacts], env: Mapping[str, str]
) -> Iterator[tuple[str, bool]]:
    """Yield the variables that differ: a sentence, and whether counting or judging suffers.

    Where the functions agree and it is set otherwise here, only what is told here is wrong.
    """
    for name in (*_SHARED, *_OF_MODELS):
        values = {
            part: f.variables.get(name, "")
            for part, f in functions.items()
            if name in f.variables or name in _SHARED
        }
        different = set(values.values())
        if len(different) > 1:
            told = ", ".join(f"{part} {value or 'unset'}" for part, value in values.items())
            yield f"{name} is not the same in all functions: {told}", True
        elif name in env and different and env[name] not in different:
            there = next(iter(different)) or "unset"
            yield f"{name} is {env[name]} here, and {there} in the functions", False


def _faults(variables: Mapping[str, str], kinds: Sequence[type[Settings]]) -> list[str]:
    reader = Reader(variables)
    for kind in kinds:
        kind.read(reader)
    return list(dict.fromkeys(reader.problems))  # several kinds may read one variable
