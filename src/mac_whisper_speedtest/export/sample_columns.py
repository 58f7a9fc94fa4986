"""The columns of the tables of samples and of utterances: one row per transcription, or per score.

Both begin with columns of the table of cells, which say what the row is about.
"""

from __future__ import annotations

from mac_whisper_speedtest.export import cell_columns
from mac_whisper_speedtest.export.columns import Column, Kind

_STRING, _INTEGER, _NUMBER = Kind.STRING, Kind.INTEGER, Kind.NUMBER

_ABOUT = (
    *("schema_version", "run", "run_id", "tags", "hardware_class", "comparable_key", "cell"),
    *("backend", "backend_version", "device", "precision", "model", "clip", "contract", "threads"),
)
_BRIEF = ("run", "backend", "model", "clip")
_CELLS = {column.name: column for column in cell_columns.COLUMNS}


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
    Column("touched", _STRING, "", "what else took the processor", "sample.touched", brief=True),
    Column("repeated", Kind.BOOLEAN, "", "touched and taken again", "sample.repeated"),
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
    Column("normaliser", _STRING, "", "what both texts went through", _CELLS["normaliser"].path),
)
