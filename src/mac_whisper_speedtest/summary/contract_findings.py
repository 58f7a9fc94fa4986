"""Whether a backend did the requested work on the requested device."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

from mac_whisper_speedtest.backends import mlx_wheel
from mac_whisper_speedtest.backends.contract import OWN_LANGUAGE
from mac_whisper_speedtest.machine.gpu import unused_kind
from mac_whisper_speedtest.results import schema as s

SEGMENT_SLACK_S = 1.0
"""Whisper pads the last window with silence and may predict a time in it; up to 0.5 s observed."""
SEGMENT_ORDER_S = 0.02
"""Whisper's timestamps count in steps of 0.02 s."""
_GENERIC_DEVICES = {"metal": "gpu", "mps": "gpu", "cuda": "gpu", "rocm": "gpu", "vulkan": "gpu"}
_SAME_PRECISION = {
    **dict.fromkeys(("f32", "fp32", "float"), "float32"),
    **dict.fromkeys(("f16", "fp16", "half"), "float16"),
    "bf16": "bfloat16",
}
_LIBRARY_DEVICES = {"mlx": ("metal",), "ctranslate2": ("cuda",), "torch": ("cuda", "mps")}
"""Libraries → the GPUs that their packages use; the first of several libraries computes."""
_FOR_CORE_ML = "ggml-coreml"
"""The weights format with an extra encoder for Core ML."""
_SAYS_NOTHING = {"", "auto", "default", "unknown"}
Pair = tuple[str, str]
"""What was requested, and what was used."""


def fallbacks(*, device: Pair, precision: Pair) -> list[str]:
    """How what a worker loaded differs from the request, in words."""
    return [
        *_differs(device, _same_device, "ran on"),
        *_differs(precision, _same_precision, "computed in"),
    ]


def not_in_core_ml(weights_format: str, used: str) -> list[str]:
    """That Core ML did not load the encoder it was given, in words.

    whisper.cpp then logs the failure and runs its own encoder.
    """
    if weights_format != _FOR_CORE_ML or used == "coreml":
        return []
    return [f"Core ML did not load its encoder, which ran on {used} instead"]


def contract(cell: s.CellResult) -> Iterator[str]:
    """Work other than requested, and reports that the worker's own answers contradict."""
    if cell.contract.deviations:
        yield "; ".join(_deviation(each) for each in cell.contract.deviations)
    effective = cell.contract.effective
    deviating = {each.setting for each in cell.contract.deviations}
    for setting, described in cell.contract.declared.items():
        reported = effective.get(setting)
        known = reported is not None and described is not None and setting not in deviating
        if known and reported != described:
            yield f"{setting}: reported {reported}, but declared {described}"
    reported = effective.get("language")
    spoken = {each.language for each in cell.samples if each.language and len(each.language) == 2}
    if isinstance(reported, str) and len(reported) == 2 and spoken - {reported}:
        others = ", ".join(sorted(spoken - {reported}))
        yield f"reported language {reported}, but its transcripts are in {others}"
    yield from _languages(cell)
    if effective.get("timestamps") is True:
        yield from _times(cell)


def _languages(cell: s.CellResult) -> Iterator[str]:
    """Recordings that were decoded in the wrong language, unless a language was requested."""
    if cell.contract.requested.get("language") not in {None, OWN_LANGUAGE}:
        return
    spoken = {each.name: each.language for each in cell.clip.recordings if each.language}
    looked = {
        each.utterance: each.language
        for each in cell.samples
        if each.utterance in spoken and each.language and len(each.language) == 2
    }
    other = {name: used for name, used in looked.items() if used != spoken[name]}
    if other:
        name, used = next(iter(other.items()))
        such = f", such as {name}" if name else ""
        yield (
            f"decoded {len(other)} of {len(looked)} recordings in the wrong language{such}: "
            f"{used} instead of {spoken[name]}"
        )


def device(cell: s.CellResult) -> Iterator[str]:
    """A device other than requested, several devices, or no reported device."""
    pairs = [(load.device_asked, load.device) for load in cell.loads]
    yield from dict.fromkeys(
        message for pair in pairs for message in _differs(pair, _same_device, "ran on")
    )
    used = dict.fromkeys(each for _, each in pairs)
    yield from (
        message for each in used for message in not_in_core_ml(cell.model.info.format, each)
    )
    if len(used) > 1:
        yield f"differed between processes: {', '.join(used)}"
    if any(each.lower() in _SAYS_NOTHING for each in used):
        yield "not reported by the backend"


