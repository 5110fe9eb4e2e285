"""Tidegauge counts events in exact windows and alerts people when a count is unexpected.

The package reads as one sentence: event, record, window, completed window, prediction, verdict,
incident, alert. `domain` holds the words, `steps` the verbs, `adapters` the outside world.
"""

__version__ = "0.1.0"
