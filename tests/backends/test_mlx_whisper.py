"""mlx-whisper and mlx-audio on real weights and real speech, in their own environments.

MLX's Linux build is slow, so every call of a model here answers several questions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest

from backends.conftest import Session, speech
from mac_whisper_speedtest.backends import mlx_runtime
from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract
from mac_whisper_speedtest.bundle.fields import DETAILS

GREEDY = DecodeContract()


@pytest.fixture(scope="module", params=["mlx-whisper", "mlx-audio"])
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    with Session(request.param) as one:
        yield one


def test_on_linux_it_multiplies_with_a_fast_blas_and_says_so(session: Session) -> None:
    if sys.platform == "linux":
        assert session.loaded.device == "cpu"
        assert session.loaded.details["blas"].startswith("OpenBLAS")
    assert session.loaded.details["weights"] == session.loaded.precision


@pytest.mark.timeout(600)
def test_left_alone_it_has_a_ladder_and_conditions_on_previous_text(session: Session) -> None:
    heard = session.decode(CONTRACTS["as-shipped"], speech("short", 0.0, 3.0))
    assert heard.effective["temperatures"] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert heard.effective["condition_on_previous_text"] is True
    assert heard.effective["language"] == heard.language == "en"
    assert "best of times" in heard.text


@pytest.mark.timeout(600)
def test_without_timestamps_a_window_is_one_segment_and_an_english_model_stays_english(
    session: Session,
) -> None:
    asked = replace(GREEDY, timestamps=False, language="de", temperatures=[0.4], best_of=2)
    heard = session.decode(asked, speech("short", 0.0, 3.0))
    (segment,) = heard.segments
    assert segment.start_s == 0.0
    assert segment.end_s == pytest.approx(3.0)
    assert heard.effective["timestamps"] is False
    assert heard.effective["language"] == heard.language == "en"
    assert heard.effective["best_of"] == 2
    assert "best_of" in heard.observed


@pytest.mark.parametrize("old", [False, True])
def test_on_a_gpu_the_record_names_its_architecture(
    monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    package, core = ModuleType("mlx"), ModuleType("mlx.core")
    there = SimpleNamespace(device_info=lambda: {"architecture": "applegpu_g16s"})
    core.metal = there  # type: ignore[attr-defined]
    if not old:
        core.device_info = there.device_info  # type: ignore[attr-defined]
    package.core = core  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlx", package)
    monkeypatch.setitem(sys.modules, "mlx.core", core)
    weights = SimpleNamespace(dtype="mlx.core.float16")
    found = mlx_runtime.MlxAdapter().details("metal", weights)
    assert found == {"weights": "float16", "architecture": "applegpu_g16s"}
    assert found.keys() <= DETAILS, "a bundle would leave it out"
