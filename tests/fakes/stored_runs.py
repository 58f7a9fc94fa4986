"""Runs in the data folder, written as ``run.session`` writes them, with nothing measured."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.journal import Journal
from mac_whisper_speedtest.summary.summarize import summarize
from mac_whisper_speedtest.version import __version__

SPOKEN = "It was the best of times, it was the worst of times"
AUDIO_S = 10.0


def manifest(
    number: int,
    *,
    backends: Sequence[str] = ("a", "b"),
    models: Sequence[str] = ("tiny.en",),
    tags: Sequence[str] = (),
    rounds: int = 2,
    runs: int = 2,
    cpu: str = "A Processor",
) -> s.Manifest:
    """What is known beforehand of a run of ``backends`` × ``models`` on one recording of 10 s."""
    settings = {"name": "greedy", **DecodeContract().settings()}
    request = s.RequestInfo(
        models=list(models),
        backends=list(backends),
        clips=["speech"],
        contract=settings,
        rounds=rounds,
        passes=runs,
        seed=1,
        threads=4,
        device="auto",
        precision="auto",
        max_time_s=60.0,
        timeout_s=None,
        retries=0,
        fail_fast=False,
        max_failures=None,
        max_memory_bytes=None,
        backends_named=True,
    )
    cells = [
        s.CellPlan(
            id=f"{backend}/{model}/speech",
            backend=backend,
            model=model,
            clip="speech",
            weights=s.WeightsInfo(
                model=model,
                form="ggml",
                precision="float16",
                files={"weights.bin": hashlib.sha256(model.encode()).hexdigest()},
                size_bytes=1,
                source="made up",
            ),
        )
        for model in models
        for backend in backends
    ]
    return s.Manifest(
        schema_version=s.SCHEMA_VERSION,
        run=number,
        started_at="2026-11-20T10:00:00+00:00",
        tool=s.ToolInfo(name="mac-whisper-speedtest", version=__version__, git_sha=None),
        machine=s.MachineInfo(
            os="Linux",
            os_version="6.1",
            architecture="x86_64",
            python="3.11.7",
            cpu=cpu,
            physical_cores=4,
            logical_cores=8,
            memory_bytes=16 << 30,
            gpus=None,
            load_average_1m=0.1,
        ),
        request=request,
        request_sha256=hashlib.sha256(
            msgspec.json.encode(request, order="deterministic")
        ).hexdigest(),
        libraries={},
        clips=[
            s.ClipInfo(
                name="speech",
                seconds=AUDIO_S,
                samples=160_000,
                pcm_sha256="ab" * 32,
                source="a file of the user's",
                language="en",
                reference=SPOKEN,
            )
        ],
        cells=cells,
        schedule=[[cell.id for cell in cells] for _ in range(rounds)],
        run_id=uuid.uuid4().hex,
        tags=list(tags),
    )


def events(of: s.Manifest, *, seed: int = 1) -> Iterator[s.Event]:
    """What is written down while that run is measured, to its end; each cell is faster by a tenth.

    The noise is 2 %, from ``seed``.
    """
    noise = random.Random(seed)
    for number, visit in enumerate(of.schedule):
        for place, cell in enumerate(visit):
            yield from _round(cell, number, 1.0 / (1 + 0.1 * place), of.request.passes, noise)
    yield s.RunEnded(state="complete")


def write(seal: bool = True, seed: int = 1, **changes: Any) -> RunDirectory:
    """The next run of the data folder, with ``changes`` to its manifest as ``manifest`` takes them.

    Args:
        seal: whether it came to its end; else the tool was killed before the last line.
        seed: of its noise.
        changes: see ``manifest``.
    """
    run = directory.create()
    head = manifest(run.number, **changes)
    run.write_manifest(head)
    with Journal(run.journal_path) as book:
        for event in events(head, seed=seed):
            if seal or not isinstance(event, s.RunEnded):
                book.append(event)
    if seal:
        run.seal(summarize(run.replay()))
    return run


def sample(cell: str, number: int, index: int, seconds: float) -> s.Sample:
    """A transcription that got every word right."""
    return s.Sample(
        cell=cell,
        round=number,
        attempt=0,
        index=index,
        kind="warmup" if index < 0 else "timed",
        seconds=seconds,
        wall_s=seconds + 0.001,
        text=SPOKEN,
        segments=[s.SegmentInfo(start_s=0.0, end_s=AUDIO_S, text=SPOKEN)],
        language="en",
        tokens=12,
        cpu_s=seconds,
        peak_rss_bytes=300_000_000,
    )


def _round(
    cell: str, number: int, seconds: float, runs: int, noise: random.Random
) -> Iterator[s.Event]:
    where: dict[str, Any] = {"cell": cell, "round": number, "attempt": 0}
    yield s.WorkerStarted(**where)
    yield s.Loaded(
        **where,
        spawn_s=0.1,
        import_s=0.2,
        hello_wall_s=0.3,
        load_s=0.4,
        load_wall_s=0.4,
        version="1.10",
        versions={"numpy": "2.0"},
        device="cpu",
        precision="float32",
        details={},
    )
    yield s.Effective(**where, values=DecodeContract().settings(), observed=[], remarks=[])
    for index in range(-1, runs):
        yield sample(cell, number, index, seconds * noise.gauss(1.0, 0.02))
    yield s.WorkerEnded(
        **where,
        status="ok",
        stage="",
        error_class="",
        message="",
        log_tail="",
        exit_code=0,
    )
