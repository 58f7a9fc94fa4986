"""The accuracy gate: which backends are worse, as good, or unclear."""

from __future__ import annotations

import random
import time

import pytest

from mac_whisper_speedtest.accuracy import gate, score
from mac_whisper_speedtest.accuracy.score import Score, Utterance

CLIP = (
    "And so, my fellow Americans, ask not what your country can do for you, "
    "ask what you can do for your country."
)


def on_clip(hypothesis: str | None, reference: str = CLIP) -> Score:
    return score.score([Utterance("", reference, "en", hypothesis)])


def on_set(
    error_rate: float, *, seed: int, utterances: int = 60, words: int = 20, wrong: str = "wrong"
) -> Score:
    """Each word is replaced with the given probability, independently of other seeds."""
    chance = random.Random(seed)
    speech = []
    for index in range(utterances):
        spoken = [f"w{index}x{place}" for place in range(words)]
        text = [wrong if chance.random() < error_rate else word for word in spoken]
        speech.append(Utterance(f"u{index}", " ".join(spoken), "de", " ".join(text)))
    return score.score(speech)


def test_the_difference_is_that_of_the_corpus_rates() -> None:
    reference, other = on_set(0.05, seed=1), on_set(0.12, seed=2)

    judged = gate.judge_gate(reference, other)

    assert reference.rate is not None
    assert other.rate is not None
    assert judged.delta == pytest.approx(other.rate - reference.rate)
    assert judged.low is not None
    assert judged.high is not None
    assert judged.delta is not None
    assert judged.low < judged.delta < judged.high
    assert "60 utterances" in judged.how
    assert "95%" in judged.how


def test_a_much_less_accurate_backend_is_worse() -> None:
    assert gate.judge_gate(on_set(0.05, seed=1), on_set(0.12, seed=2)).verdict == "worse"


def test_a_more_accurate_backend_is_as_good() -> None:
    assert gate.judge_gate(on_set(0.12, seed=2), on_set(0.05, seed=1)).verdict == "as good"


def test_a_large_set_shows_that_a_small_difference_is_within_the_margin() -> None:
    reference, other = on_set(0.05, seed=1, utterances=800), on_set(0.052, seed=2, utterances=800)

    assert gate.judge_gate(reference, other).verdict == "as good"
    assert gate.judge_gate(reference, other, margin=-0.05).verdict == "worse"


def test_a_difference_near_the_margin_in_a_small_set_is_unclear() -> None:
    assert gate.judge_gate(on_set(0.05, seed=1), on_set(0.06, seed=2)).verdict == "unclear"


def test_backends_that_are_wrong_in_the_same_words_are_as_good() -> None:
    judged = gate.judge_gate(on_set(0.3, seed=1), on_set(0.3, seed=1, wrong="false"))

    assert (judged.delta, judged.low, judged.high) == (0.0, 0.0, 0.0)
    assert judged.verdict == "as good"
    assert judged.how == "no difference in 60 utterances"


def test_the_interval_is_the_same_every_time_and_moves_little_with_the_seed() -> None:
    reference, other = on_set(0.05, seed=1), on_set(0.08, seed=2)

    first = gate.judge_gate(reference, other)
    again = gate.judge_gate(reference, other)
    reseeded = gate.judge_gate(reference, other, seed=1)

    assert first == again
    assert (first.low, first.high) != (reseeded.low, reseeded.high)
    assert first.low == pytest.approx(reseeded.low, abs=0.002)
    assert first.high == pytest.approx(reseeded.high, abs=0.002)


def test_pairing_makes_the_interval_narrow_where_both_stumble_over_the_same_words() -> None:
    reference = on_set(0.3, seed=1)
    same_and_one = [
        Utterance(
            f"u{i}", " ".join(f"w{i}x{n}" for n in range(20)), "de", None if i == 0 else spoken
        )
        for i, spoken in enumerate(hypotheses(0.3, seed=1))
    ]

    paired = gate.judge_gate(reference, score.score(same_and_one))
    unpaired = gate.judge_gate(reference, on_set(0.3, seed=2))

    assert width(paired) < width(unpaired)


