"""Bundles that somebody has tampered with, and what is in one."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mac_whisper_speedtest.results import schema as s

NAMES = ("bundle.json", "journal.jsonl", "manifest.json")


def members(path: Path) -> dict[str, bytes]:
    """Everything in a bundle."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def document(path: Path, name: str) -> Any:
    """A member of a bundle that is one JSON document."""
    return json.loads(members(path)[name])


def lines(path: Path) -> list[dict[str, Any]]:
    """The journal of a bundle."""
    return [json.loads(line) for line in members(path)["journal.jsonl"].splitlines()]


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    """Any files as a zip file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def forged(path: Path, changes: Mapping[str, bytes | None]) -> Path:
    """A bundle with other members, whose digests are right again: what a careful forger makes."""
    files: dict[str, bytes] = {**members(path)}
    for name, data in changes.items():
        if data is None:
            del files[name]
        else:
            files[name] = data
    if "bundle.json" not in changes:
        info = json.loads(files["bundle.json"])
        for name in ("journal.jsonl", "manifest.json"):
            digest = hashlib.sha256(files[name]).hexdigest()
            info["members"][name] = {"sha256": digest, "bytes": len(files[name])}
        files["bundle.json"] = json.dumps(info).encode()
    return zipped(path.with_name("forged.zip"), files)


def with_manifest(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A bundle with another manifest."""
    manifest = document(path, "manifest.json")
    change(manifest)
    return forged(path, {"manifest.json": json.dumps(manifest).encode()})


def with_line(path: Path, kind: str, /, **changes: Any) -> Path:
    """A bundle in whose journal the first event of a kind has other fields."""
    found = lines(path)
    at = next(number for number, line in enumerate(found) if line["event"] == kind)
    found[at] = {**found[at], **changes}
    text = "".join(json.dumps(line) + "\n" for line in found)
    return forged(path, {"journal.jsonl": text.encode()})


def summaries(run: s.Run) -> list[dict[str, Any]]:
    """Every figure of a run, without the words about them."""
    found = []
    for cell in run.cells:
        assert cell.summary is not None
        plain = msgspec.to_builtins(msgspec.structs.replace(cell.summary, findings=[]))
        accuracy = plain["accuracy"]
        if accuracy is not None:
            accuracy["against"] = None
            for each in accuracy["utterances"]:
                each["name"] = ""
        if plain["duration"] is not None:
            plain["duration"]["break_even_s"] = list(plain["duration"]["break_even_s"].values())
        found.append({**plain, "kinds": [each.kind for each in cell.summary.findings]})
    return found
