"""What the catalog's data files must look like, and what is wrong with a broken one.

Nothing here runs when the program does: the tests call `problems` on the files as they are, and on
broken copies. Each problem is one sentence that begins with the row it is about.

Documents are what `tomllib` makes of ``models.toml`` and ``weights.toml``; every row may have only
the keys named here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from mac_whisper_speedtest.catalog import AMBIGUOUS, SCHEMA_VERSION, WHISPER
from mac_whisper_speedtest.catalog.publications import LEARN_RULES

Table = Mapping[str, Any]

SIZE_CLASSES = ("tiny", "base", "small", "medium", "large")
"""Smallest first: a larger one never gets less time."""
LANGUAGES = ("en", "many")
PRECISIONS = (
    *("float32", "float16", "int8", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"),
    *("palettized6", "unstated"),
)
"""What weights may be stored in; ``unstated`` where no source says it."""
SHARED_FILES = frozenset(
    {"tokenizer.json", "vocabulary.txt", "vocabulary.json", "preprocessor_config.json"}
)
"""Files that several networks have in common, and that therefore say nothing about which it is."""

_TIMES = ("load_s", "transcribe_base_s", "transcribe_per_audio_s")
_MODEL_KEYS = frozenset({"name", "family", "size_class", "languages", "license", "network_sha256"})
_WEIGHTS_KEYS = frozenset(
    {"network", "form", "precision", "repository", "url", "revision", "folder", "files"}
    | {"license", "learn", "unavailable", "note", "mirror"}
)
_UNAVAILABLE_KEYS = frozenset({"network", "form", "precision", "unavailable"})
_FORM_KEYS = frozenset({"family", "loaded_by", "converts_to"})
_FILE_KEYS = frozenset({"name", "size", "sha256", "sha1"})
_MIRROR_KEYS = frozenset({"distribution", "version", "folder", "wheel"})
_WHEEL_KEYS = frozenset({"platform", "sha256", "size"})

_KEY = ("network", "form", "precision")
_TYPES: Mapping[str, type] = {
    "files": list,
    "loaded_by": list,
    "converts_to": list,
    "mirror": Mapping,
}
_CALLED: Mapping[type, str] = {str: "text", list: "a list", Mapping: "a table"}

_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_ENGLISH = re.compile(r"\.en\b")
_HEX = {length: re.compile(rf"[0-9a-f]{{{length}}}") for length in (40, 64)}


def problems(models: Table, weights: Table) -> list[str]:
    """Everything that is wrong with the two documents; empty when they are well-formed."""
    mistyped = [*_types(models, "model"), *_types(weights, "weights"), *_types(weights, "form")]
    if mistyped:
        return mistyped  # what looks further relies on the types
    named = {str(row.get("name")): row for row in models.get("model", ())}
    rows = weights.get("weights", ())
    forms = weights.get("form", {})
    return [
        *_version("models.toml", models),
        *_version("weights.toml", weights),
        *_size_classes(models),
        *_model_rows(models),
        *(found for name, form in forms.items() for found in _form(name, form)),
        *(found for row in rows for found in _weights_row(row, named, forms)),
        *_coverage(rows, named, forms),
        *_one_name_one_network(rows, named),
    ]


def _types(document: Table, kind: str) -> Iterator[str]:
    """Where a value is not of the type its key needs; a table's other keys need text."""
    found = document.get(kind, ())
    rows = found.items() if isinstance(found, Mapping) else enumerate(found, 1)
    for key, row in rows:
        if not isinstance(row, Mapping):
            yield f"{kind} {key}: is {row!r}, not a table"
            continue
        named = " ".join(str(row[name]) for name in ("name", *_KEY) if name in row) or key
        for name, value in row.items():
            needed = _TYPES.get(name, str)
            if not isinstance(value, needed):
                yield f"{kind} {named}: {name} is {value!r}, not {_CALLED[needed]}"


def _version(file: str, document: Table) -> Iterator[str]:
    if document.get("schema_version") != SCHEMA_VERSION:
        seen = document.get("schema_version")
        yield f"{file}: schema_version is {seen!r}, this program reads {SCHEMA_VERSION}"


def _size_classes(models: Table) -> Iterator[str]:
    classes = models.get("size_class", {})
    if tuple(classes) != SIZE_CLASSES:
        yield f"models.toml: the size classes are {list(classes)}, not {list(SIZE_CLASSES)}"
        return
    factor = models.get("first_call_factor", 0.0)
    if not isinstance(factor, float) or factor < 1.0:
        yield f"models.toml: first_call_factor is {factor!r}, not a number of at least 1.0"
    for name, times in classes.items():
        if set(times) != set(_TIMES):
            yield f"size class {name}: has {sorted(times)}, not {sorted(_TIMES)}"
            return
        for key, value in times.items():
            if not isinstance(value, float) or value <= 0.0:
                yield f"size class {name}: {key} is {value!r}, not a positive number of seconds"
                return
    for smaller, larger in pairwise(SIZE_CLASSES):
        for key in _TIMES:
            if classes[smaller][key] > classes[larger][key]:
                yield f"size class {larger}: {key} is less than that of {smaller}"


