"""Many machines that are not there, each with a run: what a leaderboard is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from fakes.runs import FakeCell, FakeRun, run_of_set
from mac_whisper_speedtest.leaderboard import submissions
from mac_whisper_speedtest.leaderboard.submissions import Submission
from mac_whisper_speedtest.results import schema as s

ONE_KIND = "Linux, A Processor, at 3 GHz, 8 cores, 16 GiB, One GPU, Another GPU"
ANOTHER = {
    "os": "Darwin",
    "os_version": "26.2",
    "os_build": "25C56",
    "cpu": "Apple M9",
    "gpus": ["Apple M9"],
    "gpu_cores": 10,
    "hardware_model": "Mac20,1",
    "memory_bytes": 24 << 30,
}
ANOTHER_KIND = "macOS 26, Apple M9, 8 cores, 24 GiB, 10 GPU cores, Mac20,1"

TWO = (FakeCell("openai-whisper", rtf=0.2), FakeCell("whisper.cpp", rtf=0.1))


def machine(
    number: int, *, times: float = 1.0, backends: Sequence[FakeCell] = TWO, **options: Any
) -> FakeRun:
    """A run on a machine that takes ``times`` as long as another of its kind.

    Args:
        number: of the run; its noise and its id come from it.
        times: factor on every time.
        backends: as on a usual machine; of two cells of one backend the last counts.
        options: of ``run_of``.
    """
    slower: dict[object, FakeCell] = {}
    for cell in backends:
        assert isinstance(cell.rtf, float)
        slower[cell.backend] = replace(cell, rtf=cell.rtf * times)
    return run_of_set(*slower.values(), number=number, **options)


def without_texts(run: FakeRun) -> FakeRun:
    """The same as a bundle has it that was made without texts."""
    clips = [
        msgspec.structs.replace(
            clip,
            utterances=[msgspec.structs.replace(each, reference=None) for each in clip.utterances],
        )
        for clip in run.manifest.clips
    ]
    events = [
        msgspec.structs.replace(each, text="") if isinstance(each, s.Sample) else each
        for each in run.events
    ]
    return FakeRun(msgspec.structs.replace(run.manifest, clips=clips), events)


def submitted(*runs: FakeRun) -> list[Submission]:
    """What these bring to a leaderboard."""
    return [submissions.submission_of(each.run) for each in runs]
