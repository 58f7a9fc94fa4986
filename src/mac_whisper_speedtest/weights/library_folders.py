"""Where libraries keep the weights that they fetched, and the files of a copy there.

Path arithmetic only. Sources: each library's own code, as noted at the functions; WhisperKit 1.1.0
and FluidAudio 0.15.6 for the Swift frameworks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.catalog import LocationKind
from mac_whisper_speedtest.weights.expected import (
    CORE_ML_BUNDLE,
    FLUIDAUDIO_FILES,
    CacheLocation,
    ExpectedFile,
    expected_files,
    structure,
)


def _pywhispercpp(where: str, _backend: str, row: catalog.HostedWeights) -> CacheLocation:
    """Pywhispercpp 1.5: ``pywhispercpp/models`` in the user's data folder.

    ``platformdirs.user_data_dir("pywhispercpp")``.
    """
    import platformdirs

    folder = Path(platformdirs.user_data_dir("pywhispercpp")) / "models"
    return CacheLocation(where, folder, LocationKind.LIBRARY, expected_files(row), is_file=True)


def _openai(where: str, backend: str, row: catalog.HostedWeights) -> CacheLocation:
    """openai-whisper: ``XDG_CACHE_HOME`` or ``~/.cache``, then ``whisper``; whisper-mps: no XDG."""
    cache = Path.home() / ".cache"
    if backend != "whisper-mps" and (configured := os.environ.get("XDG_CACHE_HOME")):
        cache = Path(configured)
    expected = tuple(
        replace(file, names=(PurePosixPath(file.names[0]).name,)) for file in expected_files(row)
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
        expected_files(row),
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
    return CacheLocation(where, folder, LocationKind.LIBRARY, expected_files(row))


def _whisperkit(where: str, _backend: str, row: catalog.HostedWeights) -> CacheLocation:
    """WhisperKit: the hub client's local-folder layout below ``~/Documents/huggingface``.

    Three bundles and a tokenizer, which it keeps next to the models of all sizes; a copy inside the
    model's folder is found too. WhisperKit treats a tokenizer without configuration as missing.
    """
    base = Path.home() / "Documents" / "huggingface" / "models"
    repository = base / row.repository
    tokenizer = base / "openai" / f"whisper-{_tokenizer_size(row.model)}"
    download = repository / ".cache" / "huggingface" / "download" / row.folder
    # Joining an absolute path to the folder gives the absolute path.
    beside = (
        ExpectedFile((name, str(tokenizer / name)))
        for name in ("tokenizer.json", "tokenizer_config.json")
    )
    return CacheLocation(
        where,
        repository / row.folder,
        LocationKind.LIBRARY,
        (*structure(row.format), *beside),
        for_run=True,
        unfinished=((download, "**/*.incomplete"),),
        etags=download,
        revision=row.revision,
    )


def _tokenizer_size(model: str) -> str:
    """The tokenizer that WhisperKit uses, by dimensions: turbo and distil use large-v3's."""
    return "large-v3" if re.search(r"large-v3", model) else model


def _fluidaudio(where: str, _backend: str, row: catalog.HostedWeights) -> CacheLocation:
    """FluidAudio since 0.13.4: ``~/Library/Application Support/FluidAudio/Models``.

    Until 0.13.2 the folder's name ended in ``-coreml``.
    """
    models = Path.home() / "Library" / "Application Support" / "FluidAudio" / "Models"
    folder = models / row.model
    expected = [
        ExpectedFile((f"{bundle}.mlmodelc/{file}",))
        for bundle in FLUIDAUDIO_FILES[row.model]
        # FluidAudio checks only this file of every bundle; some bundles have no weights.
        for file in CORE_ML_BUNDLE[:1]
    ]
    expected.append(ExpectedFile((f"Encoder.mlmodelc/{CORE_ML_BUNDLE[2]}",)))
    expected.append(ExpectedFile(("parakeet_vocab.json",)))
    return CacheLocation(
        where,
        folder,
        LocationKind.LIBRARY,
        tuple(expected),
        for_run=True,
        unfinished=((folder, "**/*.partial"),),
        outdated=(models / f"{row.model}-coreml", "of FluidAudio 0.13.2 and older"),
    )


LIBRARY_FOLDERS: Mapping[str, Callable[[str, str, catalog.HostedWeights], CacheLocation]] = {
    "ggml": _pywhispercpp,
    "openai": _openai,
    "mlx-npz": _lightning,
    "moonshine-onnx": _moonshine,
    "whisperkit": _whisperkit,
    "fluidaudio": _fluidaudio,
}
