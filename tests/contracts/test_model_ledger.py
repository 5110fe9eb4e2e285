"""The contract of `ports.ModelLedger`, on memory and on a real database."""

import threading
from collections.abc import Iterator
from typing import Protocol, cast

import pytest
from msgspec.structs import replace

from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.memory_models import MemoryModelLedger
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.dataset import MysqlDatasetStore
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.adapters.mysql.models import MysqlModelLedger
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.domain.alert import Alert
from tidegauge.domain.dataset import Dataset
from tidegauge.domain.model_record import ModelRecord, ModelState, Parameter
from tidegauge.ports import Destination, ModelChange, ModelLedger, OutboxMessage, alert_message
from tidegauge.settings import DatabaseSettings

FIRST = ModelRecord(
    version="linear-learner-20130201-0a1b2c3d",
    endpoint="tidegauge",
    state=ModelState.TRAINING,
    until_ms=1_359_676_800_000,
    manifest_uri="s3://exports/exports/x/manifest.json",
    trigger="0055AED6DCD90281E5",
    parameters=(Parameter("HyperParameters.loss", "huber_loss", "settings"),),
)
SECOND = replace(FIRST, version="linear-learner-20130208-4e5f6071", predecessor=FIRST.version)
NOTICE = Alert("1" * 32, "model is live", "text\n", {"kind": "model_deployed"}, {"kind": "x"})


