"""A program called `docker` that answers as a test says and remembers what it was asked."""

import json
import sys
from pathlib import Path

import msgspec

_PROGRAM = """#!{python}
import json, pathlib, sys
here = pathlib.Path({folder!r})
asked = sys.argv[1:]
if asked[:2] == ["compose", "--file"]:
    asked = ["compose", *asked[3:]]
with (here / "asked").open("a") as log:
    log.write(json.dumps(asked) + "\\n")
words = " ".join(asked)
for answer in json.loads((here / "answers").read_text()):
    if words.startswith(answer["to"]):
        sys.stdout.write(answer["says"])
        sys.stderr.write(answer["complains"])
        sys.exit(answer["code"])
sys.exit("nothing was said of: " + words)
"""


class Answer(msgspec.Struct, frozen=True):
    """What is answered to a command line that begins so; of several, the last one told counts."""

    to: str
    says: str = ""
    complains: str = ""
    code: int = 0


class PlayedDocker:
    """A `docker` in a folder that a test puts on the PATH.

    Args:
        folder: An empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._answers: list[Answer] = []
        program = folder / "docker"
        program.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder)))
        program.chmod(0o755)
        self.answer("version --format {{.Server.Version}}", "28.2.2\n")
        self.answer("version --format {{.Server.Arch}}", "amd64\n")
        self.answer("compose version", "2.36.2\n")
        for quiet in ("up", "stop", "down", "ps", "logs"):
            self.answer(f"compose {quiet}")

    def answer(self, to: str, says: str = "", *, complains: str = "", code: int = 0) -> None:
        """Answer so to command lines that begin so, whatever was said of them before."""
        self._answers.insert(0, Answer(to, says, complains, code))
        (self.folder / "answers").write_bytes(msgspec.json.encode(self._answers))

    def asked(self) -> list[str]:
        """Return the command lines until now, without program and compose file."""
        try:
            lines = (self.folder / "asked").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [" ".join(json.loads(line)) for line in lines]
