"""Everything that happens before the first sample: clip, weights, manifest. Nothing is timed."""

from __future__ import annotations

import functools
import math
import os
import subprocess
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.accuracy.hallucination import silent_spans
from mac_whisper_speedtest.audio.recording import AudioSet
from mac_whisper_speedtest.audio.select import load_audio
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import OWN_LANGUAGE, DecodeContract, SettingValue
from mac_whisper_speedtest.catalog import ModelInfo
from mac_whisper_speedtest.errors import UsageError, WeightsError, WeightsMissingError
from mac_whisper_speedtest.machine import describe, host
from mac_whisper_speedtest.option import AUTO
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.request import Request
from mac_whisper_speedtest.results import digests
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import counted
from mac_whisper_speedtest.run import noise_floor, plan
from mac_whisper_speedtest.run.plan import Cell
from mac_whisper_speedtest.version import __version__
from mac_whisper_speedtest.weights import custom, locate, repair
from mac_whisper_speedtest.weights.damage import DamagedError
from mac_whisper_speedtest.weights.locate import Weights
from mac_whisper_speedtest.worker.launch import not_installed, program

_MOST_THREADS_PER_CORE = 4
_TOOL = "mac-whisper-speedtest"
_LIBRARIES = ("av", "jiwer", "msgspec", "numpy", "psutil", "soxr", "whisper-normalizer")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with everything that it needs.

    Attributes:
        request: with the contract's language, the backends' labels and the threads filled in.
        weights: cell id → verified weights.
        unavailable: cell id → why it cannot be measured here.
        repaired: repairs of damaged weights, one line each.
        noise: the noise floor measured earlier on this machine.
    """

    request: Request
    speech: AudioSet
    cells: list[Cell]
    weights: dict[str, Weights]
    unavailable: dict[str, str]
    repaired: tuple[str, ...] = ()
    noise: s.NoiseInfo | None = None


def backends_of(request: Request) -> tuple[Backend, ...]:
    """The backends that a request names, or all that can run on this platform.

    Raises:
        UsageError: a name is unknown.
    """
    found = registry.select(request.backends, registry.installed())
    if not request.backends:
        found = [each for each in found if each.made_for_here()]
    return tuple(replace(each, managed=each.managed or request.managed) for each in found)


def prepare(
    request: Request,
    backends: Sequence[Backend],
    *,
    notify: Callable[[str], None],
    level: Callable[[float], None] = lambda _dbfs: None,
) -> Prepared:
    """Decode the audio and locate the weights; with ``repair``, repair damaged ones first.

    Args:
        request: what to measure.
        backends: see `backends_of`.
        notify: called with a line before anything that takes long.
        level: called with the loudness at the microphone, in dB below full scale.

    Raises:
        UsageError: a model is unknown or does not support the language, or the audio is unusable.
        WeightsError: local weights are damaged.
        DownloadError: they could not be downloaded again.
    """
    for model in request.models:
        catalog.model(model)
    host.placement(cores=request.affinity or (), nice=request.nice)
    _require_cores(request.threads)
    speech = load_audio(request, notify=notify, level=level)
    known = {each.language for each in speech.recordings if each.language is not None}
    left = request.contract["language"] is None or request.language == AUTO  # to the libraries
    language = None if left else _requested_language(speech, known)
    languages = known or {language or "en"}
    for model in request.models:
        _require_languages(model, catalog.model(model).only_language, languages)
    cells = prepared_cells(request, backends, speech.name)
    weights: dict[str, Weights] = {}
    unavailable: dict[str, str] = {}
    repaired: list[str] = []
    # Hashing gigabytes takes seconds: once per model, for all backends that use it.
    official = functools.cache(locate.official)
    if not cells:
        raise UsageError(
            f"none of the backends can run {', '.join(request.models)}",
            hint="speedtest backends list shows the models of each",
        )
    for cell in cells:
        reason = _unavailable(cell, request) or _other_language(cell, request, languages)
        if reason:
            unavailable[cell.id] = reason
            continue
        find = functools.partial(locate.locate, cell.info, notify=notify, official=official)
        if request.repair:
            find = functools.partial(repair.repair, find, notify=notify, done=repaired)
        try:
            weights[cell.id] = find()
        except WeightsError as error:
            unavailable[cell.id] = _unavailable_reason(cell.model, error)
            continue
        if weights[cell.id].english_only:
            _require_languages(cell.model, "en", languages)
    settled = replace(
        request,
        backends=tuple(backend.label for backend in backends),
        backends_named=bool(request.backends),
        contract={**request.contract, "language": language},
        threads=request.threads or describe.default_threads(),
    )
    repairs = tuple(scrub(text) for text in repaired)
    return Prepared(settled, speech, cells, weights, unavailable, repairs, noise_floor.last())


def _require_cores(threads: int) -> None:
    """Refuse so many threads that the machine would stall."""
    cores = os.cpu_count() or 1
    if threads > _MOST_THREADS_PER_CORE * cores:
        raise UsageError(
            f"--threads is {threads}, but this machine has {counted(cores, 'core')}",
            hint=f"use at most {_MOST_THREADS_PER_CORE * cores}; the default is one per core",
        )


def prepared_cells(request: Request, backends: Sequence[Backend], clip: str) -> list[Cell]:
    """The cells to measure, with the facts that earlier pulls stored about custom models."""
    found = plan.cells(request.models, backends, clip, request.precision)
    return [replace(cell, info=custom.with_listing(cell.info)) for cell in found]


def _requested_language(speech: AudioSet, known: Collection[str]) -> str:
    """The language to request from every backend: the one that is known, else English.

    Raises:
        UsageError: the recordings are in several languages, and some have no stated language.
    """
    if len(known) < 2:
        return next(iter(known), "en")
    unknown = [each.name for each in speech.recordings if each.language is None]
    if unknown:
        raise UsageError(
            f"{len(unknown)} of {len(speech.recordings)} recordings of {speech.name} have no "
            f"language, such as {unknown[0]}, and the others are in {', '.join(sorted(known))}",
            hint="add their language to the list, or leave it to the backends: --language auto",
        )
    return OWN_LANGUAGE


def _unavailable_reason(model: str, error: WeightsError) -> str:
    """Why a cell has no weights, if that does not stop the run; else raises ``error``."""
    if isinstance(error, WeightsMissingError):
        return scrub(f"{error.message}: {error.hint}")
    # Custom weights can be intact and still be in a format that cannot be read or converted.
    if catalog.is_custom(model) and not isinstance(error, DamagedError):
        return scrub(error.message)
    raise error


def _require_languages(model: str, only: str | None, languages: Collection[str]) -> None:
    """Raises UsageError if the model knows only one language, and another one is spoken."""
    others = sorted({*languages} - {only})
    if only is None or not others:
        return
    such = f", such as {model.removesuffix('.en')}" if model.endswith(".en") else ""
    known = "English" if only == "en" else repr(only)
    spoken = f"the language is {others[0]!r}"
    hint = f"use a multilingual model{such}"
    if len(languages) > 1:
        spoken = f"recordings are in {', '.join(map(repr, others))}"
        hint += f"; or list the recordings in {known} alone"
    raise UsageError(f"the model {model} knows only {known}, but {spoken}", hint=hint)


def _other_language(cell: Cell, request: Request, languages: Collection[str]) -> str:
    """Why the network that a backend runs for the requested model does not fit; empty if it does.

    A backend other than Whisper runs its own network, which may know only one language.
    """
    only = catalog.model(cell.model).only_language
    others = sorted({*languages} - {only})
    if cell.model in request.models or only is None or not others:
        return ""
    fitting = [
        each
        for each in cell.backend.networks
        if catalog.model(each).only_language is None
        or {catalog.model(each).only_language} == {*languages}
    ]
    other = f"; name its network {fitting[0]} with --model" if fitting else ""
    spoken = ", ".join(map(repr, others))
    spoken = f"recordings are in {spoken}" if len(languages) > 1 else f"the language is {spoken}"
    return f"its {cell.model} knows only {only!r}, but {spoken}{other}"


def precision_of(backend: Backend, request: Request) -> str:
    """The precision to request from a backend: its label's, else the run's."""
    return backend.precision or request.precision


def _unavailable(cell: Cell, request: Request) -> str:
    """Why a cell cannot be measured here under this request; empty when it can be.

    Checked before anything is started.
    """
    backend, info = cell.backend, cell.info
    if backend.broken:
        return scrub(backend.broken)
    if program(backend) is None:
        return not_installed(backend)
    refused = backend.refuses(request.decode_contract)
    if refused is not None:
        return (
            f"cannot keep the contract {request.contract['name']}: {refused.setting} is always "
            f"{refused.effective}, not {refused.requested}"
        )
    return impossible(backend, info, request)


def impossible(backend: Backend, info: ModelInfo, request: Request) -> str:
    """Why a backend cannot meet a request's device or precision; empty if it can."""
    if backend.device_for(request.device) is None:
        return f"has no device {request.device} here (it has {', '.join(backend.devices_here)})"
    asked = backend.precision or request.precision
    if asked not in {"auto", *(backend.precisions or [asked])}:
        return f"does not compute in {asked} (it does in {', '.join(backend.precisions)})"
    kind = catalog.weights_formats().get(info.weights_format)
    if kind is not None and kind.converts_to and info.precision not in kind.converts_to:
        return f"has no {info.precision} weights (it has {', '.join(kind.converts_to)})"
    return ""


