"""The models of the catalog and where their weights are; standard library only.

``models.toml`` lists the networks, ``weights.toml`` where each is published in the formats that
backends load; `model_info` puts both together for one backend. The tests check both.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace

from mac_whisper_speedtest.catalog.hosted import (
    UNPINNED_RULES,
    HostedWeights,
    Mirror,
    MirrorWheel,
    PublishedFile,
    TokenizerFiles,
    WeightsFormat,
    document,
    find_hosted,
    hosted_by_model,
    hosted_weights,
    official_weights,
    weights_formats,
)
from mac_whisper_speedtest.catalog.model_info import (
    AS_PUBLISHED,
    LocationKind,
    ModelInfo,
    Timeouts,
    WeightsLocation,
    converted_location,
    hub_location,
    locations_of,
    published_locations,
    size_class_bytes,
    size_class_for,
    size_classes,
)
from mac_whisper_speedtest.errors import UsageError, nearest_names

# Models outside the catalog are written ``org/name@`` and a whole commit: a branch or a tag can
# move, and the name becomes part of a path.

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
        """Its unique name as one part of a path.

        No allowed name contains ``--``, so it can represent the slash; no canonical name
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
    "SCHEMA_VERSION",
    "SOURCE_FORMAT",
    "UNPINNED_RULES",
    "WHISPER",
    "Custom",
    "HostedWeights",
    "LocationKind",
    "Mirror",
    "MirrorWheel",
    "Model",
    "ModelInfo",
    "PublishedFile",
    "Timeouts",
    "TokenizerFiles",
    "WeightsFormat",
    "WeightsLocation",
    "find_hosted",
    "formats_of",
    "hosted_by_model",
    "hosted_weights",
    "is_custom",
    "kept_by",
    "model",
    "model_info",
    "models",
    "official_weights",
    "parse_custom",
    "published_locations",
    "require_files",
    "require_format",
    "size_class_bytes",
    "size_class_for",
    "size_classes",
    "weights_formats",
    "whisper_models",
]

SCHEMA_VERSION = 1
WHISPER = "whisper"
"""The family whose models ``speedtest`` offers by default."""
AMBIGUOUS = frozenset({"large", "turbo"})
"""Names that mean different networks to different backends, and are refused."""
SOURCE_FORMAT = "ctranslate2"
"""The format every other Whisper format is converted from."""


@dataclass(frozen=True, slots=True)
class Model:
    """A network: its canonical name and facts that are the same in every format.

    ``network_sha256`` is what ``convert.checkpoint.network_sha256`` gives for its official weights;
    ``parameters_m`` is how many parameters it has, in millions, where that is published.
    """

    name: str
    size_class: str
    languages: str
    license: str
    network_sha256: str | None = None
    family: str = WHISPER
    parameters_m: int | None = None

    @property
    def only_language(self) -> str | None:
        """The only language of the network, as ISO 639-1; ``None`` if there are more."""
        return None if self.languages == "many" else self.languages

    @property
    def english_only(self) -> bool:
        """Whether the network supports English only."""
        return self.only_language == "en"


@functools.cache
def models() -> dict[str, Model]:
    """Every canonical model by name, of all families, in catalog order."""
    return {row["name"]: Model(**row) for row in document("models.toml")["model"]}


def whisper_models() -> dict[str, Model]:
    """The canonical Whisper models: those that every Whisper backend is asked for."""
    return {name: model for name, model in models().items() if model.family == WHISPER}


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
        raise UsageError(f"the model name {name!r} {reason}", hint=f"use {' or '.join(near)}")
    hint = nearest_names(name, known, listed_by="speedtest models list")
    raise UsageError(f"unknown model {name!r}", hint=hint)


def formats_of(model: Model) -> dict[str, WeightsFormat]:
    """The formats in which a model can be stored, by name."""
    return {name: kind for name, kind in weights_formats().items() if kind.family == model.family}


def require_format(model: Model, weights_format: str) -> WeightsFormat:
    """The format of that name.

    Raises:
        UsageError: there is none, or it cannot hold the model.
    """
    known = formats_of(model)
    if weights_format not in known:
        raise UsageError(
            f"there are no {weights_format} weights of {model.name}",
            hint=f"formats: {', '.join(known)}",
        )
    return known[weights_format]


def kept_by(name: str) -> str:
    """The operating system that keeps the network of a model without files; empty for any other.

    Raises:
        UsageError: no such model.
    """
    known = model(name)
    return "" if is_custom(name) else official_weights(known.name).kind.kept_by


def require_files(name: str) -> None:
    """Refuse a model without files: its networks are kept by the operating system.

    Raises:
        UsageError: it is one, or there is no such model.
    """
    if keeper := kept_by(name):
        raise UsageError(
            f"{name} has no files here: {keeper} keeps its network",
            hint=f"speedtest check-models -m {name}",
        )


def _custom_model(custom: Custom) -> Model:
    """A Whisper network outside the catalog: only its repository is known."""
    return Model(
        name=str(custom),
        size_class=size_class_for(None),
        # Whether it is English-only follows from its weights (`weights.custom`), not its name.
        languages="many",
        license="not known",
    )


def model_info(name: str, weights_format: str, precision: str, *, backend: str = "") -> ModelInfo:
    """The catalog's facts about a model for a backend that loads one weights format.

    Args:
        name: a canonical name of any family, or ``org/name@REVISION``.
        weights_format: a name in `weights_formats`; empty if the backend includes its own weights.
        precision: requested for the stored weights.
        backend: the backend's name; its library may have its own folder.

    Raises:
        UsageError: no such model.
    """
    known = model(name)
    info = ModelInfo(
        model=known.name,
        weights_format=weights_format,
        precision=precision,
        size_class=known.size_class,
        timeouts=size_classes()[known.size_class],
        family=known.family,
        license=known.license,
        backend=backend,
    )
    kind = weights_formats().get(weights_format)
    if kind is None:
        unknown = f"the catalog does not know the format {weights_format!r}"
        return replace(
            info, unavailable=unknown if weights_format else "it loads no weights of the catalog"
        )
    if kind.family != known.family:
        wrong = f"{kind.name} holds {kind.family} networks, and {name} is a {known.family} one"
        return replace(info, unavailable=wrong)
    if is_custom(name):
        return _custom_info(info, parse_custom(name))
    row = find_hosted(name, kind.name, precision)
    hosted = row if row is not None and not row.unavailable else None
    source = find_hosted(name, SOURCE_FORMAT) if precision in kind.converts_to else None
    if kind.extends and hosted is None:
        return replace(
            info, unavailable=row.unavailable if row else f"there is no {kind.name} of it"
        )
    if source is None and kind.converts_to and (hosted is None or hosted.precision != precision):
        neither = f"{name} is neither published as {kind.name} {precision} nor converted to it"
        return replace(info, unavailable=neither)
    origin = source or hosted
    return replace(
        info,
        license=origin.license if origin else known.license,
        repository=origin.repository if origin else "",
        revision=origin.revision if origin else None,
        files=origin.needed_files if origin else (),
        hosted=hosted,
        source=source,
        unavailable=row.unavailable if row else kind.unlisted,
        locations=locations_of(kind, hosted, source, backend),
    )


def _custom_info(info: ModelInfo, custom: Custom) -> ModelInfo:
    """A model outside the catalog: used as published, or converted."""
    return replace(
        info,
        repository=custom.repository,
        revision=custom.revision,
        locations=(hub_location(str(custom)), converted_location(str(custom))),
    )
