"""The table of fuzz targets."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.fuzz import seeds
from tests.fuzz.decoding import fuzz_batch, fuzz_decode, fuzz_frames, fuzz_heartbeat, fuzz_time
from tests.fuzz.files import fuzz_archive, fuzz_fixture, fuzz_model
from tests.fuzz.wire import fuzz_doorbell, fuzz_envelope, fuzz_lambda_event


class Target(NamedTuple):
    """One reader of hostile bytes.

    Attributes:
        run: Raises where a law is broken.
        seeds: What to start from.
        max_bytes: No longer inputs are made; small where few bytes may unpack to many.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    max_bytes: int


TARGETS = {
    "decode": Target(fuzz_decode, seeds.records, 4_096),
    "batch": Target(fuzz_batch, seeds.batches, 8_192),
    "time": Target(fuzz_time, seeds.times, 64),
    "heartbeat": Target(fuzz_heartbeat, seeds.heartbeats, 8_192),
    "envelope": Target(fuzz_envelope, seeds.envelopes, 8_192),
    "lambda": Target(fuzz_lambda_event, seeds.lambda_events, 8_192),
    "doorbell": Target(fuzz_doorbell, seeds.doorbells, 8_192),
    "frames": Target(fuzz_frames, seeds.records, 4_096),
    "fixture": Target(fuzz_fixture, seeds.fixtures, 1_024),
    "model": Target(fuzz_model, seeds.models, 12_288),
    "archive": Target(fuzz_archive, seeds.archives, 12_288),
}