def manifest(
    prepared: Prepared, *, run: int, schedule: Sequence[Sequence[str]], remarks: Sequence[str] = ()
) -> s.Manifest:
    """Everything known before the first sample; ``remarks`` are its ``host``."""
    requested = prepared.request
    limit = plan.time_limit_s(requested, prepared.speech.seconds)
    settled = replace(
        requested,
        clips=(prepared.speech.name,),
        passes=plan.passes(requested.passes, len(prepared.speech.recordings)),
        max_time_s=limit if math.isfinite(limit) else None,
    )
    request = s.RequestInfo(
        **{name: getattr(settled, name) for name in s.RequestInfo.__struct_fields__}
    )
    return s.Manifest(
        schema_version=s.SCHEMA_VERSION,
        run=run,
        started_at=_now(),
        tool=_this_tool(),
        machine=describe.describe(),
        request=request,
        request_sha256=digests.sha256(request),
        libraries={name: metadata.version(name) for name in _LIBRARIES},
        clips=[_clip_info(prepared.speech)],
        cells=[
            s.CellPlan(
                id=cell.id,
                backend=cell.backend.label,
                model=cell.model,
                clip=cell.clip,
                model_info=_model_record(cell.info, prepared.weights.get(cell.id)),
                weights=_weights_info(prepared.weights.get(cell.id)),
                declared=_declared(cell.backend, requested.decode_contract),
                device=cell.backend.device_for(requested.device),
            )
            for cell in prepared.cells
        ],
        schedule=[list(visit) for visit in schedule],
        repaired=list(prepared.repaired),
        host=[scrub(each) for each in remarks if each],
        noise=prepared.noise,
        run_id=uuid.uuid4().hex,
        tags=list(requested.tags),
    )


