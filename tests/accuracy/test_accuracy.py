"""Error rates over sets; and that the libraries behind them load wherever the tool is put."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mac_whisper_speedtest.accuracy import normalize
from mac_whisper_speedtest.accuracy import score as accuracy
from mac_whisper_speedtest.accuracy.score import Utterance
from mac_whisper_speedtest.errors import UsageError

LIBRISPEECH = Path(__file__).parents[3] / "shared/speech/librispeech-60/manifest.jsonl"


def english(name: str, reference: str, hypothesis: str | None) -> Utterance:
    return Utterance(name, reference, "en", hypothesis)


def test_every_word_wrong_missing_or_added_counts() -> None:
    rate = accuracy.wer("the cat sat down", "the dog sat down again")

    assert rate == pytest.approx(2 / 4)


def test_case_punctuation_and_spelling_variants_do_not_count() -> None:
    assert accuracy.wer("The color, it's gray.", "the color it is gray") == 0.0


def test_a_reference_without_words_has_no_rate() -> None:
    assert accuracy.wer("(laughs)", "something") is None


def test_the_corpus_rate_weighs_words_and_the_mean_rate_weighs_utterances() -> None:
    score = accuracy.score(
        [
            english("long", "one two three four five six seven eight", "one two three four"),
            english("short", "stop there", "stop here"),
        ],
        normalizer=normalize.named("nfc"),
    )

    assert score.metric == "wer"
    assert (score.substitutions, score.deletions, score.insertions, score.hits) == (1, 4, 0, 5)
    assert score.reference_words == 10
    assert score.rate == pytest.approx(5 / 10)
    assert score.mean_rate == pytest.approx((4 / 8 + 1 / 2) / 2)
    assert [each.rate for each in score.per_utterance] == [0.5, 0.5]


def test_a_failed_utterance_is_all_deletions_and_stays_in_the_denominator() -> None:
    score = accuracy.score(
        [english("good", "the cat sat", "the cat sat"), english("bad", "down it went", None)]
    )

    assert score.failed == 1
    assert score.deletions == 3
    assert score.rate == pytest.approx(3 / 6)
    assert score.mean_rate == pytest.approx(1 / 2)
    assert score.per_utterance[1].failed
    assert score.per_utterance[1].rate == 1.0


def test_an_empty_text_is_all_deletions_and_no_failure() -> None:
    score = accuracy.score([english("a", "the cat", "")])

    assert (score.rate, score.failed, score.deletions) == (1.0, 0, 2)


def test_words_over_an_empty_reference_are_insertions_of_the_corpus() -> None:
    score = accuracy.score(
        [english("silence", "(coughs)", "thank you"), english("speech", "yes of course", "yes")]
    )

    assert score.per_utterance[0].rate is None
    assert score.per_utterance[0].insertions == 2
    assert score.rate == pytest.approx((2 + 2) / 3)
    assert score.mean_rate == pytest.approx(2 / 3)


def test_empty_references_alone_have_no_rate() -> None:
    score = accuracy.score([english("silence", "", "thank you"), english("more", "", None)])

    assert (score.rate, score.mean_rate, score.cer) == (None, None, None)
    assert (score.insertions, score.failed) == (2, 1)


def test_an_empty_set_has_no_rate() -> None:
    assert accuracy.score([]).rate is None


def test_characters_are_counted_beside_words_spaces_among_them() -> None:
    # "the cat" to "thecat": two words wrong of two, one character of seven.
    score = accuracy.score([Utterance("a", "the cat", "de", "thecat")])

    assert score.rate == pytest.approx(2 / 2)
    assert score.cer == pytest.approx(1 / 7)


@pytest.mark.parametrize(
    ("language", "reference", "hypothesis", "metric", "rate"),
    [
        ("hi", "नमस्ते दुनिया", "नमस्ते, दुनिया।", "wer", 0.0),
        ("hi", "नमस्ते दुनिया", "नमस्त दुनिया", "wer", 1 / 2),
        ("th", "สวัสดีครับ", "สวัสดี ครับ", "cer", 0.0),
        ("th", "สวัสดีครับ", "สวสดีครับ", "cer", 1 / 10),
        ("zh", "你好，世界。", "你好世间", "cer", 1 / 4),
        ("ja", "これは本です。", "これは本てす", "cer", 1 / 6),
        ("ar", "مرحبا بالعالم", "مرحبا بالعالم!", "wer", 0.0),
        ("ar", "مرحبا بالعالم", "مرحبا العالم", "wer", 1 / 2),
        ("de", "Die Größe der Äpfel", "die größe der apfel", "wer", 1 / 4),
        ("ko", "안녕하세요 세계", "안녕하세요 새계", "wer", 1 / 2),
    ],
)
def test_every_script_is_counted_in_its_own_units(
    language: str, reference: str, hypothesis: str, metric: str, rate: float
) -> None:
    score = accuracy.score([Utterance("a", reference, language, hypothesis)])

    assert score.metric == metric
    assert score.rate == pytest.approx(rate)


def test_a_set_with_one_language_without_spaces_is_counted_in_characters() -> None:
    score = accuracy.score(
        [Utterance("a", "你好世界", "zh", "你好世间"), Utterance("b", "Good day", "en", "good day")]
    )

    assert score.metric == "cer"
    assert score.reference_words == 4 + len("good day")
    assert score.rate == pytest.approx(1 / 12)
    assert score.cer == score.rate
    assert "; english (openai-whisper 20250625 " in score.normalizer
    assert score.normalizer.endswith(") for en")
    assert "nfc (version 1" in score.normalizer


def test_languages_with_spaces_share_one_word_error_rate_by_their_own_rules() -> None:
    score = accuracy.score(
        [Utterance("a", "it's color", "en-US", "it is color"), Utterance("b", "Öl", "de", "Ol")]
    )

    assert score.metric == "wer"
    assert score.rate == pytest.approx(1 / 4)


def test_a_normalizer_that_would_destroy_a_reference_is_refused() -> None:
    with pytest.raises(UsageError, match="VIRAMA"):
        accuracy.score([Utterance("a", "नमस्ते", "hi", "नमस्ते")], normalizer=normalize.named("basic"))


def test_a_stray_mark_in_what_a_backend_says_is_an_error_and_no_refusal() -> None:
    score = accuracy.score([Utterance("a", "guten Tag", "de", "नमस्ते Tag")])

    assert score.substitutions >= 1


def test_another_normalizer_is_another_number() -> None:
    texts = [english("a", "It's twenty pounds", "it is £20")]

    assert accuracy.score(texts).rate == 0.0
    assert accuracy.score(texts, normalizer=normalize.named("none")).rate == 1.0


@pytest.mark.skipif(not LIBRISPEECH.exists(), reason="shared/speech is not here")
def test_sixty_real_references_against_themselves_are_right_and_against_nothing_all_wrong() -> None:
    lines = [json.loads(line) for line in LIBRISPEECH.read_text().splitlines()]
    texts = [(line["audio_filepath"], line["text"]) for line in lines]

    same = accuracy.score([english(name, text, text.upper() + ".") for name, text in texts])
    none = accuracy.score([english(name, text, None) for name, text in texts])

    assert (same.rate, same.mean_rate, same.cer, same.errors) == (0.0, 0.0, 0.0, 0)
    assert same.hits == same.reference_words == none.deletions
    assert (none.rate, none.failed) == (1.0, 60)


def test_the_libraries_load_where_nothing_is_compiled_yet_and_warnings_are_errors(
    tmp_path: Path,
) -> None:
    # A package's own invalid escape sequence is only complained of when it is first compiled.
    done = subprocess.run(
        [
            sys.executable,
            *("-B", "-W", "error", "-X", f"pycache_prefix={tmp_path}"),
            *("-c", "from mac_whisper_speedtest.accuracy import score as a; a.wer('a', 'a')"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.stderr == ""
    assert done.returncode == 0
