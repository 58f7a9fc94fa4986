"""Which files of a repository a backend needs: the weights once, in their safest form, no code."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from mac_whisper_speedtest.weights.revisions import HubFile

# Weights by the suffix of their file, the best first: one kind is taken, the others hold the same
# network again. safetensors cannot hold code; pickles (.bin, .pt) can, and the rest are of
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


def chosen(
    files: Sequence[HubFile], folder: str = "", weights: Collection[str] = ()
) -> tuple[HubFile, ...]:
    """The files that a backend needs, in the order given.

    Args:
        files: everything in the repository.
        folder: look only in here; what lies in folders below holds the network again in forms for
            other programs (``onnx/``), unless it is a Core ML model.
        weights: names, relative to ``folder``, of the weights where they are known.

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
    """The kind of Core ML folders to take, of those that are there."""
    there = {_suffix(name.parts[0]) for name in names if len(name.parts) > 1}
    return next(({kind} for kind in _BUNDLES if kind in there), set())


def _weights(
    files: Sequence[HubFile], base: PurePosixPath, known: Collection[str]
) -> list[HubFile]:
    """One kind of weights of those that lie here, each network once."""
    weights = [file for file in files if _suffix(file.name) in _WEIGHT_SUFFIXES]
    wanted = {str(base / name) for name in known}
    if exact := [file for file in weights if file.name in wanted]:
        return exact
    for kind in _WEIGHTS:
        if same := [file for file in weights if _suffix(file.name) in kind]:
            return _plain(same) if kind == _WEIGHTS[0] else same
    return []


def _plain(files: list[HubFile]) -> list[HubFile]:
    """Without other precisions of the same network (``model.fp32-00001-of-00002.safetensors``)."""
    plain = [file for file in files if "." not in PurePosixPath(file.name).stem]
    return plain or files
