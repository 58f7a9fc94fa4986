"""Removal of one commit of a repository from the Hugging Face cache.

Other commits, other models' files in the same repository, and the blobs they link to are kept.
Links are removed before blobs, the link of the weights first, so that the rest of a killed removal
is never mistaken for a complete copy. The commit's listing is removed last, so that the next call
can finish.

huggingface-hub's ``scan_cache_dir().delete_revisions()`` (2.4.0) cannot be used. It removes the
target of a link in a snapshot, even outside the cache. It skips a repository with one broken link
or reference, as a killed removal leaves it. With the last commit it removes other programs'
unfinished downloads. It follows linked folders, ignores locks, and only logs what it may not
remove. But it cleans the store that repositories share, so it is used to remove the links there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.files import storage_errors
from mac_whisper_speedtest.weights import hub_cache, revisions, trash
from mac_whisper_speedtest.weights.snapshot import pull_target, resolve_offline

_INCOMPLETE = ".incomplete"


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A file of a snapshot: its blob if it is a link, else empty; the bytes of the file itself."""

    blob: str
    size: int


@dataclass(frozen=True, slots=True)
class CacheContents:
    """The content of a repository's folder in the cache.

    Attributes:
        snapshots: commit → file → entry.
        blobs: name → size in bytes, including unfinished ones.
        refs: branch or tag → commit.
        is_there: whether the folder exists.
    """

    snapshots: Mapping[str, Mapping[str, SnapshotFile]] = field(default_factory=dict)
    blobs: Mapping[str, int] = field(default_factory=dict)
    refs: Mapping[str, str] = field(default_factory=dict)
    is_there: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """Which files of a commit to remove.

    Attributes:
        repository: ``org/name``.
        revision: the commit.
        everything: all files.
        folders: all files below these folders.
        names: these files, by their path in the repository.
        addresses: names of the blobs they should have, where known.
    """

    repository: str
    revision: str
    everything: bool = False
    folders: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()

    def includes(self, name: str) -> bool:
        """Whether the claim covers that file."""
        below = any(name.startswith(f"{folder}/") for folder in self.folders)
        return self.everything or below or name in self.names

    def __or__(self, other: Claim) -> Claim:
        return Claim(
            self.repository,
            self.revision,
            self.everything or other.everything,
            self.folders | other.folders,
            self.names | other.names,
            self.addresses | other.addresses,
        )


@dataclass(frozen=True, slots=True)
class HubCopy:
    """The files to remove for a claim.

    Attributes:
        claim: the files to remove.
        files: of the snapshot, the largest first.
        blobs: without other links.
        refs: without a target after the removal.
        whole_snapshot: the whole snapshot is removed.
        size_bytes: the space freed; less if another repository shares a blob.
    """

    claim: Claim
    files: tuple[str, ...]
    blobs: tuple[str, ...]
    refs: tuple[str, ...]
    whole_snapshot: bool
    size_bytes: int


def copies_of_custom(custom: catalog.Custom) -> tuple[HubCopy, ...]:
    """All cached files of a repository at a commit."""
    return _found([_everything(custom.repository, custom.revision)])


def copies_of_model(model: str, weights_format: str = "") -> tuple[HubCopy, ...]:
    """Cached files of a model's hosted weights, one entry per commit; all formats or one."""
    claims: dict[tuple[str, str], Claim] = {}
    for row in catalog.hosted_by_model()[model]:
        mine = weights_format in {"", row.format} and row.repository and not row.unavailable
        claim = _claim(row) if mine else None
        if claim is not None:
            key = (claim.repository, claim.revision)
            claims[key] = claims[key] | claim if key in claims else claim
    return _found(list(claims.values()))


def _claim(row: catalog.HostedWeights) -> Claim | None:
    """The files of one row; ``None`` if its commit is not known."""
    revision = row.revision or hub_cache.branch_commit(row.repository)
    if revision is None:
        return None
    others = [
        each
        for each in catalog.hosted_weights()
        if each.repository == row.repository and each.model != row.model
    ]
    snapshot = resolve_offline(pull_target(row))
    files = snapshot.files if snapshot else ()
    addresses = {address for file in files if (address := file.sha256 or file.git_sha1)}
    if not row.folder and not others:
        return _everything(row.repository, revision) | Claim(
            row.repository, revision, addresses=frozenset(addresses)
        )
    theirs = {name for each in others for name in _listed(each)}
    return Claim(
        row.repository,
        revision,
        folders=frozenset({row.folder} - {""}),
        names=frozenset({file.name for file in files} | _listed(row)) - theirs,
        addresses=frozenset(addresses),
    )


