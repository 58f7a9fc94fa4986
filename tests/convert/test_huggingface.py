from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mac_whisper_speedtest.convert import huggingface
from mac_whisper_speedtest.convert.checkpoint import Checkpoint, network_sha256
from mac_whisper_speedtest.convert.conversion import convert
from mac_whisper_speedtest.convert.huggingface import SIDE_FILES, side_files
from mac_whisper_speedtest.convert.record import ConversionRecord
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError


@dataclass(frozen=True)
class Written:
    folder: Path
    record: ConversionRecord

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def written(tiny_en: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("huggingface") / "tiny.en"
    return Written(folder, convert(tiny_en, "huggingface", folder))


@pytest.fixture
def small_folder(small: Checkpoint, tiny_en: Path, tmp_path: Path) -> Path:
    """``small`` with the real tokenizer, written and ready to be damaged."""
    assets = {"tokenizer.json": (tiny_en / "tokenizer.json").read_bytes()}
    huggingface.write(replace(small, assets=assets), tmp_path)
    return tmp_path


def test_every_tensor_is_there_under_its_name_bit_for_bit(
    written: Written, tiny_en_checkpoint: Checkpoint
) -> None:
    assert written.record.lossless
    stored = load_file(written.folder / "model.safetensors")
    assert len(stored) == len(tiny_en_checkpoint.tensors)
    assert "proj_out.weight" not in stored
    for name, array in tiny_en_checkpoint.tensors.items():
        assert stored[huggingface.huggingface_name(name)].tobytes() == array.tobytes(), name


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("encoder.positional_embedding", "model.encoder.embed_positions.weight"),
        ("decoder.token_embedding.weight", "model.decoder.embed_tokens.weight"),
        ("encoder.blocks.3.attn.query.bias", "model.encoder.layers.3.self_attn.q_proj.bias"),
        (
            "decoder.blocks.0.cross_attn.out.bias",
            "model.decoder.layers.0.encoder_attn.out_proj.bias",
        ),
        (
            "decoder.blocks.0.cross_attn_ln.weight",
            "model.decoder.layers.0.encoder_attn_layer_norm.weight",
        ),
        ("decoder.blocks.1.mlp_ln.bias", "model.decoder.layers.1.final_layer_norm.bias"),
        ("encoder.blocks.1.mlp.2.weight", "model.encoder.layers.1.fc2.weight"),
        ("encoder.ln_post.weight", "model.encoder.layer_norm.weight"),
        ("decoder.ln.bias", "model.decoder.layer_norm.bias"),
    ],
)
def test_names_are_those_of_transformers(ours: str, theirs: str) -> None:
    assert huggingface.huggingface_name(ours) == theirs


def test_decoding_is_described_as_published(written: Written, tiny_en: Path) -> None:
    generation = written.json("generation_config.json")
    published = json.loads((tiny_en / "config.json").read_text(encoding="utf-8"))
    assert generation["suppress_tokens"] == published["suppress_ids"]
    assert generation["begin_suppress_tokens"] == [220, 50256]
    assert generation["alignment_heads"] == published["alignment_heads"]
    del generation["suppress_tokens"], generation["alignment_heads"]
    assert generation == {
        "begin_suppress_tokens": [220, 50256],
        "bos_token_id": 50256,
        "decoder_start_token_id": 50257,
        "eos_token_id": 50256,
        "is_multilingual": False,
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "no_timestamps_token_id": 50362,
        "pad_token_id": 50256,
        "prev_sot_token_id": 50360,
        "return_timestamps": False,
    }


