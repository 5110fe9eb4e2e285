"""A training job's channels: CSV objects in S3 become rows and labels, within bounds of memory."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sagemaker_standin.aws import ClientFault
from sagemaker_standin.objects import Objects, Place

# A year of five-minute windows is some 30 MB a series.
MAX_OBJECT_BYTES = 64 * 1024 * 1024
MAX_CHANNEL_BYTES = 512 * 1024 * 1024

TRAIN, VALIDATION = "train", "validation"
_CSV = "text/csv"


class Examples(NamedTuple):
    """What a channel holds.

    Attributes:
        labels: (n_rows,), all finite.
        rows: Features, (n_rows, n_features), all finite.
    """

    labels: NDArray[np.float64]
    rows: NDArray[np.float64]


class Source(NamedTuple):
    """Where a channel lies, once it is known that it can be read."""

    name: str
    place: Place


def sources_of(channels: Sequence[Mapping[str, Any]]) -> dict[str, Source]:
    """Return the channels by name.

    Raises:
        ClientFault: There is no `train`, or one is of a kind that the stand-in does not read.
    """
    sources = {channel["ChannelName"]: _source_of(channel) for channel in channels}
    if len(sources) < len(channels):
        msg = "a channel is named twice"
        raise ClientFault(msg)
    if TRAIN not in sources:
        msg = f"there is no channel {TRAIN}"
        raise ClientFault(msg)
    return sources


def read_channel(objects: Objects, source: Source) -> Examples:
    """Read all objects of a channel, in the order of their keys.

    Raises:
        ClientFault: There are none, they are too large, or they are no plain numbers of one width.
    """
    found = [listed for listed in objects.below(source.place) if listed.size_bytes]
    if not found:
        msg = f"channel {source.name}: there is nothing at {source.place}"
        raise ClientFault(msg)
    if sum(listed.size_bytes for listed in found) > MAX_CHANNEL_BYTES:
        msg = f"channel {source.name} has more than {MAX_CHANNEL_BYTES} bytes, the stand-in's limit"
        raise ClientFault(msg)
    tables: list[NDArray[np.float64]] = []
    for listed in found:
        table = _table_of(objects.read(listed.place, limit_bytes=MAX_OBJECT_BYTES), listed.place)
        if tables and table.shape[1] != tables[0].shape[1]:
            msg = f"{listed.place} has {table.shape[1]} columns, not {tables[0].shape[1]}"
            raise ClientFault(msg)
        tables.append(table)
    whole = np.vstack(tables)
    return Examples(whole[:, 0], whole[:, 1:])


def _source_of(channel: Mapping[str, Any]) -> Source:
    name = channel["ChannelName"]
    media_type = str(channel.get("ContentType", "")).partition(";")[0].strip().lower()
    if media_type != _CSV:
        msg = f"channel {name}: content type {media_type or 'none'} is not read; give {_CSV}"
        raise ClientFault(msg)
    if _parameter(channel["ContentType"], "label_size") not in {None, "1"}:
        msg = f"channel {name}: the label is one column, the first"
        raise ClientFault(msg)
    for member in ("CompressionType", "RecordWrapperType"):
        if channel.get(member, "None") != "None":
            msg = f"channel {name}: {member} {channel[member]} is not in the stand-in"
            raise ClientFault(msg)
    source = channel["DataSource"].get("S3DataSource")
    if source is None or source["S3DataType"] != "S3Prefix":
        msg = f"channel {name}: only an S3DataSource of the type S3Prefix is in the stand-in"
        raise ClientFault(msg)
    return Source(name, Place.of(source["S3Uri"]))


def _parameter(content_type: str, name: str) -> str | None:
    for parameter in content_type.split(";")[1:]:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == name:
            return value.strip()
    return None


def _table_of(content: bytes, place: Place) -> NDArray[np.float64]:
    if not content.strip():
        msg = f"{place} holds no rows"
        raise ClientFault(msg)
    try:
        table = np.loadtxt(
            io.BytesIO(content),
            delimiter=",",
            comments=None,
            ndmin=2,
            dtype=np.float64,
            encoding="utf-8",
        )
    except ValueError as error:  # UnicodeDecodeError is one
        msg = f"{place} is no CSV of numbers: {error}"
        raise ClientFault(msg) from error
    if table.shape[1] < 2:
        msg = f"{place} has no column beside the label"
        raise ClientFault(msg)
    if not np.isfinite(table).all():
        row = int(np.argmin(np.isfinite(table).all(axis=1))) + 1
        msg = f"{place}, row {row}: a value is not finite"
        raise ClientFault(msg)
    return table
