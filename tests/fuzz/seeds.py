"""What fuzzing starts from: sound samples of everything that the targets read, and near misses."""

import base64
import gzip
import json
import tarfile
from itertools import islice
from pathlib import Path
from typing import Any

from tests.fuzz import files
from tests.support.models import model_of
from tidegauge.adapters.model_file import pack_model
from tidegauge.domain.announcement import announce
from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.heartbeat import heartbeat_record

FIXTURES = Path(__file__).parents[1] / "fixtures"
SHARD = "shardId-000000000000"
TIMES = (
    b"2013-02-08T12:00:00Z",
    b"2013-02-08t12:00:00.999999999z",
    b"2013-02-08 12:00:60+05:30",
    b"2016-12-31T23:59:60Z",
    b"1000-01-10T00:00:00-23:59",
    b"9999-12-21T23:59:59.9996Z",
    b"0000-00-00T24:00:00Z",
    b"1360324800",
)


def _event(**changes: Any) -> bytes:
    fields = {
        "specversion": "1.0",
        "id": "1",
        "source": "/airport/JFK",
        "type": "flight.departed",
        "time": "2013-02-08T12:00:00Z",
    }
    return json.dumps({**fields, **changes}).encode()


def _departures() -> list[bytes]:
    with gzip.open(FIXTURES / "departures-2013-storm.jsonl.gz") as lines:
        return [line.rstrip() for line in islice(lines, 3)]


def _heartbeat(previous: int | None) -> bytes:
    return heartbeat_record(
        source="/tidegauge/clock",
        event_time_ms=1_360_324_860_000,
        shard_id=SHARD,
        previous=previous,
    )


def envelopes() -> list[bytes]:
    """Return events as EventBridge delivers them, and a schedule's."""
    sample = (FIXTURES / "payloads" / "eventbridge-envelope.json").read_bytes()
    scheduled = {**json.loads(sample), "detail-type": "Scheduled Event", "detail": {}}
    halved = {**json.loads(sample), "detail": {"name": "\ud800", "n": 10**30}}
    others = (scheduled, halved, {"time": "2013-02-08T12:00:00Z"})
    return [sample, *(json.dumps(each).encode() for each in others)]


def records() -> list[bytes]:
    """Return records of a stream: events of each form, heartbeats, batches, lines, and others'."""
    events = [
        *_departures(),
        _event(),
        _event(data={"country": "JP", "a": {"b": [1, None]}}, subject="s"),
        _event(data="\ud800", type="\u00e9" * 100),
        _event(id="2", time="2013-02-09T12:00:00.5+01:00"),
        *envelopes(),
    ]
    return [
        *events,
        _heartbeat(None),
        _heartbeat(49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898),
        _heartbeat(None).replace(SHARD.encode(), b"shardId-000000000001"),
        b"[" + b",".join(events[:4] + events[:1]) + b"]",
        b"\n".join(events[:3]) + b'\n{"broken\n[]\n[5,{}]\r\n',
        json.dumps(json.loads(events[0]), indent=1).encode(),
        _event()[:-1] + b', "x": [1e999,\n5\n]}',
        b"\xef\xbb\xbf" + _event(),
        b"\xf3\x89\x9a\xc2\x0a\x01a",
        b'{"x":' + b"[" * 300 + b"]" * 300 + b"}",
        b"[" + b"1," * 200 + b"1]",
    ]


def batches() -> list[bytes]:
    """Return arrays."""
    return [data for data in records() if data[:1] == b"["] + [b"[]", b"[ {} ,\n[[]] ]", b"[null]"]


def times() -> list[bytes]:
    """Return times of every shape."""
    return list(TIMES)


def heartbeats() -> list[bytes]:
    """Return a heartbeat's data, sound and not."""
    named = [{"shard": SHARD}, {"shard": SHARD, "previous": "7"}, {"shard": 5, "previous": 7}]
    odd = [{"shard": SHARD, "previous": text} for text in ("9" * 4300, "9" * 4301, "\u0663", "")]
    return [json.dumps(data).encode() for data in (*named, *odd)]