def test_all_files_of_a_pipeline_are_there(written: Written, tiny_en: Path) -> None:
    names = {item.name for item in written.record.output_files}
    assert names == {"model.safetensors", *SIDE_FILES}
    assert (written.folder / "tokenizer.json").read_bytes() == (
        tiny_en / "tokenizer.json"
    ).read_bytes()
    assert len(written.json("vocab.json")) == 50257
    merges = (written.folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    assert (merges[0], merges[1], len(merges)) == ("#version: 0.2", "Ġ t", 50002)
    assert written.json("added_tokens.json")["<|notimestamps|>"] == 50362
    features = written.json("preprocessor_config.json")
    assert (features["n_samples"], features["nb_max_frames"], features["chunk_length"]) == (
        480_000,
        3000,
        30,
    )
    assert written.json("config.json")["dtype"] == "float16"


def test_reading_gives_back_what_was_written_and_writes_the_same(
    written: Written, tiny_en_checkpoint: Checkpoint
) -> None:
    product = huggingface.read(written.folder)
    assert product.vocabulary == tiny_en_checkpoint.vocabulary
    assert product.suppressed == tiny_en_checkpoint.suppressed
    assert len(product.suppressed) == 90
    again = side_files(product, "float16")
    assert again == {name: (written.folder / name).read_bytes() for name in again}


def test_a_multilingual_network_lists_languages_and_tasks(
    tiny_en_checkpoint: Checkpoint,
) -> None:
    # The English tokenizer lists them too, at ids one lower.
    dims = replace(tiny_en_checkpoint.dims, n_vocab=51865)
    made = side_files(replace(tiny_en_checkpoint, dims=dims), "float16")
    generation = json.loads(made["generation_config.json"])
    assert generation["is_multilingual"] is True
    assert generation["task_to_id"] == {"transcribe": 50358, "translate": 50357}
    assert len(generation["lang_to_id"]) == 99
    assert generation["lang_to_id"]["<|en|>"] == 50258
    assert "<|haw|>" in generation["lang_to_id"]


def test_the_same_bytes_every_time_at_both_precisions(
    small: Checkpoint, tiny_en: Path, tmp_path: Path
) -> None:
    source = replace(small, assets={"tokenizer.json": (tiny_en / "tokenizer.json").read_bytes()})
    for precision in ("float16", "float32"):
        made = []
        for number in range(2):
            folder = tmp_path / f"{precision}-{number}"
            folder.mkdir()
            huggingface.write(source, folder, precision)
            made.append({item.name: item.read_bytes() for item in folder.iterdir()})
        assert made[0] == made[1]
        assert network_sha256(replace(small, tensors=_tensors(folder, small))) == network_sha256(
            small
        )


def _tensors(folder: Path, small: Checkpoint) -> dict[str, np.ndarray]:
    return huggingface._tensors(folder / "model.safetensors", small.dims)


def test_a_checkpoint_without_a_tokenizer_is_refused(small: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"needs the tokenizer\.json"):
        huggingface.write(small, tmp_path)
    content = json.dumps({"model": {"vocab": {}}, "added_tokens": []}).encode()
    with pytest.raises(WeightsError, match=r"has no token <\|endoftext\|>"):
        huggingface.write(replace(small, assets={"tokenizer.json": content}), tmp_path)


def test_bfloat16_quantized_and_cut_weights_are_refused(small_folder: Path) -> None:
    path = small_folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"F16"', b'"BF16"', 1)[: len(whole)])
    with pytest.raises(WeightsError):
        huggingface.read(small_folder)
    header = len(whole[8:].split(b"}}")[0]) + 2
    wide = whole[8 : 8 + header].replace(b'"F16"', b'"BF16"')
    path.write_bytes(
        len(wide).to_bytes(8, "little") + wide + whole[8 + int.from_bytes(whole[:8], "little") :]
    )
    with pytest.raises(WeightsError, match="is BF16, expected F16 or F32"):
        huggingface.read(small_folder)
    path.write_bytes(whole[:-7])
    with pytest.raises(WeightsError, match=r"model\.safetensors cannot be read"):
        huggingface.read(small_folder)
    config = json.loads((small_folder / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = {"bits": 4}
    (small_folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(WeightsError, match="quantized and the original values are gone"):
        huggingface.read(small_folder)


def test_an_output_projection_of_its_own_is_refused(small_folder: Path) -> None:
    path = small_folder / "model.safetensors"
    arrays = load_file(path)
    embedding = arrays["model.decoder.embed_tokens.weight"]
    save_file({**arrays, "proj_out.weight": embedding.copy()}, path)
    assert "proj_out.weight" not in huggingface.read(small_folder).tensors
    save_file({**arrays, "proj_out.weight": embedding + 1}, path)
    with pytest.raises(WeightsError, match="output projection is not the token embedding"):
        huggingface.read(small_folder)


def test_a_folder_without_its_tokenizer_is_named(small_folder: Path) -> None:
    (small_folder / "tokenizer.json").unlink()
    with pytest.raises(WeightsMissingError, match=r"tokenizer\.json"):
        huggingface.read(small_folder)
