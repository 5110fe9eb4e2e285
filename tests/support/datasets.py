"""Datasets as an export stores them, small and made up: what training and deploying start from."""

import hashlib
from typing import Any

from msgspec.structs import replace

from tidegauge.domain.features import FEATURE_NAMES
from tidegauge.domain.manifest import FILE_NAME, FORMAT, DataFile, Manifest
from tidegauge.ports import ObjectStore

EXPORTS = "exports"
FOLDER = f"s3://{EXPORTS}/exports/20130212T000000Z-0123456789ab"
MANIFEST_URI = f"{FOLDER}/{FILE_NAME}"


def _rows(numbers: range) -> bytes:
    """Return rows of a label and all features that a model can be fitted to."""
    return b"".join(
        b",".join(
            b"%d.%d" % (number % 7 + feature % 3, feature)
            for feature in range(len(FEATURE_NAMES) + 1)
        )
        + b"\n"
        for number in numbers
    )


DATA = {
    "train.csv": _rows(range(96)),
    "validation.csv": _rows(range(96, 128)),
    "counts.csv.gz": b"counts",
    "data_card.json": b"{}\n",
}


def data_file(name: str) -> DataFile:
    """Return what a manifest says of one of the files."""
    data = DATA[name]
    return DataFile(name, data.count(b"\n"), len(data), hashlib.sha256(data).hexdigest())


MANIFEST = Manifest(
    format=FORMAT,
    stream_arn="arn:aws:kinesis:eu-west-1:000000000000:stream/events",
    start="2013-02-01T00:00:00Z",
    until="2013-02-12T00:00:00Z",
    split="2013-02-10T00:00:00Z",
    window_seconds=300,
    series=1,
    feature_names=FEATURE_NAMES,
    train=data_file("train.csv"),
    validation=data_file("validation.csv"),
    counts=data_file("counts.csv.gz"),
    data_card=data_file("data_card.json"),
    baseline="seasonal-1",
    baseline_error=0.9,
)


def store_dataset(
    objects: ObjectStore, manifest_uri: str = MANIFEST_URI, **changes: Any
) -> Manifest:
    """Store a dataset, its manifest last, and return that.

    Args:
        objects: Where to.
        manifest_uri: Where its manifest lies.
        changes: Fields of the manifest that differ from `MANIFEST`.
    """
    manifest = replace(MANIFEST, **changes)
    folder = manifest_uri.rpartition("/")[0]
    for name, data in DATA.items():
        objects.put(f"{folder}/{name}", data, content_type="application/octet-stream")
    objects.put(manifest_uri, manifest.to_json(), content_type="application/json")
    return manifest
