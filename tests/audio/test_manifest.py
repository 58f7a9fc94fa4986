"""A manifest is read as it is documented, and what is wrong in it is named by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mac_whisper_speedtest.audio.dataset_entries import AudioEntry
from mac_whisper_speedtest.audio.manifest import list_manifest, parse_manifest
from mac_whisper_speedtest.audio.recording import LeftOut
from mac_whisper_speedtest.errors import AudioError

JSONL = Path("/data/set.jsonl")
CSV = Path("/data/set.csv")


def entries(text: str, path: Path = JSONL) -> list[AudioEntry]:
    found = parse_manifest(text, path)
    assert found.left_out == []
    return found.entries


def refusal(text: str, path: Path = JSONL) -> str:
    with pytest.raises(AudioError) as caught:
        parse_manifest(text, path)
    assert caught.value.hint
    return caught.value.message


def left_out(text: str, path: Path = JSONL) -> LeftOut:
    (wrong,) = parse_manifest(text, path).left_out
    return wrong


def test_nemo_lines_become_entries_with_paths_relative_to_the_manifest() -> None:
    (first, second) = entries(
        '{"audio_filepath": "audio/a.flac", "duration": 4.1, "text": "Grüße", "lang": "de-DE"}\n'
        "\n"
        '{"audio_filepath": "/elsewhere/b.wav", "speaker": 12, "unheard_of": []}\n',
        JSONL,
    )

    assert first == AudioEntry("a.flac", Path("/data/audio/a.flac"), "Grüße", language="de")
    assert second == AudioEntry("b.wav", Path("/elsewhere/b.wav"), speaker="12")


def test_an_offset_makes_a_cut_of_the_given_duration() -> None:
    (entry,) = entries('{"audio_filepath": "a.wav", "offset": 12.5, "duration": "3"}', JSONL)

    assert (entry.name, entry.start_s, entry.seconds) == ("a.wav@12.5s", 12.5, 3.0)


def test_a_text_that_is_there_and_empty_is_kept_apart_from_one_that_is_not() -> None:
    empty, absent = entries(
        '{"audio_filepath": "a.wav", "text": ""}\n{"audio_filepath": "a.wav", "text": null}', JSONL
    )

    assert (empty.text, absent.text) == ("", None)


def test_csv_has_the_same_fields_as_columns() -> None:
    text = 'file_name,transcription,lang\na.wav,"one, ""two""\nthree",en\n\nb.wav,,\n'

    first, second = entries(text, CSV)

    assert first == AudioEntry("a.wav", Path("/data/a.wav"), 'one, "two"\nthree', language="en")
    assert second == AudioEntry("b.wav", Path("/data/b.wav"), "")


def test_tsv_is_csv_with_tabs() -> None:
    (entry,) = entries("path\tsentence\na.mp3\tone, two\n", Path("/data/train.tsv"))

    assert (entry.audio, entry.text) == (Path("/data/a.mp3"), "one, two")


def test_wrong_json_on_line_17_is_named() -> None:
    lines = ['{"audio_filepath": "a.wav", "text": "x"}'] * 16 + ['{"audio_filepath": "b.wav",']

    wrong = left_out("\n".join(lines))
    assert wrong.name == "line 17"
    assert wrong.reason.startswith("is not JSON (")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1, 2]", "is not a JSON object but a list"),
        ('{"audio": "", "text": "x"}', "has no audio_filepath; its fields are: audio, text"),
        ("{}", "has no audio_filepath; its fields are: none"),
        ('{"wav": "a.wav"}', "has no audio_filepath; its fields are: wav"),
        ('{"audio_filepath": 3}', "has a number as audio_filepath, which must be text"),
        ('{"audio_filepath": "a.wav", "text": ["x"]}', "has a list as text, which must be text"),
        (
            '{"audio_filepath": "a.wav", "offset": "soon"}',
            "has 'soon' as offset, which must be seconds",
        ),
        ('{"audio_filepath": "a.wav", "offset": -1}', "has -1 as offset, which must be seconds"),
        ('{"audio_filepath": "a.wav", "lang": "English"}', "the language 'English' is not a code"),
        ('{"audio_filepath": "a.wav", "duration": NaN}', "is not JSON"),
        ('{"audio_filepath": "a.wav", "offset": 1e308}', "has 1e+308 as offset, which must be"),
        (f'{{"audio_filepath": "a.wav", "offset": 1{"0" * 400}}}', "as offset, which must be"),
        (f'{{"audio_filepath": "a.wav", "speaker": 1{"0" * 5000}}}', ""),
        ('{"audio_filepath": "~no such user/a.wav"}', "is malformed"),
        ('{"audio_filepath": "a.wav", "text": "\\ud800"}', "is not JSON"),
        (f'{{"audio_filepath": "a.wav", "x": {"[" * 1000}{"]" * 1000}}}', "nested deeper than 64"),
        (f'{{"audio_filepath": "a.wav", "x": {"[" * 100_000}', "nested deeper than 64"),
        (f'{{"audio_filepath": "a.wav", "text": "{"x" * 2_000_000}"}}', "has 2000000 characters"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(line: str, said: str) -> None:
    wrong = left_out('{"audio_filepath": "a.wav"}\n' + line)

    assert wrong.name == "line 2"
    assert said in wrong.reason


def test_wrong_lines_are_left_out_by_number_and_the_others_are_listed(tmp_path: Path) -> None:
    lines = [f'{{"audio_filepath": "{number}.wav"}}' for number in range(20)]
    lines[16] = '{"audio_filepath": "16.wav",'
    lines[3] = "[3]"
    lines[5] = ""
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")

    found = list_manifest(path)

    assert [each.name for each in found.entries] == [
        f"{number}.wav" for number in range(20) if number not in {3, 5, 16}
    ]
    assert found.left_out[0] == LeftOut("line 4", "is not a JSON object but a list")
    assert found.left_out[1].name == "line 17"
    assert found.left_out[1].reason.startswith("is not JSON")


def test_a_csv_row_with_too_few_cells_is_left_out_and_the_others_are_listed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "set.csv"
    path.write_text("path,text\na.wav,x\nb.wav\nc.wav,y\n", encoding="utf-8")

    found = list_manifest(path)

    assert [each.name for each in found.entries] == ["a.wav", "c.wav"]
    assert found.left_out == [LeftOut("line 3", "has 1 cells for 2 columns")]


def test_a_file_without_a_good_line_lists_nothing_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text("this is\nno manifest\n", encoding="utf-8")

    found = list_manifest(path)

    assert found.entries == []
    assert [each.name for each in found.left_out] == ["line 1", "line 2"]


def test_csv_without_the_column_for_the_recording_shows_its_columns() -> None:
    assert refusal("wav,words\na.wav,x\n", CSV).endswith("its columns are: wav, words")


def test_a_csv_row_with_too_many_cells_is_named_by_the_line_it_begins_on() -> None:
    wrong = left_out('path,text\na.wav,"two\nlines"\nb.wav,one,two\n', CSV)

    assert wrong == LeftOut("line 4", "has 3 cells for 2 columns")


def test_a_quote_that_never_ends_is_no_csv() -> None:
    assert "line 2, is not CSV" in refusal('path,text\na.wav,"x\n', CSV)


def test_a_manifest_of_an_unknown_kind_says_what_is_known() -> None:
    assert "its name ends in .xml" in refusal("<list/>", Path("/data/list.xml"))


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "lists no recordings"), (b"\n\n", "lists no recordings"), (b"\xff\xfe", "not UTF-8")],
)
def test_a_manifest_without_entries_or_not_in_utf_8_is_an_error(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "set.jsonl").write_bytes(content)

    with pytest.raises(AudioError, match=said):
        list_manifest(tmp_path / "set.jsonl")


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"gone\.jsonl does not exist"):
        list_manifest(tmp_path / "gone.jsonl")
    with pytest.raises(AudioError, match="is not a file"):
        list_manifest(tmp_path)
