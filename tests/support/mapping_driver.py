"""An event source mapping of Kinesis, as AWS documents it and no better.

Each shard is read from its trim horizon, in order, in batches. A batch that fails is delivered
again before anything behind it of its shard, without end. Delivery is at least once: a batch that
succeeded may come again, whole, or cut otherwise and running into what follows. A parent is usually
read before its children; nothing promises it. Shards become known by listing the stream.
"""

import base64
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tidegauge.domain.errors import TidegaugeError

if TYPE_CHECKING:
    from mypy_boto3_kinesis.type_defs import RecordTypeDef

# What a function is given: Lambda's event. It raises to have the batch delivered again.
Invoke = Callable[[dict[str, Any]], object]

MAX_PAGES = 2  # the Kinesis for tests tells a shard's end on the second empty page


@dataclass
class Poller:
    """The reading of one shard.

    Attributes:
        shard_id: The shard.
        parent_ids: Its parents, listed or not.
        position: The last sequence number that a successful batch held; 0 before the first.
        taken: Every such position so far, from which a mapping that starts anew may go on.
        iterators: The last one used, by the position that it stands behind.
        ended: Whether the shard's end was reached, or the shard expired.
    """

    shard_id: str
    parent_ids: tuple[str, ...]
    position: int = 0
    taken: list[int] = field(default_factory=lambda: [0])
    iterators: dict[int, str] = field(default_factory=dict)
    ended: bool = False


class MappingDriver:
    """Reads one stream for one function.

    Args:
        kinesis: A client of Kinesis.
        stream_name: The stream.
        invoke: The function.
        chance: Decides on sizes of batches, on redeliveries, and on the order of shards.
        max_batch: The largest batch, records.
        children_first: Reads the youngest shards first; else a child once its parents are read.
        redelivers: How probably a shard goes back to an earlier position before its next batch.

    Attributes:
        enabled: A mapping that is disabled delivers nothing.
        stuck: Shards whose batches fail for a reason of their own.
        delivered: Batches that the function took.
        redelivered: Batches that went back to an earlier position.
        refused: Batches that it did not take, by the name of what it raised.
    """

    def __init__(
        self,
        kinesis: Any,
        stream_name: str,
        invoke: Invoke,
        chance: random.Random,
        *,
        max_batch: int = 30,
        children_first: bool = False,
        redelivers: float = 0.2,
    ) -> None:
        self._kinesis = kinesis
        self._stream_name = stream_name
        self._invoke = invoke
        self._chance = chance
        self._max_batch = max_batch
        self._children_first = children_first
        self._redelivers = redelivers
        self._pollers: dict[str, Poller] = {}
        self.enabled = True
        self.stuck: set[str] = set()
        self.delivered = 0
        self.redelivered = 0
        self.refused: Counter[str] = Counter()

    def start_anew(self) -> None:
        """Read a stream that was made anew under the name, from its beginning."""
        self._pollers.clear()

    def turn(self) -> bool:
        """List the stream, and offer one batch of each shard; return whether any moved on."""
        if not self.enabled:
            return False
        self._look_for_shards()
        moved = [self.offer(poller) for poller in self._in_order()]
        return any(moved)

    def run(self, *, turns: int = 1000) -> None:
        """Deliver until no shard has anything that the function takes."""
        for _ in range(turns):
            if not self.turn():
                return
        msg = f"still delivering after {turns} turns"
        raise AssertionError(msg)

    def pollers(self) -> list[Poller]:
        """List the stream and return the readings of all shards that it has shown so far."""
        self._look_for_shards()
        return list(self._pollers.values())

    def _look_for_shards(self) -> None:
        for shard in self._kinesis.list_shards(StreamName=self._stream_name)["Shards"]:
            parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
            poller = Poller(shard["ShardId"], tuple(parent for parent in parents if parent))
            self._pollers.setdefault(poller.shard_id, poller)

    def _in_order(self) -> list[Poller]:
        reading = [poller for poller in self._pollers.values() if not poller.ended]
        if self._children_first:
            return sorted(reading, key=lambda poller: poller.shard_id, reverse=True)
        unread = {poller.shard_id for poller in reading}
        ready = [poller for poller in reading if unread.isdisjoint(poller.parent_ids)]
        self._chance.shuffle(ready)
        return ready

    def offer(self, poller: Poller, invoke: Invoke | None = None) -> bool:
        """Offer a shard's next batch; return whether the shard moved on.

        Args:
            poller: Of `pollers`. No two threads may offer for the same one.
            invoke: The function, where another of its processes shall take this batch.
        """
        if poller.shard_id in self.stuck:
            return False
        if self._chance.random() < self._redelivers:
            self.redelivered += 1
            again = self._deliver(poller, self._chance.choice(poller.taken[-3:]), invoke)
            if again is None:
                return False
        return bool(self._deliver(poller, poller.position, invoke))

    def _deliver(self, poller: Poller, after: int, invoke: Invoke | None) -> bool | None:
        """Deliver one batch; return whether the shard moved on, None where it was refused."""
        records, ended = self._read(poller, after, self._chance.randint(1, self._max_batch))
        if not records:
            poller.ended = ended
            return ended
        last = int(records[-1]["SequenceNumber"])
        try:
            (invoke or self._invoke)(lambda_event(poller.shard_id, records))
        except TidegaugeError as error:
            self.refused[type(error).__name__] += 1
            return None
        self.delivered += 1
        if last <= poller.position:
            return False
        poller.position = last
        poller.taken.append(last)
        return True

    def _read(
        self, poller: Poller, after: int, limit: int
    ) -> tuple[Sequence["RecordTypeDef"], bool]:
        """Return up to `limit` records behind a position, and whether the shard ends there."""
        try:
            iterator = poller.iterators.get(after) or self._iterator(poller.shard_id, after)
            poller.iterators = {after: iterator}
            for _ in range(MAX_PAGES):
                page = self._kinesis.get_records(ShardIterator=iterator, Limit=limit)
                iterator = page.get("NextShardIterator")
                if page["Records"]:
                    return page["Records"], False
                if not iterator:
                    return (), True
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return (), True  # it expired
        return (), False

    def _iterator(self, shard_id: str, after: int) -> str:
        position: dict[str, str] = {"ShardIteratorType": "TRIM_HORIZON"}
        if after:
            position = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": str(after),
            }
        answer = self._kinesis.get_shard_iterator(
            StreamName=self._stream_name, ShardId=shard_id, **position
        )
        return str(answer["ShardIterator"])


def lambda_event(shard_id: str, records: Sequence["RecordTypeDef"]) -> dict[str, Any]:
    """Return records as Lambda hands them to a function."""
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record["PartitionKey"],
                    "sequenceNumber": record["SequenceNumber"],
                    "data": base64.b64encode(record["Data"]).decode(),
                    "approximateArrivalTimestamp": record[
                        "ApproximateArrivalTimestamp"
                    ].timestamp(),
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{shard_id}:{record['SequenceNumber']}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::000000000000:role/collect",
                "awsRegion": "us-east-1",
                "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/events",
            }
            for record in records
        ]
    }
