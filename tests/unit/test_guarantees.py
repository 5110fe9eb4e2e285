"""docs/guarantees.md cannot rot: every test that it names is there, every fault has its row."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.simulation.faults import Fault
from tests.simulation.mutants import MUTANTS

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "guarantees.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
SIMULATED = re.compile(r"\*([^*]+)\*(?!\*)")


@cache
def named_in(path: str) -> set[str]:
    """Return the tests that a file defines."""
    file = REPOSITORY / path
    if not file.exists():
        return set()
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def rows() -> list[list[str]]:
    """Return the cells of each row that tells of a fault."""
    lines = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    return [cells for cells in lines if len(cells) == 3 and cells[0] not in ("fault", "---")]


def test_every_test_that_the_page_names_is_there() -> None:
    named = set(NAMED.findall(PAGE))
    assert len(named) > 30
    assert {(path, name) for path, name in named if name not in named_in(path)} == set()


def test_every_row_names_a_test() -> None:
    assert len(rows()) > 35
    assert [cells[0] for cells in rows() if not NAMED.search(cells[2])] == []


def test_every_fault_that_is_simulated_has_its_row_and_no_row_names_another() -> None:
    told = {name for cells in rows() for name in SIMULATED.findall(cells[2])}
    assert told == {fault.value for fault in Fault}


def test_every_rule_that_is_broken_on_purpose_is_named() -> None:
    section = PAGE.split("## Rules that are broken on purpose")[1].split("\n## ")[0]
    named = set(re.findall(r"`([a-z0-9-]+)`", section))
    assert named == MUTANTS.keys()
