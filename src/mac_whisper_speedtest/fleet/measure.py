"""One job on this machine: is it the right one, is it quiet, then a run, and its bundle.

Runs in a process of its own (`fleet.children`). Whatever happens becomes an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from mac_whisper_speedtest import files, interrupts
from mac_whisper_speedtest.bundle.write import write_bundle
from mac_whisper_speedtest.doctor import checkup
from mac_whisper_speedtest.doctor.lines import Checkup, Readiness
from mac_whisper_speedtest.errors import (
    DownloadError,
    SpeedtestError,
    StorageError,
    UsageError,
    WeightsError,
)
from mac_whisper_speedtest.fleet import labels
from mac_whisper_speedtest.fleet.job import Delivery, Ending, NodeAnswer
from mac_whisper_speedtest.fleet.labels import Labels
from mac_whisper_speedtest.fleet.storage import Outbox, Storage, reason_of
from mac_whisper_speedtest.machine import host
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.run import monitor, session

_REMEMBERED = 20
"""Canaries that a node's history keeps: of the newest jobs that it was ready for."""


class NotReadyError(SpeedtestError):
    """The machine is not quiet or not healthy now."""


class NotForThisNodeError(SpeedtestError):
    """The machine has not what the job asks for."""


def measure(
    delivery: Delivery,
    name: str,
    outbox: Outbox,
    *,
    probe: Callable[[str], Labels] = labels.probe,
    examine: Callable[[], Checkup] = lambda: checkup.examine(quick=True),
    canary: Callable[[], float] = monitor.run,
) -> NodeAnswer:
    """Measure a job, and put its bundle into the outbox.

    Args:
        delivery: what to measure.
        name: of this node.
        outbox: claimed by this process.
        probe: labels of this machine.
        examine: what doctor says of it.
        canary: seconds of the reference workload.

    Returns:
        `Ending.DONE` with the hash of the bundle, which is not stored yet; or why there is none.
    """
    answer = NodeAnswer(id=delivery.job.id, attempt=delivery.attempt, ending=Ending.CRASHED)
    try:
        asked = delivery.job.asked()
        found = probe(name)
        if unmet := labels.unmet(found, labels.parse(delivery.job.on)):
            raise NotForThisNodeError("; ".join(unmet))
        _require_storage(delivery.job.to)
        bundle = outbox.begin(delivery)
        with _alone():
            _require_health(examine())
            if asked.retake:
                _require_speed(found, outbox.folder.parent / "canary.json", canary)
        run_directory, run = session.perform(asked, Observer())
        # A bundle that is begun is finished.
        with interrupts.held_back(then_drop=True):
            return _bundled(run_directory, run, bundle, answer)
    except (UsageError, WeightsError, NotForThisNodeError) as error:
        ending, reason = Ending.REFUSED, reason_of(error)
    except (NotReadyError, DownloadError, StorageError) as error:
        ending, reason = Ending.NOT_READY, reason_of(error)
    except KeyboardInterrupt:
        ending, reason = Ending.INTERRUPTED, "the node was stopped while it measured"
    except Exception as error:  # noqa: BLE001 - a defect costs this attempt, and the node goes on
        ending, reason = Ending.CRASHED, f"{type(error).__name__}: {reason_of(error)}"
    return msgspec.structs.replace(answer, ending=ending, reason=reason)


def _bundled(run: RunDirectory, found: s.Run, bundle: Path, answer: NodeAnswer) -> NodeAnswer:
    outcome = found.manifest.outcome
    if outcome is not None and outcome.state == "interrupted":
        raise KeyboardInterrupt
    try:
        write_bundle(run, bundle)
    except UsageError as error:  # what is measured cannot be handed in, here as elsewhere
        why = f"no bundle of run {run.number}: {reason_of(error)}"
        return msgspec.structs.replace(answer, reason=why)
    sha256 = files.sha256_file(bundle)
    return msgspec.structs.replace(answer, ending=Ending.DONE, bundle_sha256=sha256)


def _require_storage(address: str) -> None:
    """Raise NotForThisNodeError if there is none, before hours of measuring."""
    try:
        Storage(address)
    except StorageError as error:
        raise NotForThisNodeError(error.message, hint=error.hint) from error


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the machine's lock for a moment: a person's run comes first, and is not waited for.

    The run itself takes the lock again.
    """
    said: list[str] = []
    with host.measuring_alone(said.append, wait=False) as free:
        if not free:
            raise NotReadyError("; ".join(said))
        yield


def _require_health(found: Checkup) -> None:
    """Raise NotReadyError if doctor finds what would make numbers wrong."""
    failed = [line for line in found.lines if line.state is Readiness.FAIL]
    if failed:
        raise NotReadyError(
            "; ".join(f"{line.topic}: {line.seen}" for line in failed), hint="speedtest doctor"
        )


class _CanaryHistory(msgspec.Struct, frozen=True, kw_only=True):
    """How long the canary took on this node while it was ready, on this system."""

    system: str
    seconds: list[float]


def _require_speed(found: Labels, path: Path, canary: Callable[[], float]) -> None:
    """Raise NotReadyError if the machine is slower than it has been, and stays so for a while."""
    parts: list[Any] = [found.known.get(key) for key in ("os", "version", "build", "python")]
    system = " ".join(str(each) for each in parts)
    past: list[float] = []
    try:
        kept = files.decode_json(path.read_bytes(), _CanaryHistory)
        past = [each for each in kept.seconds if each > 0] if kept.system == system else []
    except (OSError, ValueError):
        pass  # none yet
    canary()  # warms up
    if len(past) < monitor.BASELINE:
        past += [canary() for _ in range(monitor.BASELINE)]
    else:
        cooled = monitor.cool_down(canary, past, bound_s=monitor.COOL_DOWN_S)
        if not cooled.recovered:
            raise NotReadyError(
                f"the canary takes {cooled.change:.0%} longer than in this node's last "
                f"{len(past)} jobs, also after {cooled.waited_s:.0f} s",
                hint=f"if that is how it stays, delete {path.name} in the node's folder",
            )
        past.append(canary())
    kept = _CanaryHistory(system=system, seconds=past[-_REMEMBERED:])
    files.write_bytes(path, msgspec.json.encode(kept))
