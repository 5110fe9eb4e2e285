"""What people hear of models, short enough for a phone."""

import pytest
from msgspec.structs import replace

from tidegauge.domain.model_notice import NoticeKind, notice_of
from tidegauge.domain.model_record import ModelRecord, ModelState

RECORD = ModelRecord(
    version="linear-learner-20130212-0a1b2c3d",
    endpoint="tidegauge",
    state=ModelState.LIVE,
    until_ms=1_360_627_200_000,
    error=0.8123456,
    baseline_error=1.0213,
    champion="linear-learner-20130205-9f8e7d6c",
    champion_error=0.8411,
    reasons=("first", "second"),
)


def test_a_subject_holds_the_old_error_and_the_new_one() -> None:
    told = notice_of(NoticeKind.DEPLOYED, RECORD, at_ms=0, serves=RECORD.version)
    assert told.subject == (
        "model linear-learner-20130212-0a1b2c3d is live: error 0.812, before 0.841, baseline 1.02"
    )
    assert "Error     0.812346\nBefore    0.8411 (linear-learner-20130205-9f8e7d6c)" in told.text
    assert "Why       first\n          second\n" in told.text
    assert "series" not in told.attributes


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_subject_is_one_that_sns_takes(kind: NoticeKind) -> None:
    record = replace(RECORD, version="v" * 63, reasons=("ClientError: l'accès\nrefusé " * 9,))
    told = notice_of(kind, record, at_ms=0, serves="")
    assert len(told.subject) < 100
    assert told.subject.isascii()
    assert told.subject.isprintable()
    assert told.json["kind"] == kind.value


def test_the_same_notice_has_the_same_id_and_another_one_another() -> None:
    def told(at_ms: int) -> str:
        return notice_of(NoticeKind.DEPLOYED, RECORD, at_ms=at_ms, serves="").id

    assert told(1) == told(1) != told(2)


def test_an_error_that_nobody_knows_is_told_as_such() -> None:
    record = replace(RECORD, error=None, champion="", champion_error=None)
    told = notice_of(NoticeKind.REFUSED, record, at_ms=0, serves="")
    assert "Error     not known\nBefore    none\n" in told.text
    assert told.json["error"] is None