def lambda_events() -> list[bytes]:
    """Return an invocation's event, and a batch as a mapping keeps it when it gives up."""
    kinesis = {
        "sequenceNumber": "7",
        "approximateArrivalTimestamp": 1360324800.5,
        "partitionKey": "k",
        "data": base64.b64encode(_event()).decode(),
    }
    record = {"eventID": f"{SHARD}:7", "kinesis": kinesis}
    kept = (FIXTURES / "payloads" / "kinesis-on-failure-s3.json").read_bytes()
    return [
        json.dumps({"Records": [record]}).encode(),
        json.dumps({"Records": [record, {**record, "eventID": "shardId-1:7"}]}).encode(),
        kept,
        b'{"Records":[]}',
    ]


def doorbells() -> list[bytes]:
    """Return announcements of windows that are complete and corrected."""
    rows = [
        CompletedWindow(1, name, 1_360_324_800_000, revision, 1_360_324_800_000, 5, 1, quality)
        for name, revision, quality in (
            ("order.placed", 1, Quality.COMPLETE),
            ("\u00e9", 2, Quality.GAP),
        )
    ]
    return [each.payload for each in announce(rows, size_ms=300_000)]


def fixtures() -> list[bytes]:
    """Return files: bare and recorded, packed in each way, damaged, with a manifest."""
    bare = b"\n".join(_departures()[:2]) + b"\n"
    line = {"shard": SHARD, "sequence_number": "7", "data": base64.b64encode(bare[:20]).decode()}
    lines = [
        line,
        {**line, "arrival_time": TIMES[0].decode(), "data": {}},
        {**line, "sequence_number": 8, "arrival_time": 10**18, "data": 5},
    ]
    recorded = b"\n".join(json.dumps(each).encode() for each in lines)
    manifests = (
        {"kind": "recorded", "shards": [{"shard_id": "s"}], "counts": {"a": 1}},
        {"shards": [{"shard_id": "s"}, {"shard_id": "t", "parent_ids": ["s"]}]},
        {"sha256": "0" * 64},
    )
    found = []
    for how in (files.PLAIN, files.GZIP, files.ZSTD, files.MEMBERS):
        found += [bytes([how, 0]) + content for content in (bare, recorded, b"\n \n")]
        found.append(bytes([how | files.CUT, 9]) + bare)
        found.append(bytes([how | files.TURNED, 12]) + recorded)
        found += [
            bytes([how | files.WITH_MANIFEST, 0]) + json.dumps(each).encode() + b"\0" + recorded
            for each in manifests
        ]
    for how in (files.GZIP, files.ZSTD):
        packed = files.packed(bare, how)  # so that the packed bytes themselves are changed
        found += [bytes(2) + packed, bytes(2) + packed + packed + b"\0\0"]
    return found


def models() -> list[bytes]:
    """Return archives of a model, and what stands in one."""
    packed = pack_model(model_of(1.0, 2.0))
    content = model_of(1.0).to_json()
    header = b"GNU.sparse.map=0,1\nGNU.sparse.size=9\nsize=5\npath=a\0"
    return [
        bytes([files.AS_IT_IS]) + packed,
        bytes([files.A_TAR]) + gzip.decompress(packed),
        bytes([files.A_MEMBER]) + content,
        bytes([files.HEADERS]) + header + content,
        bytes([files.HEADERS]) + b"GNU.sparse.major=1\nGNU.sparse.minor=0\0" + content,
    ]


def archives() -> list[bytes]:
    """Return archives that somebody else may unpack, and such as nobody should."""
    found = models()
    for name in ("../up", "/abs", "a/./b", "long" * 40):
        member = tarfile.TarInfo(name)
        for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            blocks = member.tobuf(form) + bytes(tarfile.BLOCKSIZE * 2)
            found.append(bytes([files.A_TAR]) + blocks)
    member = tarfile.TarInfo("link")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc"
    found.append(bytes([files.A_TAR]) + member.tobuf() + bytes(tarfile.BLOCKSIZE * 2))
    return found
