"""Which backends there are: installed entry points, and programs described in a TOML file.

A third-party distribution adds a backend by declaring an entry point in the group
``mac_whisper_speedtest.backends`` that points at a :class:`Backend`; see docs/adding-a-backend.md.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.errors import UsageError

GROUP = "mac_whisper_speedtest.backends"

ALIASES = {"pywhispercpp": "whisper.cpp", "whisper-cpp": "whisper.cpp", "whispercpp": "whisper.cpp"}

_SPEC = re.compile(
    r"(?P<name>[^@:\s]+)(@(?P<version>[^@:\s]+))?(:(?P<precision>[a-z0-9]+(_[a-z0-9]+)*))?"
)

_TOML_KEYS = {
    "name",
    "adapter",
    "python",
    "search_path",
    "import_name",
    "form",
    "weights_precision",
    "summary",
    "command",
    "cwd",
    "environment",
    "models",
}


def installed() -> dict[str, Backend]:
    """Every backend that an installed distribution declares, by name, in name order.

    One that cannot be loaded is listed as ``broken``: it costs its own cells, not the run.

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
    return replace(backend, source=source)


def select(wanted: Iterable[str], available: Mapping[str, Backend]) -> list[Backend]:
    """The wanted backends in the order given; all that are available when none is wanted.

    Each is ``NAME[@VERSION][:PRECISION]``, or a file that ends in ``.toml`` and describes one.

    Raises:
        UsageError: a name is unknown, a version or precision is none, or a file does not describe
            a backend.
    """
    specs = list(wanted)
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
            f"{spec!r} does not say which backend",
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
            hint=f"say {backend.name}, which is whatever is installed",
        )
    try:
        return str(Version(text))
    except InvalidVersion as error:
        raise UsageError(
            f"{text!r} is not a version of {backend.name}",
            hint=f"write it like {backend.name}@{backend.recipe.version}",
        ) from error


def _named(name: str, available: Mapping[str, Backend]) -> Backend:
    known = ALIASES.get(name.lower(), name)
    if known in available:
        return available[known]
    near = difflib.get_close_matches(name.lower(), [*available, *ALIASES], n=3, cutoff=0.4)
    raise UsageError(
        f"unknown backend {name!r}",
        hint=(f"did you mean {', '.join(near)}? " if near else "")
        + f"known: {', '.join(available)}; or a .toml file that describes a program",
    )


def from_toml(path: Path) -> Backend:
    """Read the description of a backend: any program that speaks the protocol, or an adapter class.

    Relative paths in the file are relative to the file.

    Raises:
        UsageError: the file is missing, is not TOML, or lacks or misspells something.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"cannot read the backend file {path}: {error.strerror}", hint="check the path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    table = document.get("backend")
    hint = "see docs/adding-a-backend.md for the format"
    if not isinstance(table, dict):
        raise UsageError(f"{path} has no [backend] table", hint=hint)
    unknown = sorted(set(table) - _TOML_KEYS)
    if unknown:
        raise UsageError(f"{path}: unknown key {unknown[0]!r} in [backend]", hint=hint)
    if bool(table.get("command")) == bool(table.get("adapter")):
        raise UsageError(f"{path}: [backend] needs exactly one of command and adapter", hint=hint)
    folder = path.resolve().parent
    name = _text(table, "name", path)
    if not name:
        raise UsageError(f"{path}: [backend] needs a name", hint=hint)
    return Backend(
        name=name,
        adapter=_text(table, "adapter", path),
        python=_beside(_text(table, "python", path), folder),
        search_path=tuple(str(folder / item) for item in _texts(table, "search_path", path)),
        import_name=_text(table, "import_name", path),
        form=_text(table, "form", path),
        weights_precision=_text(table, "weights_precision", path) or "float16",
        summary=_text(table, "summary", path),
        command=_command(_texts(table, "command", path), folder),
        cwd=str(folder / table["cwd"]) if _text(table, "cwd", path) else "",
        environment=_table(table, "environment", path),
        model_paths={
            _canonical(model, path): folder / value
            for model, value in _table(table, "models", path).items()
        },
        source=path.name,
    )


def _command(words: list[str], folder: Path) -> tuple[str, ...]:
    return tuple(_beside(word, folder) for word in words)


def _beside(word: str, folder: Path) -> str:
    """A word that names a file beside the TOML file (``./engine``) becomes an absolute path."""
    # absolute(), not resolve(): an environment's python is a link that must be kept.
    return str((folder / word).absolute()) if word.startswith(("./", "../")) else word


def _canonical(model: str, path: Path) -> str:
    try:
        return catalog.model(model).name
    except UsageError as error:
        raise UsageError(
            f"{path}: in [backend.models], {error.message}", hint=error.hint
        ) from error


def _text(table: Mapping[str, object], key: str, path: Path) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise UsageError(f"{path}: backend.{key} must be a string, not {value!r}")
    return value


def _texts(table: Mapping[str, object], key: str, path: Path) -> list[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{path}: backend.{key} must be a list of strings, not {value!r}")
    return value


def _table(table: Mapping[str, object], key: str, path: Path) -> dict[str, str]:
    value = table.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise UsageError(f"{path}: backend.{key} must be a table of strings, not {value!r}")
    return value
