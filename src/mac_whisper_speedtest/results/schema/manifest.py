"""What is known before the first sample: the manifest and its parts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, get_type_hints

import msgspec

from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.declared import Column, FieldPolicy
from mac_whisper_speedtest.request import RecordedRequest
from mac_whisper_speedtest.results.schema.base import Struct, fact, inside, kept, named, scrubbed
from mac_whisper_speedtest.results.schema.machine import MachineInfo, NoiseInfo, ToolInfo


class UtteranceInfo(Struct):
    """One recording of several; what ``ClipInfo`` says of a single one."""

    name: str = fact(
        "unique in the set; of a cut its length, such as `30s`", policy=FieldPolicy.UTTERANCE
    )
    seconds: float = kept("duration of the recording", column=Column("audio_s"))
    samples: int = kept("samples at 16 kHz, mono")
    pcm_sha256: str = kept("SHA-256 of the samples as little-endian float32", column=Column())
    language: str | None = named(
        "two-letter code of the speech", null="not known", column=Column(), default=None
    )
    reference: str | None = fact(
        "the words spoken",
        null="there is no reference text, or it is a cut",
        policy=FieldPolicy.REFERENCE,
        default=None,
    )
    silences_s: list[tuple[float, float]] = kept("as in `ClipInfo`", default=[])
    speaker: int | None = kept(
        "number of its speaker, from 1 in the order of the recordings; names are not recorded",
        null="the set names no speaker for it",
        default=None,
    )


class LeftOutInfo(Struct):
    """An entry of a set that is not measured on, or not scored."""

    name: str = fact("the entry's name", policy=FieldPolicy.UTTERANCE)
    reason: str = scrubbed("why, in words")


class ClipInfo(Struct):
    """The audio: one recording, a set of them, or cuts of one reading."""

    name: str = fact(
        "a built-in clip's name; the name of the user's file, folder or manifest without its "
        "folder; of cuts, the reading's name and `cut`",
        column=Column("clip", brief=True),
        policy=FieldPolicy.CLIP,
    )
    seconds: float = kept(
        "duration of the speech; of several recordings, all together", column=Column("audio_s")
    )
    samples: int = kept("samples at 16 kHz, mono; of several recordings, all together")
    pcm_sha256: str = kept(
        "SHA-256 of the samples as little-endian float32: exactly what backends were fed. Of a "
        "set and of cuts: over the sorted lines `name pcm_sha256`, each ended by a newline",
        column=Column(),
    )
    source: str = fact(
        "for a built-in clip the package and file; for an address the file and the host; else in "
        "words, such as `a file of the user's` or `a manifest of the user's`. Of cuts, `cut "
        "from` and this",
        policy=FieldPolicy.SOURCE,
    )
    language: str | None = named(
        "two-letter code of the speech",
        null="not known, or not the same in all recordings",
        column=Column(),
        default=None,
    )
    reference: str | None = fact(
        "the words spoken",
        null="there is no reference text, or there are several recordings: each has its own",
        policy=FieldPolicy.REFERENCE,
        default=None,
    )
    silences_s: list[tuple[float, float]] = kept(
        "start and end of every span of 2 s or more below -50 dBFS; empty for several recordings",
        default=[],
    )
    kind: str = kept(
        "`clip` (one recording), `set` (recordings that are scored as one corpus), `durations` "
        "(cuts of one reading, from which the time by length is fitted)",
        column=Column("clip_kind"),
        default="clip",
    )
    utterances: list[UtteranceInfo] = inside(
        "the recordings where there are several; else empty", default=[]
    )
    left_out: list[LeftOutInfo] = inside(
        "entries of a set that are not measured on: missing, damaged, without samples, not finite",
        default=[],
    )
    unscored: list[LeftOutInfo] = inside(
        "entries that are measured on and do not count in accuracy: their text is empty or "
        "cannot be read",
        default=[],
    )

    @property
    def languages(self) -> list[str]:
        """The known languages of its recordings, sorted."""
        return sorted({each.language for each in self.recordings if each.language is not None})

    @property
    def recordings(self) -> list[UtteranceInfo]:
        """What a cell transcribes: the utterances of a set, or the one recording.

        That one's name is empty, as in the samples of a single recording.
        """
        return self.utterances or [
            UtteranceInfo(
                name="",
                seconds=self.seconds,
                samples=self.samples,
                pcm_sha256=self.pcm_sha256,
                language=self.language,
                reference=self.reference,
                silences_s=self.silences_s,
            )
        ]


class TimeoutsInfo(Struct):
    """How long the model may take before its worker is killed; `--timeout` goes before it."""

    load_s: float = kept("reading and preparing the weights")
    transcribe_base_s: float = kept("any transcription, however short")
    transcribe_per_audio_s: float = kept("added for every second of audio")
    first_call_factor: float = kept("times as long for the first call after a load")


class ModelRecord(Struct):
    """The model as the backend sees it: the part of `ModelInfo` independent of the machine."""

    format: str = named(
        "format of the weights: `ctranslate2`, `ggml`, `mlx`; for a backend's own weights the "
        "format that it names, else `own`",
        column=Column("weights_format"),
    )
    precision: str = named(
        "what the weights are stored in; what a backend computes in is in `BackendResult`",
        column=Column("weights_precision"),
    )
    license: str = scrubbed("license of the weights")
    repository: str = scrubbed(
        "where on the hub the weights, or what they are converted from, are published"
    )
    revision: str | None = scrubbed(
        "the commit there",
        null="it is learnt at the first pull, there is no repository, or the copy was fetched by a "
        "library and its hashes do not show its commit",
    )
    size_class: str = kept("`tiny`, `base`, `small`, `medium` or `large`")
    timeouts: TimeoutsInfo = inside(
        "those of the size class, unless the backend's description states its own"
    )


class WeightsInfo(Struct):
    """The weights handed to a backend, as they were found and hashed."""

    files: dict[str, str] = fact(
        "file name → SHA-256, taken just before the run", policy=FieldPolicy.FILES
    )
    size_bytes: int = kept("size of all files of the weights", column=Column("weights_bytes"))
    source: str = scrubbed(
        "where the weights come from: repository and revision, `named in the backend's "
        "description`, or a library's own folder; never a path",
        column=Column("weights_source"),
    )
    network_sha256: str | None = kept(
        "identity of the network: the same for every format converted from it",
        null="the weights were not converted by this tool",
        default=None,
    )


class CellPlan(Struct):
    """One cell: a backend with a model on a recording or set."""

    id: str = fact(
        "the cell's id, `backend/model/clip`; unique in its run", policy=FieldPolicy.CELL
    )
    backend: str = named("the backend as it was requested, `name@version:precision`")
    model: str = named("canonical model name")
    clip: str = fact("clip name", policy=FieldPolicy.CLIP)
    model_info: ModelRecord = inside("what is known of the model")
    weights: WeightsInfo | None = inside(
        "the weights", null="none were found, or the backend is not installed", default=None
    )
    declared: dict[str, SettingValue] = named(
        "setting → what the backend's description declares for this contract; "
        "empty if the description declares no settings",
        default={},
    )
    device: str | None = named(
        "the backend's own word for the requested device: `mps` or `metal` for `gpu`",
        null="it has no such device",
        default=None,
    )


if TYPE_CHECKING:

    class RequestInfo(Struct, RecordedRequest):
        """What was asked for: every field of a `RecordedRequest`."""

else:
    RequestInfo = type(Struct)(
        "RequestInfo",
        (Struct,),
        {
            "__module__": __name__,
            "__doc__": RecordedRequest.__doc__,
            "__annotations__": get_type_hints(RecordedRequest, include_extras=True),
        }
        | {
            each.name: msgspec.field(default_factory=each.default_factory)
            if each.default is dataclasses.MISSING
            else each.default
            for each in dataclasses.fields(RecordedRequest)
            if (each.default, each.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        },
    )


class Outcome(Struct):
    """How the run ended."""

    state: str = kept(
        "how the run ended: `complete`; `stopped` (by `--fail-fast` or `--max-failures`); "
        "`interrupted`; `recovered`; `running` (shown while it still goes on)",
        column=Column(),
    )
    message: str = scrubbed("why it ended so, in words; may be empty", default="")


class Manifest(Struct):
    """Everything known before the first sample, written first.

    ``manifest.json`` is this object, without the outcome.
    """

    schema_version: int = kept("version of the schema: 1; that of the tool that measured")
    run: int = kept("the run's number on the machine that made it", column=Column(brief=True))
    started_at: str = kept(
        "ISO 8601, UTC, to the second. For people; it orders nothing", column=Column(time=True)
    )
    tool: ToolInfo = inside("this program")
    machine: MachineInfo = inside("the machine")
    request: RequestInfo = inside("what was requested")
    request_sha256: str = fact(
        "SHA-256 of `request` as compact JSON with sorted keys: equal requests, equal hashes",
        policy=FieldPolicy.RECOMPUTED,
    )
    libraries: dict[str, str] = named(
        "the tool's own libraries and their versions. A backend's are in `BackendResult`"
    )
    clips: list[ClipInfo] = inside("the audio; one entry, which may be a set")
    cells: list[CellPlan] = inside("what was to be measured")
    schedule: list[list[str]] = fact(
        "per round, the ids of the cells in visiting order, of the most rounds there may be. "
        "Retaken rounds are not in it",
        policy=FieldPolicy.CELL,
    )
    outcome: Outcome | None = inside(
        "how the run ended", null="in `manifest.json`: not known yet", default=None
    )
    repaired: list[str] = scrubbed(
        "with `--repair`: the weights that were damaged before the run and what was done about "
        "it, in words",
        default=[],
    )
    host: list[str] = scrubbed(
        "what holds for all workers: what keeps a Mac awake (`caffeinate -ims`) or why nothing "
        "does, and what slows them down, such as niceness or macOS's background state, in words",
        default=[],
    )
    noise: NoiseInfo | None = inside(
        "this machine's noise floor",
        null="`speedtest noise` was never run on this machine",
        default=None,
    )
    run_id: str = kept(
        "32 random hexadecimal digits: the same run on every machine", column=Column()
    )
    tags: list[str] = fact(
        "the names that the run was given with `--tag`",
        column=Column(),
        policy=FieldPolicy.DROPPED,
        default=[],
    )
