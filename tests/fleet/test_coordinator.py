"""Jobs over real schedulers and workers of Dask, in this process, with fake measurements."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from fakes import fleet_task
from mac_whisper_speedtest.fleet import coordinator, network
from mac_whisper_speedtest.fleet.coordinator import SchedulerLostError
from mac_whisper_speedtest.fleet.job import Job
from mac_whisper_speedtest.fleet.ledger import JobState, Ledger
from mac_whisper_speedtest.fleet.policy import FleetObserver, FleetProgress

LIMIT_S = 60.0
pytestmark = pytest.mark.filterwarnings("ignore:Creating scratch directories")


class Notes(FleetObserver):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.endings: list[tuple[str, str]] = []
        self.progress: list[FleetProgress] = []
        self.heard = asyncio.Event()
        self.said: list[str] = []

    def notify(self, text: str) -> None:
        self.said.append(text)

    def ended(self, job: Job, node: str, state: str, reason: str) -> None:
        self.endings.append((node, str(state)))

    def changed(self, progress: FleetProgress) -> None:
        self.progress.append(progress)
        self.heard.set()

    async def until(self, condition: str) -> None:
        """Wait until the last progress has this."""
        while not (self.progress and getattr(self.progress[-1], condition)):
            self.heard.clear()
            await self.heard.wait()


class FakeFleet:
    """A scheduler with workers that call `fleet_task`, and a ledger."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(folder / "ledger.sqlite")
        self.to = folder / "bundles"
        self.to.mkdir()
        self.scheduler: Any = None
        self.open = contextlib.AsyncExitStack()

    async def serve(self, port: int = 0) -> None:
        from distributed import Scheduler

        self.scheduler = Scheduler(host="127.0.0.1", port=port, dashboard=False)
        await self.scheduler

    async def join(self, name: str, **labels: Any) -> Any:
        from distributed import Worker

        async def said(_worker: Any) -> dict[str, Any]:
            return {"known": {"node": name, **labels}}

        worker: Any = Worker(self.scheduler.address, name=name, nthreads=1, dashboard=False)
        worker.startup_information["fleet"] = said
        await worker
        self.open.push_async_callback(worker.close, timeout=1, nanny=False)
        return worker

    def job(self, what: str = "nap 0", on: tuple[str, ...] = (), repetition: int = 0) -> Job:
        request = {"models": ["tiny.en"], "backends": ["fake"]}
        return Job(request=request, to=str(self.to), on=on, campaign=what, repetition=repetition)

    async def run(
        self, jobs: list[Job], observer: FleetObserver | None = None, **more: Any
    ) -> None:
        from distributed import Client

        async with Client(
            self.scheduler.address, asynchronous=True, set_as_default=False, timeout=2
        ) as client:  # type: ignore[no-untyped-call]
            await coordinator.run_jobs(
                self.ledger, client, jobs, observer, task=fleet_task.execute, **more
            )

    def states(self) -> list[str]:
        return [str(each.state) for each in self.ledger.jobs()]

    def attempts(self) -> list[tuple[int, str, str]]:
        return [(each.number, each.node, each.state) for each in self.ledger.attempts()]


def in_a_fleet(scenario: Any) -> Any:
    """A test of a coroutine with a fake fleet, within a limit of time."""

    def test(tmp_path: Path) -> None:
        async def whole() -> None:
            fleet = FakeFleet(tmp_path)
            async with serving(fleet):
                await scenario(fleet)

        network.configure()
        import dask

        with dask.config.set({"distributed.comm.require-encryption": False}):
            asyncio.run(within(whole()))

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


async def within(work: Coroutine[Any, Any, None]) -> None:
    await asyncio.wait_for(work, LIMIT_S)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so that no event says."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def serving(fleet: FakeFleet) -> AsyncIterator[None]:
    await fleet.serve()
    try:
        yield
    finally:
        await fleet.open.aclose()
        await fleet.scheduler.close()


