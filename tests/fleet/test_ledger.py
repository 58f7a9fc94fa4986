"""The ledger: whatever happens in whatever order, no job is lost and no bundle counts twice."""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import stat
import tempfile
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.fleet.job import Ending, Job, NodeAnswer
from mac_whisper_speedtest.fleet.ledger import (
    MOST_CRASHES,
    REST_S,
    JobState,
    Ledger,
)
from mac_whisper_speedtest.fleet.storage import BundleName

NODES = ("mini", "studio", "air")


def some_job(number: int, on: tuple[str, ...] = ()) -> Job:
    return Job(request={"models": ["tiny.en"]}, to="/shared", repetition=number, on=on)


def sha(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def answer(job: str, attempt: int, ending: Ending, bundle: str | None = None) -> NodeAnswer:
    return NodeAnswer(
        id=job, attempt=attempt, ending=ending, bundle_sha256=bundle, reason=f"it {ending}"
    )


def done(job: str, attempt: int) -> NodeAnswer:
    return answer(job, attempt, Ending.DONE, sha((job, attempt)))


class LedgerUnderFire(RuleBasedStateMachine):
    """Two coordinators on one ledger, nodes that come and go, answers early, late and twice."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.now = 1_000_000.0
        self.ledgers = [self.opened(), self.opened()]
        self.added: dict[str, Job] = {}
        self.leased: dict[str, list[int]] = {}
        self.in_storage: set[str] = set()
        self.forgiven: dict[str, int] = {}

    def opened(self) -> Ledger:
        return Ledger(self.folder / "fleet" / "ledger.sqlite", clock=lambda: self.now)

    def teardown(self) -> None:
        for ledger in self.ledgers:
            ledger.close()
        shutil.rmtree(self.folder)

    @property
    def ledger(self) -> Ledger:
        return self.ledgers[0]

    @rule(target=jobs, number=st.integers(0, 5), pinned=st.sampled_from(["", *NODES]))
    def add(self, number: int, pinned: str) -> str:
        job = some_job(number, (f"node={pinned}",) if pinned else ())
        assert self.ledger.add([job, job]) == (job.id not in self.added)
        self.added[job.id] = job
        return job.id

    @rule(job=jobs, node=st.sampled_from(NODES))
    def lease(self, job: str, node: str) -> None:
        state = {each.id: each.state for each in self.ledger.jobs()}[job]
        busy = {each.node for each in self.ledger.attempts(ended=False)}
        before = self.ledger.attempts()
        if state == "queued" and node not in busy:
            attempt = self.ledger.lease(job, node)
            assert attempt == len(self.leased.setdefault(job, [])) + 1
            self.leased[job].append(attempt)
        else:
            with pytest.raises(ValueError, match=r"queued|lease"):
                self.ledger.lease(job, node)
            assert self.ledger.attempts() == before

    @rule(job=jobs, data=st.data(), ending=st.sampled_from(Ending))
    def settle(self, job: str, data: st.DataObject, ending: Ending) -> None:
        """Answers of attempts that go on, and of such as ended long ago."""
        attempt = data.draw(st.integers(1, 1 + len(self.leased.get(job, []))))
        if ending is Ending.DONE:
            said = done(job, attempt)
            self.in_storage.add(str(BundleName(job, attempt, str(said.bundle_sha256))))
        else:
            said = answer(job, attempt, ending)
        self.ledger.settle(said)

    @rule(job=jobs, attempt=st.integers(1, 4))
    def lose(self, job: str, attempt: int) -> None:
        self.ledger.lose(job, attempt, "its node left")

    @rule(job=jobs, attempt=st.integers(1, 4))
    def leave(self, job: str, attempt: int) -> None:
        self.ledger.away(job, attempt, "its node left")

    @rule(job=jobs, attempt=st.integers(1, 4), which=st.integers(0, 1))
    def reach_storage(self, job: str, attempt: int, which: int) -> None:
        """A late bundle, perhaps a second one of the same attempt, perhaps seen twice."""
        name = BundleName(job, attempt, sha((job, attempt, which)))
        first = str(name) not in self.in_storage
        found = self.ledger.stored([name, name, BundleName(sha("else"), 1, sha(0))])
        assert [each.name for each in found] == [str(name)] * first
        self.in_storage.add(str(name))

    @rule(job=jobs)
    def retry(self, job: str) -> None:
        """Only what has failed is queued again."""
        if {each.id: each.state for each in self.ledger.jobs()}[job] is JobState.FAILED:
            self.forgiven[job] = max(self.leased[job])
        self.ledger.retry(job)

    @rule()
    def other_coordinator(self) -> None:
        self.ledgers.reverse()

    @rule()
    def restart(self) -> None:
        before = self.everything()
        self.ledger.close()
        self.ledgers[0] = self.opened()
        assert self.everything() == before

    @rule(seconds=st.floats(1, 1000))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(node=st.sampled_from(NODES), drained=st.booleans())
    def see_and_drain(self, node: str, drained: bool) -> None:
        self.ledger.see({node: {"chip": "Apple M4", "memory": 17_179_869_184}})
        assert self.ledger.drain(node, undo=not drained)
        found = {each.name: each for each in self.ledger.nodes()}[node]
        assert (found.drained, found.seen_at) == (drained, self.now)

    @rule(job=jobs)
    def half_a_batch(self, job: str) -> None:
        """What is interrupted leaves nothing behind."""
        before = self.everything()
        with contextlib.suppress(InterruptedError), self.ledger.batch():
            self.ledger.settle(answer(job, 1, Ending.CRASHED))
            self.ledger.stored([BundleName(job, 1, sha("half"))])
            self.ledger.add([some_job(99)])
            raise InterruptedError
        assert self.everything() == before

    def everything(self) -> tuple[object, ...]:
        ledger = self.ledger
        return ledger.jobs(), ledger.attempts(), ledger.bundles(), ledger.nodes()

    @invariant()
    def no_job_is_lost(self) -> None:
        found = {each.id: each for each in self.ledger.jobs()}
        assert found.keys() == self.added.keys()
        assert all(self.ledger.job(job) == each for job, each in self.added.items())
        bundles = {each.job for each in self.ledger.bundles()}
        leased = {each.job for each in self.ledger.attempts(ended=False)}
        for job, each in found.items():
            own = [
                entry
                for entry in self.ledger.attempts()
                if entry.job == job and entry.number > self.forgiven.get(job, 0)
            ]
            crashes = sum(entry.state == Ending.CRASHED for entry in own)
            refused = {f"node={entry.node}" for entry in own if entry.state == Ending.REFUSED}
            failed = crashes >= MOST_CRASHES or bool(refused & set(self.added[job].on))
            expected = (
                "leased" if job in leased
                else "done" if job in bundles
                else "failed" if failed
                else "queued"
            )  # fmt: skip
            assert each.state == expected

    @invariant()
    def a_node_and_a_job_have_one_lease_at_most(self) -> None:
        leases = self.ledger.attempts(ended=False)
        assert len({each.node for each in leases}) == len(leases)
        assert len({each.job for each in leases}) == len(leases)

    @invariant()
    def every_bundle_is_accounted_once(self) -> None:
        found = self.ledger.bundles()
        assert sorted(each.name for each in found) == sorted(self.in_storage)
        in_time = [each.job for each in found if not each.late]
        assert len(in_time) == len(set(in_time))

    @invariant()
    def attempts_only_grow(self) -> None:
        found: dict[str, list[int]] = {}
        for each in self.ledger.attempts():
            found.setdefault(each.job, []).append(each.number)
        assert found == {job: numbers for job, numbers in self.leased.items() if numbers}

    @invariant()
    def both_coordinators_see_the_same(self) -> None:
        first = self.everything()
        self.ledgers.reverse()
        assert self.everything() == first
        self.ledgers.reverse()


LedgerUnderFire.TestCase.settings = hypothesis.settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
TestLedgerUnderFire = LedgerUnderFire.TestCase


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def test_a_late_bundle_of_a_lost_attempt_is_a_second_measurement(ledger: Ledger) -> None:
    job = some_job(0).id
    ledger.add([some_job(0)])
    first = ledger.lease(job, "air")
    ledger.lose(job, first, "its node left")
    second = ledger.lease(job, "mini")
    ledger.settle(done(job, first))

    assert ledger.attempts(ended=False)[0].number == second  # the second goes on
    ledger.settle(done(job, second))

    assert [(each.attempt, each.late) for each in ledger.bundles()] == [(1, True), (2, True)]
    assert ledger.jobs()[0].state is JobState.DONE


def test_a_bundle_that_comes_before_the_next_attempt_spares_it(ledger: Ledger) -> None:
    job = some_job(0).id
    ledger.add([some_job(0)])
    ledger.lose(job, ledger.lease(job, "air"), "its node left")

    ledger.settle(done(job, 1))

    assert ledger.jobs(JobState.DONE)
    with pytest.raises(ValueError, match="not queued"):
        ledger.lease(job, "mini")


def test_what_storage_refused_stays_with_its_node(ledger: Ledger) -> None:
    job = some_job(0).id
    ledger.add([some_job(0)])
    ledger.settle(answer(job, ledger.lease(job, "air"), Ending.NOT_STORED))

    (lease,) = ledger.attempts(ended=False)
    assert lease.away_since is not None

    ledger.stored([BundleName(job, 1, sha("it"))])
    assert [each.state for each in ledger.attempts()] == ["done"]
    assert not ledger.bundles()[0].late


def test_an_answer_without_a_bundle_is_not_done(ledger: Ledger) -> None:
    ledger.add([some_job(0)])
    job = some_job(0).id
    ledger.settle(answer(job, ledger.lease(job, "air"), Ending.DONE))

    assert ledger.jobs()[0].state is JobState.QUEUED
    assert ledger.jobs()[0].reason == "it answered without a bundle"


def test_a_node_that_was_not_ready_rests(tmp_path: Path) -> None:
    now = [1000.0]
    ledger = Ledger(tmp_path / "ledger.sqlite", clock=lambda: now[0])
    ledger.add([some_job(0)])
    ledger.settle(answer(some_job(0).id, ledger.lease(some_job(0).id, "air"), Ending.NOT_READY))

    assert ledger.resting() == {"air": 1000.0 + REST_S}
    now[0] += REST_S
    assert ledger.resting() == {}


def test_how_often_each_node_had_a_campaign_and_who_refused_what(ledger: Ledger) -> None:
    jobs = [some_job(0), some_job(1), msgspec.structs.replace(some_job(2), campaign="w48")]
    ledger.add(jobs)
    ledger.settle(answer(jobs[0].id, ledger.lease(jobs[0].id, "air"), Ending.REFUSED))
    ledger.lease(jobs[1].id, "air")
    ledger.lease(jobs[2].id, "mini")

    assert ledger.shares("") == {"air": 2}
    assert ledger.shares("w48") == {"mini": 1}
    assert ledger.refusals() == {(jobs[0].id, "air")}


def test_the_ledger_is_private_and_a_newer_one_is_not_touched(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "fleet" / "ledger.sqlite"
    Ledger(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 9")
    with pytest.raises(StorageError, match="version 9"):
        Ledger(path)


def test_a_file_that_is_no_ledger_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(random.Random(0).randbytes(8192))
    with pytest.raises(StorageError, match=r"ledger\.sqlite"):
        Ledger(path)
