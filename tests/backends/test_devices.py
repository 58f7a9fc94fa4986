"""One word for the GPU of this machine, whatever each backend calls it."""

from __future__ import annotations

import pytest

from mac_whisper_speedtest.backends import recipe as recipes
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.request import from_keywords
from mac_whisper_speedtest.run.prepare import impossible

MLX = ("mlx-whisper", "whisper-mps", "lightning-whisper-mlx", "parakeet-mlx", "mlx-audio")
GGML = ("whisper.cpp", "crispasr")
TORCH = ("openai-whisper", "insanely-fast-whisper")
CTRANSLATE2 = ("faster-whisper", "faster-whisper-batched", "whisperx")
CORE_ML = ("whisperkit", "fluidaudio")
MAC, LINUX = "darwin-arm64", "linux-x86_64"
SPELLED = {
    MAC: {
        **{name: {"gpu": "metal", "metal": "metal", "mps": "metal"} for name in MLX},
        **{name: {"gpu": "mps", "metal": "mps", "mps": "mps"} for name in TORCH},
        **{name: {"gpu": "gpu", "metal": "gpu", "mps": "gpu"} for name in CORE_ML},
        **{name: {"gpu": "gpu", "metal": "metal", "mps": "metal"} for name in GGML},
    },
    LINUX: {
        **{name: {"gpu": "gpu"} for name in CORE_ML},  # which nothing installs there
        **{name: {"gpu": "cuda", "cuda": "cuda"} for name in (*MLX, *TORCH, *CTRANSLATE2)},
        **{name: {"gpu": "gpu", "cuda": "cuda", "vulkan": "vulkan"} for name in GGML},
    },
}
"""Machine → backend → word → what is requested of the backend; no other GPU word is understood."""


@pytest.mark.parametrize("word", ["auto", "cpu", "gpu", "metal", "mps", "cuda", "vulkan"])
@pytest.mark.parametrize("machine", [MAC, LINUX])
def test_every_backend_understands_the_words_for_what_it_can_use(
    monkeypatch: pytest.MonkeyPatch, machine: str, word: str
) -> None:
    monkeypatch.setattr(recipes, "this_platform", lambda: machine)
    for name, backend in registry.installed().items():
        got = backend.device_for(word)
        spelled = SPELLED[machine].get(name, {})
        if not backend.devices or word == "auto":
            assert got == word, name
        elif word in spelled:
            assert got == spelled[word], name
        else:
            gpus = {"gpu", "metal", "mps", "cuda", "vulkan"}
            assert got == (word if word in {*backend.devices} - gpus else None), name


@pytest.mark.parametrize(("machine", "able"), [(MAC, False), (LINUX, True)])
def test_a_gpu_that_a_backend_cannot_use_on_this_machine_is_refused(
    monkeypatch: pytest.MonkeyPatch, machine: str, able: bool
) -> None:
    monkeypatch.setattr(recipes, "this_platform", lambda: machine)
    backend = registry.installed()["faster-whisper"]
    asked = from_keywords(models="tiny.en", device="gpu")
    why = impossible(backend, backend.model_info("tiny.en"), asked)
    assert why == ("" if able else "has no device gpu here (it has cpu)")


def test_a_backend_of_others_gets_its_own_words_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "this_platform", lambda: LINUX)
    amd = Backend("amd", devices=("cpu", "rocm"))
    assert [amd.device_for(word) for word in ("gpu", "cuda", "rocm")] == ["rocm", None, "rocm"]
    assert Backend("free").device_for("tpu") == "tpu"  # it decides when it loads
