"""What counts as the same words: in every script, and by name and version."""

from __future__ import annotations

import unicodedata

import pytest

from mac_whisper_speedtest.accuracy import normalize
from mac_whisper_speedtest.errors import UsageError

HINDI = "नमस्ते दुनिया"
THAI = "สวัสดีครับ"
ARABIC = "مرحبا بالعالم"
VOWELLED = "مَرْحَبًا"
JAPANESE = "これは日本語です。"
CHINESE = "你好，世界。"
GERMAN = "Die Größe der Äpfel"


def test_a_normalizer_says_its_name_its_version_and_its_rules() -> None:
    assert (
        normalize.named("english").describe()
        == "english (openai-whisper 20250625 EnglishTextNormalizer, by whisper-normalizer 0.1.15)"
    )
    assert (
        normalize.named("basic").describe()
        == "basic (openai-whisper 20250625 BasicTextNormalizer, by whisper-normalizer 0.1.15)"
    )
    assert normalize.named("nfc").describe() == (
        f"nfc (version 1, Unicode {unicodedata.unidata_version})"
    )
    assert normalize.named("none").describe() == "none (raw text, only spaces evened out)"


def test_an_unknown_name_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(UsageError, match="no normalizer 'whisper'") as caught:
        normalize.named("whisper")

    assert caught.value.hint == "use one of english, basic, nfc, none"


@pytest.mark.parametrize(
    ("name", "text", "normalized"),
    [
        ("english", "Mr. Brown's COLOR isn't twenty-one", "mister brown is color is not 21"),
        ("english", "(laughs) um, café", "cafe"),
        (
            "english",
            "the sacred cause, I dunno, kinda sorta",
            "the sacred cause i dunno kinda sorta",
        ),
        ("basic", "Die Größe der Äpfel – und mehr!", "die größe der äpfel und mehr"),
        ("basic", "[Musik] L'été", "l été"),
        ("nfc", "नमस्ते, दुनिया।", HINDI),
        ("nfc", "L'Été STRASSE Straße", "l été strasse strasse"),
        ("nfc", "می\u200cخواهم", "میخواهم"),
        ("nfc", "Cafe\u0301", "café"),
        ("none", "  Hello,\n World ", "Hello, World"),
    ],
)
def test_each_normalizer_keeps_its_rules(name: str, text: str, normalized: str) -> None:
    assert normalize.named(name)(text) == normalized


@pytest.mark.parametrize(
    "text", [HINDI, THAI, ARABIC, VOWELLED, "これは日本語です", GERMAN, "ไก่กำ"]
)
def test_nfc_takes_no_character_out_of_a_word(text: str) -> None:
    expected = unicodedata.normalize("NFC", text.casefold())

    assert normalize.named("nfc")(text) == expected
    assert normalize.named("nfc").destroys(text) == ""


@pytest.mark.parametrize("text", ["", " ", "a  b", HINDI, THAI, CHINESE, GERMAN, "I'm 20% sure…"])
def test_normalizing_twice_changes_nothing_more(text: str) -> None:
    for name in ("basic", "nfc", "none"):
        once = normalize.named(name)(text)
        assert normalize.named(name)(once) == once


@pytest.mark.parametrize("text", [HINDI, THAI, VOWELLED, "ภาษากำ", "தமிழ்", "বাংলা"])
def test_basic_refuses_what_it_would_break(text: str) -> None:
    with pytest.raises(UsageError, match="would remove") as caught:
        normalize.named("basic").check(text)

    assert "nfc" in caught.value.hint


def test_what_basic_would_do_to_hindi_is_why_it_is_refused() -> None:
    assert normalize.named("basic")("नमस्ते") == "नमस त"


def test_the_error_names_the_mark_and_the_word() -> None:
    with pytest.raises(UsageError) as caught:
        normalize.named("basic").check("so: नमस्ते")

    assert "DEVANAGARI SIGN VIRAMA" in caught.value.message
    assert "नमस्ते" in caught.value.message


def test_english_refuses_a_script_in_which_marks_are_vowels_and_no_accents() -> None:
    english = normalize.named("english")

    english.check("A café in São Paulo, naïve; Жёлтый")
    with pytest.raises(UsageError):
        english.check(HINDI)
    with pytest.raises(UsageError):
        english.check(JAPANESE)  # で would become て


@pytest.mark.parametrize("text", [GERMAN, "Gro\u0308ße", "Жёлтый дом", "ελληνικά", "Tiếng Việt"])
def test_basic_takes_alphabets_whose_accents_compose(text: str) -> None:
    normalize.named("basic").check(text)


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("en", "english"),
        ("en-US", "english"),
        ("EN_gb", "english"),
        ("de", "basic"),
        ("ru", "basic"),
        ("el", "basic"),
        ("vi", "basic"),
        ("hi", "nfc"),
        ("hi_in", "nfc"),
        ("th", "nfc"),
        ("ar", "nfc"),
        ("ko", "nfc"),
        ("zh-CN", "nfc"),
        ("cmn_hans_cn", "nfc"),
        ("ja", "nfc"),
        (None, "basic"),
        ("", "basic"),
    ],
)
def test_every_language_has_the_normalizer_the_field_uses(language: str | None, name: str) -> None:
    assert normalize.for_language(language).name == name


def test_texts_in_another_script_than_the_language_says_are_scored_by_their_script() -> None:
    assert normalize.for_texts(None, [HINDI]).name == "nfc"
    assert normalize.for_texts("en", [CHINESE]).name == "nfc"
    assert normalize.for_texts("yo", ["ẹ\u0301kọ\u0301"]).name == "nfc"
    assert normalize.for_texts("en", ["the word नमस्ते is a greeting"]).name == "english"
    assert normalize.for_texts("de", [GERMAN]).name == "basic"
    assert normalize.for_texts("en", [""]).name == "english"


@pytest.mark.parametrize(
    ("language", "reference", "metric"),
    [
        ("en", "hello", "wer"),
        ("hi", HINDI, "wer"),
        ("ar", ARABIC, "wer"),
        ("ko", "안녕하세요 세계", "wer"),
        ("zh", CHINESE, "cer"),
        ("zh", "iPhone 很好", "cer"),
        ("zh", "OK", "wer"),
        ("ja", JAPANESE, "cer"),
        ("ja", "コンピューター", "cer"),
        ("ja", "konnichiwa", "wer"),
        ("th", THAI, "cer"),
        ("lo", "ສະບາຍດີ", "cer"),
        ("km", "សួស្តី", "cer"),
        ("my", "မင်္ဂလာပါ", "cer"),
        (None, CHINESE, "cer"),
        (None, "hello 世", "wer"),
        ("en", CHINESE, "cer"),
        ("ja", "", "cer"),
        (None, "", "wer"),
    ],
)
def test_characters_are_counted_in_scripts_without_spaces(
    language: str | None, reference: str, metric: str
) -> None:
    assert normalize.is_spaceless(language, reference) == (metric == "cer")


def test_a_text_is_normalized_once_however_many_backends_give_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []

    def rule(text: str) -> str:
        seen.append(text)
        return text

    monkeypatch.setattr(normalize, "_rules", lambda name: rule)
    said = "a sentence that only this test says"
    for text in (said, said + "!" * 2000):
        for _ in range(3):
            assert normalize.named("basic")(text) == text
    assert seen == [said, said + "!" * 2000]