def resumed() -> s.Resumed:
    """The event that records that this tool resumes a run now."""
    return s.Resumed(at=_now(), tool=_this_tool())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _this_tool() -> s.ToolInfo:
    return s.ToolInfo(name=_TOOL, version=__version__, git_sha=_git_sha())


def _declared(backend: Backend, contract: DecodeContract) -> dict[str, SettingValue]:
    """The settings that the description declares, perhaps none."""
    described = bool(backend.fixed or backend.shipped)
    return backend.decodes_with(contract) if described else {}


def _clip_info(speech: AudioSet) -> s.ClipInfo:
    several = len(speech.recordings) > 1
    named = dict.fromkeys(each.speaker for each in speech.recordings if each.speaker is not None)
    speakers = {name: number for number, name in enumerate(named, start=1)}
    return s.ClipInfo(
        name=speech.name,
        seconds=speech.seconds,
        samples=sum(recording.count for recording in speech.recordings),
        pcm_sha256=speech.pcm_sha256,
        source=scrub(speech.source),
        language=speech.language,
        reference=None if several else speech.recordings[0].reference,
        silences_s=[] if several else silent_spans(speech.recordings[0].samples),
        kind=speech.kind,
        utterances=[
            s.UtteranceInfo(
                name=recording.name,
                seconds=recording.seconds,
                samples=recording.count,
                pcm_sha256=recording.pcm_sha256,
                language=recording.language,
                reference=recording.reference,
                silences_s=silent_spans(recording.samples),
                speaker=speakers.get(recording.speaker or ""),
            )
            for recording in speech.recordings
            if several
        ],
        left_out=[s.LeftOutInfo(name=each.name, reason=each.reason) for each in speech.left_out],
        unscored=[s.LeftOutInfo(name=each.name, reason=each.reason) for each in speech.unscored],
    )


def _model_record(info: ModelInfo, weights: Weights | None) -> s.ModelRecord:
    """The facts about a model; format and precision are of the located weights."""
    return s.ModelRecord(
        format=weights.format if weights else info.weights_format or "own",
        precision=weights.precision if weights else info.precision,
        license=info.license,
        repository=info.repository,
        revision=info.revision if weights is None or weights.of_known_commit else None,
        size_class=info.size_class,
        timeouts=s.TimeoutsInfo(**asdict(info.timeouts)),
    )


def _weights_info(weights: Weights | None) -> s.WeightsInfo | None:
    if weights is None:
        return None
    return s.WeightsInfo(
        files=dict(weights.files),
        size_bytes=weights.size_bytes,
        source=weights.source,
        network_sha256=weights.network_sha256,
    )


@functools.cache
def _git_sha() -> str | None:
    """The commit of the checkout this package runs from; ``None`` for an installed package."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
