"""What measured: this program, the machine, and how much it is disturbed."""

from __future__ import annotations

from typing import Annotated

from mac_whisper_speedtest.declared import Column, Doc, FieldPolicy
from mac_whisper_speedtest.results.schema.base import Struct


class ToolInfo(Struct, frozen=True, kw_only=True):
    """This program: its version and, from a checkout, its commit."""

    name: Annotated[str, Doc("`mac-whisper-speedtest`"), FieldPolicy.KEPT]
    version: Annotated[
        str, Doc("version of this program"), FieldPolicy.KEPT, Column("tool_version")
    ]
    git_sha: Annotated[
        str | None,
        Doc(
            "the commit of the checkout it ran from. Uncommitted changes do not show",
            null="it was not run from a checkout, or git did not answer",
        ),
        FieldPolicy.KEPT,
        Column("tool_git_sha"),
    ]


class MachineInfo(Struct, frozen=True, kw_only=True):
    """The machine, without anything that names its owner."""

    os: Annotated[str, Doc("`Darwin` or `Linux`"), FieldPolicy.KEPT, Column()]
    os_version: Annotated[
        str,
        Doc("version of the system: that of macOS; on Linux the kernel's release"),
        FieldPolicy.NUMBERS,
        Column(),
    ]
    architecture: Annotated[str, Doc("`arm64`, `x86_64`, ..."), FieldPolicy.KEPT, Column()]
    python: Annotated[
        str, Doc("the tool's Python. A worker's own is in `versions`"), FieldPolicy.KEPT
    ]
    cpu: Annotated[
        str | None,
        Doc("the processor's model name", null="the system names none"),
        FieldPolicy.SCRUBBED,
        Column(),
    ]
    physical_cores: Annotated[
        int | None,
        Doc("physical cores", null="the system does not report it"),
        FieldPolicy.KEPT,
        Column(),
    ]
    logical_cores: Annotated[
        int | None,
        Doc("hardware threads", null="the system does not report it"),
        FieldPolicy.KEPT,
        Column(),
    ]
    memory_bytes: Annotated[
        int | None,
        Doc(
            "main memory of the machine, whatever a container allows",
            unit="byte",
            null="the system does not report it",
        ),
        FieldPolicy.KEPT,
        Column(),
    ]
    gpus: Annotated[
        list[str] | None,
        Doc(
            "GPU model names; only of Apple's and NVIDIA's",
            null="none of these was found",
        ),
        FieldPolicy.SCRUBBED,
        Column(),
    ]
    load_average_1m: Annotated[
        float | None,
        Doc(
            "load average over the last minute, before the run",
            unit="processes",
            null="the system does not report it",
        ),
        FieldPolicy.KEPT,
    ]
    unknown: Annotated[
        dict[str, str], Doc("field name → the error of the probe that failed"), FieldPolicy.SCRUBBED
    ] = {}


class NoiseInfo(Struct, frozen=True, kw_only=True):
    """What ``speedtest noise`` found by measuring one cell against itself on this machine.

    The largest floor of all backends tried. Differences are fractions: 0.02 is 2 %.
    """

    floor: Annotated[
        float,
        Doc(
            "noise floor of the machine, which identical cells may differ by: the farther end "
            "of the 95 % interval of their ratio",
            unit="fraction",
        ),
        FieldPolicy.KEPT,
        Column("noise_floor"),
    ]
    smallest_detectable: Annotated[
        float,
        Doc("the difference that so many rounds find in nine of ten runs", unit="fraction"),
        FieldPolicy.KEPT,
    ]
    spread: Annotated[
        float, Doc("standard deviation of the logarithm of one round's ratio"), FieldPolicy.KEPT
    ]
    ratio: Annotated[float, Doc("time of the one cell ÷ time of the other"), FieldPolicy.KEPT]
    verdict: Annotated[
        str,
        Doc("what was said of the two at a margin of 2 %. `FASTER` or `SLOWER` is a false one"),
        FieldPolicy.KEPT,
    ]
    rounds: Annotated[int, Doc("rounds that both have"), FieldPolicy.KEPT]
    rounds_for: Annotated[
        dict[str, int | None],
        Doc(
            "difference (`0.01`, `0.02`, `0.05`) → rounds that find it in nine of ten runs; null "
            "in it where no number of rounds does",
        ),
        FieldPolicy.KEPT,
    ]
    backend: Annotated[str, Doc("what it was measured with"), FieldPolicy.NAME]
    model: Annotated[str, Doc("canonical model name"), FieldPolicy.NAME]
    measured_at: Annotated[str, Doc("ISO 8601, UTC"), FieldPolicy.KEPT]
