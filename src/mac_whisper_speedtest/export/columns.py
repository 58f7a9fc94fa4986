"""What a column of a table is: its name, type and unit, what it means, and how it is read.

Every tabular format (CSV, TSV, JSON lines, Parquet, Markdown, HTML) writes the same columns, and
docs/results.md describes exactly these. The columns themselves are in ``cell_columns`` and
``sample_columns``, the rows that they are read from in ``rows``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool | list[str] | None


class Kind(StrEnum):
    """The type of a column's values. Any of them may be null."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    STRINGS = "list of strings"
    TIME = "time"
    """ISO 8601 text in UTC; a time stamp where a format has one."""


_PLACES = {
    "run": "",
    "cell": "cells[]",
    "sample": "cells[].samples[]",
    "score": "cells[].summary.accuracy.utterances[]",
}
"""What the first part of a path is called in ``run.json``."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: with the unit in it, where there is one.
        kind: the type of its values.
        unit: in words of docs/results.md; empty where there is none.
        meaning: one line for a reader who sees nothing else.
        path: where a row has the value: names of attributes or keys, joined by dots.
        brief: whether it is in tables that are made to be looked at.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    path: str
    brief: bool = False
    _quick: operator.attrgetter[object] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_quick", operator.attrgetter(self.path))

    @property
    def place(self) -> str:
        """Where the value stands in ``run.json``; empty where it is computed from several."""
        first, _, rest = self.path.partition(".")
        if first not in _PLACES:
            return ""
        return ".".join(part for part in (_PLACES[first], rest) if part)

    def value(self, row: object) -> Value:
        """The row's value; ``None`` where it is not known, and for a number that is not finite."""
        try:
            found = self._quick(row)
        except AttributeError:  # something on the way is null, or an object of free keys
            found = _walk(row, self.path)
        if found is None:
            return None
        if self.kind is Kind.NUMBER:
            assert isinstance(found, (int, float)), self.name
            return float(found) if math.isfinite(found) else None
        assert isinstance(found, (str, int, list)), self.name
        return found


def _walk(row: object, path: str) -> object:
    found: object = row
    for part in path.split("."):
        if found is None:
            return None
        found = found.get(part) if isinstance(found, Mapping) else getattr(found, part)
    return found


# The columns of the table of cells: one row per backend, model and clip of a run.


_STRING, _INTEGER, _NUMBER = Kind.STRING, Kind.INTEGER, Kind.NUMBER
_SUMMARY = "cell.summary"
_ACCURACY = "cell.summary.accuracy"
_MACHINE = "run.manifest.machine"
_REQUEST = "run.manifest.request"
_WEIGHTS = "cell.model.weights"


def _shown(name: str, kind: Kind, unit: str, meaning: str, path: str) -> Column:
    """A column that is in tables that are made to be looked at."""
    return Column(name, kind, unit, meaning, path, brief=True)


