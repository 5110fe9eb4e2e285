"""What SageMaker's List operations share: filters, orders and pages."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from sagemaker_standin.aws import validation

DEFAULT_PAGE = 10


class Listable(Protocol):
    """What can be listed."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def created_s(self) -> float:
        """When it was made, seconds since the epoch."""
        ...


T = TypeVar("T", bound=Listable)


class Page(NamedTuple):
    """A page of a list, and the rest of the answer."""

    items: list[Any]
    rest: dict[str, str]


def page_of(
    items: Iterable[T],
    request: Mapping[str, Any],
    *,
    order: str,
    keys: Mapping[str, Callable[[T], Any]] | None = None,
    keep: Callable[[T], bool] = lambda _item: True,
) -> Page:
    """Return the page that a request asks for.

    Args:
        items: All there are.
        request: A checked List request.
        order: The operation's own SortOrder.
        keys: How to sort by what, beside `Name` and `CreationTime`, the default.
        keep: The operation's further filters.

    Raises:
        AwsError: ValidationException for a NextToken that is not of this list.
    """
    part = str(request.get("NameContains", ""))
    after = request.get("CreationTimeAfter", float("-inf"))
    before = request.get("CreationTimeBefore", float("inf"))
    sort_by = request.get("SortBy", "CreationTime")
    all_keys: Mapping[str, Callable[[T], Any]] = {
        "Name": lambda item: item.name,
        "CreationTime": lambda item: item.created_s,
        **(keys or {}),
    }

    def place(item: T) -> list[Any]:
        # What is equal by the key still has one order, or a page could repeat or lose it.
        return [all_keys[sort_by](item), item.created_s, item.name]

    found = [
        item
        for item in items
        if part in item.name and after <= item.created_s <= before and keep(item)
    ]
    backwards = request.get("SortOrder", order) == "Descending"
    found.sort(key=place, reverse=backwards)
    asked = _digest_of(request)
    token = request.get("NextToken")
    if token is not None:
        last = _read_token(token, asked)
        found = [
            item for item in found if (place(item) < last) == backwards and place(item) != last
        ]
    size = request.get("MaxResults", DEFAULT_PAGE)
    page = found[:size]
    more = len(found) > size
    return Page(page, {"NextToken": _token(place(page[-1]), asked)} if more else {})


def _digest_of(request: Mapping[str, Any]) -> str:
    """Return what a token is good for: the same question, whatever the page's size."""
    question = {k: v for k, v in request.items() if k not in {"NextToken", "MaxResults"}}
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]


def _token(last: list[Any], asked: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([asked, last]).encode()).decode()


def _read_token(token: str, asked: str) -> list[Any]:
    try:
        of, last = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError) as error:
        msg = "Invalid NextToken."
        raise validation(msg) from error
    if of != asked or not isinstance(last, list):
        msg = "Invalid NextToken: it belongs to another question."
        raise validation(msg)
    return last