def _listed(row: catalog.HostedWeights) -> set[str]:
    folder = f"{row.folder}/" if row.folder else ""
    return {f"{folder}{file.name}" for file in row.files}


def _everything(repository: str, revision: str) -> Claim:
    found = revisions.cached_listing(repository, revision)
    files = found.files if found else ()
    addresses = {address for file in files if (address := file.sha256 or file.git_sha1)}
    return Claim(repository, revision, everything=True, addresses=frozenset(addresses))


def _found(claims: list[Claim]) -> tuple[HubCopy, ...]:
    """The claims with anything cached, even if only empty folders of a killed removal."""
    found = []
    for claim in claims:
        if _has_links(hub_cache.repository_dir(claim.repository)):
            continue
        contents = read_cache(claim.repository)
        copy = decide(contents, claim)
        hollow = not contents.blobs and not contents.snapshots and contents.is_there
        emptied = copy.whole_snapshot and (
            claim.revision in contents.snapshots
            or revisions.cached_listing(claim.repository, claim.revision) is not None
        )
        if copy.files or copy.blobs or copy.refs or hollow or emptied:
            found.append(copy)
    return tuple(found)


def decide(contents: CacheContents, claim: Claim) -> HubCopy:
    """The files of a repository to remove for a claim; blobs that other files need are kept."""
    here = contents.snapshots.get(claim.revision, {})
    files = sorted(
        filter(claim.includes, here),
        key=lambda name: (-(here[name].size or contents.blobs.get(here[name].blob, 0)), name),
    )
    needed = {
        entry.blob
        for revision, entries in contents.snapshots.items()
        for name, entry in entries.items()
        if revision != claim.revision or not claim.includes(name)
    }
    whole = len(files) == len(here)
    meant = {here[name].blob for name in files} | claim.addresses
    last = whole and not contents.snapshots.keys() - {claim.revision}
    blobs = [
        blob
        for blob in sorted(contents.blobs)
        if blob not in needed
        and (blob.partition(".")[0] in meant or (last and not blob.endswith(_INCOMPLETE)))
    ]
    refs = [name for name, commit in contents.refs.items() if commit == claim.revision]
    size = sum(contents.blobs[blob] for blob in blobs) + sum(here[name].size for name in files)
    return HubCopy(claim, tuple(files), tuple(blobs), tuple(refs) if whole else (), whole, size)


def read_cache(repository: str) -> CacheContents:
    """Contents of a repository's folder in the cache."""
    base = hub_cache.repository_dir(repository)
    if not base.is_dir() or _has_links(base):
        return CacheContents()
    blobs = base / "blobs"
    return CacheContents(
        snapshots={path.name: _entries(path, blobs) for path in trash.children(base / "snapshots")},
        blobs={path.name: trash.size_bytes(_payload(path)) for path in trash.children(blobs)},
        refs=_refs(base / "refs"),
        is_there=True,
    )


def _payload(blob: Path) -> Path:
    """The file with a blob's content: in the store that repositories share, if it links there.

    The library has that store from 2.4 on, for files that it fetched by Xet.
    """
    shared = hub_cache.cache_dir().resolve() / "blobs"
    target = blob.resolve()
    return target if blob.is_symlink() and shared in target.parents else blob


def _has_links(base: Path) -> bool:
    """Whether a repository's folder, or a part of it, is a link, which a person made."""
    return any((base / part).is_symlink() for part in ("", "blobs", "snapshots", "refs"))


def _entries(snapshot: Path, blobs: Path) -> dict[str, SnapshotFile]:
    found = {}
    for folder, folders, files in os.walk(snapshot):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in [*files, *links]:
            path = Path(folder, name)
            found[path.relative_to(snapshot).as_posix()] = _entry(path, blobs)
    return found