# New ones go to the end: a reader may count.
COLUMNS: tuple[Column, ...] = (
    Column("schema_version", _INTEGER, "", "the schema's version", "run.schema_version"),
    _shown(
        "run", _INTEGER, "", "number of the run on the machine that made it", "run.manifest.run"
    ),
    _shown("backend", _STRING, "", "name of the backend", "cell.backend.name"),
    _shown("backend_version", _STRING, "", "its version", "cell.backend.version"),
    _shown("device", _STRING, "", "device in use", "cell.backend.device"),
    _shown("precision", _STRING, "", "precision in use", "cell.backend.precision"),
    _shown("model", _STRING, "", "canonical name of the model", "cell.model.name"),
    _shown("clip", _STRING, "", "name of the recording or set", "cell.clip.name"),
    Column("audio_s", _NUMBER, "s", "duration of the speech", "cell.clip.seconds"),
    Column("pcm_sha256", _STRING, "", "hash of the speech's samples", "cell.clip.pcm_sha256"),
    _shown("contract", _STRING, "", "name of the decode contract", f"{_REQUEST}.contract.name"),
    _shown("status", _STRING, "", "how it ended; see *Statuses*", "cell.status"),
    Column("group", _STRING, "", "letter of the cells that did equal work", f"{_SUMMARY}.group"),
    _shown("rank", _INTEGER, "", "best rank open to it in its group", f"{_SUMMARY}.rank"),
    _shown("rank_last", _INTEGER, "", "worst rank open to it", f"{_SUMMARY}.rank_last"),
    _shown(
        "median_s",
        _NUMBER,
        "s",
        "seconds for the speech, median over rounds",
        f"{_SUMMARY}.median_s",
    ),
    Column("min_s", _NUMBER, "s", "quickest sample of any recording", f"{_SUMMARY}.min_s"),
    Column("max_s", _NUMBER, "s", "slowest sample of any recording", f"{_SUMMARY}.max_s"),
    _shown("rtfx", _NUMBER, "", "audio seconds per processing second", f"{_SUMMARY}.rtfx"),
    _shown("rtfx_low", _NUMBER, "", "lower end of its interval", f"{_SUMMARY}.rtfx_bounds.low"),
    _shown("rtfx_high", _NUMBER, "", "upper end of it", f"{_SUMMARY}.rtfx_bounds.high"),
    Column(
        "interval_level", _NUMBER, "", "level of that interval", f"{_SUMMARY}.rtfx_bounds.level"
    ),
    Column(
        "times_best", _NUMBER, "", "median ÷ the smallest of the group", f"{_SUMMARY}.times_best"
    ),
    Column(
        "times_best_low",
        _NUMBER,
        "",
        "lower end of the interval of the ratio to the quickest cell",
        f"{_SUMMARY}.times_best_bounds.low",
    ),
    Column("times_best_high", _NUMBER, "", "upper end of it", f"{_SUMMARY}.times_best_bounds.high"),
    Column(
        "verdict", _STRING, "", "this cell against the quickest of the group", f"{_SUMMARY}.verdict"
    ),
    Column("import_s", _NUMBER, "s", "loading libraries, median", f"{_SUMMARY}.import_s"),
    Column("load_s", _NUMBER, "s", "loading weights, median of fresh loads", f"{_SUMMARY}.load_s"),
    Column("load_cold_s", _NUMBER, "s", "the same of cold loads", f"{_SUMMARY}.load_cold_s"),
    Column("load_warm_s", _NUMBER, "s", "the same of warm loads", f"{_SUMMARY}.load_warm_s"),
    Column("first_s", _NUMBER, "s", "first call of a process, median", f"{_SUMMARY}.first_s"),
    Column(
        "first_segment_s", _NUMBER, "s", "time to the first segment", f"{_SUMMARY}.first_segment_s"
    ),
    Column("timed_samples", _INTEGER, "", "timed samples there are", f"{_SUMMARY}.timed_samples"),
    Column(
        "timed_samples_asked",
        _INTEGER,
        "",
        "timed samples that were asked for",
        f"{_SUMMARY}.timed_samples_asked",
    ),
    Column("rounds_ok", _INTEGER, "", "rounds that ended `ok`", f"{_SUMMARY}.rounds_ok"),
    Column("rounds_asked", _INTEGER, "", "rounds asked for", f"{_SUMMARY}.rounds_asked"),
    Column("retries", _INTEGER, "", "attempts beyond the first", f"{_SUMMARY}.retries"),
    _shown(
        "peak_rss_bytes", _INTEGER, "byte", "highest resident memory", f"{_SUMMARY}.peak_rss_bytes"
    ),
    Column(
        "cores_used", _NUMBER, "cores", "processor time ÷ time in calls", f"{_SUMMARY}.cores_used"
    ),
    Column(
        "device_memory_bytes",
        _INTEGER,
        "byte",
        "most device memory in use",
        f"{_SUMMARY}.device_memory_bytes",
    ),
    Column(
        "joules_per_audio_hour",
        _NUMBER,
        "J/h",
        "energy above that of the idle machine",
        f"{_SUMMARY}.joules_per_audio_hour",
    ),
    _shown("wer", _NUMBER, "fraction", "word error rate", f"{_SUMMARY}.wer"),
    Column("cer", _NUMBER, "fraction", "character error rate", f"{_ACCURACY}.cer"),
    Column("normalizer", _STRING, "", "what both texts went through", f"{_ACCURACY}.normalizer"),
    Column(
        "substitutions",
        _INTEGER,
        "",
        "words that are others; characters where `accuracy_metric` is `cer`",
        f"{_ACCURACY}.substitutions",
    ),
    Column("deletions", _INTEGER, "", "missing ones, likewise", f"{_ACCURACY}.deletions"),
    Column("insertions", _INTEGER, "", "added ones, likewise", f"{_ACCURACY}.insertions"),
    Column(
        "reference_words",
        _INTEGER,
        "",
        "length of the references, likewise",
        f"{_ACCURACY}.reference_words",
    ),
    Column("failed_utterances", _INTEGER, "", "recordings without text", f"{_ACCURACY}.failed"),
    Column(
        "accuracy_delta",
        _NUMBER,
        "fraction",
        "error rate less that of `accuracy_against`",
        f"{_ACCURACY}.delta",
    ),
    Column(
        "accuracy_verdict", _STRING, "", "`worse`, `as good` or `unclear`", f"{_ACCURACY}.verdict"
    ),
    Column(
        "fast_but_wrong",
        Kind.BOOLEAN,
        "",
        "whether the accuracy gate says `worse`",
        f"{_SUMMARY}.fast_but_wrong",
    ),
    Column("findings", Kind.STRINGS, "", "every finding as `kind: message`", "findings"),
    _shown("message", _STRING, "", "of the first ending that is not `ok`", "failure.message"),
    Column("run_id", _STRING, "", "the same run on every machine", "run.manifest.run_id"),
    Column("tags", Kind.STRINGS, "", "names given with `--tag`", "run.manifest.tags"),
    Column("started_at", Kind.TIME, "", "in UTC; it orders nothing", "run.manifest.started_at"),
    Column("state", _STRING, "", "how the run ended", "run.manifest.outcome.state"),
    Column("tool_version", _STRING, "", "version of this program", "run.manifest.tool.version"),
    Column("tool_git_sha", _STRING, "", "its commit", "run.manifest.tool.git_sha"),
    _shown("hardware_class", _STRING, "", "kind of machine, in words", "comparable.hardware"),
    Column("os", _STRING, "", "`Darwin` or `Linux`", f"{_MACHINE}.os"),
    Column("os_version", _STRING, "", "version of the system", f"{_MACHINE}.os_version"),
    Column("architecture", _STRING, "", "`arm64`, `x86_64`, ...", f"{_MACHINE}.architecture"),
    Column("cpu", _STRING, "", "the processor's model name", f"{_MACHINE}.cpu"),
    Column("physical_cores", _INTEGER, "", "cores", f"{_MACHINE}.physical_cores"),
    Column("logical_cores", _INTEGER, "", "hardware threads", f"{_MACHINE}.logical_cores"),
    Column("memory_bytes", _INTEGER, "byte", "main memory", f"{_MACHINE}.memory_bytes"),
    Column("gpus", Kind.STRINGS, "", "model names of GPUs", f"{_MACHINE}.gpus"),
    Column("threads", _INTEGER, "", "CPU threads per backend", f"{_REQUEST}.threads"),
    Column("device_asked", _STRING, "", "`auto` or a device", f"{_REQUEST}.device"),
    Column("precision_asked", _STRING, "", "`auto` or a precision", f"{_REQUEST}.precision"),
    Column("passes_asked", _INTEGER, "", "timed passes per process", f"{_REQUEST}.passes"),
    Column(
        "interval_rounds",
        _INTEGER,
        "",
        "rounds that the interval of `rtfx` rests on",
        f"{_SUMMARY}.rtfx_bounds.rounds",
    ),
    Column("cell", _STRING, "", "the cell's id, unique in its run", "cell.id"),
    Column("clip_kind", _STRING, "", "`clip`, `set` or `durations`", "cell.clip.kind"),
    Column("recordings", _INTEGER, "", "how many there are in the clip", "recordings"),
    Column("language", _STRING, "", "code of the speech's language", "cell.clip.language"),
    Column("network_sha256", _STRING, "", "hash of the network, in any form", "network_sha256"),
    Column("weights_form", _STRING, "", "`ctranslate2`, `ggml`, `mlx`, ...", f"{_WEIGHTS}.form"),
    Column("weights_precision", _STRING, "", "what they are stored in", f"{_WEIGHTS}.precision"),
    Column("weights_bytes", _INTEGER, "byte", "size of all files", f"{_WEIGHTS}.size_bytes"),
    Column("weights_source", _STRING, "", "repository and revision", f"{_WEIGHTS}.source"),
    Column(
        "comparable_key",
        _STRING,
        "",
        "equal for equal contract, speech and kind of machine",
        "comparable_key",
    ),
    Column(
        "contract_sha256", _STRING, "", "hash of the contract's settings", "comparable.contract"
    ),
    Column("deviations", Kind.STRINGS, "", "settings that were not kept to", "deviations"),
    Column("accuracy_metric", _STRING, "", "`wer` or `cer`", f"{_ACCURACY}.metric"),
    Column("accuracy_rate", _NUMBER, "fraction", "error rate by this metric", f"{_ACCURACY}.rate"),
    Column("accuracy_against", _STRING, "", "cell compared with", f"{_ACCURACY}.against"),
    Column(
        "accuracy_delta_low",
        _NUMBER,
        "fraction",
        "lower end of the interval of `accuracy_delta`",
        f"{_ACCURACY}.delta_low",
    ),
    Column("accuracy_delta_high", _NUMBER, "fraction", "upper end", f"{_ACCURACY}.delta_high"),
    Column(
        "energy_quality", _STRING, "", "how far to trust the energy", f"{_SUMMARY}.energy_quality"
    ),
    Column("fixed_s", _NUMBER, "s", "what any audio costs", f"{_SUMMARY}.duration.fixed_s"),
    Column(
        "per_audio_s",
        _NUMBER,
        "s",
        "what each second of audio costs",
        f"{_SUMMARY}.duration.per_audio_s",
    ),
    Column("noise_floor", _NUMBER, "fraction", "of the machine", "run.manifest.noise.floor"),
    Column("stage", _STRING, "", "of the same ending as `message`", "failure.stage"),
    Column("error_class", _STRING, "", "likewise; see *Error classes*", "failure.error_class"),
)


