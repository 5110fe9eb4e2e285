"""Hypothesis strategies of bytes that nobody should send: JSON askew, samples changed in places."""

import json
from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

ODD_TIMES = (
    "2013-02-08T12:00:00Z",
    "2013-02-08T12:00:00.9999999999Z",
    "2013-02-08t12:00:60+05:30",
    "2016-12-31T23:59:60Z",
    "0000-01-01T00:00:00Z",
    "1000-01-10T00:00:00+23:59",
    "9999-12-31T23:59:60Z",
    "2013-02-08T12:00:5Z",
    "2013-02-08T12:00:00.Z",
    "2013-02-08T12:00:0\u0663Z",
    "2013-02-08",
    "",
)
_ODD_VALUES = (
    b"null",
    b"true",
    b"-0",
    b"1e999",
    b"18446744073709551616",
    b"9" * 5_000,
    b"1.0",
    b"NaN",
    b'""',
    b'"\\ud800"',
    b'"\\u0000"',
    b'"\xff"',
    b'"' + b"t" * 300 + b'"',
    '"\u0663"'.encode(),
    b'"' + b"9" * 4_301 + b'"',
    b"{}",
    b"[[]]",
    b"[" * 255 + b"]" * 255,
    b"[" * 2_000 + b"]" * 2_000,
    b'{"a":{"b":1},"country":"JP","country":[]}',
    b'{"shard":"s","previous":"7"}',
    b'{"shard":"shardId-000000000000","previous":null}',
    b"\n5\n",
)
_NAMES = (
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "data",
    "detail-type",
    "detail",
    "unread",
)
_SOUND = {
    "specversion": ("1.0",),
    "id": ("1", "2"),
    "source": ("/s", "/tidegauge/clock"),
    "type": ("t", "tidegauge.heartbeat"),
    "time": ODD_TIMES,
    "detail-type": ("t", "Scheduled Event"),
}
_ODD_PIECES = (
    b"",
    b"\n",
    b"\r\n\x0b",
    b"\xef\xbb\xbf",
    b"\xf3\x89\x9a\xc2",
    b"\0",
    b"[]",
    b"5",
    b"{oops",
    b"[5,{}]",
    b"\xff\xfe",
)


def odd_values() -> st.SearchStrategy[bytes]:
    """Return values of JSON, and what is nearly one."""
    return st.sampled_from(_ODD_VALUES)


def fields(
    sound: Mapping[str, Sequence[str | float]], names: Sequence[str]
) -> st.SearchStrategy[bytes]:
    """Return objects with these names in any order, some twice, with values sound or odd."""
    sound_values = {
        name: st.sampled_from([json.dumps({name: value}).encode()[1:-1] for value in values])
        for name, values in sound.items()
    }
    odd = st.builds(
        b'"%b":%b'.__mod__, st.tuples(st.sampled_from(names).map(str.encode), odd_values())
    )
    some = st.lists(st.one_of(odd, *sound_values.values()), max_size=4)
    whole = st.tuples(*sound_values.values())
    return st.builds(
        lambda all_of_them, more: b"{" + b",".join([*all_of_them, *more]) + b"}",
        st.just(()) | whole,
        some,
    )


def events() -> st.SearchStrategy[bytes]:
    """Return CloudEvents, envelopes and heartbeats, whole or spoiled."""
    return fields({name: _SOUND[name] for name in _NAMES[:5]}, _NAMES) | fields(
        {name: _SOUND[name] for name in ("id", "source", "time", "detail-type")}, _NAMES
    )


def records() -> st.SearchStrategy[bytes]:
    """Return records: one event, an array, JSON lines, or all of them mixed."""
    parts = st.lists(events() | st.sampled_from(_ODD_PIECES), max_size=5)
    arrays = parts.map(lambda each: b"[" + b",".join(each) + b"]")
    lines = st.lists(events() | arrays | st.sampled_from(_ODD_PIECES), max_size=5).map(b"\n".join)
    scraps = st.integers(90, 400).map(lambda n: b"[" + b"1," * n + b"1]")
    return events() | arrays | lines | scraps


def changed(samples: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return samples with some of their bytes cut out and others put in."""
    pieces = st.binary(max_size=6) | odd_values() | st.sampled_from(_ODD_PIECES)
    edit = st.tuples(st.integers(0, 10_000), st.integers(0, 30), pieces)
    return st.builds(_edited, st.sampled_from(samples), st.lists(edit, max_size=4))


def _edited(sample: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for place, length, piece in edits:
        start = place % (len(sample) + 1)
        sample = sample[:start] + piece + sample[start + length :]
    return sample
