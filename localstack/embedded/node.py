"""Packages of Node.js for tests: installed once from a lock file, under the tools of a clone."""

import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from embedded.bootstrap import TOOLS, SetupFailed, make_once, run_logged
from embedded.places import REPOSITORY

# A Kinesis that splits and merges, for tests alone.
KINESALITE = REPOSITORY / "tests" / "support" / "kinesalite"
# LocalStack's own Kinesis, which it would fetch at its first start.
KINESIS_LOCAL = REPOSITORY / "tests" / "support" / "kinesis_local"
_LISTS = ("package.json", "package-lock.json")


def node_packages(
    listed: Path, *, tools: Path = TOOLS, find: Callable[[str], str | None] = shutil.which
) -> Path:
    """Return the `node_modules` of a folder's lock file, installed or brought up to date first.

    Args:
        listed: Folder with `package.json` and `package-lock.json`; its name is that of the tools.
        tools: Folder that holds all tools.
        find: Returns the path of a program, or None.

    Raises:
        SetupFailed: Node.js or npm is missing, or the packages cannot be installed.
    """
    npm = find("npm")
    if npm is None or find("node") is None:
        msg = f"{listed.name} needs Node.js 18 or newer with npm: install them (Debian: npm)"
        raise SetupFailed(msg)
    folder = tools / listed.name
    wanted = hashlib.sha256(b"".join((listed / name).read_bytes() for name in _LISTS)).hexdigest()
    make_once(folder, wanted, lambda: _install(npm, listed, folder))
    return folder / "node_modules"


def _install(npm: str, listed: Path, folder: Path) -> None:
    sys.stderr.write(f"Installing {listed.name} (Node.js) ...\n")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in _LISTS:
        shutil.copy(listed / name, folder / name)
    # what the packages would compile is for a store on disk, which no test has
    run_logged(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"],
        log=folder.with_suffix(".log"),
        folder=folder,
    )
