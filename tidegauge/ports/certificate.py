"""What explaining a window asks of the store: its certificate, read as of one moment."""

from typing import Protocol

from tidegauge.domain.certificate import Certificate


class Certificates(Protocol):
    """Reads how the counts of one stream came to be. Changes nothing."""

    def read(
        self, series: str, window_start_ms: int, *, generation: int | None = None
    ) -> Certificate | None:
        """Return a window's certificate, all of it as of one moment.

        Args:
            series: The series' exact name.
            window_start_ms: Start of a window.
            generation: Number of a generation of the stream; None for the newest that has the
                window, or for the newest where none has.

        Returns:
            None where the store knows no such generation of the stream.

        Raises:
            Transient: the store cannot answer now.
            Misconfigured: it cannot be used as it is set.
        """
        ...

    def active_series(self, generation: int, limit: int) -> list[str]:
        """Return names of series that are active, at most `limit`. Raises as `read`."""
        ...
