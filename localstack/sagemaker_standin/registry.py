"""The registry: all that the stand-in knows, under one lock, and in one file if it has a folder.

Whoever reads or changes does so inside `reading` or `changing`, which nothing slow may happen in.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from sagemaker_standin.records import Known
from tidegauge.adapters.whole_file import whole_file
from tidegauge.domain.errors import InvalidInput

FILE = "registry.json"


class Registry:
    """What is known.

    Args:
        folder: Where it is kept from one start to the next; None keeps it in memory alone.

    Raises:
        InvalidInput: The folder cannot be used, or holds something else.
    """

    def __init__(self, folder: Path | None) -> None:
        self._lock = threading.RLock()
        self._path = folder / FILE if folder else None
        self._known = Known() if self._path is None else _read(self._path)

    @contextmanager
    def reading(self) -> Iterator[Known]:
        """Give what is known, for as long as the block lasts."""
        with self._lock:
            yield self._known

    @contextmanager
    def changing(self) -> Iterator[Known]:
        """Give what is known, to be changed; write it down when the block ends well."""
        with self._lock:
            yield self._known
            if self._path is not None:
                with whole_file(self._path) as file:
                    file.write(msgspec.json.encode(self._known))


def is_taken(name: str, names: Iterable[str]) -> bool:
    """Tell whether a name is taken: names that differ in case alone have the same ARN."""
    return name.lower() in {known.lower() for known in names}


def _read(path: Path) -> Known:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return msgspec.json.decode(path.read_bytes(), type=Known)
    except FileNotFoundError:
        return Known()
    except OSError as error:
        msg = f"cannot use the state in {path.parent}: {error.strerror}"
        raise InvalidInput(msg) from error
    except msgspec.MsgspecError as error:
        msg = f"{path} is no state of the stand-in ({error}); give another --state"
        raise InvalidInput(msg) from error
