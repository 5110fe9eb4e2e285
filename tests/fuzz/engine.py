"""One target under atheris, in a process of its own: `python -m tests.fuzz.engine TARGET FLAG...`.

Takes a target's name and libFuzzer's flags and folders. Its address space may grow by so much and
no more: whatever asks for more memory gets a MemoryError, which is no error of ours.
"""

import os
import resource
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

GROWTH_BYTES = 512 * 1024 * 1024  # a frame of zstd may ask for a window of 128 MB


def main() -> None:
    """Fuzz until a flag says that it is enough, or something is found."""
    atheris: Any = import_module("atheris")  # only where `make fuzz` put it
    name, *flags = sys.argv[1:]
    with atheris.instrument_imports(include=["tidegauge", "tarfile", "gzip"]):
        targets = import_module("tests.fuzz.targets").TARGETS
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + GROWTH_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    atheris.Setup([sys.argv[0], *flags], targets[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
