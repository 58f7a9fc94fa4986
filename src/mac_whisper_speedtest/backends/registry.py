"""The known backends: installed entry points, and programs described in a TOML file.

A third-party distribution adds a backend by declaring an entry point in the group
``mac_whisper_speedtest.backends`` that points at a :class:`Backend`; see
docs/guide/adding-a-backend.md.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from importlib import metadata
from pathlib import Path

from mac_whisper_speedtest import catalog, limits
from mac_whisper_speedtest.backends.backend import Backend, BackendModel
from mac_whisper_speedtest.catalog import PublishedFile, Timeouts
from mac_whisper_speedtest.errors import UsageError, nearest_names
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.printable import printable_name, shown

GROUP = "mac_whisper_speedtest.backends"

ALIASES = {"pywhispercpp": "whisper.cpp", "whisper-cpp": "whisper.cpp", "whispercpp": "whisper.cpp"}

_NAME = re.compile(r"[^@:/\s]+")
_SPEC = re.compile(
    r"(?P<name>[^@:\s]+)(@(?P<version>[^@:\s]+))?(:(?P<precision>[a-z0-9]+(_[a-z0-9]+)*))?"
)

TOML_KEYS = (
    "name",
    "adapter",
    "python",
    "search_path",
    "import_name",
    "weights_format",
    "weights_precision",
    "summary",
    "command",
    "cwd",
    "environment",
    "variables",
    "compiles_shapes_on",
    "models",
)

_LONGEST_FILE = 1 << 20
"""Bytes of a ``.toml`` file."""
_LIMITS = limits.SizeLimits(limits.LONGEST_MESSAGE, most_items=1000)
_FORMAT = "see docs/guide/adding-a-backend.md for the format"


def installed() -> dict[str, Backend]:
    """Every backend that an installed distribution declares, by name, in name order.

    One that cannot be loaded is listed as ``broken``: only its own cells fail, not the run.

    Raises:
        UsageError: two distributions declare a backend of the same name.
    """
    found: dict[str, Backend] = {}
    for entry in metadata.entry_points(group=GROUP):
        backend = _loaded(entry)
        if backend.name in found:
            raise UsageError(
                f"two installed distributions declare a backend named {backend.name!r}: "
                f"{found[backend.name].source} and {backend.source}",
                hint="uninstall one of them",
            )
        found[backend.name] = backend
    return dict(sorted(found.items()))


def _loaded(entry: metadata.EntryPoint) -> Backend:
    source = entry.dist.name if entry.dist else entry.value
    try:
        backend = entry.load()
    except Exception as error:  # noqa: BLE001 - third-party code may raise anything
        why = f"the entry point {entry.value} of {source} cannot be loaded: {error}"
        return Backend(name=entry.name, source=source, broken=why)
    if not isinstance(backend, Backend):
        kind = type(backend).__name__
        why = f"the entry point {entry.value} of {source} is a {kind}, not a Backend"
        return Backend(name=entry.name, source=source, broken=why)
    return replace(backend, source=source, broken=backend.broken or _problem(backend, source))


def _name_problem(name: str) -> str:
    """Why a backend cannot have this name; empty if it can."""
    if len(name) > limits.LONGEST_NAME:
        return f"has {len(name)} characters; at most {limits.LONGEST_NAME}"
    if printable_name(name) != name or not _NAME.fullmatch(name):
        return f"is {shown(name)}, but a name has no spaces, control characters, '@', ':' or '/'"
    return ""


def _problem(backend: Backend, source: str) -> str:
    """The first error in an installed description; empty if there is none."""
    if why := _name_problem(backend.name):
        return f"{source} declares a backend whose name {why}"
    for name, stated in backend.models.items():
        try:
            catalog.model(name)
            why = stated.problem()
        except (UsageError, TypeError, AttributeError) as error:
            why = str(error)
        if why:
            return f"{source} describes the model {name!r} wrongly: {why}"
    return ""


def select(requested: Iterable[str], available: Mapping[str, Backend]) -> list[Backend]:
    """The requested backends in order; all available ones if none is requested.

    Each is ``NAME[@VERSION][:PRECISION]``, or a file that ends in ``.toml`` and describes one.

    Raises:
        UsageError: a name is unknown, a version or precision is invalid, or a file does not
            describe a backend.
    """
    specs = list(requested)
    if not specs:
        return list(available.values())
    chosen: dict[str, Backend] = {}
    for spec in specs:
        backend = from_toml(Path(spec)) if spec.endswith(".toml") else _specified(spec, available)
        if chosen.setdefault(backend.label, backend) != backend:
            raise UsageError(
                f"two different backends are named {backend.label!r}",
                hint="give one of them another name in its .toml file",
            )
    return list(chosen.values())


def _specified(spec: str, available: Mapping[str, Backend]) -> Backend:
    found = _SPEC.fullmatch(spec)
    if not found:
        raise UsageError(
            f"{spec!r} does not name a backend",
            hint="write NAME, NAME@VERSION, NAME:PRECISION or NAME@VERSION:PRECISION",
        )
    backend = _named(found["name"], available)
    precision = found["precision"] or ""
    return replace(backend, version=_version(found["version"], backend), precision=precision)


def _version(text: str | None, backend: Backend) -> str:
    """The version in its normal form: ``v1.2`` and ``1.2`` are one."""
    from packaging.version import InvalidVersion, Version

    if text is None:
        return ""
    if backend.recipe is None:
        raise UsageError(
            f"{backend.name}@{text}: only backends with a recipe have versions",
            hint=f"write {backend.name}, which uses the installed version",
        )
    try:
        return str(Version(text))
    except InvalidVersion as error:
        raise UsageError(
            f"{text!r} is not a version of {backend.name}",
            hint=f"write it like {backend.name}@{backend.recipe.version}",
        ) from error


def _named(name: str, available: Mapping[str, Backend]) -> Backend:
    known = canonical(name)
    if known in available:
        return available[known]
    hint = nearest_names(name, [*available, *ALIASES], listed_by="speedtest backends list")
    raise UsageError(
        f"unknown backend {name!r}", hint=f"{hint}; or a .toml file that describes a program"
    )


def canonical(label: str) -> str:
    """``NAME[@VERSION][:PRECISION]`` with the name of the backend in place of an alias."""
    name = re.split("[@:]", label, maxsplit=1)[0]
    return ALIASES.get(name.lower(), name) + label[len(name) :]


def from_toml(path: Path) -> Backend:
    """Read the description of a backend: any program that speaks the protocol, or an adapter class.

    Relative paths in the file are relative to the file.

    Raises:
        UsageError: the file is missing, is not TOML, or lacks or misspells something.
    """
    table = _document(path).get("backend")
    if not isinstance(table, dict):
        raise UsageError(f"{path} has no [backend] table", hint=_FORMAT)
    unknown = sorted(set(table) - set(TOML_KEYS))
    if unknown:
        raise UsageError(f"{path}: unknown key {shown(unknown[0])} in [backend]", hint=_FORMAT)
    if bool(table.get("command")) == bool(table.get("adapter")):
        raise UsageError(
            f"{path}: [backend] needs exactly one of command and adapter", hint=_FORMAT
        )
    folder = path.resolve().parent
    name = _text(table, "name", path)
    if not name:
        raise UsageError(f"{path}: [backend] needs a name", hint=_FORMAT)
    if why := _name_problem(name):
        raise UsageError(f"{path}: backend.name {why}", hint=_FORMAT)
    return Backend(
        name=name,
        adapter=_text(table, "adapter", path),
        python=_beside(_text(table, "python", path), folder),
        search_path=tuple(str(folder / item) for item in _texts(table, "search_path", path)),
        import_name=_text(table, "import_name", path),
        weights_format=_text(table, "weights_format", path),
        weights_precision=_text(table, "weights_precision", path) or "float16",
        summary=_text(table, "summary", path),
        command=_command(_texts(table, "command", path), folder),
        cwd=str(folder / table["cwd"]) if _text(table, "cwd", path) else "",
        environment=_table(table, "environment", path),
        variables=tuple(_texts(table, "variables", path)),
        compiles_shapes_on=tuple(_texts(table, "compiles_shapes_on", path)),
        models=_models(table.get("models", {}), path),
        source=path.name,
    )


def _document(path: Path) -> dict[str, object]:
    """The file's tables, within the limits of foreign data."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_LONGEST_FILE + 1)
        if len(data) > _LONGEST_FILE:
            raise UsageError(f"{path} is larger than {megabytes(_LONGEST_FILE)}", hint=_FORMAT)
        limits.check_depth(data, toml=True)
        document = tomllib.loads(data.decode())
        limits.check(document, limits=_LIMITS)
    except OSError as error:
        raise UsageError(
            f"cannot read the backend file {path}: {error.strerror}", hint="check the path"
        ) from error
    except limits.LimitError as error:
        raise UsageError(f"{path}: {error}", hint=_FORMAT) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    return document