class Ledgers(Protocol):
    """One implementation under test."""

    ledger: ModelLedger

    def another(self) -> ModelLedger:
        """Return the same ledger as another process sees it."""
        ...

    def messages(self) -> list[OutboxMessage]:
        """Return what waits in the outbox for people."""
        ...

    def export(self, manifest_uri: str) -> None:
        """Let a dataset have been exported."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class InMemory:
    """The memory ledger; all processes are one."""

    def __init__(self) -> None:
        self.memory = MemoryModelLedger(SystemClock())
        self.ledger: ModelLedger = self.memory

    def another(self) -> ModelLedger:
        return self.ledger

    def messages(self) -> list[OutboxMessage]:
        return self.memory.messages

    def export(self, manifest_uri: str) -> None:
        self.memory.datasets.add(manifest_uri)

    def close(self) -> None:
        pass


class OnMysql:
    """The ledger on a server."""

    def __init__(self, url: str) -> None:
        self._settings = DatabaseSettings(database_url=url)
        self._open: list[Database] = []
        migrate(self._connection())
        self.ledger: ModelLedger = self.another()

    def _connection(self) -> Database:
        self._open.append(Database.from_settings(self._settings))
        return self._open[-1]

    def another(self) -> ModelLedger:
        return MysqlModelLedger(self._connection(), self._connection(), endpoint="tidegauge")

    def other_endpoint(self) -> ModelLedger:
        return MysqlModelLedger(self._connection(), self._connection(), endpoint="other")

    def messages(self) -> list[OutboxMessage]:
        taken = MysqlOutbox(self._connection()).take(Destination.ALERTS, 100)
        return [stored.message for stored in taken]

    def export(self, manifest_uri: str) -> None:
        dataset = Dataset(manifest_uri, "arn", 0, FIRST.until_ms)
        MysqlDatasetStore(self._connection(), "events").note(dataset)

    def close(self) -> None:
        for database in self._open:
            database.close()


@pytest.fixture(params=["memory", pytest.param("mysql", marks=pytest.mark.database)])
def ledgers(request: pytest.FixtureRequest) -> Iterator[Ledgers]:
    """Each implementation in turn, empty."""
    made: Ledgers = (
        InMemory()
        if request.param == "memory"
        else OnMysql(cast("str", request.getfixturevalue("fresh_database_url")))
    )
    yield made
    made.close()


def noted(ledger: ModelLedger, *records: ModelRecord) -> bool:
    return ledger.write([ModelChange(record, None) for record in records])


def moved(record: ModelRecord, state: ModelState) -> ModelChange:
    return ModelChange(replace(record, state=state), record.state)


def test_an_empty_ledger_knows_nothing(ledgers: Ledgers) -> None:
    assert ledgers.ledger.get(FIRST.version) is None
    assert ledgers.ledger.all() == []
    assert not ledgers.ledger.was_live()
    assert ledgers.ledger.write([])


def test_a_record_comes_back_as_it_was_written(ledgers: Ledgers) -> None:
    whole = replace(
        FIRST,
        state=ModelState.REFUSED,
        artifact_uri="s3://models/deployed/x/y/model.tar.gz",
        artifact_sha256="ab" * 32,
        config="config",
        error=0.9,
        baseline_error=1.1,
        champion="linear-learner-1",
        champion_error=0.8,
        reasons=("worse than the live model", "naïve"),
    )
    assert noted(ledgers.ledger, whole)
    stored = ledgers.another().get(whole.version)
    assert stored is not None
    assert stored.record == whole
    assert stored.noted_ms == stored.changed_ms > 1_600_000_000_000


def test_a_version_is_noted_once(ledgers: Ledgers) -> None:
    assert noted(ledgers.ledger, FIRST)
    assert not noted(ledgers.another(), replace(FIRST, trigger="another"))
    stored = ledgers.ledger.get(FIRST.version)
    assert stored is not None
    assert stored.record == FIRST


def test_a_record_moves_only_from_where_it_was_seen(ledgers: Ledgers) -> None:
    noted(ledgers.ledger, FIRST)
    deploying = moved(FIRST, ModelState.DEPLOYING)
    assert ledgers.ledger.write([deploying])
    assert not ledgers.another().write([deploying])
    assert not ledgers.ledger.write([moved(SECOND, ModelState.LIVE)])
    stored = ledgers.ledger.get(FIRST.version)
    assert stored is not None
    assert stored.record == deploying.record
    assert stored.changed_ms >= stored.noted_ms


def test_all_changes_and_notices_are_written_or_none(ledgers: Ledgers) -> None:
    noted(ledgers.ledger, FIRST)
    live = moved(FIRST, ModelState.LIVE)
    assert not ledgers.ledger.write([live, ModelChange(FIRST, ModelState.LIVE)][::-1], [NOTICE])
    stranger = moved(SECOND, ModelState.LIVE)
    assert not ledgers.ledger.write([live, stranger], [NOTICE])
    stored = ledgers.ledger.get(FIRST.version)
    assert stored is not None
    assert stored.record.state is ModelState.TRAINING
    assert ledgers.messages() == []
    assert ledgers.ledger.write([live, ModelChange(SECOND, None)], [NOTICE])
    assert ledgers.messages() == [alert_message(NOTICE)]


def test_models_are_listed_by_state_latest_first(ledgers: Ledgers) -> None:
    noted(ledgers.ledger, FIRST)
    noted(ledgers.ledger, SECOND)
    ledgers.ledger.write([moved(FIRST, ModelState.FAILED)])
    versions = [one.record.version for one in ledgers.ledger.all()]
    assert versions == [SECOND.version, FIRST.version]
    (failed,) = ledgers.ledger.all(ModelState.FAILED, ModelState.LIVE)
    assert failed.record.version == FIRST.version
    assert ledgers.ledger.all(ModelState.LIVE) == []


@pytest.mark.parametrize("state", ModelState)
def test_a_model_was_live_if_it_is_or_gave_way(ledgers: Ledgers, state: ModelState) -> None:
    noted(ledgers.ledger, replace(FIRST, state=state))
    assert ledgers.ledger.was_live() == (state in (ModelState.LIVE, ModelState.RETIRED))


def test_a_dataset_is_known_by_its_manifest(ledgers: Ledgers) -> None:
    assert not ledgers.ledger.is_dataset(FIRST.manifest_uri)
    ledgers.export(FIRST.manifest_uri)
    assert ledgers.ledger.is_dataset(FIRST.manifest_uri)
    assert not ledgers.ledger.is_dataset("s3://others/exports/x/manifest.json")


def test_a_lock_has_one_holder_and_is_free_behind_it(ledgers: Ledgers) -> None:
    other = ledgers.another()
    with ledgers.ledger.only_one("deploy") as ours:
        assert ours
        with other.only_one("deploy") as theirs:
            assert not theirs
        with other.only_one("export") as another_lock:
            assert another_lock
        noted(ledgers.ledger, FIRST)  # its connection is not the ledger's
    with other.only_one("deploy") as theirs:
        assert theirs


@pytest.mark.database
def test_of_two_that_note_a_version_at_once_one_does(fresh_database_url: str) -> None:
    server = OnMysql(fresh_database_url)
    ledgers = [server.another() for _ in range(4)]
    ready, wrote = threading.Barrier(4), []

    def note(ledger: ModelLedger) -> None:
        ready.wait(10)
        wrote.append(noted(ledger, FIRST))

    threads = [threading.Thread(target=note, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(wrote) == [False, False, False, True]
    server.close()


@pytest.mark.database
def test_another_endpoint_has_models_of_its_own(fresh_database_url: str) -> None:
    server = OnMysql(fresh_database_url)
    noted(server.ledger, replace(FIRST, state=ModelState.LIVE))
    other = server.other_endpoint()
    assert other.all() == []
    assert other.get(FIRST.version) is None
    assert not other.was_live()
    server.close()
