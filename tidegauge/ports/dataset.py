"""What datasets are read from and noted in, and where people say what to leave out of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from tidegauge.domain.dataset import (
    Dataset,
    Exclusion,
    SeriesIncident,
    SeriesSpan,
    StreamHistory,
)

if TYPE_CHECKING:
    from tidegauge.domain.dataset_rows import WindowColumns


class StepSpan(msgspec.Struct, frozen=True):
    """Which windows are read: those that start in a span, as they stood when it was closed.

    Attributes:
        from_ms: Begin of the span.
        until_ms: Its end.
        step_ms: Only what steps before this one announced.
    """

    from_ms: int
    until_ms: int
    step_ms: int


class DatasetStore(Protocol):
    """What an export reads of one stream, and the datasets that were made of it.

    What a step announced never changes. So every answer about windows is the same whenever it is
    asked for, and needs no transaction around it all. Every method raises Transient.
    """

    def history(self) -> StreamHistory | None:
        """Return how far the stream is closed; None if no window of it is."""
        ...

    def series(self, generations: Sequence[int], span: StepSpan) -> list[SeriesSpan]:
        """Return the series that have windows in a span, in order of their names' bytes."""
        ...

    def windows(self, series: SeriesSpan, span: StepSpan) -> "WindowColumns":
        """Return the windows of a series in a span.

        Of a window that two generations have, the later one's stays; of its revisions the last.
        """
        ...

    def incidents(self, generations: Sequence[int]) -> list[SeriesIncident]:
        """Return the incidents of some generations that may leave windows out of training.

        Those are the open ones, and the drops that have ended and were not retracted; in order of
        series, first window and id.
        """
        ...

    def exclusions(self) -> list[Exclusion]:
        """Return what people have excluded, in order of its numbers."""
        ...

    def latest(self, stream_arn: str) -> Dataset | None:
        """Return the dataset of a stream that ends last, of several the one noted last."""
        ...

    def note(self, dataset: Dataset) -> None:
        """Note a dataset; one that is noted already is noted anew."""
        ...


class Exclusions(Protocol):
    """What people leave out of training. Every method raises Transient."""

    def exclusions(self) -> list[Exclusion]:
        """Return all of them, in order of their numbers."""
        ...

    def add(self, series: str | None, from_ms: int, until_ms: int, why: str) -> Exclusion:
        """Note a period; None stands for all series."""
        ...

    def remove(self, exclusion_id: int) -> Exclusion | None:
        """Forget a period and return it; None if there is none of that number."""
        ...

    def is_known(self, series: str) -> bool:
        """Return whether anybody has ever seen a series."""
        ...
