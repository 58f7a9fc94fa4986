"""Where the weights of a model can be on this machine, and what a complete copy holds.

Path arithmetic only: no file is opened (`inspect` does that) and no backend or its library is
imported. Sources: each library's own code, as noted at the functions; WhisperKit
1.1.0 and FluidAudio 0.15.6 for the Swift frameworks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path, PurePosixPath

from mac_whisper_speedtest import catalog, paths
from mac_whisper_speedtest.catalog import LocationKind, ModelInfo, WeightsLocation
from mac_whisper_speedtest.hub import HubFile
from mac_whisper_speedtest.weights import hub_cache
from mac_whisper_speedtest.weights.snapshot import (
    SnapshotFiles,
    pull_target,
    resolve_custom,
    resolve_offline,
)

CORE_ML_BUNDLE = ("coremldata.bin", "model.mil", "weights/weight.bin")
"""What a compiled Core ML model needs to load; a partly downloaded one lacks the last."""

WHISPERKIT_BUNDLES = ("AudioEncoder", "MelSpectrogram", "TextDecoder")

FLUIDAUDIO_FILES: Mapping[str, tuple[str, ...]] = {
    "parakeet-tdt-0.6b-v2": ("Preprocessor", "Encoder", "Decoder", "JointDecision"),
    "parakeet-tdt-0.6b-v3": ("Preprocessor", "Encoder", "Decoder", "JointDecisionv3"),
}

# What a copy of each format holds where the catalog does not list its files. A name with
# alternatives is a tuple: any one of them suffices.
_STRUCTURE: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "ctranslate2": (
        ("model.bin",),
        ("config.json",),
        ("tokenizer.json",),
        ("vocabulary.txt", "vocabulary.json"),
    ),
    "huggingface": (
        ("model.safetensors", "model.safetensors.index.json"),
        ("config.json",),
        ("tokenizer.json", "vocab.json"),
        ("preprocessor_config.json",),
    ),
    "mlx": (("weights.safetensors", "weights.npz"), ("config.json",)),
    "mlx-npz": (("weights.npz",), ("config.json",)),
    "parakeet-mlx": (("model.safetensors",), ("config.json",)),
}


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """One file of a complete copy.

    Attributes:
        names: paths relative to the folder; any one of them suffices.
        size: in bytes, if known.
        sha256: in lower-case hexadecimal, if known.
        git_sha1: SHA-1 of the git blob, which the hub states for small files instead.
    """

    names: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None

    @property
    def name(self) -> str:
        """Name for messages."""
        return " or ".join(self.names)


@dataclass(frozen=True, slots=True)
class CacheLocation:
    """One place where a copy can be.

    Attributes:
        where: name for messages.
        folder: the folder that the expected names are relative to.
        kind: how copies get there.
        expected: files of a complete copy.
        for_run: whether ``speedtest run`` takes weights from here.
        is_file: whether the backend is given the one expected file, and not the folder.
        may_be_folders: whether what is expected may be a folder as well.
        unfinished: folders and name patterns of unfinished downloads.
        hub_repository: for the Hugging Face cache, the repository.
        revision: for the Hugging Face cache, the pinned commit.
        hash_named: whether a link's target may be named by the file's SHA-256.
        etags: where the hub client's local-folder mode records each file's commit and hash.
        record: the file that lists what a converted copy holds.
        outdated: a folder that older versions of the library used, and its description.
    """

    where: str
    folder: Path
    kind: LocationKind
    expected: tuple[ExpectedFile, ...] = ()
    for_run: bool = False
    is_file: bool = False
    may_be_folders: bool = False
    unfinished: tuple[tuple[Path, str], ...] = ()
    hub_repository: str = ""
    revision: str | None = None
    hash_named: bool = False
    etags: Path | None = None
    record: Path | None = None
    outdated: tuple[Path, str] | None = field(default=None)


def locations_of(info: ModelInfo) -> list[CacheLocation]:
    """The paths of every location of ``info``, the one that a run uses first."""
    return [found for each in info.locations if (found := resolve(each, info)) is not None]


def hosted_locations(row: catalog.HostedWeights) -> list[CacheLocation]:
    """Where published files can be, in the order in which a run looks for them."""
    return [
        found
        for each in catalog.published_locations(row)
        if (found := _published(each, row)) is not None
    ]


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
        library = _LIBRARY_FOLDERS[info.weights_format]
        return library(location.where, info.backend, info.hosted)
    return _published(location, info.hosted)


def structure(weights_format: str) -> tuple[ExpectedFile, ...]:
    """The file names of a complete copy in that format; empty if not known."""
    return tuple(ExpectedFile(names) for names in _STRUCTURE.get(weights_format, ()))


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


def _expected_files(row: catalog.HostedWeights) -> tuple[ExpectedFile, ...]:
    """The files of a complete copy of ``row``, from the catalog or else from its format."""
    listed = tuple(ExpectedFile((file.name,), file.size, file.sha256) for file in row.files)
    if row.complete or not _STRUCTURE.get(row.format):
        return listed
    known = {file.names[0]: file for file in listed}
    return tuple(
        next((known[name] for name in file.names if name in known), file)
        for file in structure(row.format)
    )


# --- the tool's own folders, and those it shares -------------------------------------------------


def _published(location: WeightsLocation, row: catalog.HostedWeights) -> CacheLocation | None:
    """Published files in the tool's cache, in a package or in the Hugging Face cache."""
    if location.kind is LocationKind.HUB:
        found = _hub(row)
    else:
        fetched = location.kind is LocationKind.FETCHED
        folder = fetched_folder(row) if fetched else mirror_folder(row)
        if folder is None:
            return None
        found = CacheLocation(location.where, folder, location.kind, _expected_files(row))
    is_file = len(row.files) == 1 and row.complete
    return replace(found, for_run=location.for_run, is_file=is_file)