def _entry(path: Path, blobs: Path) -> SnapshotFile:
    if not path.is_symlink():
        return SnapshotFile("", trash.size_bytes(path))
    target = Path(os.path.normpath(path.parent / path.readlink()))
    # A link to any other place is removed, its target is not.
    return SnapshotFile(target.name if target.parent == Path(os.path.normpath(blobs)) else "", 0)


def _refs(folder: Path) -> dict[str, str]:
    found = {}
    for below, _, names in os.walk(folder):
        for path in (Path(below, name) for name in sorted(names)):
            with contextlib.suppress(OSError, ValueError):
                commit = path.read_text(encoding="ascii").strip()
                found[path.relative_to(folder).as_posix()] = commit
    return found


def carry_out(copy: HubCopy, *, notify: Callable[[str], None]) -> int:
    """Remove the files found, or their current successors.

    Args:
        copy: from `copies_of_custom` or `copies_of_model`.
        notify: receives a line before waiting for a pull.

    Returns:
        The bytes that were freed.

    Raises:
        StorageError: something could not be removed.
    """
    claim = copy.claim
    branch = revisions.lock_path(claim.repository, hub_cache.DEFAULT_BRANCH)
    locks = [revisions.lock_path(claim.repository, claim.revision)]
    with (
        storage_errors(
            f"remove {claim.repository} from the Hugging Face cache",
            f"check the permissions of {hub_cache.repository_dir(claim.repository)}",
        ),
        trash.held([*locks, *([branch] if branch.exists() else [])], notify),
    ):
        return _remove(decide(read_cache(claim.repository), claim))


def _remove(copy: HubCopy) -> int:
    repository, revision = copy.claim.repository, copy.claim.revision
    base = hub_cache.repository_dir(repository)
    if _has_links(base):
        return 0
    freed = _remove_files(base / "snapshots" / revision, copy.files)
    if copy.whole_snapshot:
        _remove_references(base, revision, copy.refs)
    freed += sum(_remove_blob(base, blob) for blob in copy.blobs)
    for name in ("blobs", "refs", "snapshots", ".no_exist"):
        _drop_empty(base / name)
    with contextlib.suppress(OSError):  # the folder is kept if it is not empty
        base.rmdir()
    if copy.whole_snapshot:
        revisions.discard_listing(repository, revision)
    return freed


def _remove_files(snapshot: Path, names: Sequence[str]) -> int:
    if snapshot.is_symlink():
        snapshot.unlink()
        return 0
    freed = 0
    for name in names:
        freed += trash.size_bytes(snapshot / name)
        (snapshot / name).unlink(missing_ok=True)
    _drop_empty(snapshot)
    return freed


def _remove_references(base: Path, revision: str, refs: Sequence[str]) -> None:
    """Remove branches that pointed to the commit, and the client's notes of its absent files."""
    for name in refs:
        (base / "refs" / name).unlink(missing_ok=True)
    notes = base / ".no_exist"
    if not notes.is_symlink():
        shutil.rmtree(notes / revision, ignore_errors=True)


def _remove_blob(base: Path, name: str) -> int:
    """Remove a blob, unless another process is fetching it or a snapshot now links to it."""
    lock = hub_cache.cache_dir() / ".locks" / base.name / f"{name.partition('.')[0]}.lock"
    with trash.held([lock] if lock.exists() else []) as mine:
        needed = {
            entry.blob
            for path in trash.children(base / "snapshots")
            for entry in _entries(path, base / "blobs").values()
        }
        if not mine or name in needed:
            return 0
        blob = base / "blobs" / name
        payload = _payload(blob)
        freed = trash.size_bytes(payload)
        if payload != blob:
            _sweep_shared(blob)
        blob.unlink(missing_ok=True)
        return 0 if payload.exists() else freed


def _sweep_shared(blob: Path) -> None:
    """Let the library remove a link into the shared store, and the target with the last link."""
    from huggingface_hub import DeleteCacheStrategy

    nothing: frozenset[Path] = frozenset()
    if "cache_dir" in DeleteCacheStrategy.__dataclass_fields__:  # else it has no shared store
        DeleteCacheStrategy(
            0, frozenset({blob}), nothing, nothing, nothing, cache_dir=hub_cache.cache_dir()
        ).execute()


def _drop_empty(folder: Path) -> None:
    """Remove ``folder`` and all empty folders below it."""
    if folder.is_symlink():
        return
    for below, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            Path(below).rmdir()