def _command(words: list[str], folder: Path) -> tuple[str, ...]:
    return tuple(_beside(word, folder) for word in words)


def _beside(word: str, folder: Path) -> str:
    """A word that names a file next to the TOML file (``./engine``) becomes an absolute path."""
    # absolute(), not resolve(): an environment's python is a link that must be kept.
    return str((folder / word).absolute()) if word.startswith(("./", "../")) else word


def _models(value: object, path: Path) -> dict[str, BackendModel]:
    """``[backend.models]``: a path, or a table, for each canonical name."""
    if not isinstance(value, dict):
        raise UsageError(f"{path}: backend.models must be a table, not {shown(value)}")
    return {_canonical(name, path): _model(name, each, path) for name, each in value.items()}


def _canonical(model: str, path: Path) -> str:
    try:
        return catalog.model(model).name
    except UsageError as error:
        raise UsageError(
            f"{path}: in [backend.models], {error.message}", hint=error.hint
        ) from error


def _model(name: str, value: object, path: Path) -> BackendModel:
    where = f'models."{name}"'
    table = {"path": value} if isinstance(value, str) else value
    if not isinstance(table, dict):
        raise UsageError(f"{path}: backend.{where} must be a path or a table, not {shown(value)}")
    words = ("path", "precision", "license", "size_class", "repository", "revision")
    if unknown := sorted(set(table) - {*words, "timeouts", "files"}):
        raise UsageError(
            f"{path}: unknown key {shown(unknown[0])} in backend.{where}", hint=_FORMAT
        )
    stated = {key: _text(table, key, path, where) for key in words}
    own_path = stated.pop("path")
    model = BackendModel(
        path=path.resolve().parent / own_path if own_path else None,
        timeouts=_timeouts(table["timeouts"], path, where) if "timeouts" in table else None,
        files=_files(table.get("files", []), path, where),
        **stated,
    )
    if why := model.problem():
        raise UsageError(f"{path}: backend.{where}: {why}", hint=_FORMAT)
    return model