@in_a_fleet
async def test_every_job_is_measured_once_by_a_node_that_meets_its_constraints(
    fleet: FakeFleet,
) -> None:
    await fleet.join("mini", chip="Apple M4")
    await fleet.join("air", chip="Apple M2")
    jobs = [fleet.job(on=("chip=~*M4*",), repetition=each) for each in range(3)]
    jobs += [fleet.job(on=("chip=~*M2*",), repetition=each) for each in range(3)]
    notes = Notes()

    await fleet.run(jobs, notes)

    assert fleet.states() == ["done"] * 6
    assert len(fleet.ledger.bundles()) == len(list(fleet.to.iterdir())) == 6
    on = {each.id: each.on for each in jobs}
    assert {(on[each.job], each.node) for each in fleet.ledger.attempts()} == {
        (("chip=~*M4*",), "mini"),
        (("chip=~*M2*",), "air"),
    }
    last = notes.progress[-1]
    assert (last.jobs, last.done, last.cells, last.cells_done) == (6, 6, 6, 6)


@in_a_fleet
async def test_the_same_command_again_does_nothing(fleet: FakeFleet) -> None:
    await fleet.join("mini")
    await fleet.run([fleet.job()])
    await fleet.run([fleet.job()])

    assert fleet.attempts() == [(1, "mini", "done")]


@in_a_fleet
async def test_a_job_waits_for_a_node_that_joins_later(fleet: FakeFleet) -> None:
    await fleet.join("air", memory=8 << 30)
    notes = Notes()
    running = asyncio.create_task(fleet.run([fleet.job(on=("memory>=16G",))], notes))
    await notes.until("waits")
    assert "memory>=16G: no such node" in notes.progress[-1].waits[0]

    await fleet.join("mini", memory=16 << 30)
    await running

    assert fleet.attempts() == [(1, "mini", "done")]


@in_a_fleet
async def test_a_drained_node_gets_no_job(fleet: FakeFleet) -> None:
    await fleet.join("air")
    await fleet.join("mini")
    fleet.ledger.see({"air": {}, "mini": {}})
    fleet.ledger.drain("air")

    await fleet.run([fleet.job(repetition=each) for each in range(3)])

    assert {node for _, node, _ in fleet.attempts()} == {"mini"}


@in_a_fleet
async def test_a_job_that_crashes_everywhere_fails_after_three_attempts(fleet: FakeFleet) -> None:
    for name in ("air", "mini"):
        await fleet.join(name)

    await fleet.run([fleet.job("nap 0 crashed"), fleet.job("raise"), fleet.job("garbage")])

    assert fleet.states() == ["failed"] * 3
    assert [state for _, _, state in fleet.attempts()] == ["crashed"] * 9
    assert {each.reason[:12] for each in fleet.ledger.jobs()} == {
        "fake", "ZeroDivision", "its answer i"
    }  # fmt: skip


@in_a_fleet
async def test_a_job_that_its_only_node_refuses_has_failed(fleet: FakeFleet) -> None:
    await fleet.join("mini")
    await fleet.run([fleet.job("nap 0 refused", on=("node=mini",))])

    assert fleet.states() == ["failed"]


@in_a_fleet
async def test_a_failed_job_is_tried_again_when_it_is_asked_for_again(fleet: FakeFleet) -> None:
    job = fleet.job("nap 0 refused", on=("node=mini",))
    await fleet.join("mini")
    for _ in range(2):
        await fleet.run([job])
        assert fleet.states() == ["failed"]
        fleet.ledger.retry(job.id)
        assert fleet.states() == ["queued"]
        assert fleet.ledger.refusals() == set()

    assert fleet.attempts() == [(1, "mini", "refused"), (2, "mini", "refused")]


@in_a_fleet
async def test_a_ledger_that_is_lost_is_made_again_from_storage(fleet: FakeFleet) -> None:
    await fleet.join("mini")
    jobs = [fleet.job(), fleet.job(repetition=1)]
    await fleet.run(jobs)
    fleet.ledger = Ledger(fleet.to.parent / "new.sqlite")

    await fleet.run([*jobs, fleet.job(repetition=2)])

    assert fleet.states() == ["done"] * 3
    assert fleet.attempts() == [(1, "mini", "done")]