def unused_gpu(cell: s.CellResult, machine: s.MachineInfo) -> Iterator[str]:
    """The CPU, although it was not requested and the library can use the machine's GPU."""
    if machine.os == "Linux":
        present = {"cuda"} if machine.gpus else set()  # only NVIDIA's are detected there
    else:
        present = {"metal"} if machine.gpu_cores else set()
    libraries = [name for name in _LIBRARY_DEVICES if name in cell.backend.versions]
    used = [load.device for load in cell.loads if load.device_asked == "auto"]
    if not (machine.gpus and libraries and "cpu" in used):
        return
    library = libraries[0]
    if unused_kind(present, _LIBRARY_DEVICES[library], ["cpu"]):
        why = cell.backend.details.get("cuda") or _too_new(cell.backend.versions, machine)
        arm = library == "ctranslate2" and machine.architecture != "x86_64"
        able = f"has no CUDA on {machine.architecture}" if arm else "can use it"
        yield (
            f"ran on the CPU although the machine has the GPU {machine.gpus[0]} "
            f"({library} {cell.backend.versions[library]} {able})" + (f": {why}" if why else "")
        )


def older_build(cell: s.CellResult, machine: s.MachineInfo) -> Iterator[str]:
    """A build of MLX for an older macOS than the machine's, although a newer build exists."""
    if found := mlx_wheel.too_old(
        cell.backend.versions.get(mlx_wheel.NAME, ""), machine.os_version
    ):
        yield found


def _too_new(versions: Mapping[str, str], machine: s.MachineInfo) -> str:
    """That a library is built for a CUDA version that the driver does not support, in words."""
    built, supported = versions.get("cuda", ""), machine.cuda or ""
    if built.partition(".")[0] == supported.partition(".")[0] or not (built and supported):
        return ""
    return f"it is built for CUDA {built}, but the driver supports {supported}"


def precision(cell: s.CellResult) -> Iterator[str]:
    """A precision other than requested, or several precisions."""
    pairs = [(load.precision_asked, load.precision) for load in cell.loads]
    yield from dict.fromkeys(
        message for pair in pairs for message in _differs(pair, _same_precision, "computed in")
    )
    used = dict.fromkeys(each for _, each in pairs)
    if len(used) > 1:
        yield f"differed between processes: {', '.join(used)}"


def _times(cell: s.CellResult) -> Iterator[str]:
    """What is wrong with the reported times of segments."""
    spoken = [sample for sample in cell.samples if sample.text.strip()]
    segments = [segment for sample in spoken for segment in sample.segments]
    if spoken and not any(segment.end_s > segment.start_s for segment in segments):
        yield "reported timestamps, but its segments have no times"
        return
    lengths = {each.name: each.seconds for each in cell.clip.recordings}
    for sample in spoken:
        last = max((segment.end_s for segment in sample.segments), default=0.0)
        audio_s = lengths[sample.utterance]
        if last > audio_s + SEGMENT_SLACK_S:
            yield f"a segment ends at {last:.1f} s in audio of {audio_s:.1f} s"
            break
    if any(segment.end_s < segment.start_s for segment in segments) or any(
        after.start_s < before.start_s - SEGMENT_ORDER_S
        for sample in spoken
        for before, after in itertools.pairwise(sample.segments)
    ):
        yield "its segments are not in order of time"


def _differs(pair: Pair, same: Callable[[str, str], bool], verb: str) -> list[str]:
    asked, used = pair
    if asked == "auto" or same(asked.lower(), used.lower()):
        return []
    return [f"{verb} {used}, although {asked} was requested"]


def _same_device(asked: str, used: str) -> bool:
    """Whether one name includes the other: ``gpu`` is any GPU, ``cuda`` any CUDA device."""
    family = used.partition(":")[0]
    return asked in {used, family, _GENERIC_DEVICES.get(family)} or (
        used == _GENERIC_DEVICES.get(asked.partition(":")[0])
    )


def _same_precision(asked: str, used: str) -> bool:
    """Whether these are two names of one precision; ``int8`` is also any ``int8_...``."""
    asked, used = _SAME_PRECISION.get(asked, asked), _SAME_PRECISION.get(used, used)
    return asked == used or used.startswith(f"{asked}_")


def _deviation(each: s.DeviationResult) -> str:
    effective = "not reported" if each.effective is None else each.effective
    own = each.requested == OWN_LANGUAGE
    return f"{each.setting}: {effective} instead of {'the own' if own else each.requested}"
