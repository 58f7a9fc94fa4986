"""``speedtest backends info NAME --model MODEL``: a model as one backend sees it, and where it is.

Only names and sizes of files are read; nothing is hashed, loaded or downloaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mac_whisper_speedtest.cli.output import say, size

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.backend import Backend
    from mac_whisper_speedtest.catalog import ModelInfo, WeightsLocation
    from mac_whisper_speedtest.cli.documents import (
        FileBeside,
        ModelFacts,
        ModelFile,
        ModelLocation,
        StageTimeout,
    )

_HEADING = 10  # columns
_HASH_DIGITS = 12
_SMALL_BYTES = 100_000


def facts(backend: Backend, model: str) -> ModelFacts:
    """What is known of ``model`` for ``backend``.

    Paths begin with ``~`` in the home folder.

    Raises:
        UsageError: the catalog has no such model.
    """
    from mac_whisper_speedtest.weights import custom

    info = custom.with_listing(backend.model_info(model))
    limits = info.timeouts
    first = limits.first_call_factor
    return {
        "backend": backend.label,
        "model": info.model,
        "family": info.family,
        "format": info.weights_format,
        "precision": info.precision,
        "license": info.license,
        "obtained": info.obtained,
        "unavailable": info.unavailable,
        "repository": info.repository,
        "revision": info.revision,
        "url": info.origin.url if info.origin is not None else "",
        "tokenizer": _tokenizer(info),
        "beside": _beside(info),
        "known_bytes": info.origin.known_bytes if info.origin is not None else None,
        "files": [
            {"name": file.name, "size_bytes": file.size, "sha256": file.sha256}
            for file in info.files
        ],
        "locations": [_location(each, info) for each in info.locations],
        "size_class": info.size_class,
        "timeouts": {
            "load": {"base_s": limits.load_s, "per_audio_s": 0.0},
            "first_call": {
                "base_s": limits.transcribe_base_s * first,
                "per_audio_s": limits.transcribe_per_audio_s * first,
            },
            "transcribe": {
                "base_s": limits.transcribe_base_s,
                "per_audio_s": limits.transcribe_per_audio_s,
            },
        },
        "replaced_by_timeout": {
            "run": ["load", "first_call", "transcribe"],
            "check-models": ["load"],
        },
    }


def _tokenizer(info: ModelInfo) -> str:
    """The second repository of the files, with its commit; empty if there is none."""
    found = info.origin.tokenizer if info.origin is not None else None
    return f"{found.repository}@{found.revision}" if found is not None else ""


def _beside(info: ModelInfo) -> FileBeside | None:
    """The published file that a conversion needs next to it, or ``None``."""
    row = info.completed_by
    file = row.main_file if row is not None else None
    if row is None or file is None:
        return None
    return {
        "repository": row.repository,
        "revision": row.revision,
        "name": file.name,
        "size_bytes": file.size,
        "sha256": file.sha256,
    }


def _location(location: WeightsLocation, info: ModelInfo) -> ModelLocation:
    from mac_whisper_speedtest.paths import with_tilde
    from mac_whisper_speedtest.weights.inspect import WeightsState, inspect_copy
    from mac_whisper_speedtest.weights.locations import resolve

    place = resolve(location, info)
    copy = inspect_copy(place) if place is not None else None
    return {
        "kind": str(location.kind),
        "where": location.where,
        "holds": location.holds,
        "used_by_run": location.for_run,
        "path": with_tilde(copy.path) if copy is not None else None,
        "state": str(copy.state if copy is not None else WeightsState.ABSENT),
        "size_bytes": copy.size_bytes if copy is not None else 0,
    }


def show(found: ModelFacts) -> None:
    """Print what `facts` gives: folded on a terminal, in whole lines in a pipe."""
    from rich.table import Table

    from mac_whisper_speedtest.report.console import output_console

    console = output_console()
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for heading, lines in _rows(found):
        for number, line in enumerate(lines or ["-"]):
            words = ("" if number else heading, line)
            table.add_row(*words)
            if not console.is_terminal:
                say(f"{words[0]:{_HEADING}}  {words[1]}")
    if console.is_terminal:
        console.print(table)


def _rows(found: ModelFacts) -> list[tuple[str, list[str]]]:
    """Headings with their lines; a heading without lines is unknown."""
    converted = found["obtained"].startswith("converted from")
    obtained = "converted from the files below" if converted else found["obtained"]
    unavailable = found["unavailable"]
    about = {
        "backend": found["backend"],
        "model": found["model"],
        "format": found["format"],
        "precision": found["precision"],
        "license": found["license"],
    }
    origin = {
        "url": found["url"],
        "repository": found["repository"],
        "revision": found["revision"],
    }
    rows: list[tuple[str, list[str]]] = [
        *((key, [text] if text else []) for key, text in about.items()),
        ("obtained", [obtained or f"not: {unavailable}"]),
        *([("published", [f"not: {unavailable}"])] if obtained and unavailable else []),
        *((key, [text]) for key, text in origin.items() if text),
        *([("tokenizer", [found["tokenizer"]])] if found["tokenizer"] else []),
        ("files", [_file(file) for file in found["files"]]),
        *([("beside", _published(found["beside"]))] if found["beside"] else []),
        *([("together", [size(found["known_bytes"])])] if found["known_bytes"] else []),
        ("locations", [line for each in found["locations"] for line in _place(each)]),
        ("size class", [found["size_class"]]),
        ("time-outs", [_limit(stage, each) for stage, each in found["timeouts"].items()]),
    ]
    replaced = [
        f"of {command} replaces {', '.join(map(_stage, stages))}"
        for command, stages in found["replaced_by_timeout"].items()
    ]
    return [*rows, ("--timeout", replaced)]


def _stage(name: str) -> str:
    return name.replace("_", " ")


def _file(file: ModelFile) -> str:
    count = file["size_bytes"]
    known = size(count) if count is None or count >= _SMALL_BYTES else f"{count} bytes"
    digits = f"sha256 {file['sha256'][:_HASH_DIGITS]}…" if file["sha256"] else "sha256 not known"
    return f"{file['name']}: {known}, {digits}"


def _published(file: FileBeside) -> list[str]:
    return [_file(file), f"  {file['repository']}@{file['revision']}"]


def _place(location: ModelLocation) -> list[str]:
    use = "" if location["used_by_run"] else "; not used by run"
    return [
        f"{location['where']}: {location['state']}{use}",
        f"  {location['path'] or 'not installed'}",
    ]


def _limit(stage: str, limit: StageTimeout) -> str:
    more = f" and {limit['per_audio_s']:g} s for each second of audio"
    return f"{_stage(stage)}: {limit['base_s']:g} s{more if limit['per_audio_s'] else ''}"
