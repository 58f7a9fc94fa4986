from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mac_whisper_speedtest.convert import onnx_file, sherpa_onnx
from mac_whisper_speedtest.convert.checkpoint import Checkpoint, network_sha256
from mac_whisper_speedtest.convert.conversion import convert
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError


@pytest.fixture(scope="module")
def written(tiny_en: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sherpa-onnx") / "tiny.en"
    assert convert(tiny_en, "sherpa-onnx", folder).lossless
    return folder


@pytest.fixture
def named(small: Checkpoint) -> Checkpoint:
    """``small`` with special tokens, of which its vocabulary has no room for all."""
    names = ["endoftext", "startoftranscript", "translate", "transcribe", "startoflm"]
    names += ["startofprev", "nocaptions", "notimestamps"]
    added = [{"id": 256 + number, "content": f"<|{name}|>"} for number, name in enumerate(names)]
    tokenizer = {"added_tokens": added, "model": {"vocab": {}}}
    return replace(small, assets={"tokenizer.json": json.dumps(tokenizer).encode()})


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_what_is_written_is_read_back_bit_for_bit(
    named: Checkpoint, tmp_path: Path, precision: str
) -> None:
    sherpa_onnx.write(named, tmp_path, precision)
    product = sherpa_onnx.read(tmp_path)
    assert network_sha256(product) == network_sha256(named)
    assert (product.dims, product.vocabulary) == (named.dims, named.vocabulary)
    for name, array in product.tensors.items():
        assert array.dtype == precision
        assert np.array_equal(array, named.tensors[name])


def test_tokens_one_by_one_are_scored_as_all_at_once(named: Checkpoint, tmp_path: Path) -> None:
    """The library decodes the first tokens together, and then each one after those it keeps."""
    runtime = pytest.importorskip("onnxruntime")
    sherpa_onnx.write(named, tmp_path)
    encoder, decoder = (
        runtime.InferenceSession(str(tmp_path / name), providers=["CPUExecutionProvider"])
        for name in ("encoder.onnx", "decoder.onnx")
    )
    mel = np.random.default_rng(1).standard_normal((1, 80, 18)).astype(np.float32)
    key, value = encoder.run(None, {"mel": mel})
    crossed = {"n_layer_cross_k": key, "n_layer_cross_v": value}

    def score(tokens: list[int], offset: int, kept: list[np.ndarray]) -> list[np.ndarray]:
        cached = {"in_n_layer_self_k_cache": kept[0], "in_n_layer_self_v_cache": kept[1]}
        asked = {"tokens": np.array([tokens]), "offset": np.array([offset])}
        found: list[np.ndarray] = decoder.run(None, {**asked, **cached, **crossed})
        return found

    empty = [np.zeros((2, 1, 6, 8), np.float32)] * 2
    together, *_ = score([5, 7, 9], 0, empty)
    assert together.shape == (1, 3, 258)
    kept = empty
    for place, token in enumerate([5, 7, 9]):
        alone, *kept = score([token], place, kept)
        assert np.allclose(alone[0, 0], together[0, place], atol=1e-4)
    assert not np.allclose(together[0, 0], together[0, 1], atol=1e-2)


def test_the_library_finds_sizes_and_special_tokens_in_the_encoder(written: Path) -> None:
    _, metadata = onnx_file.read_model(written / "encoder.onnx")
    assert metadata["n_text_layer"] == "4"
    assert metadata["is_multilingual"] == "0"
    assert metadata["sot_sequence"] == metadata["sot"] == "50257"
    assert (metadata["eot"], metadata["no_timestamps"]) == ("50256", "50362")
    assert (metadata["blank_id"], metadata["no_speech"]) == ("220", "50361")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "needs"),
        (lambda data: b"\x0b" + data[1:], "of the kind 3"),
        (lambda data: b"\xff" * 12 + data, "longer than 64 bits"),
        (lambda data: data.replace(b"n_mels\x12\x0280", b"n_mels\x12\x02-1"), "n_mels is None"),
        (lambda data: data.replace(b"encoder.conv1.bias", b"onnx::MatMul_12345"), "no tensor"),
    ],
)
def test_a_damaged_encoder_or_one_of_another_tool_is_refused(
    named: Checkpoint, tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    sherpa_onnx.write(named, tmp_path)
    path = tmp_path / "encoder.onnx"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WeightsError, match=message):
        sherpa_onnx.read(tmp_path)


def test_tokens_out_of_range_or_not_in_base64_are_refused(
    named: Checkpoint, tmp_path: Path
) -> None:
    sherpa_onnx.write(named, tmp_path)
    for line, message in (("AA== 256", "not below 256"), ("ä 1", "ascii"), ("AA== x", "invalid")):
        (tmp_path / "tokens.txt").write_text(f"{line}\n", encoding="utf-8")
        with pytest.raises(WeightsError, match=message):
            sherpa_onnx.read(tmp_path)
    (tmp_path / "tokens.txt").unlink()
    with pytest.raises(WeightsMissingError):
        sherpa_onnx.FORMAT.files(tmp_path)


def test_a_source_without_a_tokenizer_is_refused(small: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"sherpa-onnx needs the tokenizer\.json"):
        sherpa_onnx.write(small, tmp_path)


def test_a_file_that_onnxruntime_could_not_read_is_not_written(
    named: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "LARGEST", 21_000)
    sherpa_onnx.write(named, tmp_path)  # float16
    with pytest.raises(WeightsError, match=r"coder\.onnx would have \d+ bytes") as refused:
        sherpa_onnx.write(named, tmp_path, "float32")
    assert refused.value.hint == "store it in float16"
