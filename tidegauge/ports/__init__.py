"""What the steps need of the outside world, as protocols.

Adapters implement these; one contract suite per port runs on every implementation. Nothing here
names a service.
"""

from tidegauge.ports.counting import (
    CloseTransaction,
    CollectTransaction,
    CountStore,
    EndedGeneration,
    Frontier,
    ShardTimes,
    UnknownShard,
    WaitingShard,
)
from tidegauge.ports.judging import (
    JudgingStore,
    Predictor,
    Scores,
    SliceLimits,
)
from tidegauge.ports.outbox import (
    Destination,
    MessageSink,
    Outbox,
    OutboxMessage,
    StoredMessage,
    alert_message,
)
from tidegauge.ports.retraining import (
    ModelChange,
    ModelLedger,
    ObjectInfo,
    ObjectStore,
    StoredModel,
)
from tidegauge.ports.source import EventSource, SourceBatch
from tidegauge.ports.stream import (
    Clock,
    FailedBatch,
    FailedBatches,
    PatientClock,
    PutPosition,
    ShardEnd,
    ShardListing,
    ShardProber,
    StreamEntry,
    StreamIdentity,
    StreamLister,
    StreamReading,
    StreamReadings,
    StreamWriter,
)
from tidegauge.ports.sweeping import (
    Backlog,
    Purged,
    ShardProgress,
    SweepStore,
)
from tidegauge.ports.training import TrainingJobs

__all__ = [
    "Backlog",
    "Clock",
    "CloseTransaction",
    "CollectTransaction",
    "CountStore",
    "Destination",
    "EndedGeneration",
    "EventSource",
    "FailedBatch",
    "FailedBatches",
    "Frontier",
    "JudgingStore",
    "MessageSink",
    "ModelChange",
    "ModelLedger",
    "ObjectInfo",
    "ObjectStore",
    "Outbox",
    "OutboxMessage",
    "PatientClock",
    "Predictor",
    "Purged",
    "PutPosition",
    "Scores",
    "ShardEnd",
    "ShardListing",
    "ShardProber",
    "ShardProgress",
    "ShardTimes",
    "SliceLimits",
    "SourceBatch",
    "StoredMessage",
    "StoredModel",
    "StreamEntry",
    "StreamIdentity",
    "StreamLister",
    "StreamReading",
    "StreamReadings",
    "StreamWriter",
    "SweepStore",
    "TrainingJobs",
    "UnknownShard",
    "WaitingShard",
    "alert_message",
]
