"""Does metering change the metered times?

    python benchmarks/probe_cost.py [--backend NAME] [--sessions 8] [--samples 6] [--json FILE.json]

Three answers, for one backend with tiny.en on the clip "short":

- the time of each probe before and after a span (begin, end), which is outside the timed call;
- the CPU time of the tool's process *during* timed calls, as a share of the machine's cores, with
  all probes and the thread that polls GPU memory, and without any: time that the worker can lose;
- the worker's own time of a call with all probes / without: in each session one worker is called in
  turn (with, without, without, with, ...). A session's ratio is the median over its pairs. The
  script prints the estimate and the interval over sessions on the log scale (stats/intervals.py).
  Required: below 1.005.

Without an NVIDIA driver, the polling thread uses a stand-in that reads one file for each query of
the driver.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mac_whisper_speedtest.audio import builtin
from mac_whisper_speedtest.audio.recording import write_pcm
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.adapter import LoadParams, ModelParams
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.backends.cuda import UsedGpu
from mac_whisper_speedtest.machine import conditions, describe, energy, nvml
from mac_whisper_speedtest.machine.cpu import Cpu
from mac_whisper_speedtest.machine.energy import Energy
from mac_whisper_speedtest.machine.gpu import GpuMemory
from mac_whisper_speedtest.machine.memory import LinuxMemory, MacMemory, Swap
from mac_whisper_speedtest.machine.nvml import Gpu, Nvml
from mac_whisper_speedtest.machine.probe import Probe, Target
from mac_whisper_speedtest.machine.reader import Unknown
from mac_whisper_speedtest.run import monitor
from mac_whisper_speedtest.stats import intervals
from mac_whisper_speedtest.weights.locate import locate
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.launch import launch
from mac_whisper_speedtest.worker.supervisor import Deadlines, Worker

REPEATS = 30
PATIENT = Deadlines(load_s=600, warmup_s=1800, transcribe_s=1800)


class StandIn(Nvml):
    """One GPU whose driver answers after reading a file, which takes about as long as an ioctl."""

    def __init__(self) -> None:
        """Open nothing."""
        self.gpus = (Gpu("gpu0", "", None, None, None),)

    def used_bytes(self, gpu: Gpu) -> int:  # noqa: ARG002
        """Any number of bytes."""
        return len(Path("/etc/hosts").read_bytes())

    def processes(self, gpu: Gpu) -> dict[int, int | None]:  # noqa: ARG002
        """One process, with any number of bytes."""
        return {os.getpid(): len(Path("/etc/hosts").read_bytes())}

    def gpu_of(self, used: UsedGpu | None) -> Gpu | Unknown:  # noqa: ARG002
        """The only GPU, for any device of the worker."""
        return self.gpus[0]


@dataclass(slots=True)
class Side:
    """Timed calls with or without probes.

    Attributes:
        seconds: by the worker's clock, one per call.
        tool_share: CPU use of the tool's process during the call, in cores.
    """

    seconds: list[float] = field(default_factory=list)
    tool_share: list[float] = field(default_factory=list)


def all_probes() -> list[Probe]:
    library = nvml.shared()
    gpu = GpuMemory(StandIn() if isinstance(library, Unknown) else library)
    memory: Probe = MacMemory() if sys.platform == "darwin" else LinuxMemory()
    return [Cpu(), memory, Swap(), Energy(energy.available_counters()), gpu]


@contextlib.contextmanager
def ready_worker(backend: Backend, pcm: Path) -> Iterator[tuple[int, Callable[[], float]]]:
    """A warm worker's process id, and a function that has it transcribe once."""
    threads = describe.default_threads()
    weights = locate(backend.model_info("tiny.en"), notify=print)
    with tempfile.TemporaryDirectory() as scratch:
        started = launch(backend, scratch=Path(scratch), threads=threads)
        assert started is not None, f"{backend.name} is not installed"
        with Worker(started, PATIENT) as worker:
            worker.hello()
            model = ModelParams(weights.model, str(weights.path), weights.format)
            worker.load(LoadParams(model, "auto", threads))
            params = m.TranscribeParams(
                m.AudioParams(str(pcm), pcm.stat().st_size // 4),
                DecodeContract(),
            )

            def take() -> float:
                return worker.transcribe(params).value.seconds

            take()
            yield worker.pid, take


def timed(take: Callable[[], float], side: Side) -> None:
    began, own = time.perf_counter(), time.process_time()
    side.seconds.append(take())
    side.tool_share.append((time.process_time() - own) / (time.perf_counter() - began))


def metered(take: Callable[[], float], side: Side, probes: list[Probe], target: Target) -> None:
    for probe in probes:
        probe.begin(target)
    timed(take, side)
    for probe in reversed(probes):
        probe.end(target)


def session(backend: Backend, pcm: Path, samples: int, *, first: bool) -> tuple[Side, Side]:
    """Calls with and without probes, in turn; ``first``: whether the side with probes begins."""
    probed, plain = Side(), Side()
    with ready_worker(backend, pcm) as (pid, take):
        probes = all_probes()
        for index in range(samples):
            if (index % 2 == 0) == first:
                metered(take, probed, probes, Target(pid))
                timed(take, plain)
            else:
                timed(take, plain)
                metered(take, probed, probes, Target(pid))
    return probed, plain


def edges(pid: int) -> list[dict[str, float | str]]:
    """Median milliseconds of each probe's begin and end around an empty span."""
    rows: list[dict[str, float | str]] = []
    target = Target(pid)
    for probe in all_probes():
        begins, ends = [], []
        for _ in range(REPEATS):
            began = time.perf_counter()
            probe.begin(target)
            between = time.perf_counter()
            probe.end(target)
            begins.append(between - began)
            ends.append(time.perf_counter() - between)
        rows.append(
            {
                "probe": probe.name,
                "begin_ms": 1e3 * statistics.median(begins),
                "end_ms": 1e3 * statistics.median(ends),
            }
        )
    for name, look in (("conditions", conditions.read_conditions), ("canary", monitor.run)):
        took = []
        for _ in range(REPEATS // 3):
            began = time.perf_counter()
            look()
            took.append(time.perf_counter() - began)
        rows.append({"probe": name, "begin_ms": 1e3 * statistics.median(took), "end_ms": 0.0})
    return rows


def ratio(sessions: list[tuple[Side, Side]]) -> dict[str, float | None]:
    """With probes / without, by the worker's clock."""
    logs = [
        statistics.median(
            math.log(probed / plain)
            for probed, plain in zip(one.seconds, other.seconds, strict=True)
        )
        for one, other in sessions
    ]
    found = intervals.of_center(logs)
    return {
        "ratio": math.exp(found.estimate if found else logs[0]),
        "low": math.exp(found.low) if found else None,
        "high": math.exp(found.high) if found else None,
        "level": found.level if found else None,
    }


def shares(sessions: list[tuple[Side, Side]]) -> dict[str, float]:
    """The tool's CPU time during calls, as a share of all cores."""
    cores = os.cpu_count() or 1
    with_probes = [share for side, _ in sessions for share in side.tool_share]
    without = [share for _, side in sessions for share in side.tool_share]
    return {
        "with_probes": statistics.median(with_probes) / cores,
        "without": statistics.median(without) / cores,
    }


def show(rows: list[dict[str, float | str]], found: dict[str, Any], part: dict[str, float]) -> None:
    print(f"{'probe':12} {'before, ms':>10} {'after, ms':>10}   (outside of the timed call)")
    for row in rows:
        print(f"{row['probe']:12} {row['begin_ms']:10.2f} {row['end_ms']:10.2f}")
    print(
        f"the tool during timed calls: {part['with_probes']:.2%} of all cores with probes, "
        f"{part['without']:.2%} without"
    )
    print(f"worker's time, with probes / without: {found['ratio']:.4f}", end="")
    if found["low"] is None:
        print("; two sessions and more give an interval")
    else:
        print(f", {found['low']:.4f} to {found['high']:.4f} ({found['level']:.0%})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--backend", default="faster-whisper")
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--samples", type=int, default=6)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    (backend,) = registry.select([arguments.backend], registry.installed())
    clip = builtin.load("short", notify=print)
    taken: list[tuple[Side, Side]] = []
    with tempfile.TemporaryDirectory() as folder:
        pcm = Path(folder) / "audio.f32"
        write_pcm(clip, pcm)
        with ready_worker(backend, pcm) as (pid, _):
            rows = edges(pid)
        for number in range(arguments.sessions):
            probed, plain = session(backend, pcm, arguments.samples, first=number % 2 == 0)
            taken.append((probed, plain))
            medians = statistics.median(probed.seconds), statistics.median(plain.seconds)
            print(
                f"session {number + 1}/{arguments.sessions}: {medians[0]:.4f} s with probes, "
                f"{medians[1]:.4f} s without",
                flush=True,
            )
            found, part = ratio(taken), shares(taken)
            if arguments.json:  # after each session, so that a later failure loses nothing
                document = {
                    "machine": msgspec.to_builtins(describe.describe()),
                    "backend": backend.name,
                    "stand_in_for_nvml": isinstance(nvml.shared(), Unknown),
                    "edges": rows,
                    "tool_share": part,
                    "ratio": found,
                    "sessions": [[asdict(side) for side in pair] for pair in taken],
                }
                arguments.json.write_text(json.dumps(document) + "\n", encoding="utf-8")
    show(rows, found, part)
    return 0


if __name__ == "__main__":
    sys.exit(main())
