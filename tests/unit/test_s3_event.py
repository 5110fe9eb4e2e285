"""S3's notifications: which objects they name, and what is no notification."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.adapters.s3_event import StoredObject, stored_objects
from tidegauge.domain.errors import InvalidInput

EXAMPLE = Path(__file__).parents[2] / "retrain" / "train" / "event.json"


def record(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "bucket": {"name": "exports"},
            "object": {"key": "exports/a/manifest.json", "eTag": "e1", "sequencer": "0055AE"},
        },
    }
    return {**made, **changes}


def record_of(**item: Any) -> dict[str, Any]:
    return record(s3={"bucket": {"name": "exports"}, "object": item})


def test_a_stored_object_is_named() -> None:
    assert stored_objects({"Records": [record()]}) == [
        StoredObject("exports", "exports/a/manifest.json", "e1", "0055AE")
    ]


def test_the_example_names_a_manifest() -> None:
    (stored,) = stored_objects(json.loads(EXAMPLE.read_text(encoding="utf-8")))
    assert stored.key.startswith("exports/")
    assert stored.key.endswith("/manifest.json")


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("a+b%2Bc/manifest.json", "a b+c/manifest.json"),
        ("caf%C3%A9%2Fx", "café/x"),
        ("100%25", "100%"),
        ("%", "%"),  # unquoted as browsers do
    ],
)
def test_keys_are_decoded(sent: str, key: str) -> None:
    (stored,) = stored_objects({"Records": [record_of(key=sent)]})
    assert (stored.key, stored.uri) == (key, f"s3://exports/{key}")
    assert (stored.etag, stored.sequencer) == ("", "")


def test_every_object_of_a_notification_is_named_in_order() -> None:
    event = {"Records": [record_of(key="b"), record_of(key="a")]}
    assert [stored.key for stored in stored_objects(event)] == ["b", "a"]


@pytest.mark.parametrize("name", ["ObjectRemoved:Delete", "ObjectRestore:Post", "s3:ObjectTagging"])
def test_what_was_not_stored_is_passed_by(name: str) -> None:
    event = {"Records": [record(eventName=name), record_of(key="a")]}
    assert [stored.key for stored in stored_objects(event)] == ["a"]


@pytest.mark.parametrize("name", ["ObjectCreated:Copy", "s3:ObjectCreated:Put"])
def test_every_way_of_storing_counts(name: str) -> None:
    assert len(stored_objects({"Records": [record(eventName=name)]})) == 1


def test_the_notification_that_tries_the_wiring_names_nothing() -> None:
    event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "exports"}
    assert stored_objects(event) == []


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"Records": None},
        {"Records": "abc"},
        {"Records": [None]},
        {"Records": [{"body": "from a queue"}]},
        {"Records": [record(eventSource="aws:kinesis")]},
        {"Records": [record(eventName=None)]},
        {"Records": [record(s3=None)]},
        {"Records": [record(s3={"bucket": {"name": "exports"}})]},
        {"Records": [record(s3={"bucket": {"name": None}, "object": {"key": "a"}})]},
        {"Records": [record(s3={"bucket": {"name": ""}, "object": {"key": "a"}})]},
        {"Records": [record_of(key=None)]},
        {"Records": [record_of(key=7)]},
        {"Records": [record_of(key="")]},
        {"Records": [record_of(key="%ff%fe")]},
        {"Records": [record_of(key="a", eTag=7)]},
        {"Records": [record_of(key="a", sequencer=None)]},
    ],
)
def test_an_event_of_another_shape_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="let a bucket invoke the function"):
        stored_objects(event)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["eventSource", "eventName", "s3"]), JSON))
def test_whatever_comes_is_read_or_refused(changes: dict[str, Any]) -> None:
    event = {"Records": [record(**changes)]}
    with suppress(InvalidInput):
        assert len(stored_objects(event)) <= 1
