"""The metrics that Tidegauge emits: one closed list, each with its unit and meaning."""

from enum import Enum


class Metric(Enum):
    """A metric's name, its CloudWatch unit, and what it tells."""

    EVENTS_COUNTED = ("EventsCounted", "Count", "distinct events counted, late ones included")
    EVENTS_DUPLICATE = ("EventsDuplicate", "Count", "events whose key was known in their window")
    EVENTS_LATE = ("EventsLate", "Count", "distinct events whose window was closed already")
    REJECTS = ("Rejects", "Count", "records, or parts of one, set aside in quarantine")
    ITERATOR_AGE = ("IteratorAge", "Milliseconds", "age of a batch's last record when counted")
    WINDOWS_COMPLETED = ("WindowsCompleted", "Count", "announced windows, corrections included")
    WINDOWS_JUDGED = ("WindowsJudged", "Count", "announced windows that got a verdict")
    PREDICTION_ERRORS = ("PredictionErrors", "Count", "answers of the model that were no numbers")
    ALERTS_SENT = ("AlertsSent", "Count", "alerts handed to the topic")
    SERIES_RUNG_AGAIN = ("SeriesRungAgain", "Count", "series that waited too long for a verdict")
    LEFT_TO_SWEEP = ("LeftToSweep", "Count", "closings or publishings that failed after a batch")
    WATERMARK_LAG = ("WatermarkLag", "Milliseconds", "how far the watermark lies behind the clock")
    OPEN_WINDOWS = ("OpenWindows", "Count", "windows with counts that no closing has told of yet")
    OUTBOX_AGE = ("OutboxAge", "Milliseconds", "age of the oldest message that was not sent")
    UNJUDGED_SERIES = ("UnjudgedSeries", "Count", "series with announced windows and no verdict")
    GAPS_KNOWN = ("GapsKnown", "Count", "losses on record of this generation of the stream")
    MAPPING_FAULTS = ("MappingFaults", "Count", "wrong settings of how the events stream is read")
    SHARDS_DRAINED = ("ShardsDrained", "Count", "closed shards found read to their end")
    GENERATIONS_ENDED = ("GenerationsEnded", "Count", "streams ended by one of the same name")
    LOST_EVENTS = ("LostEvents", "Count", "events in batches that the mapping gave up on")
    WINDOWS_PURGED = (
        "WindowsPurged",
        "Count",
        "windows whose keys and partial counts were removed",
    )
    EVENTS_PRODUCED = ("EventsProduced", "Count", "events put on the events stream by our producer")
    TRAININGS_STARTED = ("TrainingsStarted", "Count", "training jobs started for datasets")
    DATASETS_REFUSED = ("DatasetsRefused", "Count", "datasets that nothing can be trained on")
    DATASETS_EXPORTED = ("DatasetsExported", "Count", "datasets written for training")
    WINDOWS_EXCLUDED = ("WindowsExcluded", "Count", "windows that were left out of a dataset")
    MODELS_DEPLOYED = ("ModelsDeployed", "Count", "models that went live")
    MODELS_REFUSED = ("ModelsRefused", "Count", "models that the gate or their artifact kept out")
    MODELS_ROLLED_BACK = ("ModelsRolledBack", "Count", "models that the endpoint went back from")
    TRAININGS_FAILED = ("TrainingsFailed", "Count", "training jobs that gave no model")

    def __init__(self, metric_name: str, unit: str, meaning: str) -> None:
        self.metric_name = metric_name
        self.unit = unit
        self.meaning = meaning
