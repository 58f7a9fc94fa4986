"""What is known before the first sample: the manifest and its parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import msgspec

from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.declared import Column, Doc, FieldPolicy
from mac_whisper_speedtest.request import RecordedRequest
from mac_whisper_speedtest.results.schema.base import Struct
from mac_whisper_speedtest.results.schema.machine import MachineInfo, NoiseInfo, ToolInfo


class UtteranceInfo(Struct, frozen=True, kw_only=True):
    """One recording of several; what ``ClipInfo`` says of a single one."""

    name: Annotated[
        str, Doc("unique in the set; of a cut its length, such as `30s`"), FieldPolicy.UTTERANCE
    ]
    seconds: Annotated[
        float, Doc("duration of the recording", unit="s"), FieldPolicy.KEPT, Column("audio_s")
    ]
    samples: Annotated[int, Doc("samples at 16 kHz, mono"), FieldPolicy.KEPT]
    pcm_sha256: Annotated[
        str, Doc("SHA-256 of the samples as little-endian float32"), FieldPolicy.KEPT, Column()
    ]
    language: Annotated[
        str | None,
        Doc("two-letter code of the speech", null="not known"),
        FieldPolicy.NAME,
        Column(),
    ] = None
    reference: Annotated[
        str | None,
        Doc("the words spoken", null="there is no reference text, or it is a cut"),
        FieldPolicy.REFERENCE,
    ] = None
    silences_s: Annotated[
        list[tuple[float, float]], Doc("as in `ClipInfo`", unit="s"), FieldPolicy.KEPT
    ] = []


class LeftOutInfo(Struct, frozen=True, kw_only=True):
    """An entry of a set that is not measured on, or not scored."""

    name: Annotated[str, Doc("the entry's name"), FieldPolicy.UTTERANCE]
    reason: Annotated[str, Doc("why, in words"), FieldPolicy.SCRUBBED]


class ClipInfo(Struct, frozen=True, kw_only=True):
    """The audio: one recording, a set of them, or cuts of one reading."""

    name: Annotated[
        str,
        Doc(
            "a built-in clip's name; the name of the user's file, folder or manifest without "
            "its folder; of cuts, the reading's name and `cut`"
        ),
        FieldPolicy.CLIP,
        Column("clip", brief=True),
    ]
    seconds: Annotated[
        float,
        Doc("duration of the speech; of several recordings, all together", unit="s"),
        FieldPolicy.KEPT,
        Column("audio_s"),
    ]
    samples: Annotated[
        int, Doc("samples at 16 kHz, mono; of several recordings, all together"), FieldPolicy.KEPT
    ]
    pcm_sha256: Annotated[
        str,
        Doc(
            "SHA-256 of the samples as little-endian float32: exactly what backends were fed. "
            "Of a set and of cuts: over the sorted lines `name pcm_sha256`, each ended by a "
            "newline"
        ),
        FieldPolicy.KEPT,
        Column(),
    ]
    source: Annotated[
        str,
        Doc(
            "for a built-in clip the package and file; for an address the file and the host; "
            "else in words, such as `a file of the user's` or `a manifest of the user's`. Of "
            "cuts, `cut from` and this"
        ),
        FieldPolicy.SOURCE,
    ]
    language: Annotated[
        str | None,
        Doc("two-letter code of the speech", null="not known, or not the same in all recordings"),
        FieldPolicy.NAME,
        Column(),
    ] = None
    reference: Annotated[
        str | None,
        Doc(
            "the words spoken",
            null="there is no reference text, or there are several recordings: each has its own",
        ),
        FieldPolicy.REFERENCE,
    ] = None
    silences_s: Annotated[
        list[tuple[float, float]],
        Doc(
            "start and end of every span of 2 s or more below -50 dBFS; empty for several "
            "recordings",
            unit="s",
        ),
        FieldPolicy.KEPT,
    ] = []
    kind: Annotated[
        str,
        Doc(
            "`clip` (one recording), `set` (recordings that are scored as one corpus), "
            "`durations` (cuts of one reading, from which the time by length is fitted)"
        ),
        FieldPolicy.KEPT,
        Column("clip_kind"),
    ] = "clip"
    utterances: Annotated[
        list[UtteranceInfo],
        Doc("the recordings where there are several; else empty"),
        FieldPolicy.INSIDE,
    ] = []
    left_out: Annotated[
        list[LeftOutInfo],
        Doc(
            "entries of a set that are not measured on: missing, damaged, without samples, not "
            "finite"
        ),
        FieldPolicy.INSIDE,
    ] = []
    unscored: Annotated[
        list[LeftOutInfo],
        Doc(
            "entries that are measured on and do not count in accuracy: their text is empty or "
            "cannot be read"
        ),
        FieldPolicy.INSIDE,
    ] = []


class TimeoutsInfo(Struct, frozen=True, kw_only=True):
    """How long the model may take before its worker is killed; `--timeout` goes before it."""

    load_s: Annotated[float, Doc("reading and preparing the weights", unit="s"), FieldPolicy.KEPT]
    transcribe_base_s: Annotated[
        float, Doc("any transcription, however short", unit="s"), FieldPolicy.KEPT
    ]
    transcribe_per_audio_s: Annotated[
        float, Doc("added for every second of audio", unit="s"), FieldPolicy.KEPT
    ]
    first_call_factor: Annotated[
        float, Doc("times as long for the first call after a load"), FieldPolicy.KEPT
    ]


class ModelRecord(Struct, frozen=True, kw_only=True):
    """The model as the backend sees it: what of its `ModelInfo` does not depend on the machine."""

    format: Annotated[
        str,
        Doc(
            "format of the weights: `ctranslate2`, `ggml`, `mlx`; for a backend's own weights "
            "the format that it names, else `own`"
        ),
        FieldPolicy.NAME,
        Column("weights_format"),
    ]
    precision: Annotated[
        str,
        Doc("what the weights are stored in; what a backend computes in is in `BackendResult`"),
        FieldPolicy.NAME,
        Column("weights_precision"),
    ]
    license: Annotated[str, Doc("license of the weights"), FieldPolicy.SCRUBBED]
    repository: Annotated[
        str,
        Doc("where on the hub the weights, or what they are converted from, are published"),
        FieldPolicy.SCRUBBED,
    ]
    revision: Annotated[
        str | None,
        Doc("the commit there", null="it is learnt at the first pull, or there is no repository"),
        FieldPolicy.SCRUBBED,
    ]
    size_class: Annotated[
        str, Doc("`tiny`, `base`, `small`, `medium` or `large`"), FieldPolicy.KEPT
    ]
    timeouts: Annotated[
        TimeoutsInfo,
        Doc("those of the size class, unless the backend's description states its own"),
        FieldPolicy.INSIDE,
    ]


class WeightsInfo(Struct, frozen=True, kw_only=True):
    """The weights handed to a backend, as they were found and hashed."""

    files: Annotated[
        dict[str, str], Doc("file name → SHA-256, taken just before the run"), FieldPolicy.FILES
    ]
    size_bytes: Annotated[
        int,
        Doc("size of all files of the weights", unit="byte"),
        FieldPolicy.KEPT,
        Column("weights_bytes"),
    ]
    source: Annotated[
        str,
        Doc(
            "where the weights come from: repository and revision, or `named in the backend's "
            "description`; never a path"
        ),
        FieldPolicy.SCRUBBED,
        Column("weights_source"),
    ]
    network_sha256: Annotated[
        str | None,
        Doc(
            "identity of the network: the same for every format converted from it",
            null="the weights were not converted by this tool",
        ),
        FieldPolicy.KEPT,
    ] = None


class CellPlan(Struct, frozen=True, kw_only=True):
    """One cell: a backend with a model on a recording or set."""

    id: Annotated[
        str, Doc("the cell's id, `backend/model/clip`; unique in its run"), FieldPolicy.CELL
    ]
    backend: Annotated[
        str, Doc("the backend as it was requested, `name@version:precision`"), FieldPolicy.NAME
    ]
    model: Annotated[str, Doc("canonical model name"), FieldPolicy.NAME]
    clip: Annotated[str, Doc("clip name"), FieldPolicy.CLIP]
    model_info: Annotated[
        ModelRecord,
        Doc("what is known of the model"),
        FieldPolicy.INSIDE,
    ]
    weights: Annotated[
        WeightsInfo | None,
        Doc("the weights", null="none were found, or the backend is not installed"),
        FieldPolicy.INSIDE,
    ] = None
    declared: Annotated[
        dict[str, SettingValue],
        Doc(
            "setting → what the backend's description says it decodes with under this contract; "
            "empty when the description says nothing of settings"
        ),
        FieldPolicy.NAME,
    ] = {}


def _recorded() -> Iterator[tuple[str, Any] | tuple[str, Any, Any]]:
    """Name, type with its annotations, and default of every recorded field of a request."""
    hints = get_type_hints(RecordedRequest, include_extras=True)
    for each in dataclasses.fields(RecordedRequest):
        if each.default_factory is not dataclasses.MISSING:
            yield each.name, hints[each.name], msgspec.field(default_factory=each.default_factory)
        elif each.default is not dataclasses.MISSING:
            yield each.name, hints[each.name], each.default
        else:
            yield each.name, hints[each.name]


if TYPE_CHECKING:

    class RequestInfo(Struct, RecordedRequest, frozen=True, kw_only=True):
        """What was asked for: every field of a `RecordedRequest`."""

else:
    RequestInfo = msgspec.defstruct(
        "RequestInfo",
        _recorded(),
        bases=(Struct,),
        frozen=True,
        kw_only=True,
        module=__name__,
        namespace={"__doc__": RecordedRequest.__doc__},
    )


class Outcome(Struct, frozen=True, kw_only=True):
    """How the run ended."""

    state: Annotated[
        str,
        Doc(
            "how the run ended: `complete`; `stopped` (by `--fail-fast` or `--max-failures`); "
            "`interrupted`; `recovered`; `running` (shown while it still goes on)"
        ),
        FieldPolicy.KEPT,
        Column(),
    ]
    message: Annotated[
        str, Doc("why it ended so, in words; may be empty"), FieldPolicy.SCRUBBED
    ] = ""


class Manifest(Struct, frozen=True, kw_only=True):
    """Everything known before the first sample, written first.

    ``manifest.json`` is this object, without the outcome.
    """

    schema_version: Annotated[
        int, Doc("version of the schema: 1; that of the tool that measured"), FieldPolicy.KEPT
    ]
    run: Annotated[
        int,
        Doc("the run's number on the machine that made it"),
        FieldPolicy.KEPT,
        Column(brief=True),
    ]
    started_at: Annotated[
        str,
        Doc("ISO 8601, UTC, to the second. For people; it orders nothing"),
        FieldPolicy.KEPT,
        Column(time=True),
    ]
    tool: Annotated[ToolInfo, Doc("this program"), FieldPolicy.INSIDE]
    machine: Annotated[MachineInfo, Doc("the machine"), FieldPolicy.INSIDE]
    request: Annotated[
        RequestInfo,
        Doc("what was requested"),
        FieldPolicy.INSIDE,
    ]
    request_sha256: Annotated[
        str,
        Doc("SHA-256 of `request` as compact JSON with sorted keys: equal requests, equal hashes"),
        FieldPolicy.RECOMPUTED,
    ]
    libraries: Annotated[
        dict[str, str],
        Doc("the tool's own libraries and their versions. A backend's are in `BackendResult`"),
        FieldPolicy.NAME,
    ]
    clips: Annotated[
        list[ClipInfo], Doc("the audio; one entry, which may be a set"), FieldPolicy.INSIDE
    ]
    cells: Annotated[list[CellPlan], Doc("what was to be measured"), FieldPolicy.INSIDE]
    schedule: Annotated[
        list[list[str]],
        Doc(
            "per round, the ids of the cells in visiting order; with `--budget` or "
            "`--ci-width`, of the most rounds there may be. Retaken rounds are not in it"
        ),
        FieldPolicy.CELL,
    ]
    outcome: Annotated[
        Outcome | None,
        Doc("how the run ended", null="in `manifest.json`: not known yet"),
        FieldPolicy.INSIDE,
    ] = None
    repaired: Annotated[
        list[str],
        Doc(
            "with `--repair`: the weights that were damaged before the run and what was done "
            "about it, in words"
        ),
        FieldPolicy.SCRUBBED,
    ] = []
    noise: Annotated[
        NoiseInfo | None,
        Doc("this machine's noise floor", null="`speedtest noise` was never run on this machine"),
        FieldPolicy.INSIDE,
    ] = None
    run_id: Annotated[
        str,
        Doc("32 random hexadecimal digits: the same run on every machine"),
        FieldPolicy.KEPT,
        Column(),
    ]
    tags: Annotated[
        list[str],
        Doc("the names that the run was given with `--tag`"),
        FieldPolicy.DROPPED,
        Column(),
    ] = []