@in_a_fleet
async def test_a_node_that_leaves_with_a_job_loses_it_to_another(fleet: FakeFleet) -> None:
    air = await fleet.join("air")
    notes = Notes()
    running = asyncio.create_task(fleet.run([fleet.job("nap 1")], notes, lost_after_s=0.0))
    await notes.until("busy")
    await fleet.join("mini")
    await fleet.scheduler.remove_worker(air.address, stimulus_id="cut", close=True)
    await running

    assert fleet.attempts()[0] == (1, "air", "lost")
    assert fleet.attempts()[1] == (2, "mini", "done")


@in_a_fleet
async def test_a_node_that_comes_back_hands_in_first_and_is_not_asked_again(
    fleet: FakeFleet,
) -> None:
    air = await fleet.join("air")
    job = fleet.job("nap 1")
    notes = Notes()
    running = asyncio.create_task(fleet.run([job], notes))
    await until(lambda: air.state.executing_count == 1)
    await fleet.scheduler.remove_worker(air.address, stimulus_id="cut", close=True)
    await until(lambda: bool(list(fleet.to.iterdir())))
    await fleet.join("air")
    await running

    assert fleet.attempts() == [(1, "air", "done")]
    assert not fleet.ledger.bundles()[0].late


@in_a_fleet
async def test_a_restarted_client_hears_of_what_the_first_one_began(fleet: FakeFleet) -> None:
    await fleet.join("air")
    notes = Notes()
    first = asyncio.create_task(fleet.run([fleet.job("nap 1")], notes))
    await notes.until("busy")
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert fleet.states() == ["leased"]

    await fleet.run([fleet.job("nap 1")])

    assert fleet.attempts() == [(1, "air", "done")]
    assert len(fleet.ledger.bundles()) == 1


@in_a_fleet
async def test_what_was_finished_while_no_client_watched_is_found_in_storage(
    fleet: FakeFleet,
) -> None:
    await fleet.join("air")
    jobs = [fleet.job(), fleet.job(repetition=1)]
    fleet.ledger.add(jobs)
    for job in jobs:
        fleet.ledger.lease(job.id, f"node of {job.repetition}")
    fleet_task.store(str(fleet.to), jobs[0].id, 1)

    await fleet.run(jobs, lost_after_s=0.0)

    assert fleet.attempts() == [
        (1, "node of 0", "done"),
        (1, "node of 1", "lost"),
        (2, "air", "done"),
    ]


@in_a_fleet
async def test_storage_that_cannot_be_read_keeps_no_job_waiting_for_ever(fleet: FakeFleet) -> None:
    await fleet.join("air")
    elsewhere = Job(request={"models": ["tiny.en"]}, to=str(fleet.to / "unmounted"))
    fleet.ledger.add([elsewhere])
    fleet.ledger.lease(elsewhere.id, "air")  # by an earlier command
    notes = Notes()

    running = asyncio.create_task(fleet.run([fleet.job()], notes))
    await until(lambda: bool(notes.said))
    assert fleet.states() == ["leased", "queued"]  # a bundle may be there
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await fleet.run([fleet.job()], lost_after_s=0.0)

    assert "there is no folder" in notes.said[0]
    assert fleet.states() == ["queued", "done"]


@in_a_fleet
async def test_a_scheduler_that_ends_is_said_and_a_new_one_goes_on(fleet: FakeFleet) -> None:
    await fleet.join("air")
    notes = Notes()
    running = asyncio.create_task(fleet.run([fleet.job("nap 1")], notes))
    await notes.until("busy")
    await fleet.scheduler.close()
    with pytest.raises(SchedulerLostError):
        await running
    assert fleet.states() == ["leased"]

    await fleet.serve()
    await fleet.join("mini")
    await fleet.run([fleet.job("nap 1")], lost_after_s=0.0)

    assert fleet.ledger.jobs()[0].state is JobState.DONE


@in_a_fleet
async def test_a_bundle_that_storage_refused_is_waited_for(fleet: FakeFleet) -> None:
    air = await fleet.join("air")
    job = fleet.job("nap 0 not stored")
    notes = Notes()
    running = asyncio.create_task(fleet.run([job], notes))
    await until(lambda: ("air", "not stored") in notes.endings)
    fleet_task.store(str(fleet.to), job.id, 1)
    await air.close(nanny=False)
    await fleet.join("air")
    await running

    assert fleet.attempts() == [(1, "air", "done")]
