"""Checks whether weights load: the backend loads them in a worker without a network."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mac_whisper_speedtest.backends.adapter import LoadParams, ModelParams
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.declared import Word
from mac_whisper_speedtest.http_errors import PUBLIC_HUB
from mac_whisper_speedtest.machine.caches import compile_caches
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.worker import ownership, process_tree
from mac_whisper_speedtest.worker.compilation import ANNOUNCEMENT, Compilation, compilation_of
from mac_whisper_speedtest.worker.exit_status import Status, WorkerExit, WorkerFailureError
from mac_whisper_speedtest.worker.isolation import RefusedNetwork, refused_network
from mac_whisper_speedtest.worker.launch import Launch, launch, not_installed
from mac_whisper_speedtest.worker.protocol import Stage
from mac_whisper_speedtest.worker.supervisor import Deadlines, Worker

# How libraries report that they are offline and did not query the hub: the names of
# huggingface-hub's exceptions, and its and transformers' messages.
_OFFLINE_ERRORS = {
    "OfflineModeIsEnabled",
    "LocalEntryNotFoundError",
    "IncompleteSnapshotError",
    "NetworkRefusedError",
}
_OFFLINE_WORDS = re.compile(
    r"offline mode|outgoing traffic has been disabled|couldn't connect to|cannot find the requested"
    r" files in the (local|disk) cache",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"https?://[^\s'\"<>)]+")


class LoadOutcome(Word):
    """How a load ended."""

    LOADED = (
        "loaded",
        "with the seconds it took; the message names hosts that it requested and that were refused",
    )
    TOO_SLOW = (
        "too slow",
        "it was still computing or reading at its deadline; `--timeout` sets a longer one",
    )
    WOULD_DOWNLOAD = (
        "would download",
        "it tried to reach a host, which is named, or its library reported that it is offline",
    )
    FAILED = (
        "failed",
        "with the class and message of the error; also when it did nothing until the deadline",
    )
    CRASHED = (
        "crashed",
        "a signal, too little memory, or an unreadable answer",
    )
    NOT_CHECKED = (
        "not checked",
        "no backend here can load it; the message has the reason",
    )


@dataclass(frozen=True, slots=True)
class LoadCheck:
    """The result of one attempt to load weights.

    Attributes:
        seconds: of the load alone if it succeeded, else from start to end.
        error_class: an exception's class, or a signal's name.
        message: one line for a person, without private data.
        hosts: hosts that were requested and refused, also when the load succeeded.
        version: of the backend's library.
        network_not_blocked: why the network could not be blocked for native code and other
            programs; empty if it was blocked, or if nothing was started.
    """

    outcome: LoadOutcome
    seconds: float | None = None
    error_class: str = ""
    message: str = ""
    hosts: tuple[str, ...] = ()
    version: str = ""
    network_not_blocked: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """The weights to load, the backend that loads them, and the deadlines.

    Attributes:
        load_s: deadline of the load itself, in seconds.
        import_s: deadline of importing the library, in seconds.
        load_s_requested: the user requested this deadline, so it is never extended.
    """

    backend: Backend
    model: ModelParams
    device: str
    threads: int
    load_s: float
    import_s: float = 300.0
    load_s_requested: bool = False


def check(trial: Trial, observer: Observer | None = None) -> LoadCheck:
    """Load the weights once in a fresh worker, and remove everything it leaves behind.

    If the deadline passes while the worker computes or reads, the outcome is ``too slow``: the
    weights may be good. The same applies while Core ML may be compiling, which a system process
    does while the worker waits.
    """
    observer = observer or Observer()
    with ownership.temporary_folder() as work, refused_network(work) as network:
        started = launch(trial.backend, scratch=work, threads=trial.threads)
        if started is None:
            return LoadCheck(LoadOutcome.NOT_CHECKED, message=not_installed(trial.backend))
        seen = compile_caches(Path(started.argv[0]).name)
        compiles = compilation_of(trial.backend, trial.device, seen)
        if compiles is not None and compiles.first:
            observer.notify(f"{trial.model.name} in {trial.backend.label}: {ANNOUNCEMENT}")
        limits = Deadlines(import_s=trial.import_s, load_s=trial.load_s).allowing(
            compiles, requested=trial.load_s_requested
        )
        found = _load(trial, network.applied_to(started), network, limits, observer)
    if not network.not_blocked or found.outcome is LoadOutcome.NOT_CHECKED:
        return found
    reason = scrub(network.not_blocked)
    words = filter(None, (found.message, f"network not blocked: {reason}"))
    return dataclasses.replace(found, message="; ".join(words), network_not_blocked=reason)


def _load(
    trial: Trial,
    started: Launch,
    network: RefusedNetwork,
    limits: Deadlines,
    observer: Observer,
) -> LoadCheck:
    began = time.monotonic()
    version, working = "", False
    try:
        with (
            Worker(started, limits, observer=observer) as worker,
            process_tree.ProgressMonitor(worker.pid) as watch,
        ):
            try:
                version = worker.hello().value.version
                loaded = worker.load(LoadParams(trial.model, trial.device, trial.threads))
            finally:
                # With a short deadline, the start of the process must not count as progress.
                working = watch.was_working(limits.load_s / 2)
            late = worker.shutdown()
    except WorkerFailureError as failure:
        waited = time.monotonic() - began
        return dataclasses.replace(
            classify_load(
                failure.ending,
                network.attempts(),
                working=working,
                waited_s=waited,
                compilation=limits.compilation,
            ),
            version=version,
        )
    remarks = [late.message] if late.message else []
    hosts = tuple(network.attempts())
    if hosts:
        remarks.append(f"it requested {', '.join(hosts)}, was refused and continued")
    return LoadCheck(
        LoadOutcome.LOADED,
        loaded.value.load_s,
        message=scrub("; ".join(remarks)),
        hosts=hosts,
        version=version,
    )


def classify_load(
    ending: WorkerExit,
    attempts: list[str],
    *,
    working: bool,
    waited_s: float,
    compilation: Compilation | None = None,
) -> LoadCheck:
    """Classify a load that failed.

    Args:
        ending: how the worker ended.
        attempts: the hosts that it requested, all refused.
        working: whether it was computing, reading or writing until the end.
        waited_s: from start to end, in seconds.
        compilation: what the load may have been compiling with Core ML.
    """
    failed = LoadCheck(
        LoadOutcome.FAILED, waited_s, ending.error_class, scrub(ending.message), tuple(attempts)
    )
    if ending.status is Status.UNAVAILABLE:
        return dataclasses.replace(failed, outcome=LoadOutcome.NOT_CHECKED)
    offline_host = _host_of_offline_error(ending)
    if attempts or offline_host:
        hosts = tuple(attempts) or (offline_host,)
        message = f"tried to reach {', '.join(hosts)}: {failed.message}"
        return dataclasses.replace(
            failed, outcome=LoadOutcome.WOULD_DOWNLOAD, hosts=hosts, message=message
        )
    if ending.status in {Status.CRASHED, Status.OUT_OF_MEMORY, Status.PROTOCOL_VIOLATION}:
        return dataclasses.replace(failed, outcome=LoadOutcome.CRASHED)
    if ending.status is Status.TIMEOUT:
        compiling = compilation is not None and ending.stage == Stage.LOAD
        return _judge_late(failed, compiling=compiling, working=working, waited_s=waited_s)
    return failed


def _judge_late(failed: LoadCheck, *, compiling: bool, working: bool, waited_s: float) -> LoadCheck:
    """Classify a load that missed its deadline."""
    if compiling:
        return dataclasses.replace(failed, outcome=LoadOutcome.TOO_SLOW)
    if working:
        message = f"still working after {waited_s:.0f} s: try a longer --timeout"
        return dataclasses.replace(failed, outcome=LoadOutcome.TOO_SLOW, message=message)
    message = f"{failed.message}; it was idle at the end"
    return dataclasses.replace(failed, message=message)


def _host_of_offline_error(ending: WorkerExit) -> str:
    """The host that a library did not query because it is offline; empty for other errors."""
    output = f"{ending.message}\n{ending.log_tail}"
    if ending.error_class not in _OFFLINE_ERRORS and not _OFFLINE_WORDS.search(output):
        return ""
    address = _ADDRESS.search(output)
    hub = os.environ.get("HF_ENDPOINT") or PUBLIC_HUB
    return urlsplit(address.group() if address else hub).netloc.rpartition("@")[2]
