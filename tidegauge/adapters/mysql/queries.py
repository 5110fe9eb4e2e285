"""The named queries of `sql/queries`, and the numbered migrations of `sql/migrations`.

A query is a block headed by `-- name: some_name`. In a source checkout the files lie beside the
package, in an installed distribution inside it.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")

# What stands before a head tells of the query below it, not of the one above.
_REMARK = re.compile(r"(?:^--[^\n]*\n?|\s)+\Z", re.MULTILINE)
_HEAD = re.compile(r"^-- name: ([a-z0-9_]+)$", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


def sql_folder() -> Path:
    """Return the folder that holds `queries` and `migrations`."""
    package = Path(__file__).parents[2]
    installed = package / "sql"
    return installed if installed.is_dir() else package.parent / "sql"


@cache
def _queries() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted((sql_folder() / "queries").glob("*.sql")):
        parts = _HEAD.split(path.read_text(encoding="utf-8"))
        for name, text in zip(parts[1::2], parts[2::2], strict=True):
            if name in found:
                msg = f"{path.name} names the query {name} a second time"
                raise ValueError(msg)
            found[name] = _REMARK.sub("", text).strip().removesuffix(";")
    return found


def query(name: str) -> str:
    """Return a named query. Raises KeyError if there is none."""
    return _queries()[name]


def slices(items: Sequence[_T], size: int) -> Iterator[list[_T]]:
    """Cut what a query is asked for: a list that is too long makes the server read everything."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def migrations() -> list[tuple[int, str, list[str]]]:
    """Return number, name and statements of every migration, in order of the numbers."""
    found: list[tuple[int, str, list[str]]] = []
    for path in sorted((sql_folder() / "migrations").glob("*.sql")):
        match = _MIGRATION.fullmatch(path.name)
        if match is None:
            msg = f"{path.name} is no name for a migration; use 0001_what_it_does.sql"
            raise ValueError(msg)
        lines = path.read_text(encoding="utf-8").splitlines()
        text = "\n".join(line for line in lines if not line.startswith("--"))
        statements = [part.strip() for part in re.split(r";[ \t]*(?:\n|$)", text)]
        found.append((int(match[1]), path.stem, [part for part in statements if part]))
    return found
