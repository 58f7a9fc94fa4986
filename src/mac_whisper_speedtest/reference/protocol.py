"""The worker protocol: calls, messages, stages, errors, limits, variables, and what is checked."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, get_type_hints

from mac_whisper_speedtest import limits
from mac_whisper_speedtest.backends.adapter import LoadParams, ModelParams, Segment
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.backends.cuda import UsedGpu
from mac_whisper_speedtest.reference.markdown import (
    NOTHING,
    attributes,
    code,
    codes,
    docstring,
    link,
    page,
    table,
)
from mac_whisper_speedtest.reference.structs import type_name, words
from mac_whisper_speedtest.worker import compilation, launch, offline
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.answers import LOG_TAIL_CHARACTERS
from mac_whisper_speedtest.worker.conformance import CHECKS
from mac_whisper_speedtest.worker.exit_status import Status, status_of
from mac_whisper_speedtest.worker.schema import METHODS, NOTIFICATIONS
from mac_whisper_speedtest.worker.supervisor import ONE_RECORDING, Deadlines

_MESSAGES = (
    *(m.HelloParams, m.HelloResult),
    *(LoadParams, ModelParams, m.LoadReply, UsedGpu),
    *(m.TranscribeParams, m.AudioParams, DecodeContract, m.TranscribeResult, Segment),
    *(m.ProgressParams, m.LogParams, m.ErrorData),
)
_FIXED = (m.Stage.SPAWN, m.Stage.IMPORT, m.Stage.UNLOAD, m.Stage.SHUTDOWN)
"""Stages whose deadline depends on no model."""


def protocol() -> str:
    """Messages between the tool and a worker, deadlines, errors, limits and checks."""
    return page(
        "Reference: the worker protocol",
        "[protocol.md](../explanation/protocol.md) explains how a worker lives, what is timed, and "
        "shows a session; [adding a backend](../guide/adding-a-backend.md) is the way to a worker "
        f"of your own. This is version {m.PROTOCOL_VERSION}, in JSON Schema: "
        "[protocol.schema.json](protocol.schema.json).",
        "## Calls",
        "The tool calls; it always sends all parameters. A worker ignores members that it does not "
        "know, and the tool ignores what a worker adds.",
        table(("method", "parameters", "result", "what it asks for"), _calls()),
        "A worker may send notifications at any time before an answer, but none between the start "
        "and the end of the clock.",
        table(
            ("notification", "parameters"),
            ([code(name), link(f"`{kind}`", kind)] for name, kind in NOTIFICATIONS.items()),
        ),
        "## Messages",
        "A field with a default may be left out.",
        *(part for kind in _MESSAGES for part in _message(kind)),
        "## Deadlines",
        "`progress` with a stage starts its clock, once per stage and call; a program that needs "
        "longer to start sends `import` first. `--timeout` replaces those of a model. On a device "
        "of Core ML a load that may compile has twice as long, at most "
        f"{compilation.LONGEST_S:g} s.",
        table(("stage", "runs from", "deadline"), _deadlines()),
        "## Errors",
        "An error answer has `code`, `message` (its first line is shown) and optionally `data`. It "
        "does not end the worker. Where a run has several recordings, "
        f"{' and '.join(f'{each:d}' for each in sorted(ONE_RECORDING))} in answer to `transcribe` "
        "concern that recording only.",
        table(
            ("code", "name", "when", "status of the cell"),
            (
                [
                    f"{each:d}",
                    each.name.lower().replace("_", " "),
                    each.meaning,
                    code(status_of(each)),
                ]
                for each in m.ErrorCode
            ),
        ),
        words(Status),
        "## Limits",
        "Every answer is checked when it arrives. A value outside these limits is a "
        "`protocol_violation` and ends the cell.",
        table(("what", "limit"), _limits()),
        "Control characters are removed from all texts, secrets from all but the transcript.",
        "## Variables",
        "A worker gets these variables of the user, unless they hold a secret, and those that its "
        "description names in `variables`:",
        f"{codes(sorted(launch.PASSED))}; those that begin with {codes(launch.PASSED_PREFIXES)}.",
        f"The tool sets {codes(launch.THREAD_VARIABLES)} to the number of threads, and "
        f"{codes(offline.OFFLINE)}, because a worker must not download.",
        "## Checks",
        "What `speedtest conformance` asks of a program, in this order:",
        table(
            ("check", "what the protocol asks"), ([code(each.name), each.asks] for each in CHECKS)
        ),
    )


def _calls() -> Iterator[list[str]]:
    for method, kinds in METHODS.items():
        yield [
            code(method),
            *(NOTHING if kind == "Empty" else link(f"`{kind}`", kind) for kind in kinds),
            method.meaning,
        ]


def _message(kind: Any) -> Iterator[str]:
    yield f"### {kind.__name__}"
    yield docstring(kind)
    hints, meanings = get_type_hints(kind), attributes(kind)
    yield table(
        ("field", "type", "default", "meaning"),
        (
            [
                code(each.name),
                type_name(hints[each.name]) + " or null" * _nullable(each),
                "required" if kind is DecodeContract else _default(each),
                meanings[each.name],
            ]
            for each in dataclasses.fields(kind)
        ),
    )


def _nullable(field: dataclasses.Field[Any]) -> bool:
    return "None" in str(field.type)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return code(json.dumps(field.default))
    if field.default_factory is dataclasses.MISSING:
        return "required"
    return "empty"


def _deadlines() -> Iterator[list[str]]:
    of_models = link("by size class", "time-outs", "models.md")
    for stage in m.Stage:
        fixed = f"{Deadlines().for_stage(stage):g} s"
        yield [code(stage), stage.meaning, fixed if stage in _FIXED else of_models]


def _limits() -> Iterator[list[str]]:
    few, name = f"{limits.MOST_FACTS} entries", f"{limits.LONGEST_NAME} characters"
    slack = f"{1000 * limits.CLOCK_TOLERANCE_S:g} ms + {100 * limits.CLOCK_TOLERANCE:g} %"
    for what, limit in (
        (
            "a line",
            f"{_spaced(limits.LONGEST_LINE)} bytes, {limits.DEEPEST} objects and lists deep",
        ),
        (
            "stdout in one call",
            f"{_spaced(limits.MOST_MESSAGES)} lines, {limits.MOST_MESSAGE_BYTES >> 20} MiB",
        ),
        (
            "every number",
            (
                f"finite, from 0; seconds to {limits.LONGEST_S:g}, bytes to 2^"
                f"{limits.LARGEST_BYTES.bit_length() - 1}, others to {limits.LARGEST_NUMBER:g}"
            ),
        ),
        ("`seconds`", f"above 0; at least the audio's duration ÷ {limits.FASTEST_RTFX:g}"),
        ("`seconds`, `load_s`, `import_s`, `stages_s`", f"the tool's wall time + {slack}"),
        ("`first_segment_s`", f"`seconds` + {slack}"),
        ("`cpu_s`", "wall time × number of processors"),
        (
            "`start_s`, `end_s`",
            (
                f"from {-limits.FIRST_SEGMENT_S:g} s before the audio to "
                f"{limits.LAST_WINDOW_S:g} s after it"
            ),
        ),
        (
            "`text`, `segments`, `tokens`, `fallbacks`",
            (
                f"{limits.MOST_PER_AUDIO_S} × (seconds of audio + {limits.LAST_WINDOW_S:g}); "
                f"`text` {_spaced(limits.LONGEST_TEXT)} characters"
            ),
        ),
        ("`name`, `version`", f"not empty, {name}"),
        ("`device`, `precision`, `language`, keys, names in `observed`", name),
        ("objects, and lists but `segments`", few),
        (
            "an error's first line, remarks, log lines, values of `versions`, `details`",
            f"cut to {_spaced(limits.LONGEST_MESSAGE)} characters",
        ),
        ("a traceback, stderr", f"its last {_spaced(LOG_TAIL_CHARACTERS)} characters are kept"),
    ):
        yield [what, limit]


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")