def _model_rows(models: Table) -> Iterator[str]:
    seen = set()
    for row in models.get("model", ()):
        name = row.get("name")
        where = f"model {name}"
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield f"{where}: the name is {name!r}, not lower-case words joined by - or ."
            continue
        if name in AMBIGUOUS:
            yield f"{where}: the name means different networks to different backends"
        if name in seen:
            yield f"{where}: there is another row of that name"
        seen.add(name)
        yield from _keys(where, row, _MODEL_KEYS)
        if not _NAME.fullmatch(row.get("family", "")):
            yield f"{where}: the family is {row.get('family')!r}"
        if row.get("size_class") not in SIZE_CLASSES:
            yield f"{where}: the size class {row.get('size_class')!r} is not one of {SIZE_CLASSES}"
        if row.get("languages") not in LANGUAGES:
            yield f"{where}: the languages {row.get('languages')!r} are not one of {LANGUAGES}"
        if name.endswith((".en", "-en")) and row.get("languages") != "en":
            yield f"{where}: a name that ends in en is of a network for English only"
        yield from _license(where, row)
        yield from _hexadecimal(where, row, "network_sha256", 64)


def _form(name: str, form: Table) -> Iterator[str]:
    where = f"form {name}"
    if not _NAME.fullmatch(name):
        yield f"{where}: not lower-case words joined by -"
    if set(form) != _FORM_KEYS:
        yield f"{where}: has {sorted(form)}, not {sorted(_FORM_KEYS)}"
        return
    if not form["loaded_by"]:
        yield f"{where}: nothing loads it"
    for precision in form["converts_to"]:
        if precision not in PRECISIONS:
            yield f"{where}: converts to the unknown precision {precision!r}"


def _weights_row(row: Table, named: Table, forms: Table) -> Iterator[str]:
    where = _where(row)
    yield from _keys(where, row, _WEIGHTS_KEYS)
    network, form = str(row.get("network")), str(row.get("form"))
    if network not in named:
        yield f"{where}: models.toml has no network {network!r}"
    if form not in forms:
        yield f"{where}: there is no form {form!r}"
    elif network in named and forms[form].get("family") != named[network].get("family"):
        yield f"{where}: the form holds networks of the family {forms[form].get('family')!r}"
    if row.get("precision") not in PRECISIONS:
        yield f"{where}: the precision {row.get('precision')!r} is not one of {PRECISIONS}"
    if "unavailable" in row:
        if not _words(row["unavailable"]):
            yield f"{where}: unavailable gives no reason"
        for key in sorted(set(row) - _UNAVAILABLE_KEYS):
            yield f"{where}: is unavailable and yet has {key}"
        return
    yield from _address(where, row)
    yield from _license(where, row)
    yield from _hexadecimal(where, row, "revision", 40)
    yield from _files(where, row.get("files", ()))
    yield from _mirror(where, row)
    yield from _learning(where, row)
    if "note" in row and not _words(row["note"]):
        yield f"{where}: the note says nothing"


def _address(where: str, row: Table) -> Iterator[str]:
    if ("repository" in row) == ("url" in row):
        yield f"{where}: needs a repository or a url, and not both"
    elif "repository" in row:
        yield from _repository(where, row)
    else:
        if not re.fullmatch(r"https://[\w.-]+/\S+", str(row["url"])):
            yield f"{where}: the url {row['url']!r} is not an https address"
        if "revision" in row or "folder" in row:
            yield f"{where}: revision and folder belong to a repository, not to a url"
    if "folder" in row and not _inside(row["folder"]):
        yield f"{where}: the folder {row['folder']!r} is not a path inside the repository"


def _learning(where: str, row: Table) -> Iterator[str]:
    """That every file is pinned or there is a rule to learn it, and that the rule can work."""
    files = [file for file in row.get("files", ()) if isinstance(file, Mapping)]
    rule = row.get("learn")
    if rule is None:
        if not files:
            yield f"{where}: has neither files nor a rule to learn them"
        for file in files:
            if "size" not in file or "sha256" not in file:
                yield f"{where}: {file.get('name')} lacks its size or SHA-256, and no rule is given"
    elif rule not in LEARN_RULES:
        yield f"{where}: the rule {rule!r} is not one of {tuple(LEARN_RULES)}"
    elif rule == "hub-lfs" and "repository" not in row:
        yield f"{where}: the rule hub-lfs needs a repository on the hub"
    elif rule == "url-path":
        address = str(row.get("url", "")).split("/")
        for file in files:
            if address[-2:] != [file.get("sha256"), file.get("name")]:
                yield f"{where}: the url does not end in the SHA-256 and name of {file.get('name')}"
        if not files:
            yield f"{where}: the rule url-path needs the file's name"


