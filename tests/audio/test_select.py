"""One request becomes the speech of a run; what cannot be measured on is left out by name."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.sound_files import sound_file
from mac_whisper_speedtest.audio import cache
from mac_whisper_speedtest.audio.recording import AudioSet, Recording, StoredSamples
from mac_whisper_speedtest.audio.select import load_audio
from mac_whisper_speedtest.errors import AudioError, UsageError
from mac_whisper_speedtest.request import Request

Encode = Callable[..., Path]


def silent(message: str) -> None:
    raise AssertionError(f"nothing should be announced: {message}")


def chosen(**source: Any) -> AudioSet:
    return load_audio(Request(models=(), **source), notify=silent)


@pytest.fixture
def recordings(tmp_path: Path, own_cache: Path, encode: Encode) -> Path:
    """A folder with two good recordings and every kind of bad one."""
    folder = tmp_path / "speech"
    folder.mkdir()
    for name, level in (("a", 0.1), ("b", 0.2)):
        encode(folder / f"{name}.wav", np.full((1, 16_000), level), rate=16_000)
    empty = encode(folder / "empty.wav", np.zeros((1, 16_000)), rate=16_000)
    empty.write_bytes(empty.read_bytes()[: -2 * 16_000])
    samples = np.zeros((1, 16_000))
    samples[0, 7] = np.nan
    encode(folder / "nan.wav", samples, rate=16_000, codec="pcm_f32le")
    (folder / "nobytes.wav").touch()
    (folder / "text.wav").write_text("not audio\n" * 100)
    return folder


def write_manifest(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_bad_entries_of_a_manifest_are_left_out_with_reasons_and_the_rest_is_there(
    recordings: Path,
) -> None:
    names = ("a.wav", "missing.wav", "empty.wav", "nan.wav", "nobytes.wav", "text.wav", "b.wav")
    path = write_manifest(
        recordings, *({"audio_filepath": name, "text": "x", "lang": "en"} for name in names)
    )

    speech = chosen(manifest=path)

    assert (speech.kind, speech.name, speech.language) == ("set", "set.jsonl", "en")
    assert [clip.name for clip in speech.recordings] == ["a.wav", "b.wav"]
    reasons = {left.name: left.reason for left in speech.left_out}
    assert list(reasons) == ["missing.wav", "empty.wav", "nan.wav", "nobytes.wav", "text.wav"]
    assert reasons["missing.wav"] == "no audio file at missing.wav"
    assert reasons["empty.wav"] == "contains no audio (0 samples)"
    assert reasons["nan.wav"].startswith("has a sample that is not finite (nan)")
    assert reasons["nobytes.wav"] == "is empty (0 bytes)"
    assert reasons["text.wav"].startswith("cannot be read as audio")
    assert str(recordings) not in repr(speech.left_out) + speech.source


def test_an_empty_reference_leaves_an_utterance_out_of_accuracy_only(recordings: Path) -> None:
    path = write_manifest(
        recordings,
        {"audio_filepath": "a.wav", "text": " "},
        {"audio_filepath": "b.wav", "text": "words"},
    )

    speech = chosen(manifest=path)

    assert [clip.reference for clip in speech.recordings] == [None, "words"]
    assert [(left.name, left.reason) for left in speech.unscored] == [
        ("a.wav", "its reference text is empty")
    ]
    assert speech.left_out == ()


def test_a_manifest_of_nothing_usable_is_an_error_that_says_why(recordings: Path) -> None:
    path = write_manifest(recordings, {"audio_filepath": "gone"}, {"audio_filepath": "nan.wav"})

    with pytest.raises(AudioError, match=r"set\.jsonl can be measured: gone: .* \(2 in all\)"):
        chosen(manifest=path)


def test_one_recording_cut_several_times_has_several_names(recordings: Path) -> None:
    path = write_manifest(
        recordings,
        {"audio_filepath": "a.wav", "offset": 0.25, "duration": 0.5},
        {"audio_filepath": "a.wav"},
        {"audio_filepath": "a.wav"},
        {"audio_filepath": "a.wav", "offset": 0.5, "duration": 0.75},
    )

    speech = chosen(manifest=path)

    assert [clip.name for clip in speech.recordings] == ["a.wav@0.25s", "a.wav", "a.wav#2"]
    assert [clip.samples.size for clip in speech.recordings] == [8_000, 16_000, 16_000]
    assert "cut at 0.5-1.25 s, but the recording has 1 s" in speech.left_out[0].reason


def test_the_hash_from_the_cache_is_that_of_a_clip_s_samples(recordings: Path) -> None:
    (clip,) = chosen(audio=str(recordings / "a.wav")).recordings

    assert (
        clip.pcm_sha256
        == Recording(
            name="x", pcm=clip.samples, reference=None, language=None, source="x"
        ).pcm_sha256
    )


def test_a_folder_is_every_recording_in_and_below_it_with_the_texts_beside(
    recordings: Path, encode: Encode, tmp_path: Path
) -> None:
    below = recordings / "84" / "121123"
    below.mkdir(parents=True)
    encode(below / "84-121123-0000.flac", np.zeros((1, 16_000)), rate=16_000, codec="flac")
    (below / "84-121123.trans.txt").write_text("84-121123-0000 GO DO YOU HEAR\n84-121123-0001 NO\n")
    (recordings / "a.txt").write_text("beside\n")
    (recordings / "b.txt").write_bytes(b"\xff\xfe\xfa")
    (recordings / "notes.md").write_text("not audio")
    (recordings / "a.json").write_text("{}")
    for name in ("noending", "film.mkv", "other.w64", "some.ac3"):
        kind = "ac3" if name.endswith("ac3") else "wav"
        (recordings / name).write_bytes(sound_file(kind, np.zeros(16_000), tmp_path))
    (recordings / "c.ts").write_bytes(sound_file("ts", np.zeros(16_000), tmp_path))
    (recordings / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nb.ts\n#EXT-X-ENDLIST\n"
    )
    for hidden in (recordings / ".hidden.wav", recordings / ".hidden" / "c.wav"):
        hidden.parent.mkdir(exist_ok=True)
        hidden.write_bytes((recordings / "a.wav").read_bytes())

    speech = chosen(audio=str(recordings), language="en")

    assert {clip.name: clip.reference for clip in speech.recordings} == {
        "84-121123-0000.flac": "GO DO YOU HEAR",
        "a.wav": "beside",
        "b.wav": None,
        "c.ts": None,
        "film.mkv": None,
        "noending": None,
        "other.w64": None,
        "some.ac3": None,
    }
    left = {left.name: left.reason for left in speech.left_out}
    assert set(left) == {
        "empty.wav", "list.m3u8", "nan.wav", "nobytes.wav", "notes.md", "text.wav",
    }  # fmt: skip
    assert left["notes.md"] == left["list.m3u8"] == "FFmpeg finds no sound in it"
    assert [(left.name, left.reason) for left in speech.unscored] == [
        ("b.wav", "cannot read the reference b.txt: it is UTF-16, not UTF-8")
    ]
    assert (speech.name, speech.language, speech.kind) == ("speech", "en", "set")


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")

    with pytest.raises(AudioError, match="there are no recordings in"):
        chosen(audio=str(tmp_path))


def test_an_entry_in_another_language_than_asked_for_is_an_error(recordings: Path) -> None:
    path = write_manifest(recordings, {"audio_filepath": "a.wav", "lang": "de"})

    with pytest.raises(UsageError, match=r"a\.wav is listed as 'de', but --language"):
        chosen(manifest=path, language="en")


def test_two_sources_exclude_each_other_and_both_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        chosen(clip="short", manifest=tmp_path / "m.jsonl")

    assert (
        caught.value.message == f"--clip short and --manifest {tmp_path}/m.jsonl exclude each other"
    )


def test_nothing_asked_for_is_the_short_clip() -> None:
    speech = load_audio(Request(models=()), notify=print)

    assert (speech.name, speech.kind, len(speech.recordings)) == ("short", "clip", 1)
    assert speech.recordings[0].reference is not None


def test_durations_need_one_reading(recordings: Path) -> None:
    with pytest.raises(UsageError, match="--durations cuts one reading"):
        chosen(durations=(2.0,), manifest=recordings / "set.jsonl")


def test_durations_cut_the_users_recording(recordings: Path) -> None:
    speech = chosen(durations=(0.5, 3.0), audio=str(recordings / "a.wav"), language="en")

    assert speech.kind == "durations"
    assert [(clip.name, clip.seconds) for clip in speech.recordings] == [("0.5s", 0.5), ("3s", 3.0)]


def test_a_pattern_names_a_set_whose_words_are_beside_the_recordings(recordings: Path) -> None:
    (recordings / "a.txt").write_text("the words of a")

    speech = chosen(audio=str(recordings / "[ab].wav"))

    assert (speech.kind, speech.name, speech.source) == (
        "set",
        "[ab].wav",
        "a folder of the user's",
    )
    assert {each.name: each.reference for each in speech.recordings} == {
        "a.wav": "the words of a",
        "b.wav": None,
    }


def test_a_pattern_that_matches_nothing_is_refused_and_a_file_of_that_name_is_taken(
    recordings: Path,
) -> None:
    with pytest.raises(AudioError, match=r"there are no recordings in .*/\*\.mp3"):
        chosen(audio=str(recordings / "*.mp3"))

    (recordings / "a.wav").rename(recordings / "[b].wav")
    assert chosen(audio=str(recordings / "[b].wav")).kind == "clip"


def test_recordings_of_a_set_are_decoded_beside_each_other_and_not_kept(
    tmp_path: Path, own_cache: Path, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two decodings wait for each other: one after the other they would wait for ever."""
    (tmp_path / "set").mkdir()
    for number in range(4):
        samples = np.full((1, 16_000 + 1600 * number), 0.1)
        encode(tmp_path / "set" / f"{number}.wav", samples, rate=16_000)
    together = threading.Barrier(2, timeout=30)
    whole = cache.decoded

    def decoded(audio: Path | bytes, *, name: str = "") -> cache.CachedPcm:
        together.wait()
        return whole(audio, name=name)

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(cache, "decoded", decoded)
    speech = chosen(audio=str(tmp_path / "set"))
    assert [clip.name for clip in speech.recordings] == [f"{number}.wav" for number in range(4)]
    assert [clip.seconds for clip in speech.recordings] == pytest.approx([1, 1.1, 1.2, 1.3])
    assert all(isinstance(clip.pcm, StoredSamples) for clip in speech.recordings)
