"""The decoding process's frames."""

import io

import pytest

from tidegauge.adapters.decode_worker import pack_lines, read_frame, write_frame


def test_a_frame_comes_back_as_it_was_written() -> None:
    pipe = io.BytesIO()
    write_frame(pipe, pack_lines([b"one", b"", b"\xff"]))
    pipe.seek(0)
    assert read_frame(pipe, list[bytes]) == [b"one", b"", b"\xff"]
    assert read_frame(pipe, list[bytes]) is None


@pytest.mark.parametrize("kept", [0, 3, 4, 7])
def test_a_process_that_ends_within_its_answer_has_not_answered(kept: int) -> None:
    pipe = io.BytesIO()
    write_frame(pipe, pack_lines([b"one", b"two"]))
    assert read_frame(io.BytesIO(pipe.getvalue()[:kept]), list[bytes]) is None