# The columns of the tables of samples and of utterances: one row per transcription, or per score.
#
# Both begin with columns of the table of cells, which say what the row is about.


_ABOUT = (
    *("schema_version", "run", "run_id", "tags", "hardware_class", "comparable_key", "cell"),
    *("backend", "backend_version", "device", "precision", "model", "clip", "contract", "threads"),
)
_BRIEF = ("run", "backend", "model", "clip")
_CELLS = {column.name: column for column in COLUMNS}


def _about(name: str) -> Column:
    """A column of the table of cells, as one of these."""
    like = _CELLS[name]
    brief = name in _BRIEF
    return Column(like.name, like.kind, like.unit, like.meaning, like.path, brief=brief)


SHARED: tuple[Column, ...] = tuple(_about(name) for name in _ABOUT)

TEXT = Column("text", _STRING, "", "the whole transcript, untouched", "sample.text")
"""Only where it is asked for: it says what was said in a recording."""

SAMPLES: tuple[Column, ...] = (
    *SHARED,
    Column("round", _INTEGER, "", "the round", "sample.round", brief=True),
    Column("attempt", _INTEGER, "", "above 0, a retry", "sample.attempt", brief=True),
    Column("index", _INTEGER, "", "which pass; -1 is the warm-up", "sample.index", brief=True),
    Column(
        "utterance",
        _STRING,
        "",
        "the recording's name; empty where there is only one",
        "sample.utterance",
        brief=True,
    ),
    Column("kind", _STRING, "", "`warmup` or `timed`", "sample.kind", brief=True),
    Column("audio_s", _NUMBER, "s", "duration of this recording", "audio_s", brief=True),
    Column("seconds", _NUMBER, "s", "by the worker's clock", "sample.seconds", brief=True),
    Column("wall_s", _NUMBER, "s", "by the tool's clock", "sample.wall_s"),
    Column(
        "counted",
        Kind.BOOLEAN,
        "",
        "whether its time is in medians and intervals; see *Which samples count*",
        "counted",
        brief=True,
    ),
    Column(
        "disturbed", _STRING, "", "what else took the processor", "sample.disturbed", brief=True
    ),
    Column(
        "retaken",
        Kind.BOOLEAN,
        "",
        "discarded, because it was disturbed and retaken",
        "sample.retaken",
    ),
    Column("failed", _STRING, "", "why there is no text", "sample.failed", brief=True),
    Column("language", _STRING, "", "what it was decoded as", "sample.language"),
    Column("tokens", _INTEGER, "", "decoded tokens", "sample.tokens"),
    Column("fallbacks", _INTEGER, "", "segments decoded again", "sample.fallbacks"),
    Column("first_segment_s", _NUMBER, "s", "until the first segment", "sample.first_segment_s"),
    Column("cpu_s", _NUMBER, "s", "processor time of the worker", "sample.cpu_s"),
    Column("tree_cpu_s", _NUMBER, "s", "and of all that it started", "sample.tree_cpu_s"),
    Column("outside_cpu_s", _NUMBER, "s", "taken by others meanwhile", "sample.outside_cpu_s"),
    Column(
        "peak_rss_bytes",
        _INTEGER,
        "byte",
        "highest resident memory so far",
        "sample.peak_rss_bytes",
    ),
)