def fetched_folder(row: catalog.HostedWeights) -> Path | None:
    """The folder of files fetched from a mirror; its name contains the pinned hash."""
    main = row.main_file
    if row.mirror is None or main is None or main.sha256 is None:
        return None
    folder = f"{row.format}-published-{main.sha256[:16]}"
    return paths.cache_dir() / "weights" / row.model / folder


def mirror_folder(row: catalog.HostedWeights) -> Path | None:
    """The mirror's folder if that distribution is installed. Imports nothing of it."""
    if row.mirror is None:
        return None
    try:
        distribution = metadata.distribution(row.mirror.distribution)
    except metadata.PackageNotFoundError:
        return None
    if distribution.version != row.mirror.version:
        return None
    return Path(str(distribution.locate_file(row.mirror.folder)))


def converted_folder(model: str, weights_format: str, precision: str, source_key: str) -> Path:
    """Where the conversion of a source is kept.

    Args:
        model: a canonical name, or the folder's name of a custom one.
        weights_format: the format it was converted to.
        precision: what it is stored in.
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
        record=folder / "provenance.json",
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
    revision, expected = row.revision, _expected_files(row)
    # A listing stored by an earlier pull is more complete than the catalog.
    if not row.complete and (snapshot := resolve_offline(pull_target(row))):
        revision = snapshot.revision
        expected = tuple(_expected_file(file, row.folder) for file in snapshot.files)
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
    )


# --- the libraries' own folders ------------------------------------------------------------------


def _pywhispercpp(where: str, _backend: str, row: catalog.HostedWeights) -> CacheLocation:
    """Pywhispercpp 1.5: ``platformdirs.user_data_dir("pywhispercpp")/models``."""
    import platformdirs

    folder = Path(platformdirs.user_data_dir("pywhispercpp")) / "models"
    return CacheLocation(where, folder, LocationKind.LIBRARY, _expected_files(row), is_file=True)


def _openai(where: str, backend: str, row: catalog.HostedWeights) -> CacheLocation:
    """openai-whisper: ``XDG_CACHE_HOME`` or ``~/.cache``, then ``whisper``; whisper-mps: no XDG."""
    cache = Path.home() / ".cache"
    if backend != "whisper-mps" and (configured := os.environ.get("XDG_CACHE_HOME")):
        cache = Path(configured)
    expected = tuple(
        replace(file, names=(PurePosixPath(file.names[0]).name,)) for file in _expected_files(row)
    )
    return CacheLocation(where, cache / "whisper", LocationKind.LIBRARY, expected, is_file=True)


def _lightning(where: str, _backend: str, row: catalog.HostedWeights) -> CacheLocation:
    """lightning-whisper-mlx 0.0.10: ``./mlx_models/NAME``, the hub's local-folder mode."""
    folder = Path("mlx_models").absolute() / row.model
    download = folder / ".cache" / "huggingface" / "download"
    return CacheLocation(
        where,
        folder,
        LocationKind.LIBRARY,
        _expected_files(row),
        unfinished=((download, "**/*.incomplete"),),
        etags=download,
    )


