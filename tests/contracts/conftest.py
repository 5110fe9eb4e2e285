"""The stores of counts that contracts run on."""

from collections.abc import Iterator
from typing import cast

import pytest

from tests.support.count_stores import MemoryStores, MysqlStores, Stores


@pytest.fixture(params=["memory", pytest.param("mysql", marks=pytest.mark.database)])
def empty_stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    """Each implementation in turn, empty."""
    if request.param == "memory":
        made: Stores = MemoryStores()
    else:
        made = MysqlStores(cast("str", request.getfixturevalue("fresh_database_url")))
    yield made
    made.close()
