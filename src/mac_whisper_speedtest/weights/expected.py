"""The files of a complete copy of weights, and the place where it is looked for.

No path of this machine is known here: `locations` and `library_folders` give those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.catalog import LocationKind

CORE_ML_BUNDLE = ("coremldata.bin", "model.mil", "weights/weight.bin")
"""Files that a compiled Core ML model needs; a partly downloaded one lacks the last."""

WHISPERKIT_BUNDLES = ("AudioEncoder", "MelSpectrogram", "TextDecoder")

FLUIDAUDIO_FILES: Mapping[str, tuple[str, ...]] = {
    "parakeet-tdt-0.6b-v2": ("Preprocessor", "Encoder", "Decoder", "JointDecision"),
    "parakeet-tdt-0.6b-v3": ("Preprocessor", "Encoder", "Decoder", "JointDecisionv3"),
}

# The files of a copy of each format, if the catalog does not list them. A name with
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
    "sherpa-onnx": (("encoder.onnx",), ("decoder.onnx",), ("tokens.txt",)),
    "parakeet-mlx": (("model.safetensors",), ("config.json",)),
    "whisperkit": (
        *(
            (f"{bundle}.mlmodelc/{name}",)
            for bundle in WHISPERKIT_BUNDLES
            for name in CORE_ML_BUNDLE
        ),
        ("config.json",),
        ("generation_config.json",),
    ),
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
        is_file: whether the backend gets the only expected file instead of the folder.
        may_be_folders: whether an expected file may also be a folder.
        unfinished: folders and name patterns of unfinished downloads.
        hub_repository: for the Hugging Face cache, the repository.
        revision: for the Hugging Face cache, the pinned commit.
        hash_named: whether a link's target may be named by the file's SHA-256.
        of_others: names of files that other weights also need: alone, they are no copy.
        etags: where the hub client's local-folder mode records each file's commit and hash.
        record: the file that lists the content of a copy made by this tool.
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
    of_others: frozenset[str] = frozenset()
    etags: Path | None = None
    record: Path | None = None
    outdated: tuple[Path, str] | None = field(default=None)


def structure(weights_format: str) -> tuple[ExpectedFile, ...]:
    """The file names of a complete copy in that format; empty if not known."""
    return tuple(ExpectedFile(names) for names in _STRUCTURE.get(weights_format, ()))


def expected_files(row: catalog.HostedWeights) -> tuple[ExpectedFile, ...]:
    """The files of a complete copy of ``row``, from the catalog or else from its format."""
    listed = tuple(ExpectedFile((file.name,), file.size, file.sha256) for file in row.files)
    if row.complete or not _STRUCTURE.get(row.format):
        return listed
    known = {file.names[0]: file for file in listed}
    return tuple(
        next((known[name] for name in file.names if name in known), file)
        for file in structure(row.format)
    )
