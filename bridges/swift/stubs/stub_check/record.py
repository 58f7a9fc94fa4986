"""What was compared with what, and whether that is still so. Standard library only."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORD = "checked.json"
APPLE = "apple"
TO_COMPARE = (
    "uv run bridges/swift/stubs/check.py --write --source argmax-oss-swift=FOLDER "
    "--source FluidAudio=FOLDER   (clones with the pinned tags)"
)
TO_RECORD_APPLE = (
    "python bridges/swift/stubs/check.py --write   (Apple's frameworks have no public source; on a "
    "Mac, add --module NAME --interface FILE.swiftinterface)"
)


class RequestError(Exception):
    """The request cannot be carried out; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A package that a bridge's manifest asks for."""

    url: str
    version: str


def pins(stubs: Path) -> dict[str, Pin]:
    """The packages that the bridges beside the stubs ask for: identity → pin."""
    found: dict[str, Pin] = {}
    for manifest in sorted(stubs.parent.glob("*/Package.swift")):
        text = manifest.read_text(encoding="utf-8")
        for url, version in re.findall(r'url:\s*"([^"]+)",\s*exact:\s*"([^"]+)"', text):
            name = url.rpartition("/")[2].removesuffix(".git")
            if found.setdefault(name, Pin(url, version)) != Pin(url, version):
                raise RequestError(f"{manifest}: another bridge asks for another {name}")
    return found


def stub_files(stubs: Path, package: str = "*") -> dict[str, bytes]:
    """The Swift files of stub packages: path below the stubs' folder → content."""
    paths = [*stubs.glob(f"{package}/Package.swift"), *stubs.glob(f"{package}/Sources/**/*.swift")]
    return {path.relative_to(stubs).as_posix(): path.read_bytes() for path in sorted(paths)}


def hashes(files: dict[str, bytes]) -> dict[str, str]:
    """The SHA-256 of each content."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def read_record(stubs: Path) -> dict[str, Any]:
    """What was compared; empty if nothing was."""
    path = stubs / RECORD
    if not path.exists():
        return {"packages": {}}
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def write_record(stubs: Path, record: dict[str, Any]) -> None:
    """Write the record, in one order."""
    text = json.dumps(record, indent=2, sort_keys=True) + "\n"
    (stubs / RECORD).write_text(text, encoding="utf-8")


def problems_of_record(stubs: Path) -> list[str]:
    """Every way in which the record is not of these stubs and these pins; empty if it is."""
    packages, asked = read_record(stubs)["packages"], pins(stubs)
    problems = []
    for package in sorted({path.parent.name for path in stubs.glob("*/Package.swift")}):
        recorded = packages.get(package, {"files": {}, "modules": {}})
        now = hashes(stub_files(stubs, package))
        for name in sorted({*now, *recorded["files"]}):
            if now.get(name) != recorded["files"].get(name):
                what = "has changed since" if name in now else "is gone since"
                problems.append(f"{name} {what} it was compared with the real source")
        version = asked[package].version if package in asked else None
        if recorded.get("version") != version and package != APPLE:
            problems.append(
                f"{package}: {recorded.get('version')} was compared, and the bridges ask for "
                f"{version}"
            )
    if problems:
        only_apple = all(each.startswith(f"{APPLE}/") for each in problems)
        how = TO_RECORD_APPLE if only_apple else TO_COMPARE
        problems.append(f"compare again, then commit {RECORD}:\n  {how}")
    return problems


def today() -> str:
    """The date, in UTC."""
    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()
