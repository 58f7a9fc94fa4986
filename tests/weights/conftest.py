"""A fake hub, an empty cache to pull into, and a small repository to pull."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakes.hub import Hub
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.download import RetryPolicy
from mac_whisper_speedtest.hub import HubFile
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.weights import pull

COMMIT = "c0ffee" + "0" * 34
SMALL = f"someone/small@{COMMIT}"
WEIGHTS = random.Random(1).randbytes(2_000_000)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that everything is pulled from, into a cache of this test's own."""
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "SPEEDTEST_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    with Hub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        yield served


@pytest.fixture
def small(hub: Hub) -> catalog.Custom:
    """A repository of two files, 2 MB."""
    hub.add("someone/small", COMMIT, {"model.safetensors": WEIGHTS, "config.json": b"{}"})
    return catalog.parse_custom(SMALL)


@dataclass
class Seen(Observer):
    """Everything that a pull reported, waited for and showed."""

    messages: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    files: list[HubFile] = field(default_factory=list)
    here: dict[str, list[int]] = field(default_factory=dict)

    def download_started(self, files: Sequence[HubFile]) -> None:
        self.files = list(files)

    def downloaded(self, file: HubFile, bytes_here: int) -> None:
        assert 0 <= bytes_here <= file.size
        self.here.setdefault(file.name, []).append(bytes_here)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def fetch_small(seen: Seen, small: catalog.Custom) -> Callable[..., Path]:
    """Pull the small repository, without really waiting."""

    def fetch(**policy: float) -> Path:
        quick = RetryPolicy(sleep=seen.waits.append, jitter=lambda: 1.0, **policy)  # type: ignore[arg-type]
        return pull.pull_custom(small, notify=seen.messages.append, progress=seen, policy=quick)

    return fetch


def cached(tmp_path: Path) -> list[str]:
    """Every file in the Hugging Face cache but its locks, by path."""
    cache = tmp_path / "hub"
    return sorted(
        str(path.relative_to(cache))
        for path in cache.rglob("*")
        if not path.is_dir() and ".locks" not in path.parts
    )
