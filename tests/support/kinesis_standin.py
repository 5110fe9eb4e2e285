"""A Kinesis that splits and merges shards: kinesalite, one child process a test process.

The embedded engine loses a parent's records when its shard is split, so that resharding is tested
on this one. It ends with this process, however that ends: its standard input is a pipe of ours.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from embedded.bootstrap import SetupFailed
from embedded.engine import EngineAddress
from embedded.node import KINESALITE, node_packages
from tests.support.embedded import missing

STOP_SECONDS = 10.0


@contextmanager
def kinesis_server() -> Iterator[EngineAddress]:
    """Give the address of a Kinesis of our own until the block ends."""
    try:
        packages = node_packages(KINESALITE)
    except SetupFailed as error:
        missing(error)
    node = shutil.which("node")
    assert node is not None
    child = subprocess.Popen(  # noqa: S603 - our own script
        [node, str(KINESALITE / "server.js"), str(packages)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            assert child.stdout is not None
            port = child.stdout.readline()
            assert port, "the Kinesis for tests ended at once; its error stands above"
            yield EngineAddress(int(port))
        finally:
            child.terminate()
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
