"""The port of objects, on memory and on the engine's S3."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.memory_objects import MemoryObjectStore
from tidegauge.adapters.s3 import PIECE_BYTES, S3ObjectStore
from tidegauge.domain.errors import InvalidInput, Misconfigured
from tidegauge.ports import ObjectStore

if TYPE_CHECKING:
    from embedded.engine import EngineAddress

BUCKET = "objects-contract"
TEXT = "text/plain"


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.engine)])
def objects(request: pytest.FixtureRequest) -> ObjectStore:
    """Each implementation in turn, with one bucket."""
    if request.param == "memory":
        return MemoryObjectStore(BUCKET, clock=SystemClock())
    client = cast("EngineAddress", request.getfixturevalue("engine")).session().s3
    client.create_bucket(Bucket=BUCKET)
    return S3ObjectStore(client=client)


@pytest.fixture
def uri(request: pytest.FixtureRequest) -> str:
    """An address that no other test uses; S3 events write its key in another way."""
    return f"s3://{BUCKET}/a folder/ü+{request.node.name}"


def test_what_was_put_is_read(objects: ObjectStore, uri: str) -> None:
    objects.put(uri, b"first", content_type=TEXT)
    assert objects.read(uri, max_bytes=5) == b"first"
    assert b"".join(objects.chunks(uri)) == b"first"


def test_an_object_takes_the_place_of_another(objects: ObjectStore, uri: str) -> None:
    objects.put(uri, b"first", content_type=TEXT)
    before = objects.look(uri)
    objects.put(uri, b"second", content_type=TEXT)
    after = objects.look(uri)
    assert objects.read(uri, max_bytes=100) == b"second"
    assert before is not None
    assert after is not None
    assert before.etag != after.etag
    assert before.modified_ms <= after.modified_ms


def test_a_look_tells_size_and_age(objects: ObjectStore, uri: str) -> None:
    objects.put(uri, b"12345", content_type=TEXT)
    found = objects.look(uri)
    assert found is not None
    assert found.size_bytes == 5
    assert found.etag == hashlib.md5(b"12345", usedforsecurity=False).hexdigest()
    assert abs(found.modified_ms - SystemClock().now_ms()) < 60_000


def test_an_object_that_is_missing_is_none(objects: ObjectStore, uri: str) -> None:
    assert objects.look(uri) is None
    assert objects.read(uri, max_bytes=1) is None
    with pytest.raises(InvalidInput, match="there is no s3://"):
        next(iter(objects.chunks(uri)))


def test_an_object_that_is_larger_than_wanted_is_refused(objects: ObjectStore, uri: str) -> None:
    objects.put(uri, b"12345", content_type=TEXT)
    with pytest.raises(InvalidInput, match="larger than the 4 bytes"):
        objects.read(uri, max_bytes=4)


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1])
def test_a_file_of_any_size_is_uploaded(
    objects: ObjectStore, uri: str, tmp_path: Path, size: int
) -> None:
    file = tmp_path / "file"
    pattern = bytes(range(251))
    file.write_bytes((pattern * (size // len(pattern) + 1))[:size])
    objects.upload(uri, file, content_type="application/gzip")
    digest = hashlib.sha256()
    for chunk in objects.chunks(uri):
        digest.update(chunk)
    assert digest.digest() == hashlib.sha256(file.read_bytes()).digest()
    found = objects.look(uri)
    assert found is not None
    assert found.size_bytes == size


def test_a_bucket_that_is_missing_is_misconfigured(objects: ObjectStore, tmp_path: Path) -> None:
    uri = "s3://nobodys-bucket/key"
    file = tmp_path / "file"
    file.write_bytes(b"x")
    with pytest.raises(Misconfigured):
        objects.look(uri)
    with pytest.raises(Misconfigured):
        objects.read(uri, max_bytes=1)
    with pytest.raises(Misconfigured):
        list(objects.chunks(uri))
    with pytest.raises(Misconfigured):
        objects.put(uri, b"x", content_type=TEXT)
    with pytest.raises(Misconfigured):
        objects.upload(uri, file, content_type=TEXT)


@pytest.mark.parametrize("uri", ["", "key", "s3://", "s3://bucket", "s3://bucket/", "https://a/b"])
def test_an_address_that_is_none_is_refused(objects: ObjectStore, uri: str) -> None:
    with pytest.raises(InvalidInput, match="s3://bucket/key"):
        objects.look(uri)
    with pytest.raises(InvalidInput, match="s3://bucket/key"):
        objects.put(uri, b"", content_type=TEXT)