UTTERANCES: tuple[Column, ...] = (
    *SHARED,
    Column("utterance", _STRING, "", "the recording's name", "score.name", brief=True),
    Column("audio_s", _NUMBER, "s", "its duration", "recording.seconds"),
    Column("pcm_sha256", _STRING, "", "hash of its samples", "recording.pcm_sha256"),
    Column("language", _STRING, "", "code of its language", "recording.language"),
    Column("metric", _STRING, "", "`wer` or `cer`", "cell.summary.accuracy.metric", brief=True),
    Column("rate", _NUMBER, "fraction", "its error rate", "score.rate", brief=True),
    Column(
        "substitutions",
        _INTEGER,
        "",
        "words that are others; characters where `metric` is `cer`",
        "score.substitutions",
        brief=True,
    ),
    Column("deletions", _INTEGER, "", "missing ones, likewise", "score.deletions", brief=True),
    Column("insertions", _INTEGER, "", "added ones, likewise", "score.insertions", brief=True),
    Column("hits", _INTEGER, "", "right ones, likewise", "score.hits", brief=True),
    Column("failed", Kind.BOOLEAN, "", "whether there is no text", "score.failed", brief=True),
    Column("normalizer", _STRING, "", "what both texts went through", _CELLS["normalizer"].path),
)
