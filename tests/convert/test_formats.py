from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mac_whisper_speedtest.convert import ggml, mlx
from mac_whisper_speedtest.convert.checkpoint import Checkpoint
from mac_whisper_speedtest.convert.conversion import FORMATS, detect_format, format_named
from mac_whisper_speedtest.errors import UsageError, WeightsError


def test_each_format_is_recognized(
    small: Checkpoint, small_ctranslate2: Callable[..., Path], tmp_path: Path
) -> None:
    assert detect_format(small_ctranslate2()) == "ctranslate2"
    (tmp_path / "mlx").mkdir()
    mlx.write(small, tmp_path / "mlx")
    assert detect_format(tmp_path / "mlx") == "mlx"
    (tmp_path / "ggml").mkdir()
    ggml.write(small, tmp_path / "ggml" / "ggml-model.bin")
    assert detect_format(tmp_path / "ggml") == "ggml"
    assert detect_format(tmp_path / "ggml" / "ggml-model.bin") == "ggml"


def test_the_error_on_an_unknown_folder_lists_the_known_formats(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(WeightsError, match="holds no known weights format") as caught:
            detect_format(path)
        for name in FORMATS:
            assert name in caught.value.hint
        assert "model.bin" in caught.value.hint


def test_a_path_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere does not exist"):
        detect_format(tmp_path / "nowhere")


def test_two_formats_in_one_folder_are_an_error(
    small: Checkpoint, small_ctranslate2: Callable[..., Path]
) -> None:
    folder = small_ctranslate2()
    ggml.write(small, folder / "ggml-model.bin")
    with pytest.raises(WeightsError, match="several weights formats: ctranslate2, ggml"):
        detect_format(folder)


def test_the_table_has_each_format_under_its_name() -> None:
    assert {name: codec.name for name, codec in FORMATS.items()} == {name: name for name in FORMATS}
    assert [name for name, codec in FORMATS.items() if codec.writer] == [
        "ggml",
        "huggingface",
        "mlx",
        "mlx-npz",
        "openai",
        "sherpa-onnx",
    ]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match="'onnx' is not one of ctranslate2, ggml, huggingface, mlx, mlx-npz"
    ):
        format_named("onnx")
