"""Files of hostile bytes: the laws of the fuzz targets."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import files, seeds
from tests.fuzz.files import fuzz_archive, fuzz_fixture, fuzz_model
from tests.support.hostile_bytes import changed, odd_values, records

quickly = settings(max_examples=40, deadline=None)  # a busy machine is no fault of the code

_HOW = st.builds(lambda how, place: bytes([how, place]), st.integers(0, 31), st.integers(0, 255))
_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["GNU.sparse.map", "GNU.sparse.size", "GNU.sparse.major", "size", "path"]),
        st.sampled_from(["", "0,1", "a,b", "-1024", "9" * 30, "1", "../up"]),
    ),
    max_size=3,
).map(lambda headers: "\n".join("=".join(header) for header in headers).encode())


@quickly
@given(st.builds(bytes.__add__, _HOW, records() | odd_values()) | changed(seeds.fixtures()))
def test_a_file_of_any_bytes_is_refused_in_a_sentence_or_read_the_same_twice(data: bytes) -> None:
    fuzz_fixture(data)


@quickly
@given(
    changed(seeds.models())
    | _HEADERS.map(lambda headers: bytes([files.HEADERS]) + headers + b"\0" + b"{}")
)
def test_an_archive_of_any_bytes_is_refused_in_a_sentence_or_a_model(data: bytes) -> None:
    fuzz_model(data)


@quickly
@given(
    changed(seeds.archives())
    | _HEADERS.map(lambda headers: bytes([files.HEADERS]) + headers + b"\0" + b"{}")
)
def test_an_archive_of_any_bytes_is_refused_or_stays_in_its_folder(data: bytes) -> None:
    fuzz_archive(data)
