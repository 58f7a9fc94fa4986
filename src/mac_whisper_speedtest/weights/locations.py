"""Where the weights of a network can lie on this machine, and what a whole copy holds.

Data and path arithmetic only: nothing is opened here (`inspect` does that), no backend is imported
and no library of theirs. Sources: each library's own code, as noted at the functions; WhisperKit
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
from mac_whisper_speedtest.weights import hub_cache
from mac_whisper_speedtest.weights import snapshot as wanted
from mac_whisper_speedtest.weights.revisions import HubFile

CORE_ML_BUNDLE = ("coremldata.bin", "model.mil", "weights/weight.bin")
"""What a compiled Core ML model needs to load; half-fetched ones lack the last."""

WHISPERKIT_BUNDLES = ("AudioEncoder", "MelSpectrogram", "TextDecoder")

FLUIDAUDIO_FILES: Mapping[str, tuple[str, ...]] = {
    "parakeet-tdt-0.6b-v2": ("Preprocessor", "Encoder", "Decoder", "JointDecision"),
    "parakeet-tdt-0.6b-v3": ("Preprocessor", "Encoder", "Decoder", "JointDecisionv3"),
}

# What a copy of each form holds where the catalog does not list its files. A name with
# alternatives is a tuple: any one of them will do.
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
    """One file that a whole copy holds.

    Attributes:
        names: its path inside the place; of several, any one.
        size: in bytes, where known.
        sha256: in lower-case hexadecimal, where known.
        git_name: what git calls its content, where the hub says that instead.
    """

    names: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None
    git_name: str | None = None

    @property
    def name(self) -> str:
        """How it is called in messages."""
        return " or ".join(self.names)


@dataclass(frozen=True, slots=True)
class CacheLocation:
    """One place where a copy can lie.

    Attributes:
        where: what people call it.
        folder: the folder the wanted names are relative to.
        wants: what a whole copy holds.
        for_run: whether ``speedtest run`` takes weights from here.
        is_file: whether the backend is given the one wanted file, and not the folder.
        may_be_folders: whether what is wanted may be a folder as well.
        unfinished: folders and patterns of names that only an unfinished download leaves.
        hub_repository: for the Hugging Face cache, the repository.
        revision: for the Hugging Face cache, the pinned commit.
        hash_named: whether a link's target may be named by the file's SHA-256.
        etags: where the hub client's local-folder mode notes down each file's commit and hash.
        record: the file that lists what a converted copy holds.
        outdated: another folder that older versions of the library used, and the words for it.
    """

    where: str
    folder: Path
    wants: tuple[ExpectedFile, ...] = ()
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


def places(reader: str, form: str, network: str, precision: str) -> list[CacheLocation]:
    """Every place to look in for one backend and network, the one that a run uses first.

    Args:
        reader: the backend's name.
        form: the form of weights it loads.
        network: a canonical name.
        precision: what the weights handed to it are to be stored in.
    """
    row = catalog.publication(network, form, precision)
    found: list[CacheLocation] = []
    kind = catalog.forms().get(form)
    if kind is not None and kind.converts_to:
        found += _converted(network, form, precision)
    elif row is not None and not row.unavailable:
        found += [replace(place, for_run=True) for place in _published(row)]
    if row is not None and not row.unavailable:
        own = _OWN_FOLDERS.get(form)
        found += own(reader, row) if own else []
        if kind is not None and kind.converts_to and row.repository and form in _USES_HUB:
            found.append(_hub(row))
    return found


def source_places(network: str) -> list[CacheLocation]:
    """Where the official weights that a Whisper network is converted from can lie."""
    row = catalog.publication(network, catalog.SOURCE_FORM)
    return _published(row) if row is not None and not row.unavailable else []


def structure(form: str) -> tuple[ExpectedFile, ...]:
    """What a copy of ``form`` holds, as far as names go; empty where that is not known."""
    return tuple(ExpectedFile(names) for names in _STRUCTURE.get(form, ()))


def described(path: Path) -> CacheLocation:
    """The weights that a backend's description names itself: there, or not."""
    # A folder's contents are the backend's own affair; a file is wanted by its name.
    return CacheLocation(
        "named in its description",
        path.parent,
        (ExpectedFile((path.name,)),),
        for_run=True,
        may_be_folders=True,
    )


def _wants(row: catalog.Publication) -> tuple[ExpectedFile, ...]:
    """What the catalog, or else the form, says that a copy of ``row`` holds."""
    listed = tuple(ExpectedFile((file.name,), file.size, file.sha256) for file in row.files)
    if row.complete or not _STRUCTURE.get(row.form):
        return listed
    known = {want.names[0]: want for want in listed}
    return tuple(
        next((known[name] for name in want.names if name in known), want)
        for want in structure(row.form)
    )


# --- the tool's own places, and those it shares -------------------------------------------------


