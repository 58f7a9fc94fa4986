"""A clip knows its length and the hash of exactly what a backend is fed."""

from __future__ import annotations

import hashlib
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mac_whisper_speedtest.audio.recording import Recording, StoredSamples, write_pcm
from mac_whisper_speedtest.errors import StorageError


def clip_of(samples: npt.NDArray[Any]) -> Recording:
    return Recording(name="x", pcm=samples, reference=None, language=None, source="test")


def test_the_hash_is_that_of_the_little_endian_float32_bytes() -> None:
    clip = clip_of(np.array([0.0, 1.0, -0.5], dtype=np.float32))

    assert clip.pcm_sha256 == hashlib.sha256(struct.pack("<3f", 0.0, 1.0, -0.5)).hexdigest()


def test_the_written_file_is_what_was_hashed(tmp_path: Path) -> None:
    samples = np.linspace(-1, 1, 1_000, dtype=np.float32)

    write_pcm(clip_of(samples), tmp_path / "new" / "a.f32")
    write_pcm(samples, tmp_path / "b.f32")
    assert stat.S_IMODE((tmp_path / "b.f32").stat().st_mode) == 0o400

    written = (tmp_path / "new" / "a.f32").read_bytes()
    assert written == (tmp_path / "b.f32").read_bytes()
    assert hashlib.sha256(written).hexdigest() == clip_of(samples).pcm_sha256
    np.testing.assert_array_equal(np.fromfile(tmp_path / "b.f32", "<f4"), samples)


def test_a_folder_in_the_way_of_the_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        write_pcm(np.zeros(10, dtype=np.float32), tmp_path)


def test_seconds_count_at_16_khz() -> None:
    assert clip_of(np.zeros(24_000, dtype=np.float32)).seconds == 1.5


def test_nobody_can_change_the_samples_of_a_clip() -> None:
    clip = clip_of(np.zeros(10, dtype=np.float32))

    with pytest.raises(ValueError, match="read-only"):
        clip.samples[0] = 1.0


@pytest.mark.parametrize("samples", [np.zeros(4), np.zeros((2, 4), dtype=np.float32)])
def test_other_shapes_and_types_are_not_a_clip(samples: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="1-D float32"):
        clip_of(samples)


def test_importing_the_room_loads_no_audio_library() -> None:
    heavy = "{'numpy', 'av', 'soxr', 'filelock'}"
    program = f"import sys, mac_whisper_speedtest.audio; print({heavy} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout.strip() == b"set()"


def test_stored_samples_are_read_when_asked_for_and_not_kept(tmp_path: Path) -> None:
    whole = np.arange(100, dtype="<f4")
    path = tmp_path / "a.f32"
    whole.tofile(path)
    clip = Recording("x", StoredSamples(path, 60, 20), None, None, "test")
    np.testing.assert_array_equal(clip.samples, whole[20:80])
    assert (clip.count, clip.seconds) == (60, 60 / 16_000)
    assert clip.samples is not clip.samples
    assert not clip.samples.flags.writeable
    whole[:70].tofile(path)
    with pytest.raises(StorageError, match="has become shorter"):
        _ = clip.samples
