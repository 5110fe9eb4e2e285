"""The stand-in as a process: where it listens, and what it says if it cannot."""

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from sagemaker_standin import ping
from tests.support.standin import running_standin


def test_it_listens_on_loopback_only_and_needs_no_folder_yet(tmp_path: Path) -> None:
    with running_standin(tmp_path) as address:
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{address}/ping") as answer:  # noqa: S310
            assert answer.status == 200


def test_a_port_that_is_taken_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "sagemaker_standin", "--port", port, "--models", str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert done.returncode == 2
    assert done.stderr == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another --port\n"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only there all of 127/8 is loopback")
def test_a_container_may_have_it_listen_on_another_address_and_there_only(tmp_path: Path) -> None:
    process = subprocess.Popen(  # noqa: S603
        [
            *(sys.executable, "-m", "sagemaker_standin", "--host", "127.0.0.2"),
            *("--port", "0", "--state", str(tmp_path)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        assert address.startswith("http://127.0.0.2:")
        with urllib.request.urlopen(f"{address}/ping") as answer:  # noqa: S310
            assert answer.status == 200
        assert ping.main(address.rpartition(":")[2]) == 1
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_the_check_of_its_container_tells_it_from_nobody(tmp_path: Path) -> None:
    with running_standin(tmp_path) as address:
        port = address.rpartition(":")[2]
        assert ping.main(port) == 0
    assert ping.main(port) == 1


def test_the_free_port_it_took_is_written_into_a_file(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    process = subprocess.Popen(  # noqa: S603
        [
            *(sys.executable, "-m", "sagemaker_standin", "--port", "0"),
            *("--models", str(tmp_path), "--port-file", str(port_file)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said == f"SageMaker stand-in on http://127.0.0.1:{port_file.read_text().strip()}\n"
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_a_state_folder_that_holds_something_else_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "registry.json").write_text('{"jobs": 7}')
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "sagemaker_standin", "--port", "0", "--state", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert "is no state of the stand-in" in done.stderr
    assert done.stderr.count("\n") == 1
