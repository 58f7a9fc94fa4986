"""Verified copies: every known hash compared, and which copy a run may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.catalog import LocationKind
from mac_whisper_speedtest.files import git_sha1
from mac_whisper_speedtest.weights.damage import Damage, DamagedError, identity
from mac_whisper_speedtest.weights.hashes import sha256_files
from mac_whisper_speedtest.weights.inspect import CachedCopy, Evidence, Fault, WeightsState


def compare_hashes(copy: CachedCopy, hashes: Mapping[Path, str | OSError]) -> CachedCopy:
    """``copy`` after its files were read.

    Args:
        copy: by names and sizes.
        hashes: the SHA-256 of at least every file whose SHA-256 is known. Small files of a hub
            repository have only a git hash, and are read here.
    """
    converted = copy.location.kind is LocationKind.CONVERTED
    original = "what was converted" if converted else "the published file"
    damaged, unread = [], []
    for file in copy.files:
        seen = hashes.get(file.path)
        what, expected = "SHA-256", file.sha256
        if file.git_sha1 and not file.sha256 and not isinstance(seen, OSError):
            seen, what, expected = _git_name(file.path), "git's name", file.git_sha1
        if isinstance(seen, OSError):
            unread.append(Fault(file.name, f"cannot be read: {seen.strerror or seen}"))
        elif expected and seen != expected:
            damaged.append(
                Fault(
                    file.name,
                    f"is not {original}: {what} is {(seen or '')[:12]}…, "
                    f"should be {expected[:12]}…",
                )
            )
    if damaged:
        # A file of a wrong size is reported once, by its size.
        known = {fault.name for fault in copy.faults}
        news = [fault for fault in damaged if fault.name not in known]
        return replace(copy, state=WeightsState.CORRUPT, faults=(*copy.faults, *news, *unread))
    if unread:
        return replace(copy, state=WeightsState.NOT_CHECKABLE, faults=(*copy.faults, *unread))
    everything = bool(copy.files) and all(file.verifiable for file in copy.files)
    return replace(copy, evidence=Evidence.HASHES if everything else copy.evidence)


def _git_name(path: Path) -> str | OSError:
    """Hash a small file, which is read whole; the hash is not remembered."""
    try:
        return git_sha1(path)
    except OSError as error:
        return error


def verified_hashes(
    copy: CachedCopy,
    model: str,
    weights_format: str,
    *,
    by_hand: str,
    fresh: bool,
    row: catalog.HostedWeights | None = None,
) -> dict[str, str]:
    """The SHA-256 of every file of a copy, by name, after each is verified.

    Args:
        copy: the copy that a run would use.
        model: its name, for messages and a repair.
        weights_format: of the copy.
        by_hand: the advice to replace it.
        fresh: read every file again, even if its hash is remembered.
        row: where it is published; ``None`` for conversions and models outside the catalog.

    Raises:
        DamagedError: a file is missing, cannot be read, or is not the expected one.
    """
    location = copy.location
    folder = location.record.parent if location.record else location.folder
    seen = identity(folder)
    hashes = sha256_files([file.path for file in copy.files], fresh=fresh)
    faults = compare_hashes(copy, hashes).faults
    if row is None:  # then only its hash identifies a file
        unknown = [file.name for file in copy.files if not file.verifiable]
        faults += tuple(Fault(name, "has no known hash to be verified by") for name in unknown)
    if faults:
        names = tuple(dict.fromkeys(fault.name for fault in faults))
        damage = Damage(model, weights_format, names, folder, location.kind, row, seen)
        message = f"{faults[0].name} of {model} {faults[0].what}"
        raise DamagedError(message, damage, by_hand=by_hand)
    return {file.name: str(hashes[file.path]) for file in copy.files}