def hypotheses(error_rate: float, *, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [
        " ".join("wrong" if chance.random() < error_rate else f"w{i}x{n}" for n in range(20))
        for i in range(60)
    ]


def width(judged: gate.Gate) -> float:
    assert judged.low is not None
    assert judged.high is not None
    return judged.high - judged.low


def test_failures_make_a_backend_worse() -> None:
    reference = on_set(0.05, seed=1)
    failing = score.score(
        [
            Utterance(f"u{i}", " ".join(f"w{i}x{n}" for n in range(20)), "de", spoken)
            for i, spoken in enumerate([*hypotheses(0.05, seed=1)[:48], *[None] * 12])
        ]
    )

    assert gate.judge_gate(reference, failing).verdict == "worse"


@pytest.mark.parametrize(
    "hypothesis",
    [
        None,
        "",
        "The quick brown fox jumps over the lazy dog and runs away from it all.",
        "Thank you for watching.",
        CLIP + " thank you" * 30,
    ],
)
def test_on_one_clip_a_wrong_text_is_worse(hypothesis: str | None) -> None:
    judged = gate.judge_gate(on_clip(CLIP), on_clip(hypothesis))

    assert judged.verdict == "worse"
    assert "few utterances: 1" in judged.how


@pytest.mark.parametrize(
    "hypothesis",
    [
        CLIP[:-8] + "land.",
        CLIP + " Thank you.",
        CLIP.replace("ask", "asked", 1),
        CLIP.replace("Americans", "American"),
    ],
)
def test_on_one_clip_a_single_slip_is_not_worse(hypothesis: str) -> None:
    judged = gate.judge_gate(on_clip(CLIP), on_clip(hypothesis))

    assert judged.delta is not None
    assert judged.delta > gate.MARGIN
    assert judged.verdict == "unclear"


def test_on_one_clip_the_same_words_are_as_good_and_so_are_the_same_errors() -> None:
    assert gate.judge_gate(on_clip(CLIP), on_clip(CLIP.upper())).verdict == "as good"
    assert gate.judge_gate(on_clip("all wrong"), on_clip("all wrong")).verdict == "as good"
    assert gate.judge_gate(on_clip("all wrong"), on_clip(CLIP)).verdict == "as good"


def test_a_long_recording_is_judged_by_its_pieces() -> None:
    spoken = [f"w{place}" for place in range(1500)]
    chance = random.Random(5)
    worse = " ".join("x" if chance.random() < 0.06 else word for word in spoken)

    def scored(text: str) -> Score:
        return score.score([Utterance("", " ".join(spoken), "de", text)])

    judged = gate.judge_gate(scored(" ".join(spoken)), scored(worse))

    assert judged.verdict == "worse"
    assert "300 blocks of 5 reference words" in judged.how


def test_four_words_are_too_little_to_judge_by() -> None:
    judged = gate.judge_gate(on_clip("yes", "no no no no"), on_clip("maybe", "no no no no"))

    assert (judged.low, judged.high, judged.verdict) == (None, None, "unclear")
    assert "judge: 4" in judged.how


def test_without_reference_words_there_is_nothing_to_judge() -> None:
    judged = gate.judge_gate(on_clip("", ""), on_clip("thank you", ""))

    assert (judged.delta, judged.verdict) == (None, "unclear")


def test_text_over_empty_references_among_others_counts() -> None:
    def speech(extra: str) -> Score:
        spoken = [Utterance("a", CLIP, "en", CLIP), Utterance("silence", "", "en", extra)]
        return score.score(spoken)

    assert gate.judge_gate(speech(""), speech("you " * 60)).verdict == "worse"


def test_scores_of_different_speech_are_not_compared() -> None:
    with pytest.raises(ValueError, match="not of the same utterances"):
        gate.judge_gate(on_clip(CLIP), on_set(0.1, seed=1))


def test_ten_thousand_resamples_of_sixty_utterances_are_quick() -> None:
    reference, other = on_set(0.05, seed=1), on_set(0.08, seed=2)
    gate.judge_gate(reference, other)
    took = []
    for seed in range(1, 6):  # of equal ones the interval is cached
        start = time.perf_counter()
        gate.judge_gate(reference, other, seed=seed)
        took.append(time.perf_counter() - start)

    assert min(took) < 0.2


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["faster-whisper", "openai-whisper", "whisper.cpp"], "openai-whisper"),
        (["whisper.cpp", "faster-whisper"], "faster-whisper"),
        (["mlx-whisper", "whisper.cpp"], "whisper.cpp"),
        (["faster-whisper:int8", "faster-whisper@1.1.1", "faster-whisper"], "faster-whisper"),
        (["faster-whisper:int8", "faster-whisper@1.1.1"], "faster-whisper@1.1.1"),
        (["parakeet-mlx", "my-backend"], None),
        ([], None),
    ],
)
def test_the_reference_backend_is_the_first_of_a_fixed_order(
    names: list[str], chosen: str | None
) -> None:
    assert gate.choose_reference(names) == chosen