def _moonshine(where: str, _backend: str, row: catalog.HostedWeights) -> CacheLocation:
    """moonshine-voice 0.1: ``MOONSHINE_VOICE_CACHE`` or the user's cache, then the address."""
    import platformdirs

    cache = os.environ.get("MOONSHINE_VOICE_CACHE") or platformdirs.user_cache_dir(
        "moonshine_voice"
    )
    address = row.url.partition("://")[2]
    folder = Path(cache) / address
    return CacheLocation(where, folder, LocationKind.LIBRARY, _expected_files(row))


def _whisperkit(where: str, _backend: str, row: catalog.HostedWeights) -> CacheLocation:
    """WhisperKit: the hub client's local-folder layout below ``~/Documents/huggingface``.

    Three bundles and a tokenizer, which it keeps beside the models of all sizes; a copy inside the
    model's folder is found as well.
    """
    base = Path.home() / "Documents" / "huggingface" / "models"
    repository = base / row.repository
    tokenizer = base / "openai" / f"whisper-{_tokenizer_size(row.model)}" / "tokenizer.json"
    download = repository / ".cache" / "huggingface" / "download" / row.folder
    expected = [
        ExpectedFile((f"{bundle}.mlmodelc/{file}",))
        for bundle in WHISPERKIT_BUNDLES
        for file in CORE_ML_BUNDLE
    ]
    expected += [ExpectedFile(("config.json",)), ExpectedFile(("generation_config.json",))]
    # An absolute path stays itself when it is joined to the folder.
    expected.append(ExpectedFile(("tokenizer.json", str(tokenizer))))
    return CacheLocation(
        where,
        repository / row.folder,
        LocationKind.LIBRARY,
        tuple(expected),
        unfinished=((download, "**/*.incomplete"),),
        etags=download,
        revision=row.revision,
    )


def _tokenizer_size(model: str) -> str:
    """Which tokenizer WhisperKit takes, by the dimensions: turbo and distil take large-v3's."""
    return "large-v3" if re.search(r"large-v3", model) else model


def _fluidaudio(where: str, _backend: str, row: catalog.HostedWeights) -> CacheLocation:
    """FluidAudio since 0.13.4; until 0.13.2 the folder's name ended in ``-coreml``."""
    models = Path.home() / "Library" / "Application Support" / "FluidAudio" / "Models"
    folder = models / row.model
    expected = [
        ExpectedFile((f"{bundle}.mlmodelc/{file}",))
        for bundle in FLUIDAUDIO_FILES[row.model]
        # Every bundle is checked by FluidAudio for this one alone; some have no weights.
        for file in CORE_ML_BUNDLE[:1]
    ]
    expected.append(ExpectedFile((f"Encoder.mlmodelc/{CORE_ML_BUNDLE[2]}",)))
    expected.append(ExpectedFile(("parakeet_vocab.json",)))
    return CacheLocation(
        where,
        folder,
        LocationKind.LIBRARY,
        tuple(expected),
        unfinished=((folder, "**/*.partial"),),
        outdated=(models / f"{row.model}-coreml", "of FluidAudio 0.13.2 and older"),
    )


_LIBRARY_FOLDERS: Mapping[str, Callable[[str, str, catalog.HostedWeights], CacheLocation]] = {
    "ggml": _pywhispercpp,
    "openai": _openai,
    "mlx-npz": _lightning,
    "moonshine-onnx": _moonshine,
    "whisperkit": _whisperkit,
    "fluidaudio": _fluidaudio,
}
