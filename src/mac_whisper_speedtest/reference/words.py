"""Words in results and in progress: statuses, findings, readings, conditions; lines of the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from mac_whisper_speedtest.cli import progress
from mac_whisper_speedtest.declared import Doc, declarations
from mac_whisper_speedtest.errors import ErrorClass
from mac_whisper_speedtest.machine import cpu, energy, gpu, memory
from mac_whisper_speedtest.machine.conditions import Conditions
from mac_whisper_speedtest.machine.probe import Quality
from mac_whisper_speedtest.reference.markdown import code, codes, docstring, link, page, table
from mac_whisper_speedtest.reference.structs import spoken_name, struct_section, words
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.schema.measured import LoadRung
from mac_whisper_speedtest.results.schema.words import FindingKind
from mac_whisper_speedtest.stats.ranking import Verdict
from mac_whisper_speedtest.worker.exit_status import Status
from mac_whisper_speedtest.worker.protocol import Allocator

_READINGS: Mapping[str, Mapping[str, Doc]] = {
    "Linux": memory.LINUX_READINGS,
    "macOS": memory.MACOS_READINGS,
    "Linux, macOS": memory.SWAP_READINGS,
    "NVIDIA": gpu.READINGS,
    "where there are counters": energy.READINGS,
}


def in_results() -> str:
    """Words in results: statuses, error classes, verdicts, findings, conditions, readings."""
    return page(
        "Reference: words in results",
        "The fields that hold them are in [results.md](results.md). Statuses and verdicts keep "
        "their meaning; kinds of findings and error classes may be added.",
        words(Status),
        "A cell is `ok` when every round that was asked for is; else it has the first status that "
        "is neither `ok` nor `skipped`. Of a round that was tried again, the last attempt counts.",
        words(ErrorClass),
        "Other error classes are the name of the exception that a backend raised, of the signal "
        "that ended the process, or an [error code](protocol.md#errors).",
        words(Verdict),
        f"### {spoken_name(FindingKind)}",
        docstring(FindingKind),
        table(
            ("word", "meaning", "what to do"),
            ([code(each), each.meaning, each.action] for each in FindingKind),
        ),
        "The rules are in [method.md](../explanation/method.md#what-the-tool-notices-by-itself).",
        words(LoadRung),
        "### Conditions",
        "In `values` and `unknown` of [`ConditionsInfo`](results.md#conditionsinfo). A list is "
        "joined by commas.",
        _docs(declarations(Conditions, Doc)),
        "### Readings",
        "Around the timed samples of a worker, in [`MeterResult`](results.md#meterresult). Where a "
        "machine has no such thing, the value is null with a reason, or the name is missing.",
        table(
            ("reading", "unit", "where", "meaning"),
            (
                [code(name), doc.unit, where, doc.meaning]
                for where, found in _READINGS.items()
                for name, doc in found.items()
            ),
        ),
        "The processor is read around each sample; three of these are in "
        "[`SampleResult`](results.md#sampleresult), the others judge whether it was disturbed.",
        _docs(cpu.READINGS),
        words(Quality),
        words(Allocator),
    )


def _docs(found: Mapping[str, Doc]) -> str:
    return table(
        ("name", "unit", "meaning"),
        ([code(name), doc.unit, doc.meaning] for name, doc in found.items()),
    )


def logs() -> str:
    """Lines of ``--json-logs``."""
    return page(
        "Reference: progress as JSON",
        "With `--json-logs`, progress on stderr is one JSON object per line "
        "([JSON Schema](json-logs.schema.json)). Within a version fields are added, and none is "
        "changed. Private data is removed. Nothing is written while a sample is taken, except "
        "`slow` and what a worker logs.",
        "## Every line",
        table(
            ("name", "type", "meaning"),
            (
                ["`schema_version`", "integer", f"{progress.SCHEMA_VERSION}: of this log"],
                ["`time_s`", "number", "seconds since the command began"],
                ["`level`", "string", codes(progress.LEVELS)],
                ["`event`", "string", "one of these"],
            ),
        ),
        "## Events of the log alone",
        *map(struct_section, progress.OWN),
        "## Events of the journal",
        f"With the fields of the journal, but for {codes(progress.LEFT_OUT)}; "
        + ", ".join(f"`{old}` is called `{new}`" for old, new in progress.RENAMED.items())
        + f". {docstring(progress.level_of)}",
        table(("event", "when"), _journal()),
    )


def _journal() -> Iterator[list[str]]:
    for kind in get_args(s.Event):
        tag = kind.__struct_config__.tag
        heading = f"{tag} {kind.__name__}"
        yield [link(f"`{tag}`", heading, "results.md"), docstring(kind)]