def _coverage(rows: Iterable[Table], named: Table, forms: Table) -> Iterator[str]:
    """That each network has one row per precision, and a row in each form of its family."""
    there = set()
    for row in rows:
        key = tuple(row.get(name) for name in _KEY)
        if key in there:
            yield f"{_where(row)}: there is another row for it"
        there.add(key)
    covered = {key[:2] for key in there}
    for name, model in named.items():
        fitting = [key for key, form in forms.items() if form.get("family") == model.get("family")]
        missing = [form for form in fitting if (name, form) not in covered]
        if model.get("family") == WHISPER:
            for form in missing:
                yield f"model {name}: weights.toml has no row for the form {form}"
        elif missing == fitting:
            yield f"model {name}: weights.toml has no row for it in any form"


def _one_name_one_network(rows: Iterable[Table], named: Table) -> Iterator[str]:
    """That no published file is two networks, by its place, by its hash or by its name."""
    by_place: dict[str, str] = {}
    by_hash: dict[str, str] = {}
    for row in rows:
        if "unavailable" in row:
            continue
        where, network = _where(row), str(row.get("network"))
        folder = "/".join(str(row[key]) for key in ("repository", "url", "folder") if key in row)
        files = [file for file in row.get("files", ()) if isinstance(file, Mapping)]
        for place in [f"{folder}/{file.get('name')}" for file in files] or [folder]:
            owner = by_place.setdefault(place, network)
            if owner != network:
                yield f"{where}: {place} is already the network {owner}"
        for file in files:
            if file.get("name") in SHARED_FILES:
                continue
            for digest in (file[key] for key in ("sha256", "sha1") if key in file):
                owner = by_hash.setdefault(digest, network)
                if owner != network:
                    yield f"{where}: {file.get('name')} has the hash of a file of {owner}"
        names = " ".join([folder, *(str(file.get("name")) for file in files)])
        if named.get(network, {}).get("family") == WHISPER and (
            bool(_ENGLISH.search(names)) != network.endswith(".en")
        ):
            yield f"{where}: one of the name and {folder} is English only, the other is not"


def _where(row: Table) -> str:
    return f"weights {row.get('network')} {row.get('form')} {row.get('precision')}"


def _keys(where: str, row: Table, allowed: frozenset[str]) -> Iterator[str]:
    for key in sorted(set(row) - allowed):
        yield f"{where}: unknown key {key!r}"


def _repository(where: str, row: Table) -> Iterator[str]:
    if not _REPOSITORY.fullmatch(str(row.get("repository", ""))):
        yield f"{where}: the repository {row.get('repository')!r} is not owner/name"


def _license(where: str, row: Table) -> Iterator[str]:
    if not _words(row.get("license")):
        yield f"{where}: has no license"


def _hexadecimal(where: str, row: Table, key: str, length: int) -> Iterator[str]:
    if key in row and not _HEX[length].fullmatch(str(row[key])):
        yield f"{where}: {key} {row[key]!r} is not {length} lower-case hexadecimal digits"


def _files(where: str, files: Iterable[Any]) -> Iterator[str]:
    seen = set()
    for file in files:
        name = file.get("name") if isinstance(file, Mapping) else None
        if not isinstance(name, str) or not _inside(name):
            yield f"{where}: the file name {name!r} is not a path inside the folder"
            continue
        if name in seen:
            yield f"{where}: {name} is there twice"
        seen.add(name)
        yield from _keys(f"{where}: {name}", file, _FILE_KEYS)
        size = file.get("size", 1)
        if type(size) is not int or size <= 0:
            yield f"{where}: {name}: the size {size!r} is not a positive number of bytes"
        yield from _hexadecimal(f"{where}: {name}", file, "sha256", 64)
        yield from _hexadecimal(f"{where}: {name}", file, "sha1", 40)


def _mirror(where: str, row: Table) -> Iterator[str]:
    """A mirror is trusted only because every hash is checked."""
    mirror = row.get("mirror")
    if mirror is None:
        return
    words = [mirror.get(key) for key in ("distribution", "version", "folder")]
    if set(mirror) != _MIRROR_KEYS or not all(map(_words, words)):
        yield f"{where}: the mirror needs {sorted(_MIRROR_KEYS)}"
        return
    wheel = mirror["wheel"]
    if not isinstance(wheel, Mapping) or set(wheel) != _WHEEL_KEYS:
        yield f"{where}: the mirror's wheel needs {sorted(_WHEEL_KEYS)}"
    else:
        yield from _hexadecimal(f"{where}: the mirror's wheel", wheel, "sha256", 64)
    if not _inside(mirror["folder"]):
        yield f"{where}: the mirror's folder {mirror['folder']!r} is not inside the package"
    if not row.get("files") or not all("sha256" in file for file in row["files"]):
        yield f"{where}: has a mirror, but not the SHA-256 of every file"


def _words(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _inside(path: object) -> bool:
    """Whether it is a relative path that stays where it starts."""
    if not _words(path):
        return False
    pure = PurePosixPath(str(path))
    return not pure.is_absolute() and ".." not in pure.parts and str(pure) == path
