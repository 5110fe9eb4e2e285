"""How events are polled out of somebody's database."""

import re
from dataclasses import dataclass, field
from typing import Self

from tidegauge.database_address import DatabaseAddress
from tidegauge.domain.errors import Misconfigured
from tidegauge.setting_reader import Reader
from tidegauge.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_SELECT = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)
_PARAMETERS = {"after": 0, "limit": 1}


@dataclass(frozen=True, slots=True)
class SourceSettings(Settings):
    """How events are polled out of somebody's database.

    Attributes:
        source_name: Names its position, and is part of its events' `source`.
        source_query: One SELECT with `%(after)s` and `%(limit)s`, in order of its `position`.
        source_database_url: Where it runs; empty for the database of `DATABASE_URL`.
        source_overlap: So many positions behind the last one are read again.
    """

    source_name: str
    source_query: str
    source_database_url: str = field(default="", repr=False)
    source_overlap: int = 1000

    def address(self) -> DatabaseAddress | None:
        """Return where the query runs; None for Tidegauge's own database. Raises Misconfigured."""
        url = self.source_database_url
        return DatabaseAddress.from_url(url, "SOURCE_DATABASE_URL") if url else None

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        settings = cls(
            source_name=reader.text(
                "SOURCE_NAME", None, _NAME, "a name of letters, digits, dots and dashes"
            ),
            source_query=reader.text(
                "SOURCE_QUERY", None, None, "a SELECT that gives position, id, time and type"
            ),
            source_database_url=reader.secret("SOURCE_DATABASE_URL"),
            source_overlap=reader.whole("SOURCE_OVERLAP", 1000, 0, 100_000),
        )
        if settings.source_query:
            problem = fault_of_query(settings.source_query)
            reader.require(not problem, f"SOURCE_QUERY {problem}")
        try:
            settings.address()
        except Misconfigured as fault:
            reader.problems.extend(fault.problems)
        return settings


def fault_of_query(query: str) -> str:
    """Return what is wrong with a polling query, as the end of a sentence; empty for nothing.

    >>> fault_of_query("SELECT 1 WHERE 1 > %(after)s LIMIT %(limit)s")
    ''
    """
    if not _SELECT.match(query) or ";" in query.rstrip().rstrip(";"):
        return "must be one SELECT"
    missing = [f"%({name})s" for name in _PARAMETERS if f"%({name})s" not in query]
    if missing:
        return (
            f"lacks {' and '.join(missing)}: it must read what lies behind the position "
            "%(after)s, and at most %(limit)s rows of it"
        )
    try:
        query % _PARAMETERS
    except KeyError as error:
        return f"has the parameter {error}, and there are only %(after)s and %(limit)s"
    except (TypeError, ValueError):
        return "has a percent sign that starts no parameter: double it"
    return ""
