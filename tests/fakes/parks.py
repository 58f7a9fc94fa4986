"""Many machines that are not there, each with a run: what a leaderboard is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fakes.made_runs import Fake, Made, made
from mac_whisper_speedtest.leaderboard import submissions
from mac_whisper_speedtest.leaderboard.submissions import Submission
from mac_whisper_speedtest.results import schema as s

ONE_KIND = "Linux, A Processor, at 3 GHz, 8 cores, 16 GiB, One GPU, Another GPU"
ANOTHER = {"os": "Darwin", "cpu": "Apple M9", "gpus": [], "memory_bytes": 24 << 30}
ANOTHER_KIND = "Darwin, Apple M9, 8 cores, 24 GiB"

TWO = {"openai-whisper": Fake(2.0), "whisper.cpp": Fake(1.0)}


def machine(
    number: int, *, times: float = 1.0, backends: Mapping[str, Fake] = TWO, **options: Any
) -> Made:
    """A run on a machine that takes ``times`` as long as another of its kind.

    Args:
        number: of the run; its noise and its id come from it.
        times: factor on every time.
        backends: as on a usual machine.
        options: of ``made_runs.made``.
    """
    slower = {
        name: Fake(fake.seconds * times, fake.said, fake.fails, fake.changes)
        for name, fake in backends.items()
    }
    return made(slower, number=number, **options)


def deviating(run: Made, backend: str, **settings: Any) -> Made:
    """The same, but ``backend`` really decoded with other settings."""
    events = [
        msgspec.structs.replace(each, values={**each.values, **settings})
        if isinstance(each, s.Effective) and each.cell.startswith(f"{backend}/")
        else each
        for each in run.events
    ]
    return Made(run.manifest, events)


def asked(run: Made, **request: Any) -> Made:
    """The same, but something else was asked for."""
    changed = msgspec.structs.replace(run.manifest.request, **request)
    return Made(msgspec.structs.replace(run.manifest, request=changed), run.events)


def without_texts(run: Made) -> Made:
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
    return Made(msgspec.structs.replace(run.manifest, clips=clips), events)


def submitted(*runs: Made) -> list[Submission]:
    """What these bring to a leaderboard."""
    return [submissions.submission_of(each.run) for each in runs]
