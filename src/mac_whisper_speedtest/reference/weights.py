"""Weights on this machine: methods, states, outcomes and locations; JSON of commands."""

from __future__ import annotations

import inspect

from mac_whisper_speedtest.catalog import LocationKind
from mac_whisper_speedtest.cli import documents
from mac_whisper_speedtest.doctor.accelerators import TIMEOUT_S
from mac_whisper_speedtest.doctor.lines import Readiness
from mac_whisper_speedtest.doctor.topics import Topic
from mac_whisper_speedtest.reference.markdown import (
    NOTHING,
    code,
    docstring,
    page,
    table,
    without_markup,
)
from mac_whisper_speedtest.reference.structs import struct_section, words
from mac_whisper_speedtest.weights.check_models import CheckMethod
from mac_whisper_speedtest.weights.inspect import Evidence, WeightsState
from mac_whisper_speedtest.weights.inventory import ReadOutcome
from mac_whisper_speedtest.weights.library_folders import LIBRARY_FOLDERS
from mac_whisper_speedtest.worker.load_check import LoadOutcome

_PRINTED = {
    documents.ModelFacts: (
        documents.ModelFile,
        documents.FileBeside,
        documents.ModelLocation,
        documents.StageTimeout,
    ),
    documents.CheckDocument: (
        documents.CheckedWeights,
        documents.CheckedCopy,
        documents.CheckedLoad,
        documents.NeededDownload,
        documents.NeededPublication,
        documents.FreeDisk,
    ),
    documents.VerifyDocument: (documents.VerifiedCopy,),
    documents.DoctorDocument: (documents.DoctorLine,),
}
"""What a command prints → the objects in it."""


def weights() -> str:
    """States of weights, how they are checked, and where they are looked for."""
    return page(
        "Reference: weights on this machine",
        "`speedtest check-models` shows which weights are present, complete and loadable; "
        "`speedtest models verify` reads every byte. Neither downloads. Which weights there are is "
        "in [models.md](models.md).",
        "## Checks",
        "Of `check-models --verify-method`:",
        words(CheckMethod),
        words(WeightsState),
        words(Evidence),
        words(LoadOutcome),
        "Of `models verify`:",
        words(ReadOutcome),
        "## Locations",
        "A run takes the first copy among those that it uses. The Hugging Face cache is set by "
        "`HF_HUB_CACHE`, `HF_HOME` or `XDG_CACHE_HOME`.",
        words(LocationKind),
        "Folders of libraries, and the code that says so:",
        table(
            ("format", "folder"),
            (
                [code(name), without_markup(inspect.getdoc(find) or "").partition("\n")[0]]
                for name, find in LIBRARY_FOLDERS.items()
            ),
        ),
    )


def doctor() -> str:
    """What ``speedtest doctor`` judges, what each line means, and what to do."""
    return page(
        "Reference: checks of the machine",
        "`speedtest doctor` changes, writes and downloads nothing, and takes a few seconds. Every "
        "line has a topic, a state, what was seen, and what to type. Exit code 9: a line fails. "
        "Its JSON is in [json.md](json.md#doctordocument).",
        words(Readiness),
        "## Topics",
        docstring(Topic),
        table(
            ("topic", "when it is not ok", "what to do"),
            ([code(each), each.meaning, each.action or NOTHING] for each in Topic),
        ),
        "It does not show user, host or device names, serial numbers or tokens. GPUs other than "
        "Apple's and NVIDIA's are named and not judged. A library that needs more than "
        f"{TIMEOUT_S:g} s to answer is `unknown`.",
    )


def printed() -> str:
    """JSON of ``backends info --model``, ``check-models``, ``models verify`` and ``doctor``."""
    return page(
        "Reference: JSON of commands",
        "`run`, `show` and `export` print [runs](results.md), `compare` and `history` "
        "[comparisons](compare.md). `fleet status` prints `scheduler` and `unreachable` (why it "
        "does not answer, or empty), `nodes` with their labels, `jobs`, their `attempts` and "
        "`bundles`, and `waits` (why jobs wait). "
        "Home folders, user names and tokens are removed. "
        "Words about weights are in [weights.md](weights.md), about the machine in "
        "[doctor.md](doctor.md).",
        *(
            struct_section(kind)
            for document, parts in _PRINTED.items()
            for kind in (document, *parts)
        ),
    )
