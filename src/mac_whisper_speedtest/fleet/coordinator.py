"""Has jobs measured: hands them out, and settles answers and losses. Dask only delivers.

All that arrives in a moment is settled in one transaction of the ledger. Everything that matters is
in the ledger and in storage, so that :func:`run_jobs` may be killed at any time and called again.
`policy` decides which node gets which job.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest.errors import SpeedtestError
from mac_whisper_speedtest.fleet import agent, network, policy
from mac_whisper_speedtest.fleet import job as jobs_
from mac_whisper_speedtest.fleet import labels as labels_
from mac_whisper_speedtest.fleet.job import Delivery, Ending, Job, NodeAnswer
from mac_whisper_speedtest.fleet.labels import Labels
from mac_whisper_speedtest.fleet.ledger import (
    LEASED,
    LOST,
    AttemptEntry,
    JobEntry,
    JobState,
    Ledger,
)
from mac_whisper_speedtest.fleet.policy import FleetObserver, FleetProgress
from mac_whisper_speedtest.fleet.storage import BundleName, Storage
from mac_whisper_speedtest.limits import LONGEST_MESSAGE

if TYPE_CHECKING:
    from distributed import Client, Future

LOST_AFTER_S = 300.0
"""How long a node may be away before its job is queued for others."""
_LOOK_EVERY_S = 15.0
"""Between looks into storage for bundles of nodes that are away."""
_REFRESH_S = 0.25
"""At least between two lists of the nodes, and two reports: hundreds may join at once."""
_GATHER_S = 0.02
"""How long answers are gathered for one transaction."""


_CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError)


class SchedulerLostError(SpeedtestError):
    """The connection to the scheduler ended; the ledger says how to go on."""


async def run_jobs(
    ledger: Ledger,
    client: Client,
    jobs: Sequence[Job],
    observer: FleetObserver | None = None,
    *,
    task: Callable[[str], str] = agent.execute,
    lost_after_s: float = LOST_AFTER_S,
    deadline_s: float | None = None,
) -> None:
    """Have these jobs measured, and return when each of them is done or has failed.

    Args:
        ledger: where jobs that are done already are passed over.
        client: of Dask, asynchronous and connected.
        jobs: what is to be done.
        observer: who hears of progress.
        task: what a node's agent calls; importable by it.
        lost_after_s: how long a node may be away before its job is queued for others.
        deadline_s: the longest that a job may take on its node.

    Raises:
        SchedulerLostError: the connection ended; call this again with a new client.
        StorageError: the ledger cannot be written.
    """
    loop = _Loop(ledger, client, task, observer or FleetObserver(), lost_after_s, deadline_s)
    await loop.run(jobs)


@dataclass
class _Loop:
    ledger: Ledger
    client: Client
    task: Callable[[str], str]
    observer: FleetObserver
    lost_after_s: float
    deadline_s: float | None
    jobs: dict[str, Job] = field(default_factory=dict)
    """All that the ledger has, not only those that are asked for: others may have leases."""
    asked: set[str] = field(default_factory=set)
    nodes: dict[str, tuple[str, Labels]] = field(default_factory=dict)
    """Those that are connected: address and labels."""
    tried: dict[tuple[str, ...], dict[str, bool]] = field(default_factory=lambda: defaultdict(dict))
    """Constraints → node → whether it meets them; of such as are gone, too."""
    fitting: dict[tuple[str, ...], set[str]] = field(default_factory=dict)
    """The same as the connected nodes that do, until the next change."""
    flying: dict[str, tuple[AttemptEntry, str, Future[Any]]] = field(default_factory=dict)
    """Deliveries by their keys: the lease, the node's address, and Dask's future."""
    kept: dict[str, str] = field(default_factory=dict)
    """Attempts whose bundle storage refused, and the address that their node had then."""
    arrived: list[tuple[str, NodeAnswer | str | BaseException]] = field(default_factory=list)
    heard: dict[str, NodeAnswer] = field(default_factory=dict)
    """Answers, by the keys of their deliveries, until their tasks have ended."""
    watchers: set[asyncio.Task[None]] = field(default_factory=set)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    stale: bool = True
    cut: bool = False
    unread: dict[str, str] = field(default_factory=dict)
    """Storages that could not be read at the last look, and why."""
    refreshed_s: float = -1.0
    looked_s: float = -1.0
    reported_s: float = -1.0
    took_s: list[float] = field(default_factory=list)

    async def run(self, jobs: Sequence[Job]) -> None:
        self.ledger.add(jobs)
        self.jobs = {each.id: each for each in jobs}
        self.asked = set(self.jobs)
        self.client.subscribe_topic("all", self._hear)  # type: ignore[no-untyped-call]
        self.client.subscribe_topic(agent.ANSWERS, self._hear_answer)  # type: ignore[no-untyped-call]
        try:
            await self._refresh()
            await self._look(self.asked)
            await self._resume()
            while True:
                await self._resolve()
                if self.client.status == "running":
                    self._tick()
                if self.cut or self.client.status != "running":
                    raise SchedulerLostError("the connection to the scheduler ended")
                now_s = time.monotonic()
                if not self.flying or now_s - self.reported_s >= _REFRESH_S:
                    self.reported_s = now_s
                    if not self._report():
                        return
                await self._pause()
                if self.stale and time.monotonic() - self.refreshed_s >= _REFRESH_S:
                    await self._refresh()
        except (OSError, TimeoutError) as error:
            raise SchedulerLostError(f"the connection to the scheduler ended: {error}") from error
        finally:
            for each in self.watchers:
                each.cancel()
            with contextlib.suppress(Exception):  # the client may be closed
                self.client.unsubscribe_topic("all")  # type: ignore[no-untyped-call]
                self.client.unsubscribe_topic(agent.ANSWERS)  # type: ignore[no-untyped-call]

    # Hearing

    def _hear(self, event: tuple[float, Any]) -> None:
        said = event[1]
        if isinstance(said, dict) and said.get("action") in {"add-worker", "remove-worker"}:
            self.stale = True
            self.woken.set()

    def _hear_answer(self, event: tuple[float, Any]) -> None:
        with contextlib.suppress(ValueError):  # what it is, is judged when its task has ended
            answer = jobs_.decode_answer(str(event[1]))
            key = f"{answer.id}-{answer.attempt}"
            if key in self.flying:
                self.heard[key] = answer

    async def _pause(self) -> None:
        """Wait until there is something to do, and a moment more for what comes with it."""
        timeout = _REFRESH_S if self.stale else _LOOK_EVERY_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.woken.wait(), timeout)
            await asyncio.sleep(_GATHER_S)
        if not self.woken.is_set():
            self.stale = True  # an event may have been lost
        self.woken.clear()

    async def _watch(self, key: str, future: Future[Any]) -> None:
        said: NodeAnswer | str | BaseException
        try:
            # It waits for the task, and fetches nothing.
            failed = await future.exception()  # type: ignore[no-untyped-call]
            said = failed or self.heard.pop(key, None) or str(await future)
        except (Exception, *_CANCELLED) as error:  # noqa: BLE001 - judged where it is settled
            said = error
        future.release()  # type: ignore[no-untyped-call]
        self.arrived.append((key, said))
        self.woken.set()

    async def _refresh(self) -> None:
        self.stale, self.refreshed_s = False, time.monotonic()
        found = {each.name: each for each in await network.nodes(self.client)}
        there = {
            name: (each.address, policy.labels_of(name, each.labels))
            for name, each in found.items()
        }
        changed = {name for name, each in there.items() if self.nodes.get(name) != each}
        for known in self.tried.values():
            for name in changed:
                known.pop(name, None)
        self.nodes = there
        self.fitting.clear()
        self.ledger.see({name: found[name].labels for name in sorted(there)})
        gone = [
            key
            for key, (lease, address, _) in self.flying.items()
            if self.nodes.get(lease.node, ("",))[0] != address
        ]
        futures = [self.flying[key][2] for key in gone]
        with self.ledger.batch():
            for key in gone:
                self._leave(self.flying.pop(key)[0], "its connection ended")
        if futures:  # Dask would run them again on a worker of the same address
            await self.client.cancel(futures, force=True)  # type: ignore[no-untyped-call]

    # Acting

    def _tick(self) -> None:
        """Settle what arrived, and hand out jobs, in one transaction."""
        arrived, self.arrived = self.arrived, []
        with self.ledger.batch():
            for key, said in arrived:
                if key in self.flying:
                    lease, address, _ = self.flying.pop(key)
                    self._settle(lease, address, said)
            leases = {each.node for each in self.ledger.attempts(ended=False)}
            resting = self.ledger.resting()
            idle = self.nodes.keys() - leases - resting.keys()
            if idle:
                idle -= {each.name for each in self.ledger.nodes() if each.drained}
            pairs = []
            if idle:
                queued = [e for e in self.ledger.jobs(JobState.QUEUED) if e.id in self.asked]
                campaigns = {each.campaign for each in queued}
                shares = {each: self.ledger.shares(each) for each in campaigns}
                pairs = policy.assign(queued, idle, self._fits, self.ledger.refusals(), shares)
            now = time.time()
            given = [
                AttemptEntry(job, self.ledger.lease(job, node), node, LEASED, now, None, None, "")
                for job, node in pairs
            ]
        for lease in given:
            self._deliver(lease)

    def _fits(self, job: str) -> AbstractSet[str]:
        on = self.jobs[job].on
        if on not in self.fitting:
            asked, known = labels_.parse(on), self.tried[on]
            for name, (_, found) in self.nodes.items():
                if name not in known:
                    known[name] = not labels_.unmet(found, asked)
            self.fitting[on] = {name for name in self.nodes if known[name]}
        return self.fitting[on]

    def _deliver(self, lease: AttemptEntry) -> None:
        """Hand a job to its node, or hear again of one that the node has."""
        from distributed import fire_and_forget

        address, _ = self.nodes[lease.node]
        delivery = Delivery(
            job=self._job(lease.job), attempt=lease.number, deadline_s=self.deadline_s
        )
        key = f"{lease.job}-{lease.number}"
        future = self.client.submit(
            self.task,
            jobs_.encode(delivery),
            key=key,
            workers=[address],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )
        fire_and_forget(future)  # type: ignore[no-untyped-call] # it goes on without this process
        self.flying[key] = lease, address, future
        watcher = asyncio.create_task(self._watch(key, future))
        self.watchers.add(watcher)
        watcher.add_done_callback(self.watchers.discard)

    def _settle(
        self, lease: AttemptEntry, address: str, said: NodeAnswer | str | BaseException
    ) -> None:
        """Record what came back of a delivery."""
        if isinstance(said, BaseException):
            if isinstance(said, _CANCELLED):
                self.cut = True  # by Dask's client: the node may continue it
                return
            if type(said).__name__ == "KilledWorker":
                self._leave(lease, "its connection ended")
                self.stale = True
                return
            answer = self._crashed(lease, f"{type(said).__name__}: {said}")
        else:
            try:
                answer = said if isinstance(said, NodeAnswer) else jobs_.decode_answer(said)
            except ValueError as error:
                answer = self._crashed(lease, f"its answer is not one: {error}")
            if (answer.id, answer.attempt) != (lease.job, lease.number):
                answer = self._crashed(lease, "it answered for another job")
        self.ledger.settle(answer)
        if answer.ending is Ending.NOT_STORED:
            self.kept[f"{lease.job}-{lease.number}"] = address
        elif answer.ending is Ending.DONE:
            self.took_s.append(time.time() - lease.leased_at)
        self.observer.ended(self._job(lease.job), lease.node, answer.ending, answer.reason)

    def _crashed(self, lease: AttemptEntry, why: str) -> NodeAnswer:
        return NodeAnswer(
            id=lease.job, attempt=lease.number, ending=Ending.CRASHED, reason=why[:LONGEST_MESSAGE]
        )

    def _leave(self, lease: AttemptEntry, why: str) -> None:
        self.ledger.away(lease.job, lease.number, why)
        self.observer.notify(f"{lease.node} left while it had a job ({why})")

    async def _resume(self) -> None:
        """Continue the leases of an earlier coordinator, or of an earlier connection."""
        running: Mapping[str, Iterable[str]] = await self.client.processing()  # type: ignore[no-untyped-call]
        for lease in self.ledger.attempts(ended=False):
            address, _ = self.nodes.get(lease.node, ("", None))
            if f"{lease.job}-{lease.number}" in running.get(address, ()):
                self._deliver(lease)  # the same key: Dask lets this client hear of the same task
            elif lease.away_since is None:
                self.ledger.away(lease.job, lease.number, "it was not watched")
        self.looked_s = -1.0

    async def _resolve(self) -> None:
        """Settle by storage what no node is going to answer any more."""
        flying = {(lease.job, lease.number) for lease, _, _ in self.flying.values()}
        away = [
            lease
            for lease in self.ledger.attempts(ended=False)
            if (lease.job, lease.number) not in flying
        ]
        if not away:
            return
        due = {lease: why for lease in away if (why := self._why_lost(lease))}
        if (self.unread or not due) and time.monotonic() - self.looked_s < _LOOK_EVERY_S:
            return
        await self._look({lease.job for lease in away})
        left = {(lease.job, lease.number) for lease in self.ledger.attempts(ended=False)}
        with self.ledger.batch():
            for lease, why in due.items():
                unknown = self._job(lease.job).to in self.unread and not self._is_overdue(lease)
                if (lease.job, lease.number) in left and not unknown:
                    self.ledger.lose(lease.job, lease.number, why)
                    self.observer.ended(self._job(lease.job), lease.node, LOST, why)

    def _why_lost(self, lease: AttemptEntry) -> str:
        """Why its bundle is not waited for, if it is not in storage; empty if it is."""
        address, _ = self.nodes.get(lease.node, ("", None))
        if address not in {"", self.kept.get(f"{lease.job}-{lease.number}")}:
            return "its node is here again, without a bundle"  # it hands in before it joins
        return lease.reason if self._is_overdue(lease) else ""

    def _is_overdue(self, lease: AttemptEntry) -> bool:
        return time.time() - (lease.away_since or 0.0) >= self.lost_after_s

    async def _look(self, jobs: Collection[str]) -> None:
        """Account for the bundles in storage, as far as it can be read."""
        self.looked_s = time.monotonic()
        unread = {}
        for address in dict.fromkeys(self._job(each).to for each in jobs):
            try:
                names = await asyncio.to_thread(_names, address)
            except SpeedtestError as error:
                unread[address] = error.message
                if self.unread.get(address) != error.message:
                    self.observer.notify(f"{error.message}; trying again later")
                continue
            before = {(each.job, each.number): each for each in self.ledger.attempts(ended=False)}
            for each in self.ledger.stored(names):
                lease = before.get((each.job, each.attempt))
                node = lease.node if lease else "storage"
                reason = "a second measurement of this job" if each.late else ""
                self.observer.ended(self._job(each.job), node, Ending.DONE, reason)
        self.unread = unread

    def _job(self, job: str) -> Job:
        if job not in self.jobs:  # another command's, whose lease keeps a node busy
            self.jobs[job] = self.ledger.job(job)
        return self.jobs[job]

    def _report(self) -> bool:
        """Tell the observer how far all is, and return whether anything is left to do."""
        entries = [each for each in self.ledger.jobs() if each.id in self.asked]
        states = Counter(each.state for each in entries)
        left = states[JobState.QUEUED] + states[JobState.LEASED]
        cells = {each.id: policy.planned_cells(self.jobs[each.id]) for each in entries}
        known = [each for each in cells.values() if each is not None]
        done = (cells[each.id] or 0 for each in entries if each.state is JobState.DONE)
        busy = {lease.node: lease.job for lease, _, _ in self.flying.values()}
        able = max(1, len(busy) or len(self.nodes))
        mean_s = sum(self.took_s) / len(self.took_s) if self.took_s else None
        self.observer.changed(
            FleetProgress(
                jobs=len(entries),
                done=states[JobState.DONE],
                failed=states[JobState.FAILED],
                cells=sum(known) if len(known) == len(entries) else None,
                cells_done=sum(done),
                busy=busy,
                connected=sorted(self.nodes),
                left_s=mean_s * -(-left // able) if mean_s and busy else None,
                waits=self._waits(entries),
            )
        )
        return left > 0

    def _waits(self, entries: Sequence[JobEntry]) -> list[str]:
        queued = {self.jobs[each.id].on: each for each in entries if each.state is JobState.QUEUED}
        if not queued or all(self._fits(each.id) for each in queued.values()):
            return []
        return policy.waiting(self.ledger, self.nodes, list(queued.values()))


def _names(address: str) -> list[BundleName]:
    return Storage(address).names()
