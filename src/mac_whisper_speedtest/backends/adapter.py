"""The interface of a Python backend: load once, transcribe many times, report what was done.

An adapter runs inside the worker process, in the backend's own environment. It may import the
standard library, numpy and the backend's library, the latter only inside its methods.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings, SettingValue

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Audio = npt.NDArray[np.float32]
    """16 kHz mono float32, shape [samples], contiguous, finite, about ±1."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelParams:
    """The weights, on this machine's disk.

    Attributes:
        name: the canonical model name, such as ``tiny.en``.
        path: a file or folder on this machine; a worker uses no other copy.
        format: the weights' format (``ctranslate2``, ``ggml``, ``mlx``, or a program's own name).
        precision: what to compute in, or ``auto`` for the backend's native choice on the device.
    """

    name: str
    path: str
    format: str
    precision: str = "auto"


@dataclass(frozen=True, slots=True)
class LoadParams:
    """Load these weights completely, so that later calls load nothing.

    Attributes:
        model: the weights.
        device: ``auto`` or a device name of the backend's ``devices``.
        threads: CPU threads to use.
    """

    model: ModelParams
    device: str = "auto"
    threads: int = 1


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What a backend loaded: the device and precision in use, and facts for the record."""

    device: str
    precision: str
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of transcript.

    Attributes:
        start_s: seconds from the start of the audio.
        end_s: likewise.
        text: the transcript.
    """

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class DecodedSegment(Segment):
    """A segment with the temperature it was decoded at; ``None`` if unknown."""

    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """What a library reports of its last call.

    Attributes:
        stages_s: seconds of each stage: ``mel``, ``encode``, ``decode``, and others it names.
        fallbacks: how often it decoded again at a higher temperature; ``None`` if unknown.
    """

    stages_s: Mapping[str, float] = field(default_factory=dict)
    fallbacks: int | None = None


@dataclass(frozen=True, slots=True)
class Transcription:
    """One decoded recording.

    Attributes:
        segments: in order. May be lazy: the harness drains it inside the clock.
        language: the language that was used for decoding, or ``None``.
        tokens: decoded tokens including timestamps, where the backend reports them.
        text: the whole transcript when it is not simply the segments joined.
        breakdown: reports more of this call, where the library can; called outside the clock.
    """

    segments: Iterable[Segment]
    language: str | None = None
    tokens: int | None = None
    text: str | None = None
    breakdown: Callable[[], Breakdown] | None = None


class BackendUnavailableError(Exception):
    """The backend's library cannot be imported here."""


class ModelUnusableError(Exception):
    """The backend cannot use these weights, this device, this precision or this setting."""


class Adapter(Protocol):
    """The methods that the worker calls."""

    def import_library(self) -> Mapping[str, str]:
        """Import the backend's library and return the versions of everything that matters.

        The key ``version`` is the backend's own version.

        Raises:
            BackendUnavailableError: the library cannot be imported.
        """

    def load(self, params: LoadParams) -> LoadedModel:
        """Load the weights completely, so that the first transcription loads nothing.

        Raises:
            ModelUnusableError: the weights are not usable.
        """

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """Decode ``audio``; everything this returns, lazily or not, is drained inside the clock."""

    def synchronize(self) -> None:
        """Wait until asynchronous work of the last call is done. Runs inside the clock."""

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """The settings that the last transcription used. Runs outside the clock."""

    def unload(self) -> None:
        """Drop the model and release its memory."""


PADS_AUDIO = "pads the last window as audio, not as zeros in the mel spectrogram"
"""A remark on backends that differ in this from OpenAI's implementation."""


class LibraryAdapter:
    """The common part of most adapters.

    Attributes:
        modules: the library's modules to import now, so that later calls import nothing.
        distributions: to record versions of; the backend's own first.
    """

    modules: ClassVar[tuple[str, ...]]
    distributions: ClassVar[tuple[str, ...]]

    def import_library(self) -> Mapping[str, str]:
        """Import the modules, and return the versions."""
        import_or_unavailable(*self.modules)
        return library_versions(*self.distributions)

    def synchronize(self) -> None:
        """Nothing to wait for: the library returns when the device is done."""

    def unload(self) -> None:
        """Drop everything that was loaded; the process ends soon after anyway."""
        vars(self).clear()


def import_or_unavailable(*modules: str) -> None:
    """Import a backend's modules.

    Raises:
        BackendUnavailableError: one cannot be imported; the message has its name and the reason.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except (ImportError, OSError) as error:  # OSError: a native library that does not load
            raise BackendUnavailableError(f"{module}: {error}") from error


@contextmanager
def unusable_on(*errors: type[Exception]) -> Iterator[None]:
    """Turn these errors of a library that loads weights into a ModelUnusableError."""
    try:
        yield
    except errors as error:
        raise ModelUnusableError(f"{type(error).__name__}: {error}") from error


def without_none(**settings: Any) -> dict[str, Any]:  # a library's keyword arguments
    """The keyword arguments that have a value; settings that a contract leaves open are omitted."""
    return {name: value for name, value in settings.items() if value is not None}


def openai_arguments(contract: DecodeContract) -> dict[str, Any]:
    """The contract as keyword arguments of a ``transcribe`` that descends from OpenAI's."""
    return without_none(
        language=contract.language,
        task=contract.task,
        temperature=contract.temperatures,
        best_of=contract.best_of,
        condition_on_previous_text=contract.condition_on_previous_text,
        without_timestamps=None if contract.timestamps is None else not contract.timestamps,
    )


def openai_transcription(result: Mapping[str, Any], language: str) -> Transcription:
    """The result of a ``transcribe`` that descends from OpenAI's."""
    segments = result["segments"]
    return Transcription(
        segments=[
            DecodedSegment(each["start"], each["end"], each["text"], each.get("temperature"))
            for each in segments
        ],
        language=language,
        tokens=sum(len(each["tokens"]) for each in segments),
        text=result["text"],
    )


def temperature_argument(contract: DecodeContract) -> float | tuple[float, ...] | None:
    """A single temperature as a number, which switches the fallback off; several as a tuple."""
    ladder = contract.temperatures or ()
    return ladder[0] if len(ladder) == 1 else tuple(ladder) or None


def record_calls(target: Any, method: str, describe: Callable[..., T]) -> list[T]:
    """Record every later call of a library's method.

    Args:
        target: the object with the ``method`` to replace; these libraries are untyped.
        method: its name.
        describe: called with the arguments of each call, before it; its value is recorded.

    Returns:
        One entry per call, in order; it grows. Clear it before each transcription.
    """
    calls: list[T] = []
    original = getattr(target, method)

    def recorded(*arguments: Any, **named: Any) -> Any:
        calls.append(describe(*arguments, **named))
        return original(*arguments, **named)

    setattr(target, method, recorded)
    return calls


def effective(
    declared: Mapping[str, SettingValue],
    observed: Mapping[str, SettingValue],
    *remarks: str,
) -> EffectiveSettings:
    """The declared settings of a backend, corrected by those that were read back."""
    return EffectiveSettings({**declared, **observed}, tuple(observed), remarks)


def distribution_versions(*names: str) -> dict[str, str]:
    """The installed versions of the named distributions, leaving out those not installed."""
    from importlib import metadata

    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def library_versions(own: str, *others: str) -> dict[str, str]:
    """What ``import_library`` returns: the version of ``own`` as ``version``, and of the others."""
    found = distribution_versions(own, *others)
    return {"version": found.pop(own, "unknown"), **found}
