"""The gate: who may serve, and what people are told."""

import pytest

from tidegauge.domain.gate import Candidate, Champion, Weighed, weigh

UNTIL = 1_360_627_200_000
DAY = 86_400_000


def weighed(
    error: float | None, champion: Champion | None = None, *, baseline: float = 1.0, age: int = 0
) -> Weighed:
    return weigh(Candidate(error, UNTIL - age, baseline), champion, margin=0.05)


def champion(error: float | None, *, same_rows: bool = True) -> Champion:
    return Champion("job-1", error, UNTIL, same_rows)


def test_a_first_model_has_to_beat_the_baseline() -> None:
    assert weighed(0.9) == Weighed(True, ("its error 0.9 is below the seasonal baseline's 1",))
    assert weighed(1.0) == Weighed(False, ("its error 1 is not below the seasonal baseline's 1",))


def test_a_model_may_be_a_little_worse_than_the_one_that_serves() -> None:
    assert weighed(0.84, champion(0.8)).passed
    assert weighed(0.84, champion(0.8)).reasons[1] == (
        "it is not more than 5% above that of the live model job-1, 0.8 on the same rows"
    )
    refused = weighed(0.8401, champion(0.8))
    assert not refused.passed
    assert refused.reasons == (
        "its error 0.8401 is more than 5% above that of the live model job-1, 0.8 on the same rows",
    )


def test_an_error_of_other_rows_is_told_as_such() -> None:
    said = weighed(0.9, champion(0.5, same_rows=False)).reasons
    assert said[0].endswith("0.5 on its own validation rows, as it was weighed")


@pytest.mark.parametrize("error", [None, float("nan"), float("inf")])
def test_without_an_error_nothing_is_deployed(error: float | None) -> None:
    refused = weighed(error)
    assert not refused.passed
    assert len(refused.reasons) == 1


@pytest.mark.parametrize("error", [None, float("nan")])
def test_a_live_model_that_cannot_be_weighed_is_no_bar(error: float | None) -> None:
    passed = weighed(0.9, champion(error))
    assert passed.passed
    assert passed.reasons[1] == "the error of the live model job-1 is not known"


def test_a_model_of_older_history_never_follows_a_later_one() -> None:
    refused = weighed(0.1, champion(0.9), age=DAY)
    assert not refused.passed
    assert refused.reasons == (
        "it is older than the live model job-1: its history ends at 2013-02-11T00:00:00Z, "
        "that one's at 2013-02-12T00:00:00Z",
    )


def test_every_reason_is_told() -> None:
    assert len(weighed(2.0, champion(0.9), age=DAY).reasons) == 3
