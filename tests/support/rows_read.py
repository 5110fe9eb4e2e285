"""How many rows the statements of a session have read, as the server counts them."""

from tidegauge.adapters.mysql.connection import Database


def rows_read(database: Database) -> int:
    """Rows that this session's statements have read so far."""
    with database.transaction() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(
            int(value) for name, value in cursor.fetchall() if not str(name).endswith("deleted")
        )
