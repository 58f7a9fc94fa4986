"""Which weights a canonical model name means: read from data files, standard library only.

``models.toml`` says which networks there are, ``weights.toml`` where each is published in the forms
that backends load. `schema` says what is wrong with either, and is run by the tests alone.
"""

from __future__ import annotations

import difflib
import functools
import re
from dataclasses import dataclass

from mac_whisper_speedtest.catalog.publications import (
    LEARN_RULES,
    Mirror,
    MirrorWheel,
    Publication,
    PublishedFile,
    WeightsFormat,
    document,
    forms,
    largest,
    publication,
    publications,
)
from mac_whisper_speedtest.errors import UsageError

# Models outside the catalog: the one way to write them, ``org/name@`` and a whole commit.
#
# A branch or a tag can move, and a name from outside becomes part of a path, so nothing looser than
# this is taken. Standard library only; the workers import this too.


# What the hub itself allows in the names of accounts and repositories, and how long.
_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_LONGEST_NAME = 96
COMMIT = re.compile(r"[0-9a-f]{40}")
"""A whole commit, as git and the hub write it."""

_HOW = "write it as org/name@REVISION, with the 40 hexadecimal digits of a commit"


@dataclass(frozen=True, slots=True)
class Custom:
    """A repository of the hub at one commit.

    Attributes:
        repository: ``org/name``.
        revision: 40 lower-case hexadecimal digits.
    """

    repository: str
    revision: str

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}"

    @property
    def folder(self) -> str:
        """Its name as one part of a path, which no other model has.

        ``--`` is in no allowed name, so that it stands for the slash alone; no canonical name
        begins like this, and the longest is 151 characters.
        """
        return f"custom--{self.repository.replace('/', '--')}@{self.revision}"


def is_custom(text: str) -> bool:
    """Whether ``text`` means a model outside the catalog; no canonical name looks like one."""
    return any(sign in text for sign in "/\\@\0")


def parse_custom(text: str) -> Custom:
    """The repository and commit that ``text`` names.

    Raises:
        UsageError: it is not ``org/name@`` and 40 lower-case hexadecimal digits.
    """
    repository, _, revision = text.partition("@")
    parts = repository.split("/")
    if len(parts) != 2 or not all(map(_allowed, parts)):
        raise UsageError(
            f"{text!r} is not a model of the catalog, and not a repository of the hub", hint=_HOW
        )
    if len(repository) > _LONGEST_NAME:
        raise UsageError(
            f"the name of {repository[:20]}… has {len(repository)} characters, the hub allows "
            f"{_LONGEST_NAME}",
            hint=_HOW,
        )
    if not COMMIT.fullmatch(revision):
        raise UsageError(
            f"{repository} needs a whole commit as its revision, not {revision!r}",
            hint=f"{_HOW}; a branch or a tag can move",
        )
    return Custom(repository, revision)


def _allowed(part: str) -> bool:
    # "--" stands for the slash in the names of cache folders.
    return bool(_PART.fullmatch(part)) and "--" not in part and ".." not in part


__all__ = [
    "AMBIGUOUS",
    "AS_PUBLISHED",
    "LEARN_RULES",
    "SCHEMA_VERSION",
    "SOURCE_FORM",
    "WHISPER",
    "Custom",
    "Mirror",
    "MirrorWheel",
    "Model",
    "ModelInfo",
    "Publication",
    "PublishedFile",
    "Timeouts",
    "WeightsFormat",
    "family_models",
    "forms",
    "is_custom",
    "model",
    "model_info",
    "models",
    "parse_custom",
    "publication",
    "publications",
    "whisper_models",
]

SCHEMA_VERSION = 1
WHISPER = "whisper"
"""The family whose models ``speedtest`` offers by default."""
AMBIGUOUS = frozenset({"large", "turbo"})
"""Names that mean different networks to different backends, and are refused."""
AS_PUBLISHED = "as published"
SOURCE_FORM = "ctranslate2"
"""The form every other Whisper form is converted from."""
_CUSTOM_SIZE_CLASS = "large"
"""Of models outside the catalog: of their size nothing is known, so they get the most time."""