def _timeouts(value: object, path: Path, where: str) -> Timeouts:
    keys = [each.name for each in fields(Timeouts)]
    numbers: dict[str, object] = value if isinstance(value, dict) else {}
    found = {
        key: float(each)
        for key, each in numbers.items()
        if isinstance(each, int | float) and not isinstance(each, bool)
    }
    if sorted(found) != sorted(keys) or len(found) != len(numbers):
        raise UsageError(
            f"{path}: backend.{where}.timeouts must be a table of the numbers {', '.join(keys)}, "
            f"not {shown(value)}",
            hint=_FORMAT,
        )
    return Timeouts(**found)


def _files(value: object, path: Path, where: str) -> tuple[PublishedFile, ...]:
    types = {"name": str, "size": int, "sha256": str}
    found = []
    for row in value if isinstance(value, list) else [value]:
        if (
            not isinstance(row, dict)
            or "name" not in row
            or not all(type(each) is types.get(key) for key, each in row.items())
        ):
            raise UsageError(
                f"{path}: backend.{where}.files must be a list of tables with name, size in bytes "
                f"and sha256, not {shown(row)}",
                hint=_FORMAT,
            )
        found.append(PublishedFile(**row))
    return tuple(found)


def _text(table: Mapping[str, object], key: str, path: Path, where: str = "") -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        name = f"{where}.{key}" if where else key
        raise UsageError(f"{path}: backend.{name} must be a string, not {shown(value)}")
    return value


def _texts(table: Mapping[str, object], key: str, path: Path) -> list[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{path}: backend.{key} must be a list of strings, not {shown(value)}")
    return value


def _table(table: Mapping[str, object], key: str, path: Path) -> dict[str, str]:
    value = table.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise UsageError(f"{path}: backend.{key} must be a table of strings, not {shown(value)}")
    return value
