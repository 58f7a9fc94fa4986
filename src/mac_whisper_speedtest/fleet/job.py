"""What a fleet's machines exchange: jobs to a node, and answers from it. Never a measurement.

A job is one request of ``speedtest run``, and where to measure it. Its id is a hash of all of that,
so that the same work has the same id on every machine and after every restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from mac_whisper_speedtest import files, limits, request
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.request import Request

FORMAT = 1
"""Of jobs. A node refuses another one: it would do other work under the same name."""

LOCAL_OPTIONS = frozenset(
    {"manifest", "mic", "mic_seconds", "keep_recording", "reference_text", "resume"}
)
"""Options of a run that mean something on one machine only."""

Name = Annotated[str, msgspec.Meta(max_length=limits.LONGEST_NAME)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Attempt = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request to be measured once, on any node that meets the constraints.

    Attributes:
        format: `FORMAT`.
        request: the options of the run that are not their defaults, by the keywords of Python.
        on: constraints, such as ``memory>=16G``; the node meets all of them.
        repetition: which of several measurements of the same request, from 0.
        campaign: a name that makes the same request new work, such as ``2026-W48``.
        to: the folder or address where the bundle is stored.
    """

    request: dict[str, Any]
    to: Name
    on: tuple[Name, ...] = ()
    repetition: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    campaign: Name = ""
    format: int = FORMAT

    @property
    def id(self) -> str:
        """SHA-256 of what defines the job, as 64 hexadecimal digits."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()

    def asked(self) -> Request:
        """The request, checked as the command line checks it. Raises UsageError."""
        try:
            return request.from_keywords(**self.request)
        except TypeError as error:
            raise UsageError(
                f"this job has an option that is unknown here: {error}",
                hint="use the same version of mac-whisper-speedtest on every machine",
            ) from error


class Delivery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job on its way to a node.

    Attributes:
        deadline_s: the longest that it may take there; None if the node shall estimate that. It
            does not change what is measured, so it is no part of the job.
    """

    job: Job
    attempt: Attempt
    deadline_s: Annotated[float, msgspec.Meta(gt=0, le=limits.LONGEST_S)] | None = None


class Ending(StrEnum):
    """How an attempt ended on its node.

    Only `DONE` has a bundle in storage. A run with failed cells is done: failures are results.
    """

    DONE = "done"
    REFUSED = "refused"
    """The request cannot be measured on this node: its options, its weights, its labels."""
    NOT_READY = "not ready"
    """The machine is not quiet or not healthy now; it may be later."""
    INTERRUPTED = "interrupted"
    CRASHED = "crashed"
    NOT_STORED = "not stored"
    """Measured, and kept on the node: storage refused the bundle. The node tries again."""


class NodeAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a node says of an attempt.

    Attributes:
        id: of the job.
        bundle_sha256: of the bundle; None without one.
        address: of the bundle in storage; None without one.
        reason: one line for people if the ending is not `Ending.DONE`.
    """

    id: Sha256
    attempt: Attempt
    ending: Ending
    bundle_sha256: Sha256 | None = None
    address: Annotated[str, msgspec.Meta(max_length=2 * limits.LONGEST_NAME)] | None = None
    reason: Annotated[str, msgspec.Meta(max_length=limits.LONGEST_MESSAGE)] = ""


def keywords(asked: Request) -> dict[str, Any]:
    """A request as the options that a job carries.

    Raises:
        UsageError: an option that only works on one machine.
    """
    given = {
        name: getattr(asked, name)
        for name in request.OPTIONS
        if getattr(asked, name) != request.default_of(name)
    }
    if "contract" in given:  # its name stands for its settings
        given["contract"] = given["contract"]["name"]
    if local := sorted(LOCAL_OPTIONS & given.keys()):
        flag = request.OPTIONS[local[0]].flag
        raise UsageError(
            f"{flag} works on one machine only",
            hint="give a fleet its audio as --clip, --dataset or an https address with --audio",
        )
    if "audio" in given and "://" not in str(given["audio"]):
        raise UsageError(
            f"--audio {given['audio']} is a file of this machine; nodes do not have it",
            hint="give a fleet its audio as --clip, --dataset or an https address with --audio",
        )
    return given


def jobs_of(
    asked: Request, *, on: Sequence[str], repeat: int = 1, campaign: str = "", to: str
) -> list[Job]:
    """One job for each of ``on`` and each repetition, repetition by repetition.

    Args:
        asked: what each of them measures.
        on: constraints, a comma between those that hold together; each must have one at least.
        repeat: how often each is measured.
        campaign: see `Job`.
        to: see `Job`.

    Raises:
        UsageError: an option that only works on one machine, or a constraint that is empty.
    """
    # In order, so that the same work has the same id however it is typed.
    together = [tuple(sorted({each.strip() for each in text.split(",")})) for text in on]
    for text, each in zip(on, together, strict=True):
        if "" in each:
            raise UsageError(
                f"--on {text!r} has an empty constraint",
                hint="write it like --on 'memory>=16G,os=macos'",
            )
    given = keywords(asked)
    return [
        Job(request=given, to=to, on=each, repetition=repetition, campaign=campaign)
        for repetition in range(repeat)
        for each in dict.fromkeys(together)
    ]


def encode(message: Job | Delivery | NodeAnswer) -> str:
    """A message as JSON, on one line."""
    return msgspec.json.encode(message).decode()


def decode_delivery(text: str) -> Delivery:
    """A delivery from the scheduler. Raises ValueError for anything else."""
    found = files.decode_json(text.encode(), Delivery)
    if found.job.format != FORMAT:
        raise ValueError(f"format {found.job.format}; this version knows {FORMAT}")
    return found


def decode_answer(text: str) -> NodeAnswer:
    """An answer from a node. Raises ValueError for anything else."""
    return files.decode_json(text.encode(), NodeAnswer)
