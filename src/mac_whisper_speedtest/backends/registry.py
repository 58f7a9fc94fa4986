"""Which backends there are: installed entry points, and programs described in a TOML file.

A third-party distribution adds a backend by declaring an entry point in the group
``mac_whisper_speedtest.backends`` that points at a :class:`Backend`; see docs/adding-a-backend.md.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.errors import UsageError

GROUP = "mac_whisper_speedtest.backends"

ALIASES = {"pywhispercpp": "whisper.cpp", "whisper-cpp": "whisper.cpp", "whispercpp": "whisper.cpp"}

_TOML_KEYS = {
    "name",
    "adapter",
    "python",
    "search_path",
    "distribution",
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

    Raises:
        UsageError: an entry point does not lead to a :class:`Backend`.
    """
    found: dict[str, Backend] = {}
    for entry in metadata.entry_points(group=GROUP):
        try:
            backend = entry.load()
        except Exception as error:
            raise UsageError(
                f"the backend entry point {entry.name!r} ({entry.value}) cannot be loaded: {error}",
                hint=f"repair or uninstall {entry.dist.name if entry.dist else 'its distribution'}",
            ) from error
        if not isinstance(backend, Backend):
            raise UsageError(
                f"the backend entry point {entry.name!r} ({entry.value}) is a "
                f"{type(backend).__name__}, not a Backend",
                hint="see docs/adding-a-backend.md",
            )
        found[backend.name] = backend
    return dict(sorted(found.items()))


def select(wanted: Iterable[str], available: Mapping[str, Backend]) -> list[Backend]:
    """The named backends in the order given; all of them when none is named.

    A name that ends in ``.toml`` is read as the description of a backend.

    Raises:
        UsageError: a name is unknown, or a file does not describe a backend.
    """
    names = list(dict.fromkeys(wanted))
    if not names:
        return list(available.values())
    chosen = []
    for name in names:
        if name.endswith(".toml"):
            chosen.append(from_toml(Path(name)))
            continue
        known = ALIASES.get(name.lower(), name)
        if known not in available:
            near = difflib.get_close_matches(name.lower(), [*available, *ALIASES], n=3, cutoff=0.4)
            raise UsageError(
                f"unknown backend {name!r}",
                hint=(f"did you mean {', '.join(near)}? " if near else "")
                + f"known: {', '.join(available)}; or a .toml file that describes a program",
            )
        chosen.append(available[known])
    return chosen


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
        python=_text(table, "python", path),
        search_path=tuple(str(folder / item) for item in _texts(table, "search_path", path)),
        distribution=_text(table, "distribution", path),
        import_name=_text(table, "import_name", path),
        form=_text(table, "form", path),
        weights_precision=_text(table, "weights_precision", path) or "float16",
        summary=_text(table, "summary", path),
        command=_command(_texts(table, "command", path), folder),
        cwd=str(folder / table["cwd"]) if _text(table, "cwd", path) else "",
        environment={key: str(value) for key, value in _table(table, "environment", path).items()},
        model_paths={
            model: folder / str(value) for model, value in _table(table, "models", path).items()
        },
        source=path.name,
    )


def _command(words: list[str], folder: Path) -> tuple[str, ...]:
    """Words that name a file beside the TOML file (``./engine``) become absolute paths."""
    return tuple(
        str((folder / word).resolve()) if word.startswith(("./", "../")) else word for word in words
    )


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


def _table(table: Mapping[str, object], key: str, path: Path) -> dict[str, object]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise UsageError(f"{path}: backend.{key} must be a table, not {value!r}")
    return value