def _published(row: catalog.Publication) -> list[CacheLocation]:
    """Where `locate.published` looks, in its order."""
    found = []
    folder = fetched_folder(row)
    if folder is not None:
        found.append(CacheLocation("the tool's cache (as published)", folder, _wants(row)))
    mirror = mirror_folder(row)
    if mirror is not None and row.mirror is not None:
        found.append(CacheLocation(f"the package {row.mirror.distribution}", mirror, _wants(row)))
    if row.repository and row.form not in FRAMEWORKS:
        found.append(_hub(row))
    if len(row.files) == 1 and row.complete:
        found = [replace(place, is_file=True) for place in found]
    return found


def fetched_folder(row: catalog.Publication) -> Path | None:
    """Where a mirror's files are put; a new pin never meets an old one."""
    main = row.main_file
    if row.mirror is None or main is None or main.sha256 is None:
        return None
    folder = f"{row.form}-published-{main.sha256[:16]}"
    return paths.cache_dir() / "weights" / row.network / folder


def mirror_folder(row: catalog.Publication) -> Path | None:
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


def converted_folder(network: str, form: str, precision: str, source_key: str) -> Path:
    """Where the conversion of a source is kept.

    Args:
        network: a canonical name, or the folder's name of a custom one.
        form: the form it was converted to.
        precision: what it is stored in.
        source_key: SHA-256 of the source's tensors file, or its commit; hexadecimal.
    """
    folder = f"{form}-{precision}-{source_key[:16]}"
    return paths.cache_dir() / "weights" / network / folder


def custom_conversion(custom: catalog.Custom, form: str, precision: str) -> Path:
    """Where the conversion of a model outside the catalog is kept.

    The commit is all of its name that says what the source holds, and it pins every file.
    """
    return converted_folder(custom.folder, form, precision, custom.revision)


def _converted(network: str, form: str, precision: str) -> list[CacheLocation]:
    source = catalog.publication(network, catalog.SOURCE_FORM)
    main = source.main_file if source else None
    if main is None or main.sha256 is None:
        return []
    return [conversion(converted_folder(network, form, precision, main.sha256), form)]


def conversion(folder: Path, form: str) -> CacheLocation:
    """A conversion to ``form`` in the tool's cache, which says itself what it holds."""
    return CacheLocation(
        "the tool's cache (converted)",
        folder,
        for_run=True,
        is_file=form in {"ggml", "openai"},
        record=folder / "provenance.json",
    )


def custom_pulled(custom: catalog.Custom, snapshot: wanted.SnapshotFiles | None) -> CacheLocation:
    """What a pull has put into the Hugging Face cache of a model outside the catalog.

    Args:
        custom: which.
        snapshot: the files that it fetches, the only thing that says what a whole copy holds;
            ``None`` where it was never pulled.
    """
    files = sorted(snapshot.files if snapshot else (), key=lambda file: -file.size)
    repository = hub_cache.repository_dir(custom.repository)
    return CacheLocation(
        "the Hugging Face cache",
        hub_cache.snapshot_dir(custom.repository, custom.revision),
        tuple(_learnt(file, "") for file in files),
        for_run=True,
        unfinished=tuple(
            (repository / "blobs", f"{file.sha256}*.incomplete") for file in files if file.sha256
        ),
        hub_repository=custom.repository,
        revision=custom.revision,
        hash_named=True,
    )


def _learnt(file: HubFile, folder: str) -> ExpectedFile:
    """A file as the hub listed it, below ``folder`` of its repository."""
    name = str(PurePosixPath(file.name).relative_to(folder))
    return ExpectedFile((name,), file.size, file.sha256, file.blob_id)


FRAMEWORKS = {"whisperkit": "WhisperKit", "fluidaudio": "FluidAudio"}
"""Forms by the frameworks that fetch them, and never look in the Hugging Face cache."""

_USES_HUB = {"huggingface", "mlx"}
"""Forms whose libraries look in the Hugging Face cache, though a run uses converted weights."""


def _hub(row: catalog.Publication) -> CacheLocation:
    repository = hub_cache.repository_dir(row.repository)
    revision, wants = row.revision, _wants(row)
    # What an earlier pull learnt of the commit says more than the catalog does.
    if not row.complete and (snapshot := wanted.resolve_offline(wanted.of_row(row))):
        revision = snapshot.revision
        wants = tuple(_learnt(file, row.folder) for file in snapshot.files)
    shared = bool(row.folder) or row.form == "ggml"  # one repository for many networks
    blobs = repository / "blobs"
    hashes = [want.sha256 for want in wants if want.sha256]
    return CacheLocation(
        "the Hugging Face cache",
        repository / "snapshots" / (revision or "") / row.folder,
        wants,
        # A blob in the making is named by its hash, which tells whose it is where we know it.
        unfinished=tuple((blobs, f"{sha256}*.incomplete") for sha256 in hashes)
        if shared or row.complete
        else ((blobs, "*.incomplete"),),
        hub_repository=row.repository,
        revision=revision,
        hash_named=True,
    )


# --- the libraries' own folders ------------------------------------------------------------------


