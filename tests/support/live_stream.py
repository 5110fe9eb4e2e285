"""A stream of the Kinesis for tests: made, split, merged, made anew, and read as a whole."""

import time
from typing import TYPE_CHECKING, Any

from tidegauge.domain.record import Record

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_kinesis import KinesisClient

WAIT_SECONDS = 20.0
POLL_SECONDS = 0.005


class LiveStream:
    """One stream; each call returns when what it asks for is done.

    Args:
        client: Of the Kinesis for tests.
        name: The stream's name.
        shards: How many it begins with.
    """

    def __init__(self, client: "KinesisClient", name: str, *, shards: int) -> None:
        self._client = client
        self._created: datetime | None = None
        self.name = name
        self.make(shards)

    def make(self, shards: int) -> None:
        """Make the stream, in another second than an earlier one of its name.

        The Kinesis for tests tells the time of creation in whole seconds.
        """
        before = self._created
        deadline = time.monotonic() + WAIT_SECONDS
        while self._created == before:
            assert time.monotonic() < deadline
            if self._exists():
                self.delete()
            self._client.create_stream(StreamName=self.name, ShardCount=shards)
            self._wait_until_active()

    def delete(self) -> None:
        """Delete the stream with all that is in it."""
        self._client.delete_stream(StreamName=self.name)
        deadline = time.monotonic() + WAIT_SECONDS
        while self._exists():
            assert time.monotonic() < deadline
            time.sleep(POLL_SECONDS)

    def _exists(self) -> bool:
        try:
            self._client.describe_stream_summary(StreamName=self.name)
        except self._client.exceptions.ResourceNotFoundException:
            return False
        return True

    def split(self, shard_id: str) -> tuple[str, str]:
        """Split a shard into two halves and return them, the lower first."""
        before = self.shards()
        keys = before[shard_id]["HashKeyRange"]
        middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2 + 1
        self._client.split_shard(
            StreamName=self.name, ShardToSplit=shard_id, NewStartingHashKey=str(middle)
        )
        self._wait_until_active()
        low, high = sorted(self.shards().keys() - before.keys())
        return low, high

    def merge(self, shard_id: str, other_id: str) -> str:
        """Merge two shards, the lower first, and return their child."""
        before = self.shards()
        self._client.merge_shards(
            StreamName=self.name, ShardToMerge=shard_id, AdjacentShardToMerge=other_id
        )
        self._wait_until_active()
        [child] = self.shards().keys() - before.keys()
        return child

    def _wait_until_active(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            answer = self._client.describe_stream_summary(StreamName=self.name)
            summary = answer["StreamDescriptionSummary"]
            if summary["StreamStatus"] == "ACTIVE":
                self._created = summary["StreamCreationTimestamp"]
                return
            assert time.monotonic() < deadline
            time.sleep(POLL_SECONDS)

    def shards(self) -> dict[str, Any]:
        """Return all shards that there ever were, by id, as Kinesis describes them."""
        answer = self._client.list_shards(StreamName=self.name)
        return {shard["ShardId"]: shard for shard in answer["Shards"]}

    def parents(self) -> dict[str, tuple[str, ...]]:
        """Return the parents of each shard that there ever was, parents before children."""
        return {
            shard_id: tuple(
                shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if name in shard
            )
            for shard_id, shard in sorted(self.shards().items())
        }

    def open_shards(self) -> list[str]:
        """Return the shards that take records, in order of their hash keys."""
        shards = self.shards().values()
        open_ones = [s for s in shards if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
        open_ones.sort(key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))
        return [shard["ShardId"] for shard in open_ones]

    def logs(self) -> dict[str, list[Record]]:
        """Return all that was ever put on each shard, in order."""
        return {shard_id: self._log(shard_id) for shard_id in self.parents()}

    def _log(self, shard_id: str) -> list[Record]:
        answer = self._client.get_shard_iterator(
            StreamName=self.name, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
        )
        iterator = answer["ShardIterator"]
        log: list[Record] = []
        while True:
            page = self._client.get_records(ShardIterator=iterator, Limit=10_000)
            if not page["Records"]:  # this Kinesis has no empty page before a record
                return log
            log += (
                Record(
                    shard_id,
                    int(record["SequenceNumber"]),
                    round(record["ApproximateArrivalTimestamp"].timestamp() * 1000),
                    record["PartitionKey"],
                    record["Data"],
                )
                for record in page["Records"]
            )
            iterator = page["NextShardIterator"]
