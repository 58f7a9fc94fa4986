"""Which node gets which job, and why a job waits. This is pure: no network, no Dask."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from mac_whisper_speedtest.fleet import labels as labels_
from mac_whisper_speedtest.fleet.job import Job
from mac_whisper_speedtest.fleet.labels import Labels
from mac_whisper_speedtest.fleet.ledger import JobEntry, Ledger, NodeEntry

On = tuple[str, ...]
_MOST_REASONS = 3


def assign(
    queued: Iterable[JobEntry],
    idle: Collection[str],
    fits: Callable[[str], AbstractSet[str]],
    refused: AbstractSet[tuple[str, str]],
    shares: Mapping[str, Mapping[str, int]],
) -> list[tuple[str, str]]:
    """Pairs of job and node: at most one job for each node.

    The first repetition of everything comes before the second, and among equals the job that the
    fewest nodes can have. A job goes to the node that has had the fewest of its campaign.

    Args:
        queued: jobs in the order in which they were added.
        idle: names of nodes that may have a job now.
        fits: job → the connected nodes that meet its constraints.
        refused: pairs of job and node that are not tried again.
        shares: campaign → node → how many attempts of it the node has had.
    """
    free = set(idle)
    had = {campaign: Counter(share) for campaign, share in shares.items()}
    found = []
    for entry in sorted(queued, key=lambda each: (each.repetition, len(fits(each.id)))):
        if not free:
            break
        able = [node for node in free & fits(entry.id) if (entry.id, node) not in refused]
        if able:
            share = had.setdefault(entry.campaign, Counter())
            node = min(able, key=lambda name: (share[name], name))
            share[node] += 1
            free.remove(node)
            found.append((entry.id, node))
    return found


@dataclass(frozen=True, slots=True)
class FleetState:
    """The nodes at one moment.

    Attributes:
        known: all that ever joined.
        connected: names of those that are connected.
        resting: those that get no job for a while → when they do, in seconds since 1970.
        now: seconds since 1970.
    """

    known: Sequence[NodeEntry]
    connected: Collection[str]
    resting: Mapping[str, float]
    now: float


def why_waiting(on: On, refused: Collection[str], fleet: FleetState) -> str:
    """Why no node can have a job now; empty if one can when it is idle.

    Args:
        on: the constraints of the job.
        refused: names of the nodes that refused it.
        fleet: what there is.
    """
    asked = labels_.parse(on)
    able, lacking = [], []
    for node in fleet.known:
        missing = labels_.unmet(labels_of(node.name, node.labels), asked)
        if missing:
            lacking.append((len(missing), f"{node.name} has {missing[0]}"))
        else:
            able.append(node)
    waits = f"waits for {', '.join(on) or 'a node'}"
    if not able:
        nearest = f"; nearest: {min(lacking)[1]}" if lacking else ""
        return f"{waits}: no such node was ever here{nearest}"
    reasons = []
    for node in sorted(able, key=lambda each: -(each.seen_at or 0.0)):
        if node.name in refused:
            reasons.append(f"{node.name} refused it")
        elif node.drained:
            reasons.append(f"{node.name} is drained")
        elif node.name not in fleet.connected:
            reasons.append(f"last seen {ago(fleet.now, node.seen_at)} on {node.name}")
        elif node.name in fleet.resting:
            again = length(fleet.resting[node.name] - fleet.now)
            reasons.append(f"{node.name} was not ready; again in {again}")
        else:
            return ""
    return f"{waits}: {'; '.join(reasons[:_MOST_REASONS])}"


def labels_of(name: str, document: object) -> Labels:
    """What a node says of itself; of one that says nothing usable, only its name."""
    try:
        found = labels_.decode(document)
    except ValueError:
        return Labels(known={"node": name})
    return Labels(known={**found.known, "node": name}, unknown=found.unknown)


def planned_cells(job: Job) -> int | None:
    """How many cells a job measures; None if its node decides that, by what is installed."""
    backends = len(job.request.get("backends", ()))
    speech = max(1, len(job.request.get("durations", ())))
    return len(job.request.get("models", ())) * backends * speech or None


def ago(now: float, then: float | None) -> str:
    """How long ago something was, for people."""
    return "never" if then is None else f"{length(now - then)} ago"


def length(seconds: float) -> str:
    """A time for people, such as ``2 h``."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def waiting(ledger: Ledger, connected: Collection[str], queued: Iterable[JobEntry]) -> list[str]:
    """Why each of these jobs waits, if no node can have it when it is idle; each reason once."""
    fleet = FleetState(ledger.nodes(), connected, ledger.resting(), time.time())
    refused = defaultdict(set)
    for job, node in ledger.refusals():
        refused[job].add(node)
    alike = {(ledger.job(each.id).on, frozenset(refused[each.id])) for each in queued}
    return sorted({why_waiting(on, by, fleet) for on, by in alike} - {""})


@dataclass(frozen=True, slots=True)
class FleetProgress:
    """The jobs of a request, at one moment.

    Attributes:
        cells: of all jobs; None if some nodes decide that themselves.
        busy: node → the job that it has.
        connected: names of nodes.
        left_s: estimated from the jobs that are done; None before the first, or if none goes on.
        waits: why jobs that no node can have now wait, each reason once.
    """

    jobs: int
    done: int
    failed: int
    cells: int | None
    cells_done: int
    busy: Mapping[str, str]
    connected: Sequence[str]
    left_s: float | None
    waits: Sequence[str]


class FleetObserver:
    """Hears of what happens; each method does nothing by default."""

    def notify(self, text: str) -> None:
        """Something that has to be known."""

    def ended(self, job: Job, node: str, state: str, reason: str) -> None:
        """An attempt ended, in one of the states of `AttemptEntry`."""

    def changed(self, progress: FleetProgress) -> None:
        """A job began or ended, or a node came or went."""

    def close(self) -> None:
        """The last report."""
