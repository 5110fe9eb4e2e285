"""Settings: one frozen dataclass per concern, read once from a mapping such as the environment.

A field's name in upper case is the variable's name. Faults are collected and reported together, as
sentences that never repeat a secret. Nothing is read at import.
"""

from tidegauge.database_address import DatabaseAddress
from tidegauge.settings.concern import Settings, read_settings, variable_names
from tidegauge.settings.database import DatabaseSettings
from tidegauge.settings.judging import JudgingSettings
from tidegauge.settings.retraining import (
    DeploySettings,
    ExportSettings,
    ModelSettings,
    Serving,
    TrainingSettings,
)
from tidegauge.settings.streams import AlertSettings, Clocks, StreamSettings
from tidegauge.settings.windows import WindowSettings

__all__ = [
    "AlertSettings",
    "Clocks",
    "DatabaseAddress",
    "DatabaseSettings",
    "DeploySettings",
    "ExportSettings",
    "JudgingSettings",
    "ModelSettings",
    "Serving",
    "Settings",
    "StreamSettings",
    "TrainingSettings",
    "WindowSettings",
    "read_settings",
    "variable_names",
]
