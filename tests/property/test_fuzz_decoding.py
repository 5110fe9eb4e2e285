"""Decoding under hostile bytes: the laws of the fuzz targets, on structures gone wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import seeds
from tests.fuzz.decoding import fuzz_batch, fuzz_decode, fuzz_frames, fuzz_heartbeat, fuzz_time
from tests.fuzz.targets import TARGETS
from tests.support.hostile_bytes import ODD_TIMES, changed, odd_values, records

quickly = settings(max_examples=40, deadline=None)  # a busy machine is no fault of the code


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_starts_from_breaks_no_law(name: str) -> None:
    target = TARGETS[name]
    for data in target.seeds():
        assert len(data) <= target.max_bytes
        target.run(data)


@quickly
@given(records() | changed(seeds.records()) | st.binary())
def test_a_record_of_any_bytes_breaks_no_law_of_decoding_and_counting(data: bytes) -> None:
    fuzz_decode(data)


@quickly
@given(records() | changed(seeds.batches()))
def test_a_batch_of_any_bytes_is_split_into_its_own(data: bytes) -> None:
    fuzz_batch(data)


@quickly
@given(st.sampled_from([t.encode() for t in ODD_TIMES]) | changed(seeds.times()) | st.binary())
def test_any_text_is_a_time_or_none_by_every_way_to_read_it(data: bytes) -> None:
    fuzz_time(data)


@quickly
@given(odd_values() | changed(seeds.heartbeats()) | st.binary())
def test_a_heartbeat_of_any_data_breaks_no_law(data: bytes) -> None:
    fuzz_heartbeat(data)


@quickly
@given(st.lists(records() | changed(seeds.records()), max_size=3).map(b"\n".join))
def test_any_lines_are_decoded_in_a_worker_as_here(data: bytes) -> None:
    fuzz_frames(data)