def _pywhispercpp(_reader: str, row: catalog.Publication) -> list[CacheLocation]:
    """Pywhispercpp 1.5: ``platformdirs.user_data_dir("pywhispercpp")/models``."""
    import platformdirs

    folder = Path(platformdirs.user_data_dir("pywhispercpp")) / "models"
    return [CacheLocation("pywhispercpp's folder", folder, _wants(row), is_file=True)]


def _openai(reader: str, row: catalog.Publication) -> list[CacheLocation]:
    """openai-whisper: ``XDG_CACHE_HOME`` or ``~/.cache``, then ``whisper``; whisper-mps: no XDG."""
    cache = Path.home() / ".cache"
    if reader != "whisper-mps" and (configured := os.environ.get("XDG_CACHE_HOME")):
        cache = Path(configured)
    wants = tuple(replace(want, names=(_local_name(want.names[0]),)) for want in _wants(row))
    return [CacheLocation(f"{reader}'s folder", cache / "whisper", wants, is_file=True)]


def _local_name(name: str) -> str:
    """A file's name without the folders of its address."""
    return name.rpartition("/")[2]


def _lightning(_reader: str, row: catalog.Publication) -> list[CacheLocation]:
    """lightning-whisper-mlx 0.0.10: ``./mlx_models/NAME``, the hub's local-folder mode."""
    folder = Path("mlx_models").absolute() / row.network
    download = folder / ".cache" / "huggingface" / "download"
    return [
        CacheLocation(
            "./mlx_models",
            folder,
            _wants(row),
            unfinished=((download, "**/*.incomplete"),),
            etags=download,
        )
    ]


def _moonshine(_reader: str, row: catalog.Publication) -> list[CacheLocation]:
    """moonshine-voice 0.1: ``MOONSHINE_VOICE_CACHE`` or the user's cache, then the address."""
    import platformdirs

    cache = os.environ.get("MOONSHINE_VOICE_CACHE") or platformdirs.user_cache_dir(
        "moonshine_voice"
    )
    address = row.url.partition("://")[2]
    return [CacheLocation("moonshine-voice's folder", Path(cache) / address, _wants(row))]


def _whisperkit(_reader: str, row: catalog.Publication) -> list[CacheLocation]:
    """WhisperKit: the hub client's local-folder layout below ``~/Documents/huggingface``.

    Three bundles and a tokenizer, which it keeps beside the models of all sizes; a copy inside the
    model's folder is found as well.
    """
    base = Path.home() / "Documents" / "huggingface" / "models"
    repository = base / row.repository
    tokenizer = base / "openai" / f"whisper-{_tokenizer_size(row.network)}" / "tokenizer.json"
    download = repository / ".cache" / "huggingface" / "download" / row.folder
    wants = [
        ExpectedFile((f"{bundle}.mlmodelc/{file}",))
        for bundle in WHISPERKIT_BUNDLES
        for file in CORE_ML_BUNDLE
    ]
    wants += [ExpectedFile(("config.json",)), ExpectedFile(("generation_config.json",))]
    # An absolute path stays itself when it is joined to the folder.
    wants.append(ExpectedFile(("tokenizer.json", str(tokenizer))))
    return [
        CacheLocation(
            "WhisperKit's folder",
            repository / row.folder,
            tuple(wants),
            unfinished=((download, "**/*.incomplete"),),
            etags=download,
            revision=row.revision,
        )
    ]


def _tokenizer_size(network: str) -> str:
    """Which tokenizer WhisperKit takes, by the dimensions: turbo and distil take large-v3's."""
    return "large-v3" if re.search(r"large-v3", network) else network


def _fluidaudio(_reader: str, row: catalog.Publication) -> list[CacheLocation]:
    """FluidAudio since 0.13.4; until 0.13.2 the folder's name ended in ``-coreml``."""
    models = Path.home() / "Library" / "Application Support" / "FluidAudio" / "Models"
    folder = models / row.network
    wants = [
        ExpectedFile((f"{bundle}.mlmodelc/{file}",))
        for bundle in FLUIDAUDIO_FILES[row.network]
        # Every bundle is checked by FluidAudio for this one alone; some have no weights.
        for file in CORE_ML_BUNDLE[:1]
    ]
    wants.append(ExpectedFile((f"Encoder.mlmodelc/{CORE_ML_BUNDLE[2]}",)))
    wants.append(ExpectedFile(("parakeet_vocab.json",)))
    return [
        CacheLocation(
            "FluidAudio's folder",
            folder,
            tuple(wants),
            unfinished=((folder, "**/*.partial"),),
            outdated=(models / f"{row.network}-coreml", "of FluidAudio 0.13.2 and older"),
        )
    ]


_OWN_FOLDERS: Mapping[str, Callable[[str, catalog.Publication], list[CacheLocation]]] = {
    "ggml": _pywhispercpp,
    "openai": _openai,
    "mlx-npz": _lightning,
    "moonshine-onnx": _moonshine,
    "whisperkit": _whisperkit,
    "fluidaudio": _fluidaudio,
}