@dataclass(frozen=True, slots=True)
class Timeouts:
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
class Model:
    """A network: its canonical name and what is true of it in every form.

    ``network_sha256`` is what ``convert.checkpoint.network_sha256`` gives for its official weights.
    """

    name: str
    size_class: str
    languages: str
    license: str
    time_outs: Timeouts
    network_sha256: str | None = None
    family: str = WHISPER

    @property
    def english_only(self) -> bool:
        """Whether the network knows no language but English."""
        return self.languages == "en"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of one model for one backend before anything is loaded.

    Two things are told apart: what its users normally get (``published`` and what follows), and
    what this tool hands to the backend (``obtained``).

    Attributes:
        model: the canonical name.
        form: the form of weights the backend loads.
        precision: the precision those weights are to be stored in.
        time_outs: for load and transcription, from the size class.
        family: of the network.
        published: ``repository@revision``, with the folder, or an address; empty if unavailable.
        published_precision: what the published weights are stored in.
        repository: on the hub; empty where there is a ``url``.
        url: an https address instead of a repository.
        revision: the pinned commit; ``None`` when it is learnt at the first fetch.
        folder: inside the repository.
        files: the published files that are known.
        license: of the published weights, else of the network.
        learn: a key of `LEARN_RULES` for sizes and hashes not given here; empty when all are.
        unavailable: why nobody publishes it in this form; empty when somebody does. A backend may
            still run it: see `obtainable`.
        note: what else a person should know about the published weights.
        obtained: `AS_PUBLISHED`, or ``converted from`` the CTranslate2 weights, or empty when this
            tool cannot come by such weights.
    """

    model: str
    form: str
    precision: str
    time_outs: Timeouts
    family: str
    published: str = ""
    published_precision: str = ""
    repository: str = ""
    url: str = ""
    revision: str | None = None
    folder: str = ""
    files: tuple[PublishedFile, ...] = ()
    license: str = ""
    learn: str = ""
    unavailable: str = ""
    note: str = ""
    obtained: str = ""

    @property
    def location(self) -> str:
        """Where the weights that this tool hands to the backend come from."""
        return self.published if self.obtained == AS_PUBLISHED else self.obtained

    @property
    def obtainable(self) -> bool:
        """Whether a backend of this form can run the model at all."""
        return bool(self.obtained)

    @property
    def main_file(self) -> PublishedFile | None:
        """The published file with the weights."""
        return largest(self.files)

    @property
    def size_bytes(self) -> int | None:
        """Of the published weights file, where known."""
        return self.main_file.size if self.main_file else None

    @property
    def sha256(self) -> str | None:
        """Of the published weights file, where known."""
        return self.main_file.sha256 if self.main_file else None


@functools.cache
def _size_classes() -> dict[str, Timeouts]:
    read = document("models.toml")
    factor = float(read["first_call_factor"])
    return {
        name: Timeouts(**values, first_call_factor=factor)
        for name, values in read["size_class"].items()
    }


@functools.cache
def models() -> dict[str, Model]:
    """Every canonical model by name, of all families, in catalog order."""
    read = document("models.toml")
    classes = _size_classes()
    return {
        row["name"]: Model(
            name=row["name"],
            size_class=row["size_class"],
            languages=row["languages"],
            license=row["license"],
            time_outs=classes[row["size_class"]],
            network_sha256=row.get("network_sha256"),
            family=row["family"],
        )
        for row in read["model"]
    }


def family_models(family: str) -> dict[str, Model]:
    """The models of one family by name, in catalog order; none for an unknown family."""
    return {name: model for name, model in models().items() if model.family == family}


def whisper_models() -> dict[str, Model]:
    """The canonical Whisper models: those that every Whisper backend is asked for."""
    return family_models(WHISPER)


def model(name: str) -> Model:
    """The model of that canonical name, or the one outside the catalog that ``name`` means.

    Raises:
        UsageError: no such model; ``large`` is refused because it means different networks to
            different backends, and a repository without a whole commit because it can change.
    """
    known = models()
    if name in known:
        return known[name]
    if is_custom(name):
        return _custom_model(parse_custom(name))
    if name in AMBIGUOUS:
        near = [other for other in known if name in other]
        reason = "means different networks to different backends"
        raise UsageError(f"the model name {name!r} {reason}", hint=f"say {' or '.join(near)}")
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    raise UsageError(
        f"unknown model {name!r}",
        hint=(f"did you mean {', '.join(near)}? " if near else "") + f"known: {', '.join(known)}",
    )


def _custom_model(custom: Custom) -> Model:
    """A Whisper network of which nothing is known but where it is published."""
    return Model(
        name=str(custom),
        size_class=_CUSTOM_SIZE_CLASS,
        # Whether it knows English alone is in its weights (`weights.custom`), not in its name.
        languages="many",
        license="not known",
        time_outs=_size_classes()[_CUSTOM_SIZE_CLASS],
    )


def model_info(name: str, *, form: str, precision: str) -> ModelInfo:
    """What the catalog knows of ``name`` for a backend that loads ``form``.

    Args:
        name: a canonical name of any family.
        form: a name in `forms`; empty for the form everything is converted from.
        precision: what the weights are to be stored in.

    Raises:
        UsageError: no such model.
    """
    known = model(name)
    row = publication(name, form or SOURCE_FORM, precision)
    obtained, reason = _obtained(known, form or SOURCE_FORM, precision, row)
    if row is None or row.unavailable or reason:
        return ModelInfo(
            model=name,
            form=form,
            precision=precision,
            time_outs=known.time_outs,
            family=known.family,
            license=known.license,
            unavailable=(row.unavailable if row else "") or reason,
            obtained=obtained,
        )
    return ModelInfo(
        model=name,
        form=form,
        precision=precision,
        time_outs=known.time_outs,
        family=known.family,
        published=row.place,
        published_precision=row.precision,
        repository=row.repository,
        url=row.url,
        revision=row.revision,
        folder=row.folder,
        files=row.files,
        license=row.license,
        learn=row.learn,
        note=row.note,
        obtained=obtained,
    )


def _obtained(known: Model, form: str, precision: str, row: Publication | None) -> tuple[str, str]:
    """How this tool comes by such weights, and why nobody publishes them where nobody can."""
    kind = forms().get(form)
    if kind is not None and kind.family != known.family:
        return "", f"{form} holds {kind.family} networks, and {known.name} is a {known.family} one"
    source = publication(known.name, SOURCE_FORM)
    converted = f"converted from {source.place}" if source else ""
    if kind is None or row is None:
        return converted, f"the catalog does not know the form {form!r}"
    if not kind.converts_to:
        return ("" if row.unavailable else AS_PUBLISHED), ""
    if precision in kind.converts_to:
        return converted, ""
    if row.precision == precision:
        return ("" if row.unavailable else AS_PUBLISHED), ""
    return "", f"{known.name} is neither published as {form} {precision} nor converted to it"
