"""The files of a commit that a pull needs, and the missing ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.errors import DownloadError
from mac_whisper_speedtest.hub import HubFile
from mac_whisper_speedtest.weights import hub_cache
from mac_whisper_speedtest.weights.revisions import CommitListing, cached_listing

# Which files of a repository a backend needs: the weights once, in their safest format, no code.


# Weights by the suffix of their file, the best first: one kind is taken, the others hold the same
# model again. safetensors cannot hold code; pickles (.bin, .pt) can, and the rest are of
# libraries that no backend here uses where it has a choice.
_WEIGHTS = (
    (".safetensors",),
    (".npz",),
    (".bin", ".pt", ".pth"),
    (".onnx", ".ort"),
    (".gguf",),
    (".h5", ".tflite"),
    (".msgpack",),
    (".ckpt", ".ot"),
    (".nemo",),
)
_WEIGHT_SUFFIXES = frozenset(suffix for kind in _WEIGHTS for suffix in kind)
# A Core ML model is a folder; the compiled one needs no Xcode to load.
_BUNDLES = (".mlmodelc", ".mlpackage")
# Settings and vocabularies: config, generation_config, preprocessor_config, tokenizer, vocab,
# normalizer, added_tokens, special_tokens_map, the index of split weights; merges, vocabulary.
_DATA_SUFFIXES = frozenset({".json", ".txt", ".model", ".tiktoken", ".vocab", ".jinja"})
_NOT_DATA = frozenset({"requirements.txt"})


def select_files(
    files: Sequence[HubFile],
    folder: str = "",
    weights: Collection[str] = (),
    bundles: Collection[str] = (),
) -> tuple[HubFile, ...]:
    """The files that a backend needs, in the order given.

    Args:
        files: everything in the repository.
        folder: look only in here; its subfolders have the same model in formats for
            other programs (``onnx/``), unless it is a Core ML model.
        weights: names, relative to ``folder``, of the weights where they are known.
        bundles: the names of the only Core ML models to take; empty for all.

    Returns:
        Weights, settings and vocabularies; empty if there are no weights. Never code.
    """
    base = PurePosixPath(folder)
    inside = [file for file in files if folder in {"", "."} or _below(file, base)]
    relative = {file.name: PurePosixPath(file.name).relative_to(base) for file in inside}
    direct = [file for file in inside if len(relative[file.name].parts) == 1]
    taken = {file.name for file in _weights(direct, base, weights)}
    taken |= {
        file.name
        for file in inside
        if _suffix(relative[file.name].parts[0]) in _bundles(relative.values())
        and (not bundles or relative[file.name].parts[0] in bundles)
    }
    if not taken:
        return ()
    taken |= {file.name for file in direct if _is_data(relative[file.name])}
    return tuple(file for file in inside if file.name in taken and _suffix(file.name) != ".py")


def _below(file: HubFile, base: PurePosixPath) -> bool:
    return base in PurePosixPath(file.name).parents


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _is_data(name: PurePosixPath) -> bool:
    hidden = name.name.startswith(".")
    return name.suffix.lower() in _DATA_SUFFIXES and name.name not in _NOT_DATA and not hidden


def _bundles(names: Collection[PurePosixPath]) -> set[str]:
    """The kind of Core ML folders to use, of the ones in the repository."""
    there = {_suffix(name.parts[0]) for name in names if len(name.parts) > 1}
    return next(({kind} for kind in _BUNDLES if kind in there), set())


def _weights(
    files: Sequence[HubFile], base: PurePosixPath, known: Collection[str]
) -> list[HubFile]:
    """One kind of weights in a folder, each model once."""
    weights = [file for file in files if _suffix(file.name) in _WEIGHT_SUFFIXES]
    pinned = {str(base / name) for name in known}
    if exact := [file for file in weights if file.name in pinned]:
        return exact
    for kind in _WEIGHTS:
        if same := [file for file in weights if _suffix(file.name) in kind]:
            return _plain(same) if kind == _WEIGHTS[0] else same
    return []


def _plain(files: list[HubFile]) -> list[HubFile]:
    """Without other precisions of the same model (``model.fp32-00001-of-00002.safetensors``)."""
    plain = [file for file in files if "." not in PurePosixPath(file.name).stem]
    return plain or files


@dataclass(frozen=True, slots=True)
class SnapshotFiles:
    """The needed files of one commit, with their names in the repository."""

    repository: str
    revision: str
    files: tuple[HubFile, ...]

    @property
    def path(self) -> Path:
        """The snapshot's folder in the cache, whether it exists or not."""
        return hub_cache.snapshot_dir(self.repository, self.revision)

    def missing(self, there: Callable[[Path, HubFile], bool]) -> list[HubFile]:
        """The files for whose path ``there`` is false."""
        return [file for file in self.files if not there(self.path / file.name, file)]


@dataclass(frozen=True, slots=True)
class PullTarget:
    """What to pull of a repository, as known before the hub is asked.

    Attributes:
        name: for messages.
        repository: ``org/name``.
        revision: a commit, or the branch whose commit is not known yet.
        folder: inside the repository.
        files: the pinned files of the catalog, with their names in the repository.
        complete: no other files are needed.
        names: exactly these files are needed; empty to use `select_files`.
        bundles: the only Core ML models that are needed, if any are named.
        custom: it was requested by repository and commit.
    """

    name: str
    repository: str
    revision: str
    folder: str = ""
    files: tuple[HubFile, ...] = ()
    complete: bool = False
    names: tuple[str, ...] = ()
    bundles: tuple[str, ...] = ()
    custom: bool = False


