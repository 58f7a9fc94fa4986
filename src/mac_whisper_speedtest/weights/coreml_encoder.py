"""whisper.cpp's encoder compiled for Core ML, unpacked beside the ggml file that it belongs to.

whisper.cpp derives the bundle's path from the ggml file's (``src/whisper.cpp``,
``whisper_get_coreml_path_encoder``). Both are in a separate folder, so that a whisper.cpp without
Core ML never sees the bundle.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import msgspec

from mac_whisper_speedtest.convert.record import RECORD_NAME, FileRecord, read_record
from mac_whisper_speedtest.errors import WeightsError
from mac_whisper_speedtest.files import megabytes, sha256_file, staged_directory
from mac_whisper_speedtest.weights.expected import CORE_ML_BUNDLE

FORMAT = "ggml-coreml"

MOST_FILES = 64
"""Most files in an archive; archives of the whisper.cpp project have six."""
MOST_TIMES_LARGER = 8
"""Unpacked, as a multiple of the archive: half-precision weights hardly shrink when compressed."""
_LEAST_LIMIT = 1_000_000
"""This many bytes may be unpacked at any ratio."""
_SUFFIX = ".mlmodelc"
_CLUTTER = frozenset({"__MACOSX", ".DS_Store"})
"""Entries that the Finder adds to archives."""


def bundle_beside(ggml: Path) -> Path:
    """The bundle that whisper.cpp looks for when it loads ``ggml``."""
    return ggml.with_name(f"{ggml.stem}-encoder{_SUFFIX}")


def assemble(folder: Path, ggml: Path, archive: Path, published_at: str) -> None:
    """Create ``folder`` with the ggml file and the unpacked encoder, completely or not at all.

    Args:
        folder: a path that does not exist yet.
        ggml: a conversion of this tool with its record; linked if possible.
        archive: the published encoder, verified by its hash.
        published_at: where it is from, for the record.

    Raises:
        WeightsError: the archive does not hold one compiled Core ML model.
        StorageError: the folder could not be written.
    """
    record = read_record(ggml.parent)
    with staged_directory(folder) as staging:
        own = staging / ggml.name
        try:
            os.link(ggml, own)
        except OSError:  # another disk, or one without links
            shutil.copyfile(ggml, own)
        bundle = bundle_beside(own)
        names = [f"{bundle.name}/{name}" for name in unpack(archive, bundle)]
        made = msgspec.structs.replace(
            record,
            target_format=FORMAT,
            upstream={**record.upstream, "encoder": published_at},
            output_files=(*record.output_files, *(_described(staging, name) for name in names)),
        )
        content = msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"
        (staging / RECORD_NAME).write_bytes(content)


def unpack(archive: Path, bundle: Path) -> list[str]:
    """Unpack a zipped Core ML model into the new folder ``bundle``.

    Returns:
        The paths of its files inside ``bundle``.

    Raises:
        WeightsError: it is damaged, is not one whole bundle, or has what an honest one does not:
            paths outside it, links, a name twice, or far more than its size suggests.
        OSError: the folder could not be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            accepted = _accepted(opened, archive)
            for name, info in accepted.items():
                path = bundle / name
                path.parent.mkdir(parents=True, exist_ok=True)
                # No more is read than an entry's size; its checksum is verified.
                with opened.open(info) as source, path.open("xb") as target:
                    shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _refused(archive, f"cannot be unpacked: {error}") from error
    return list(accepted)


def _accepted(opened: zipfile.ZipFile, archive: Path) -> dict[str, zipfile.ZipInfo]:
    """The entries to unpack, by their path inside the bundle, after all checks."""
    entries = [info for info in opened.infolist() if not info.is_dir()]
    if len(entries) > MOST_FILES:
        raise _refused(archive, f"holds {len(entries)} files, at most {MOST_FILES} are unpacked")
    size = sum(info.file_size for info in entries)
    limit = max(_LEAST_LIMIT, MOST_TIMES_LARGER * archive.stat().st_size)
    if size > limit:
        raise _refused(archive, f"unpacks to {megabytes(size)}, at most {megabytes(limit)} are")
    accepted: dict[str, zipfile.ZipInfo] = {}
    bundles: set[str] = set()
    seen: set[str] = set()
    for info in entries:
        path = PurePosixPath(info.filename)
        if _CLUTTER & set(path.parts):
            continue
        if why := _objection(info):
            raise _refused(archive, f"holds {info.filename!r}, which {why}")
        bundles.add(path.parts[0])
        # A Mac's disk does not distinguish cases.
        if info.filename.casefold() in seen:
            raise _refused(archive, f"holds {info.filename!r} twice")
        seen.add(info.filename.casefold())
        accepted["/".join(path.parts[1:])] = info
    if len(bundles) != 1:
        raise _refused(archive, f"holds {len(bundles)} Core ML models, not one")
    if missing := [name for name in CORE_ML_BUNDLE if name not in accepted]:
        raise _refused(archive, f"holds no {missing[0]}, so its Core ML model cannot load")
    return accepted


def _objection(info: zipfile.ZipInfo) -> str:
    """Why an entry is not unpacked; empty if it is."""
    name = info.filename
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or ":" in name or {"", ".", ".."} & set(parts):
        return "is not a plain path inside the archive"
    if stat.S_IFMT(info.external_attr >> 16) not in {0, stat.S_IFREG}:
        return "is a link or a device"
    if len(parts) < 2 or not parts[0].endswith(_SUFFIX):
        return f"is in no {_SUFFIX} folder"
    return ""


def _refused(archive: Path, why: str) -> WeightsError:
    return WeightsError(
        f"{archive.name} {why}", hint="remove it, then pull it again: speedtest models remove"
    )


def _described(staging: Path, name: str) -> FileRecord:
    path = staging / name
    return FileRecord(name, path.stat().st_size, sha256_file(path))
