"""A recording is decoded once, found again by its content, and never used damaged."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import Call
from mac_whisper_speedtest.audio import cache, decode
from mac_whisper_speedtest.audio.cache import decoded, to_remove, trim
from mac_whisper_speedtest.errors import AudioError, StorageError

Encode = Callable[..., Path]


@pytest.fixture
def talk(tmp_path: Path, own_cache: Path, encode: Encode) -> Path:
    noise = np.random.default_rng(1).normal(0, 0.1, (1, 3 * 44_100))
    return encode(tmp_path / "talk.wav", noise, rate=44_100)


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_args: object, **_options: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(decode, "blocks", forbidden)


def test_the_cached_file_holds_exactly_what_decoding_gives(talk: Path, own_cache: Path) -> None:
    pcm = decoded(talk)

    np.testing.assert_array_equal(pcm.stored.read(), decode.decode(talk))
    np.testing.assert_array_equal(np.fromfile(pcm.stored.path, "<f4"), pcm.stored.read())
    assert pcm.sha256 == hashlib.sha256(pcm.stored.path.read_bytes()).hexdigest()
    assert pcm.stored.path.parent == own_cache
    assert not pcm.stored.read().flags.writeable


def test_the_same_content_is_decoded_once_whatever_it_is_called(
    talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = decoded(talk)
    forbid_decoding(monkeypatch)
    renamed = talk.rename(talk.with_name("other.bin"))

    assert decoded(renamed).stored.path == first.stored.path
    assert decoded(renamed.read_bytes()).sha256 == first.sha256


def test_other_content_of_the_same_name_is_another_entry(talk: Path, encode: Encode) -> None:
    first = decoded(talk)
    encode(talk, np.zeros((1, 16_000)), rate=16_000)

    assert decoded(talk).stored.path != first.stored.path


@pytest.mark.parametrize(
    "damage", ["cut", "altered", "no facts", "no facts that make sense", "nested"]
)
def test_a_damaged_entry_is_noticed_and_made_again(talk: Path, damage: str) -> None:
    pcm = decoded(talk)
    whole = pcm.stored.path.read_bytes()
    facts = pcm.stored.path.with_suffix(".json")
    pcm.stored.path.chmod(0o600)
    if damage == "cut":
        pcm.stored.path.write_bytes(whole[:-4])
    elif damage == "altered":
        pcm.stored.path.write_bytes(whole[:100] + b"\x01" + whole[101:])
    elif damage == "no facts":
        facts.unlink()
    else:
        facts.write_text("[]" if damage == "no facts that make sense" else "[" * 9999)

    assert decoded(talk).sha256 == pcm.sha256
    assert pcm.stored.path.read_bytes() == whole


def test_only_this_user_can_read_the_samples_and_nobody_can_overwrite_them(
    talk: Path, own_cache: Path
) -> None:
    own_cache.mkdir(parents=True, mode=0o755)  # by an earlier version

    pcm = decoded(talk)

    assert stat.S_IMODE(own_cache.stat().st_mode) == 0o700
    modes = {item.name: stat.S_IMODE(item.stat().st_mode) for item in own_cache.iterdir()}
    assert modes.pop(pcm.stored.path.name) == 0o400
    assert set(modes.values()) == {0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can give files away")
def test_an_entry_of_another_user_is_not_used(talk: Path) -> None:
    planted = decoded(talk)
    os.chown(planted.stored.path, 12_345, -1)

    assert decoded(talk).stored.path.stat().st_uid == os.geteuid()


def test_a_recording_that_cannot_be_decoded_to_its_end_leaves_nothing(
    tmp_path: Path, own_cache: Path, encode: Encode
) -> None:
    samples = np.zeros((1, 40 * 16_000))
    samples[0, -1] = np.nan
    path = encode(tmp_path / "a.wav", samples, rate=16_000, codec="pcm_f32le")

    with pytest.raises(AudioError, match="not finite"):
        decoded(path)
    assert [item.name for item in own_cache.iterdir()] == [".in-use"]


def test_a_recording_that_changes_while_it_is_read_is_refused(
    talk: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = decode.blocks

    def growing(audio: Path, *, name: str) -> object:
        with audio.open("ab") as stream:
            stream.write(b"more")
        return really(audio, name=name)

    monkeypatch.setattr(decode, "blocks", growing)

    with pytest.raises(AudioError, match="changed while it was read"):
        decoded(talk)
    assert list(own_cache.glob("*.f32")) == []


def test_a_new_way_of_decoding_is_a_new_entry(talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = decoded(talk)
    monkeypatch.setattr(cache, "_version", lambda: "next")

    assert decoded(talk).stored.path != first.stored.path


def test_those_used_longest_ago_go_first_and_no_more_than_must() -> None:
    entries = [(30, 40, Path("new")), (10, 40, Path("old")), (20, 40, Path("middle"))]

    assert to_remove(entries, 120) == []
    assert to_remove(entries, 119) == [Path("old")]
    assert to_remove(entries, 80) == [Path("old")]
    assert to_remove(entries, 79) == [Path("middle"), Path("old")]


def test_using_an_entry_makes_it_the_newest(talk: Path, own_cache: Path, encode: Encode) -> None:
    first = decoded(talk)
    second = decoded(encode(talk.with_name("b.wav"), np.zeros((1, 16_000)), rate=16_000))
    for pcm, when in ((first, 1_000), (second, 2_000)):
        os.utime(pcm.stored.path, (when, when))

    decoded(talk)

    assert trim(own_cache, first.stored.path.stat().st_size) == [second.stored.path]
    assert sorted(item.suffix for item in own_cache.glob("*.*")) == ["", ".f32", ".json"]


def test_what_a_killed_process_left_half_written_is_swept_away(own_cache: Path) -> None:
    own_cache.mkdir(parents=True)
    (own_cache / ".abc.f32.xyz").write_bytes(b"half")

    trim(own_cache, 10)

    assert list(own_cache.iterdir()) == []


def test_nothing_is_removed_while_another_process_uses_the_cache(
    talk: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MAX_BYTES", 0)
    decoded(talk)  # this process holds the folder from here on
    program = (
        "from pathlib import Path; from mac_whisper_speedtest.audio import cache as c\n"
        "c.MAX_BYTES = 0; trim = c.trim; gone = []\n"
        "c.trim = lambda *folder: gone.extend(trim(*folder))\n"
        f"c.decoded(Path({str(talk)!r})); print(len(gone))"
    )

    def removed_by_another() -> str:
        return subprocess.check_output([sys.executable, "-c", program], text=True).strip()

    assert removed_by_another() == "0"

    os.close(cache._lock_handles.pop(own_cache))
    assert removed_by_another() == "1"


def test_the_cache_can_be_emptied_but_not_under_a_run(
    talk: Path, own_cache: Path, speedtest: Call
) -> None:
    assert speedtest("clips", "clear").out == "0 decoded recordings removed (0.0 MB)\n"
    decoded(talk)

    busy = speedtest("clips", "clear")
    os.close(cache._lock_handles.pop(own_cache))
    done = speedtest("clips", "clear")

    assert busy.code == StorageError.exit_code
    assert "a run uses the decoded recordings" in busy.err
    assert (done.code, done.out) == (0, "1 decoded recording removed (0.2 MB)\n")
    assert list(own_cache.glob("*.*")) == [own_cache / ".in-use"]


def test_a_cache_that_cannot_be_made_is_a_storage_error(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "file"))

    with pytest.raises(StorageError, match="cannot write in"):
        decoded(talk)