def pull_target(row: catalog.HostedWeights) -> PullTarget:
    """The files that a row of the catalog needs from its own repository."""
    folder = f"{row.folder}/" if row.folder else ""
    return PullTarget(
        name=row.model if row.format == catalog.SOURCE_FORMAT else f"{row.model} as {row.format}",
        repository=row.repository,
        revision=row.revision or hub_cache.DEFAULT_BRANCH,
        folder=row.folder,
        files=_pinned_files(row.files, folder),
        complete=bool(row.files)
        and not row.unpinned
        and all(file.pinned for file in row.files)
        and row.revision is not None,
        bundles=row.kind.bundles,
    )


def tokenizer_target(row: catalog.HostedWeights) -> PullTarget | None:
    """The files that a row of the catalog needs from a second repository, if any."""
    tokenizer = row.tokenizer
    if tokenizer is None:
        return None
    return PullTarget(
        name=f"the tokenizer of {row.model}",
        repository=tokenizer.repository,
        revision=tokenizer.revision,
        files=_pinned_files(tokenizer.files, ""),
        complete=all(file.pinned for file in tokenizer.files),
        names=tuple(file.name for file in tokenizer.files),
    )


def pull_targets(row: catalog.HostedWeights) -> tuple[PullTarget, ...]:
    """Everything that a row needs; the smaller part first, so that its absence shows early."""
    return tuple(filter(None, (tokenizer_target(row), pull_target(row))))


def _pinned_files(files: Sequence[catalog.PublishedFile], folder: str) -> tuple[HubFile, ...]:
    return tuple(
        HubFile(f"{folder}{file.name}", file.size, file.sha256)
        for file in files
        if file.size is not None
    )


def resolve_offline(target: PullTarget) -> SnapshotFiles | None:
    """The files to pull if they are known offline, else ``None`` (the hub must be asked)."""
    if target.complete:
        return SnapshotFiles(target.repository, target.revision, target.files)
    commit = target.revision
    if commit == hub_cache.DEFAULT_BRANCH:
        commit = hub_cache.branch_commit(target.repository) or ""
    found = cached_listing(target.repository, commit) if commit else None
    try:
        return resolve_from_listing(target, found) if found is not None else None
    except DownloadError:
        return None  # the catalog has changed since: the hub is asked again


def resolve_custom(custom: catalog.Custom) -> SnapshotFiles | None:
    """The files to pull for a model outside the catalog; ``None`` before the hub listed it."""
    return resolve_offline(PullTarget(str(custom), custom.repository, custom.revision, custom=True))


def resolve_from_listing(target: PullTarget, found: CommitListing) -> SnapshotFiles:
    """The needed files of a hub listing, compared with the catalog's pins.

    Raises:
        DownloadError: they include no weights, or are not the pinned files.
    """
    pinned = {file.name: file for file in target.files}
    short = [name.removeprefix(f"{target.folder}/") for name in pinned]
    if target.names:
        files = _named(target, found)
    else:
        files = select_files(found.files, target.folder, short, target.bundles)
    if not files:
        where = f" in {target.folder}" if target.folder else ""
        raise DownloadError(
            f"{found.repository}@{found.revision} holds no weights that this tool knows{where}",
            hint="only repositories with weights of a speech recognizer can be used",
        )
    relative = {PurePosixPath(file.name.removeprefix(f"{target.folder}/")) for file in files}
    if absent := set(target.bundles) - {name.parts[0] for name in relative}:
        raise DownloadError(
            f"{found.repository}@{found.revision} holds no {', '.join(sorted(absent))} in "
            f"{target.folder}",
            hint="nothing was fetched; check HF_ENDPOINT, if it is set",
        )
    held = []
    for file in files:
        pin = pinned.pop(file.name, file)
        held.append(replace(file, sha256=file.sha256 or pin.sha256))
        if (pin.size, pin.sha256 or file.sha256) != (file.size, held[-1].sha256):
            raise DownloadError(
                f"{file.name} of {found.repository} is not the pinned file on the hub: it has "
                f"{file.size} bytes, pinned are {pin.size}, or it has another hash",
                hint="nothing was fetched; check HF_ENDPOINT, if it is set",
            )
    if pinned:
        raise DownloadError(
            f"{found.repository}@{found.revision} does not list {', '.join(pinned)}",
            hint="nothing was fetched; check HF_ENDPOINT, if it is set",
        )
    return SnapshotFiles(found.repository, found.revision, tuple(held))


def _named(target: PullTarget, found: CommitListing) -> tuple[HubFile, ...]:
    """The files that are needed by name. Raises DownloadError."""
    listed = {file.name: file for file in found.files}
    if missing := [name for name in target.names if name not in listed]:
        raise DownloadError(
            f"{found.repository}@{found.revision} does not list {', '.join(missing)}",
            hint="nothing was fetched; check HF_ENDPOINT, if it is set",
        )
    return tuple(listed[name] for name in target.names)


def missing_by_size(snapshot: SnapshotFiles) -> list[HubFile]:
    """The missing files, by size alone."""

    def there(path: Path, file: HubFile) -> bool:
        try:
            return path.stat().st_size == file.size
        except OSError:
            return False

    return snapshot.missing(there)


def bytes_missing(repository: str, missing: list[HubFile]) -> int:
    """The bytes of the ``missing`` files still to download."""
    from mac_whisper_speedtest.weights import transfer  # not needed for offline questions

    return sum(file.size - transfer.partial_bytes(repository, file) for file in missing)
