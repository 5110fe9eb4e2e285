"""Packages of Node.js: pinned by what they hold, installed once, and one sentence without Node."""

import json
from pathlib import Path

import pytest

from embedded.bootstrap import SetupFailed, make_once
from embedded.node import KINESALITE, KINESIS_LOCAL, node_packages


@pytest.mark.parametrize("missing", ["npm", "node"])
def test_without_node_a_sentence_says_what_to_install(missing: str, tmp_path: Path) -> None:
    def find(name: str) -> str | None:
        return None if name == missing else f"/usr/bin/{name}"

    with pytest.raises(SetupFailed, match=r"kinesalite needs Node\.js"):
        node_packages(KINESALITE, tools=tmp_path, find=find)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("listed", [KINESALITE, KINESIS_LOCAL], ids=lambda folder: folder.name)
def test_each_package_is_locked_by_its_content_and_none_by_an_address(listed: Path) -> None:
    lock = json.loads((listed / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())
    wanted = json.loads((listed / "package.json").read_text())["dependencies"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted


def test_a_folder_is_made_once_and_anew_when_something_else_is_wanted(tmp_path: Path) -> None:
    folder = tmp_path / "tools" / "some"
    made: list[str] = []

    def make(what: str) -> None:
        folder.mkdir(exist_ok=True)
        made.append(what)

    for what in ("one", "one", "two", "two", "one"):
        make_once(folder, what, lambda what=what: make(what))  # type: ignore[misc]
    assert made == ["one", "two", "one"]


def test_what_could_not_be_made_is_made_the_next_time(tmp_path: Path) -> None:
    folder = tmp_path / "some"

    def fail() -> None:
        folder.mkdir()
        msg = "no network"
        raise SetupFailed(msg)

    with pytest.raises(SetupFailed, match="no network"):
        make_once(folder, "one", fail)
    made: list[bool] = []
    make_once(folder, "one", lambda: made.append(True))
    assert made == [True]
