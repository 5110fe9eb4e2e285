"""One release of LocalStack: in Docker, in host mode, and in what is said of it."""

import re

from embedded.bootstrap import REQUIREMENTS
from embedded.places import REPOSITORY
from tests.support.localstack_host import LABEL

COMPOSE_FILE = REPOSITORY / "localstack" / "docker-compose.yml"


def test_every_place_names_the_same_release() -> None:
    lock = (REQUIREMENTS / "requirements-localstack.txt").read_text()
    (release,) = re.findall(r"^localstack-core==(\S+)", lock, re.MULTILINE)
    assert f"LocalStack {release}'s runtime" in LABEL
    assert f"LocalStack {release}'s runtime" in (REPOSITORY / "Makefile").read_text()
    assert f"localstack/localstack:{release}@sha256:" in COMPOSE_FILE.read_text()


def test_each_wanted_version_is_the_locked_one() -> None:
    wanted = (REQUIREMENTS / "requirements-localstack.in").read_text().splitlines()
    lock = (REQUIREMENTS / "requirements-localstack.txt").read_text()
    pinned = [line.replace("[runtime]", "") for line in wanted if "==" in line]
    assert pinned
    for pin in pinned:
        assert f"{pin} \\\n    --hash=sha256:" in lock
