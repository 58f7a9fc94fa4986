"""What checks measure with: a worker that does known work, and the machine's own tools."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from mac_whisper_speedtest.backends.adapter import LoadParams, ModelParams
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.backends.cuda import UsedGpu
from mac_whisper_speedtest.machine.probe import Probe, Target
from mac_whisper_speedtest.machine.reader import Reader, Unknown
from mac_whisper_speedtest.selfcheck.kit import Measurement
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.launch import launch
from mac_whisper_speedtest.worker.supervisor import Deadlines, Worker

_ADAPTER = "mac_whisper_speedtest.selfcheck.known_work:KnownWork"
_DEADLINES = Deadlines(import_s=60, load_s=60, warmup_s=60, transcribe_s=60, unload_s=10)
_SAMPLES = 1600

ERROR = "error"
"""The name of the text with an error that occurred while measuring."""

BUSY_LOAD = 0.5
"""Load average per core above which idle daemons are not all that runs."""
CLOSE = "close other programs; repeat"
SEND = "send the kit: speedtest selfcheck -o kit.zip"

Figures = dict[str, float | Sequence[float] | str | Unknown | None]
"""Name → figure, figures, text, or why it is missing; ``None`` is left out."""


@dataclass(slots=True)
class KnownWorker:
    """A worker that does known work; ``gpu`` is the NVIDIA GPU that it names."""

    worker: Worker
    scratch: Path
    mark: str
    gpu: UsedGpu | None = None

    @property
    def target(self) -> Target:
        """What meters meter."""
        return Target(self.worker.pid, self.gpu)

    def do(self, work: str, **arguments: float | str) -> Mapping[str, float | str]:
        """Let it do a work of `known_work`, and return its report.

        Raises:
            WorkerFailureError: it did not answer.
        """
        model = ModelParams(work, json.dumps(arguments), "none")
        loaded = self.worker.load(LoadParams(model, "cpu", 1)).value
        self.gpu = loaded.gpu or self.gpu
        audio = m.AudioParams(str(self.scratch / "silence.f32"), _SAMPLES)
        said = self.worker.transcribe(m.TranscribeParams(audio, DecodeContract())).value.text
        facts: dict[str, float | str] = json.loads(said)
        return facts


@dataclass(slots=True)
class Workbench:
    """The place in which checks measure.

    Attributes:
        folder: for temporary files.
        reader: of this machine.
        raw: texts of the system's tools, by the names in `kit.RAW`; checks add to them.
        gpus: the kinds of GPU that were found: ``cuda``, ``metal``.
        ends_at: when everything must have ended, by the monotonic clock.
        left: checks that are not done yet, which share the time until then.
        heard: label of a backend → its text on the CPU.
    """

    folder: Path
    reader: Reader = field(default_factory=Reader)
    raw: dict[str, str] = field(default_factory=dict)
    gpus: frozenset[str] = frozenset()
    ends_at: float = math.inf
    left: int = 1
    heard: dict[str, str] = field(default_factory=dict)

    def at_most(self, seconds: float) -> float:
        """``seconds``, or the time left for each check if that is less."""
        return max(1.0, min(seconds, (self.ends_at - time.monotonic()) // self.left))

    @contextmanager
    def known_worker(
        self, *, python: str = "", memory_limit: int | None = None
    ) -> Iterator[KnownWorker]:
        """A worker that is ready for known work; it is killed at the end of the block.

        Args:
            python: the interpreter; by default the tool's.
            memory_limit: in bytes.

        Raises:
            WorkerFailureError: it did not start.
        """
        backend = Backend("known-work", adapter=_ADAPTER, python=python)
        with TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True) as name:
            scratch = Path(name)
            (scratch / "silence.f32").write_bytes(bytes(4 * _SAMPLES))
            started = launch(backend, scratch=scratch, threads=1)
            assert started is not None, "it has an interpreter"
            with Worker(started, _DEADLINES, memory_limit=memory_limit) as worker:
                worker.hello()
                yield KnownWorker(worker, scratch, started.mark)


def measurement(
    check: str, figures: Figures, *, subject: str = "", gpu: bool = False
) -> Measurement:
    """What a check measured; how long that took is filled in by its caller."""
    values: dict[str, list[float]] = {}
    texts: dict[str, str] = {}
    unknown: dict[str, str] = {}
    for name, value in figures.items():
        if isinstance(value, Unknown):
            unknown[name] = value.reason
        elif isinstance(value, str):
            texts[name] = value
        elif isinstance(value, int | float):
            values[name] = [float(value)]
        elif value is not None:
            values[name] = [float(each) for each in value]
    return Measurement(
        check=check, subject=subject, gpu=gpu, seconds=0, values=values, texts=texts,
        unknown=unknown,
    )  # fmt: skip


def not_measured(check: str, reason: str, *, subject: str = "", gpu: bool = False) -> Measurement:
    """A measurement that could not be made."""
    return measurement(check, {"": Unknown(reason)}, subject=subject, gpu=gpu)


def failed(check: str, why: str, *, subject: str = "", gpu: bool = False) -> Measurement:
    """A measurement during which something went wrong that should not."""
    return measurement(check, {ERROR: why}, subject=subject, gpu=gpu)


def metered(probe: Probe, target: Target, prefix: str = "") -> Figures:
    """The figures of a probe for the span that ends now, with their quality."""
    found: Figures = {}
    for name, each in probe.end(target).items():
        found[f"{prefix}{name}"] = Unknown(each.reason) if each.value is None else each.value
        if each.quality:
            found[f"{prefix}{name} quality"] = each.quality
    return found


def load_figures() -> Figures:
    """How busy the machine is with other programs."""
    return {"load_average": os.getloadavg()[0], "cores": float(os.cpu_count() or 1)}


def is_busy(found: Measurement) -> bool:
    """Whether more ran than the daemons of an idle machine. Raises UnknownFactError."""
    return found.number("load_average") / found.number("cores") > BUSY_LOAD
