"""What a setting does to the text proves that it arrived; what was passed proves nothing.

Asked of every backend that has the settings; what is one backend's own has a file of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backends.conftest import Samples, Session, speech
from mac_whisper_speedtest.backends import whisper_cpp, whisper_cpp_coreml
from mac_whisper_speedtest.backends import whisper_cpp_native as native
from mac_whisper_speedtest.backends.adapter import Breakdown
from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract
from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.backends.whisper_cpp_native import Initialized
from mac_whisper_speedtest.worker.protocol import TranscribeResult

GREEDY = DecodeContract()
QUIET_S = 5.0
WHISPER_CPP_LOGS = Path(__file__).parents[1] / "fixtures" / "whisper.cpp-logs"
"""In the formats of whisper.cpp 1.8.5. ``linux-cpu`` was written by it; the others follow its
source, because no such machine was at hand."""
METAL = ("whisper_backend_init_gpu: using MTL0 backend", "whisper_backend_init: using BLAS backend")

EVERYONE = ("faster-whisper", "whisper.cpp", "crispasr", "openai-whisper", "insanely-fast-whisper")


@pytest.fixture(scope="module", params=EVERYONE)
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    with Session(request.param) as one:
        yield one


@pytest.fixture(scope="module")
def short() -> Samples:
    """12.3 s of speech."""
    return speech("short")


@pytest.fixture(scope="module")
def greedy(session: Session, short: Samples) -> TranscribeResult:
    return session.decode(GREEDY, short)


def after_silence(audio: Samples) -> Samples:
    return np.concatenate([np.zeros(int(QUIET_S * 16000), np.float32), audio])


def test_five_beams_find_another_text(
    session: Session, short: Samples, greedy: TranscribeResult
) -> None:
    beams = session.decode(CONTRACTS["beam5"], short)
    assert (greedy.effective["beam_size"], beams.effective["beam_size"]) == (1, 5)
    assert beams.text != greedy.text


def test_without_timestamps_a_window_is_one_segment(
    session: Session, short: Samples, greedy: TranscribeResult
) -> None:
    heard = session.decode(replace(GREEDY, timestamps=False), short)
    assert len(greedy.segments) > 1
    assert len(heard.segments) == 1
    assert heard.effective["timestamps"] is False


def test_the_last_word_of_a_segment_does_not_run_into_the_first_of_the_next(
    greedy: TranscribeResult,
) -> None:
    apart = [word for segment in greedy.segments for word in segment.text.split()]
    assert len(greedy.segments) > 1
    assert greedy.text.split() == apart


def test_silence_is_decoded_like_everything_else(
    session: Session, short: Samples, greedy: TranscribeResult
) -> None:
    late = session.decode(GREEDY, after_silence(short))
    shift = late.segments[-1].end_s - greedy.segments[-1].end_s
    assert shift == pytest.approx(QUIET_S, abs=1.0)
    assert late.effective["vad"] is False


def test_above_temperature_zero_words_are_drawn(
    session: Session, short: Samples, greedy: TranscribeResult
) -> None:
    # So hot that nearly all tokens are equally probable, and many words come that were not said.
    # Chance may end a text early, but hardly twice. Without times, because those would be drawn as
    # well, and the window after would begin a moment after this one.
    hot = replace(GREEDY, temperatures=[2.0], timestamps=False)
    said = set(greedy.text.split())
    for _ in range(2):
        drawn = session.decode(hot, short[: 3 * 16000])
        if len(set(drawn.text.split()) - said) > 10:
            break
    else:
        pytest.fail(f"drawn twice: {drawn.text}")
    assert drawn.effective["temperatures"] == [2.0]


def test_left_alone_it_does_what_it_declares(session: Session, short: Samples) -> None:
    heard = session.decode(CONTRACTS["as-shipped"], short[: 4 * 16000])
    declared = session.backend.decodes_with(CONTRACTS["as-shipped"])
    # What is detected is not declared; an English-only model leaves no choice.
    assert heard.effective == declared | {"language": "en"}
    assert {"beam_size", "timestamps"} <= set(heard.observed)


def test_text_before_is_handed_on_only_when_that_is_asked_for(session: Session) -> None:
    if session.backend.name not in {"faster-whisper", "whisper.cpp", "crispasr"}:
        pytest.skip("four windows take a minute in PyTorch on a slow machine")
    long = speech("cities", 0.0, 45.0)  # two windows
    alone = session.decode(GREEDY, long)
    handed = session.decode(replace(GREEDY, condition_on_previous_text=True), long)
    first_window = [each.text for each in alone.segments if each.end_s <= 25]
    assert [each.text for each in handed.segments][: len(first_window)] == first_window
    assert handed.effective["condition_on_previous_text"] is True
    assert alone.effective["condition_on_previous_text"] is False


def test_the_batched_pipeline_cuts_at_pauses_and_leaves_silence_out(short: Samples) -> None:
    with Session("faster-whisper-batched") as batched:
        heard = batched.decode(GREEDY, after_silence(short))
        assert heard.segments[0].start_s >= QUIET_S - 0.5  # the detector dropped what was before
        deviating = {
            name for name, value in GREEDY.settings().items() if heard.effective[name] != value
        }
        assert deviating == {"vad", "timestamps", "window", "batch_size"}
        assert {"vad", "temperatures", "condition_on_previous_text"} <= set(heard.observed)
        assert any("without timestamps" in remark for remark in heard.remarks)
        own = batched.decode(CONTRACTS["as-shipped"], short)
        declared = batched.backend.decodes_with(CONTRACTS["as-shipped"])
        assert own.effective == declared | {"language": "en"}
        assert own.remarks == []


def test_moonshine_hears_the_words_in_a_network_of_its_own(short: Samples) -> None:
    with Session("moonshine-voice") as moonshine:
        heard = moonshine.decode(GREEDY, short)
        assert "epoch of belief" in heard.text
        assert heard.observed == []  # the library tells nothing back
        late = moonshine.decode(GREEDY, after_silence(short))
        assert late.segments[0].start_s >= QUIET_S - 0.5  # its detector cannot be switched off
        assert late.effective["vad"] is True


@pytest.mark.parametrize(
    ("log", "found"),
    [
        ("macos-metal", Initialized("metal", "MTL0", "not tried", ("BLAS",))),
        ("macos-cpu", Initialized("cpu", "CPU", "not tried", ("BLAS",))),
        ("macos-metal-failed", Initialized("cpu", "CPU", "not tried", ("BLAS",))),
        ("linux-cuda", Initialized("cuda", "CUDA0", "not tried")),
        ("linux-vulkan", Initialized("vulkan", "Vulkan0", "not tried")),
        ("linux-cpu", Initialized("cpu", "CPU", "not tried")),
    ],
)
def test_the_device_of_whisper_cpp_is_the_gpu_that_its_log_says_it_started(
    log: str, found: Initialized
) -> None:
    """BLAS is started with the same words and computes on the CPU; a Metal that fails is none."""
    lines = (WHISPER_CPP_LOGS / f"{log}.txt").read_text(encoding="utf-8").splitlines()
    assert native.initialized(lines) == found


@pytest.mark.parametrize(
    ("lines", "device", "coreml"),
    [
        (["use gpu    = 0"], "cpu", "not tried"),
        (["whisper_backend_init_gpu: using Metal backend"], "metal", "not tried"),
        # whisper.cpp 1.7 does not say that it found no GPU.
        (["use gpu    = 1", "whisper_backend_init: using BLAS backend"], "cpu", "not tried"),
        ([*METAL, "whisper_init_state: Core ML model loaded"], "coreml", "loaded"),
        ([*METAL, "failed to load Core ML model from x"], "metal", "failed"),
        (["a log of another release, using MTL0 backend"], "unknown", "not tried"),
    ],
)
def test_other_releases_and_core_ml_are_read_from_the_same_log(
    lines: list[str], device: str, coreml: str
) -> None:
    found = native.initialized(lines)
    assert (found.device, found.coreml) == (device, coreml)


def test_core_ml_s_encoder_is_a_backend_of_its_own_that_differs_in_nothing_else() -> None:
    plain, other = whisper_cpp.BACKEND, whisper_cpp_coreml.BACKEND
    assert "coreml" not in plain.devices
    assert (other.devices, other.weights_format) == (("coreml",), "ggml-coreml")
    # What is importable beside the tool has no Core ML.
    assert other.managed
    assert (other.adapter, other.fixed, other.shipped) == (
        plain.adapter,
        plain.fixed,
        plain.shipped,
    )
    assert isinstance(other.recipe, Recipe)
    assert other.recipe.platforms == ("darwin-arm64",)
    # Without a fallback, a bundle that Core ML does not load ends the process.
    for option in ("WHISPER_COREML", "WHISPER_COREML_ALLOW_FALLBACK"):
        assert other.recipe.build[option] == "1"


def test_stages_and_fallbacks_of_whisper_cpp_are_what_its_log_says() -> None:
    found = native.parse_timings(
        [
            "whisper_print_timings:     load time =   120.33 ms",
            "whisper_print_timings:     fallbacks =   2 p /   1 h",
            "whisper_print_timings:      mel time =    12.50 ms",
            "whisper_print_timings:   encode time =   250.00 ms / 1 runs (250.00 ms per run)",
            "whisper_print_timings:    total time =   999.00 ms",
        ]
    )
    assert found.stages_s == {"mel": 0.0125, "encode": 0.25}
    assert found.fallbacks == 2
    assert native.parse_timings([]) == Breakdown()


def test_whisper_cpp_tells_the_stages_of_each_call_alone(session: Session) -> None:
    if session.backend.name not in {"whisper.cpp", "crispasr"}:
        pytest.skip("only whisper.cpp tells them")
    audio = np.zeros(16000, np.float32)
    answers = [session.decode(GREEDY, audio) for _ in range(2)]
    for heard in answers:
        assert 0 < heard.stages_s["encode"] < heard.seconds  # of this call, no running sum
        assert heard.fallbacks == 0
    once_more = replace(GREEDY, temperatures=[0.0, 1.0])
    nonsense = speech("short", 0.0, 2.0)[::-1].copy()
    assert [session.decode(once_more, nonsense).fallbacks for _ in range(2)] == [1, 1]


def test_the_device_of_whisper_cpp_is_read_from_the_log_of_this_machine(
    session: Session,
) -> None:
    if session.backend.name not in {"whisper.cpp", "crispasr"}:
        pytest.skip("about whisper.cpp")
    assert session.loaded.device != "unknown"
    assert session.loaded.details["backend"] != native.NOT_LOGGED
    assert "COREML" in session.loaded.details["system_info"]
