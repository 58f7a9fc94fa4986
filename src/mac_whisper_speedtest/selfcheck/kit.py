"""Measurements, and the file of them that an owner of a machine sends: a kit.

A kit is a zip file: ``kit.json``, and the texts of the system's own tools. It is written whole or
not at all, without anything that names the machine or its owner; it is read without trust.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import msgspec

from mac_whisper_speedtest import files
from mac_whisper_speedtest.bundle.container import BundleError, ContainerShape, open_container
from mac_whisper_speedtest.bundle.leak_scan import LeakScanner
from mac_whisper_speedtest.bundle.write import add_member
from mac_whisper_speedtest.declared import FieldPolicy
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.machine.reader import UnknownFactError
from mac_whisper_speedtest.printable import without_control
from mac_whisper_speedtest.privacy import scrub_for_others
from mac_whisper_speedtest.results.schema.base import Struct, inside, kept, scrubbed

FORMAT, VERSION = "mac-whisper-speedtest kit", 1
INFO = "kit.json"
RAW = (
    *("hw", "sw_vers", "pmset", "pmset-batt", "pmset-therm", "swapusage", "ioreg-agx", "mount"),
    *("nvidia-smi", "ldconfig", "os-release", "lscpu", "whisper.cpp-load"),
)
"""Names of the texts of the system's tools; each is a member with ``.txt``."""
_LONGEST_RAW = 1 << 20
_SHAPE = ContainerShape(
    "kit", {INFO: 8 << 20, **dict.fromkeys((f"{name}.txt" for name in RAW), _LONGEST_RAW)}, (INFO,)
)
REMOVED = "(left out: it would name this machine or its owner)"


class Measurement(Struct):
    """What one check measured: raw figures and texts, and no verdict."""

    check: str = kept("the name of the check, which defines its figures")
    subject: str = scrubbed("its subject, such as a backend and a device")
    gpu: bool = kept("whether it is about a GPU: with `--gpu`, not known is a failure")
    seconds: float = kept("how long it took")
    values: dict[str, list[float]] = kept("name → figures, one or more")
    texts: dict[str, str] = scrubbed("name → text", default={})
    unknown: dict[str, str] = scrubbed("name → why there is no figure or text", default={})

    def series(self, name: str) -> list[float]:
        """Figures by name; raises UnknownFactError with the reason if there are none."""
        found = self.values.get(name)
        if not found:
            raise UnknownFactError(self.unknown.get(name) or self.reason or f"no {name} in the kit")
        return found

    def number(self, name: str) -> float:
        """The figure of that name. Raises UnknownFactError."""
        return self.series(name)[0]

    def text(self, name: str) -> str:
        """The text of that name. Raises UnknownFactError."""
        if name not in self.texts:
            raise UnknownFactError(self.unknown.get(name) or self.reason or f"no {name} in the kit")
        return self.texts[name]

    @property
    def reason(self) -> str:
        """Why nothing was measured; empty if something was."""
        return self.unknown.get("", "")


class Kit(Struct):
    """The whole of ``kit.json``."""

    format: str = kept("identifies this file format", default=FORMAT)
    version: int = kept("of this schema", default=VERSION)
    tool: str = kept("version of the program")
    measured_at: str = kept("ISO 8601, UTC, to the second")
    gpu: bool = kept("whether `--gpu` was given")
    interrupted: bool = kept("whether the user stopped it; the measurements were made before")
    measurements: list[Measurement] = inside("in the order in which they were made")
    raw: dict[str, str] = scrubbed(
        "name → output of a system tool; separate members of the file", default={}
    )


def without_names(kit: Kit) -> Kit:
    """The kit to share: its texts scrubbed, or left out if a secret remains."""
    scanner = LeakScanner()

    def clean(text: str) -> str:
        lines = (without_control(scrub_for_others(line)) for line in text.split("\n"))
        shared = "\n".join(lines)
        return REMOVED if scanner.found(shared, FieldPolicy.SCRUBBED) else shared

    def cleaned(texts: dict[str, str]) -> dict[str, str]:
        return {clean(name): clean(text) for name, text in texts.items()}

    return msgspec.structs.replace(
        kit,
        raw=cleaned(kit.raw),
        measurements=[
            msgspec.structs.replace(
                each,
                subject=clean(each.subject),
                texts=cleaned(each.texts),
                unknown=cleaned(each.unknown),
            )
            for each in kit.measurements
        ],
    )


def check_writable(path: Path) -> None:
    """Refuse a path that cannot be written, before minutes are spent. Raises UsageError."""
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder", hint=f"use -o {path / 'kit.zip'}")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(
            f"cannot write {path}: there is no folder {folder}", hint=f"mkdir -p {folder}"
        )
    if not os.access(folder, os.W_OK):
        raise UsageError(
            f"cannot write {path}: the folder cannot be written", hint="use -o another/kit.zip"
        )


def write_kit(kit: Kit, path: Path) -> None:
    """Write a kit that `without_names` returned. On any error ``path`` is as it was.

    Raises:
        StorageError: it cannot be written.
    """
    info = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(kit, raw={})), indent=1)
    with tempfile.TemporaryFile() as zipped:
        with zipfile.ZipFile(zipped, "w") as archive:
            add_member(archive, INFO, zipfile.ZIP_DEFLATED, info + b"\n")
            for name, text in sorted(kit.raw.items()):
                data = text.encode()[:_LONGEST_RAW]
                add_member(archive, f"{name}.txt", zipfile.ZIP_DEFLATED, data)
        zipped.seek(0)
        with files.replacing(path) as stream:
            shutil.copyfileobj(zipped, stream)


def read_kit(path: Path) -> Kit:
    """The kit in a file.

    Raises:
        UsageError: there is no such file, or it is no kit of a known version.
        StorageError: it cannot be read.
    """
    try:
        with open_container(path, _SHAPE) as container:
            kit = files.decode_json(container.read(INFO), Kit)
            raw = {
                name: container.read(f"{name}.txt").decode("utf-8", "replace")
                for name in RAW
                if f"{name}.txt" in container
            }
    except (BundleError, ValueError) as error:
        what = error.message if isinstance(error, BundleError) else str(error)
        raise UsageError(
            f"{path} is no kit: {what}", hint="speedtest selfcheck -o kit.zip writes one"
        ) from error
    if (kit.format, kit.version) != (FORMAT, VERSION):
        raise UsageError(
            f"{path} is a {kit.format!r} of version {kit.version}, not a kit of version {VERSION}",
            hint="use the release of this tool that wrote it",
        )
    return msgspec.structs.replace(kit, raw=raw)
