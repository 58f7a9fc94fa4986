"""The interval of an error rate holds what it says, for few words and for many speakers."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest

from mac_whisper_speedtest.accuracy import bootstrap, score
from mac_whisper_speedtest.accuracy.bootstrap import RateInterval
from mac_whisper_speedtest.accuracy.score import Score, Utterance, UtteranceErrors


def scored(
    seed: int,
    *,
    utterances: int = 100,
    words: int = 10,
    rate: float = 0.15,
    speakers: int = 0,
    named: bool = True,
) -> Score:
    """A set in which every speaker, and every utterance, has a rate of its own around ``rate``."""
    chance = random.Random(seed)
    of_speaker = [chance.betavariate(6 * rate, 6 * (1 - rate)) for _ in range(speakers)]
    found = []
    for number in range(utterances):
        speaker = number % speakers if speakers else None
        mean = min(max(rate if speaker is None else of_speaker[speaker], 1e-6), 1 - 1e-6)
        own = chance.betavariate(10 * mean, 10 * (1 - mean))
        errors = tuple(int(chance.random() < own) for _ in range(words))
        wrong = sum(errors)
        found.append(
            UtteranceErrors(
                name=f"{number}",
                failed=False,
                speaker=speaker if named else None,
                hits=words - wrong,
                substitutions=wrong,
                errors_at=errors,
            )
        )
    return Score(
        metric="wer",
        normalizer="",
        mean_rate=None,
        failed=0,
        cer=None,
        hits=sum(each.hits for each in found),
        substitutions=sum(each.substitutions for each in found),
        per_utterance=tuple(found),
    )


def interval(of: Score) -> RateInterval:
    found = bootstrap.rate_interval(of)
    assert found is not None
    return found


def test_a_hundred_utterances_are_known_to_three_points() -> None:
    of = scored(1)
    found = interval(of)

    assert of.rate is not None
    assert found.low < of.rate < found.high
    assert 0.04 < found.high - found.low < 0.08
    assert found.how == "bootstrap over 100 utterances, 95% interval"
    assert interval(scored(1)) == found


@pytest.mark.parametrize(("speakers", "least", "sets"), [(0, 0.91, 300), (20, 0.86, 100)])
def test_the_interval_holds_the_true_rate_about_as_often_as_it_says(
    speakers: int, least: float, sets: int
) -> None:
    held = 0
    for seed in range(sets):
        found = bootstrap.rate_interval(scored(seed, speakers=speakers), resamples=1_000)
        assert found is not None
        held += found.low <= 0.15 <= found.high

    assert least <= held / sets <= 0.99


def test_speakers_are_drawn_whole_where_there_are_ten() -> None:
    by_speaker = interval(scored(2, speakers=20))
    by_utterance = interval(scored(2, speakers=20, named=False))

    assert by_speaker.how == "bootstrap over 20 speakers, 95% interval"
    assert by_utterance.how == "bootstrap over 100 utterances, 95% interval"
    assert by_speaker.high - by_speaker.low > by_utterance.high - by_utterance.low
    assert "utterances" in interval(scored(2, speakers=9)).how


def test_one_recording_is_drawn_in_blocks_of_words() -> None:
    found = interval(scored(3, utterances=1, words=40))

    assert found.how == (
        "bootstrap over 8 blocks of 5 reference words (few utterances: 1), 95% interval"
    )
    assert found.high - found.low > 0.1


def test_without_an_error_the_rate_is_not_certain() -> None:
    short, long = (interval(scored(4, utterances=n, rate=1e-9)) for n in (1, 1_000))

    assert (short.low, long.low) == (0, 0)
    assert 0.2 < short.high < 0.6
    assert long.high < 0.002
    assert long.how == "no error in 10000 reference words, 95% interval"


def test_too_little_speech_has_no_interval() -> None:
    assert bootstrap.rate_interval(score.score([Utterance("a", "one two", "en", "one")])) is None
    assert bootstrap.rate_interval(score.score([])) is None


def test_one_clip_is_judged_without_numpy() -> None:
    """``show`` of a run on one clip is a third faster for it."""
    program = (
        "import sys; from mac_whisper_speedtest.accuracy import bootstrap, score\n"
        "said = score.Utterance('a', 'it was the best of times', 'en', 'it was best of times')\n"
        "assert bootstrap.rate_interval(score.score([said])).high > 0.1\n"
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_set_of_thousands_is_fast() -> None:
    of = scored(5, utterances=2_620, words=20)
    started = time.perf_counter()

    interval(of)

    assert time.perf_counter() - started < 2
