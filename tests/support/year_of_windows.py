"""A year of completed windows in a database, made by the database itself."""

from tests.support.dataset_stores import MysqlDatasetWorld
from tidegauge.adapters.mysql.times import to_sql

# All numbers below a hundred thousand and some: no server has to count so far in one recursion.
_NUMBERS = """
SELECT ones.n + 10 * tens.n + 100 * hundreds.n + 1000 * thousands.n + 10000 * myriads.n AS n
FROM ({digits}) ones, ({digits}) tens, ({digits}) hundreds, ({digits}) thousands, ({eleven}) myriads
"""
_FILL = f"""
INSERT INTO completed_window
  (generation, series, window_start, revision, step, count, late, quality)
SELECT %(generation)s, %(series)s, %(from)s + INTERVAL (n * %(seconds)s) SECOND, 1,
  %(from)s + INTERVAL (n * %(seconds)s) SECOND,
  FLOOR(40 + 30 * SIN(n / 45.8) + MOD(n * 7919, 13)), 0, 'complete'
FROM ({_NUMBERS}) numbers WHERE n < %(windows)s ORDER BY n
"""  # noqa: S608 - our own text
_DIGITS = " UNION ALL ".join(f"SELECT {n} AS n" for n in range(10))
_ELEVEN = " UNION ALL ".join(f"SELECT {n} AS n" for n in range(11))
MAX_WINDOWS = 110_000


def fill(
    world: MysqlDatasetWorld, generation: int, series: str, *, from_ms: int, windows: int
) -> None:
    """Give a series windows of five minutes that follow each other.

    Args:
        world: The database.
        generation: The windows' generation.
        series: The series.
        from_ms: Start of the first window.
        windows: How many, up to `MAX_WINDOWS`.
    """
    names = {
        "generation": generation,
        "series": series.encode(),
        "from": to_sql(from_ms),
        "seconds": 300,
        "windows": windows,
    }
    with world.database.transaction() as cursor:
        cursor.execute(_FILL.format(digits=_DIGITS, eleven=_ELEVEN), names)
        cursor.execute(
            "INSERT INTO series (generation, series, first_window, last_event_window, active)"
            " VALUES (%(generation)s, %(series)s, %(from)s, %(from)s, TRUE)",
            names,
        )
