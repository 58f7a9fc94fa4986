"""Weights of models outside the catalog, identified by their contents.

`catalog.parse_custom` reads such a model's name. A repository's code is never pulled
(`snapshot.select_files`) or executed: weights are read by this tool's own readers or by libraries
in a mode that runs no code of the repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest.catalog import (
    ModelInfo,
    PublishedFile,
    is_custom,
    parse_custom,
    size_class_for,
    size_classes,
)
from mac_whisper_speedtest.errors import WeightsError
from mac_whisper_speedtest.weights.snapshot import SnapshotFiles, resolve_custom

if TYPE_CHECKING:
    from mac_whisper_speedtest.convert.codec import FormatCodec

_SAFETENSORS = {"F16": "float16", "F32": "float32", "BF16": "bfloat16", "F64": "float64"}
_MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class DetectedWeights:
    """Format of the files of a repository.

    Attributes:
        format: a format that the converter reads.
        path: the file or folder that it reads.
        precision: of the stored weights, or ``mixed``.
        english_only: whether the vocabulary is the one of English-only networks.
    """

    format: str
    path: Path
    precision: str
    english_only: bool


def with_listing(info: ModelInfo) -> ModelInfo:
    """``info`` with the files that the hub listed for it, and the size class by their size.

    Models in the catalog, and models that were never pulled, are left unchanged.
    """
    listed = resolve_custom(parse_custom(info.model)) if is_custom(info.model) else None
    if listed is None or info.path is not None:
        return info
    size_class = size_class_for(sum(file.size for file in listed.files))
    return replace(
        info,
        files=tuple(PublishedFile(file.name, file.size, file.sha256) for file in listed.files),
        size_class=size_class,
        timeouts=size_classes()[size_class],
    )


def detect(found: SnapshotFiles) -> DetectedWeights:
    """The format of a snapshot's files, without reading more of the weights than needed.

    Raises:
        WeightsError: no Whisper weights, several formats, or no format that the converter reads.
    """
    from mac_whisper_speedtest.convert.conversion import format_named

    name, path = _detected(found)
    codec = format_named(name)
    if codec.file_names[0].endswith(".safetensors"):
        english_only = _vocabulary_in_config(codec, path)
        return DetectedWeights(
            name, path, _safetensors_precision(path / codec.file_names[0]), english_only
        )
    checkpoint = codec.read(path)  # of mapped files: little is read until it is used
    stored = {
        key: array for key, array in checkpoint.tensors.items() if key not in codec.recomputes
    }
    return DetectedWeights(
        name, path, _precision(codec, stored), not checkpoint.dims.is_multilingual
    )


def _detected(found: SnapshotFiles) -> tuple[str, Path]:
    """The format's name and the path to read: the folder, or the only file of a one-file format."""
    from mac_whisper_speedtest.convert.conversion import FORMATS, detect_format

    single = [
        (codec.name, found.path / file.name)
        for file in found.files
        for codec in FORMATS.values()
        if codec.is_one_file and codec.detect(found.path / file.name)
    ]
    if len(single) == 1:
        return single[0]
    return detect_format(found.path), found.path


def _vocabulary_in_config(codec: FormatCodec, folder: Path) -> bool:
    """Whether the vocabulary's size in the settings is that of the English-only networks.

    Raises:
        WeightsError: they belong to another kind of network.
    """
    from mac_whisper_speedtest.convert.checkpoint import FIRST_MULTILINGUAL_VOCABULARY
    from mac_whisper_speedtest.convert.cursor import parse_json_object, read_side_file

    settings: dict[str, Any] = parse_json_object(
        read_side_file(folder / "config.json"), "config.json"
    )
    size = settings.get("n_vocab", settings.get("vocab_size"))
    # Only transformers states the kind of network; there a pipeline would also find the name of
    # the repository's own code.
    foreign = codec.name == "huggingface" and settings.get("model_type") != "whisper"
    if foreign or not isinstance(size, int):
        kind = settings.get("model_type")
        raise WeightsError(
            f"config.json describes a {kind!r} network, not a Whisper network",
            hint="only Whisper networks can be used from outside the catalog",
        )
    return size < FIRST_MULTILINGUAL_VOCABULARY


def _safetensors_precision(path: Path) -> str:
    """The precision, from the header alone: the weights may exceed free memory."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stored:
            kinds = {stored.get_slice(name).get_dtype() for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path.name} cannot be read: {error}") from error
    floats = [name for kind, name in _SAFETENSORS.items() if kind in kinds]
    return floats[0] if len(floats) == 1 else _MIXED


def _precision(codec: FormatCodec, stored: Mapping[str, Any]) -> str:
    """The precision that stores every tensor unchanged in that format."""
    if codec.writer is None:
        kinds = {array.dtype.name for array in stored.values()}
        return kinds.pop() if len(kinds) == 1 else _MIXED
    for precision in codec.writer.precisions:
        if all(
            codec.writer.stored_dtype(name, array.shape, precision) == array.dtype
            and not (
                codec.writer.quantization
                and codec.writer.quantization(name, array.shape, precision)
            )
            for name, array in stored.items()
        ):
            return precision
    return _MIXED
