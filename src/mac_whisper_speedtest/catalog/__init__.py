"""Which weights a canonical model name means: read from ``models.toml``, standard library only."""

from __future__ import annotations

import difflib
import functools
import tomllib
from dataclasses import dataclass
from importlib import resources

from mac_whisper_speedtest.errors import UsageError

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class TimeOuts:
    """How long a model of one size class may take, in seconds, before it is killed.

    Attributes:
        load_s: reading and preparing the weights.
        transcribe_base_s: any transcription, however short.
        transcribe_per_audio_s: added for every second of audio.
        first_call_factor: what the first transcription after a load is allowed on top.
    """

    load_s: float
    transcribe_base_s: float
    transcribe_per_audio_s: float
    first_call_factor: float

    def transcribe_s(self, audio_s: float, *, first: bool) -> float:
        """The deadline for one transcription of ``audio_s`` seconds of audio."""
        limit = self.transcribe_base_s + self.transcribe_per_audio_s * audio_s
        return limit * self.first_call_factor if first else limit


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One official file: its size in bytes and SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Mirror:
    """A package-index distribution that carries exactly the official files."""

    distribution: str
    version: str
    folder: str


@dataclass(frozen=True, slots=True)
class Model:
    """A network: its canonical name and where its official CTranslate2 weights are published."""

    name: str
    size_class: str
    languages: str
    repository: str
    licence: str
    time_outs: TimeOuts
    revision: str | None = None
    files: tuple[WeightsFile, ...] = ()
    mirror: Mirror | None = None
    network_sha256: str | None = None

    @property
    def english_only(self) -> bool:
        """Whether the network knows no language but English."""
        return self.languages == "en"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of one model for one backend before anything is loaded.

    Attributes:
        model: the canonical name.
        form: the form of weights the backend loads.
        precision: the precision those weights are stored in.
        location: where they come from: ``repository@revision`` as published, or
            ``converted from`` that.
        size_bytes: of the published weights file, where known.
        sha256: of the published weights file, where known.
        time_outs: for load and transcription, from the size class.
    """

    model: str
    form: str
    precision: str
    location: str
    size_bytes: int | None
    sha256: str | None
    time_outs: TimeOuts


SOURCE_FORM = "ctranslate2"
"""The form every other form is converted from."""


@functools.cache
def models() -> dict[str, Model]:
    """Every canonical model by name, in catalogue order."""
    text = resources.files(__package__).joinpath("models.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    factor = float(document["first_call_factor"])
    classes = {
        name: TimeOuts(**values, first_call_factor=factor)
        for name, values in document["size_class"].items()
    }
    return {
        row["name"]: Model(
            name=row["name"],
            size_class=row["size_class"],
            languages=row["languages"],
            repository=row["repository"],
            licence=row["licence"],
            time_outs=classes[row["size_class"]],
            revision=row.get("revision"),
            files=tuple(WeightsFile(**file) for file in row.get("files", ())),
            mirror=Mirror(**row["mirror"]) if "mirror" in row else None,
            network_sha256=row.get("network_sha256"),
        )
        for row in document["model"]
    }


def model(name: str) -> Model:
    """The model of that canonical name.

    Raises:
        UsageError: no such model; ``large`` is refused because it means different networks to
            different backends.
    """
    known = models()
    if name in known:
        return known[name]
    if name in {"large", "turbo"}:
        near = [other for other in known if name in other]
        reason = "means different networks to different backends"
        raise UsageError(f"the model name {name!r} {reason}", hint=f"say {' or '.join(near)}")
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    raise UsageError(
        f"unknown model {name!r}",
        hint=(f"did you mean {', '.join(near)}? " if near else "") + f"known: {', '.join(known)}",
    )


def model_info(name: str, *, form: str, precision: str) -> ModelInfo:
    """What the catalogue knows of ``name`` for a backend that loads ``form``.

    Raises:
        UsageError: no such model.
    """
    known = model(name)
    published = f"{known.repository}@{known.revision or 'unpinned'}"
    main = next((file for file in known.files if file.name == "model.bin"), None)
    direct = form in {SOURCE_FORM, ""}
    return ModelInfo(
        model=name,
        form=form,
        precision=precision,
        location=published if direct else f"converted from {published}",
        size_bytes=main.size if main and direct else None,
        sha256=main.sha256 if main and direct else None,
        time_outs=known.time_outs,
    )
