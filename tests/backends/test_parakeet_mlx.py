"""parakeet-mlx in its own environment, on a network of its architecture with random weights.

No test knows Parakeet's real weights (2.5 GB): what is heard here is noise, in the right form.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.conftest import THREADS, installed_or_skip, speech
from mac_whisper_speedtest.backends.adapter import LoadParams, ModelParams
from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract, deviations
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.exit_status import WorkerFailureError
from mac_whisper_speedtest.worker.launch import launch, program
from mac_whisper_speedtest.worker.supervisor import Deadlines, Worker

MAKE = r"""
import json, sys
from pathlib import Path
import mlx.core as mx
from mlx.utils import tree_flatten
from parakeet_mlx.utils import from_config

mx.random.seed(1)
words, durations = ["▁a", "▁b", ".", "c", "▁d", "e", "?", "f"], [0, 1, 2, 3, 4]
config = {
    "target": "nemo.collections.asr.models.rnnt_bpe_models.EncDecRNNTBPEModel",
    "model_defaults": {"tdt_durations": durations},
    "preprocessor": {"sample_rate": 16000, "normalize": "per_feature", "window_size": 0.025,
                     "window_stride": 0.01, "window": "hann", "features": 32, "n_fft": 512,
                     "dither": 1e-05},
    "encoder": {"feat_in": 32, "n_layers": 1, "d_model": 16, "n_heads": 2,
                "ff_expansion_factor": 2, "subsampling_factor": 8,
                "self_attention_model": "rel_pos", "subsampling": "dw_striding",
                "conv_kernel_size": 9, "subsampling_conv_channels": 8, "pos_emb_max_len": 1000},
    "decoder": {"blank_as_pad": True, "vocab_size": len(words),
                "prednet": {"pred_hidden": 16, "pred_rnn_layers": 1}},
    "joint": {"num_classes": len(words), "vocabulary": words, "num_extra_outputs": len(durations),
              "jointnet": {"joint_hidden": 16, "activation": "relu", "encoder_hidden": 16,
                           "pred_hidden": 16}},
    "decoding": {"model_type": "tdt", "durations": durations, "greedy": {"max_symbols": 10}},
}
folder = Path(sys.argv[1])
(folder / "config.json").write_text(json.dumps(config))
weights = dict(tree_flatten(from_config(config).parameters()))
mx.save_safetensors(str(folder / "model.safetensors"), weights)
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    python = program(installed_or_skip("parakeet-mlx"))
    assert python is not None
    folder = tmp_path_factory.mktemp("parakeet")
    subprocess.run([python, "-c", MAKE, str(folder)], check=True, timeout=250)
    return folder


@pytest.fixture(scope="module")
def session() -> Iterator[tuple[Worker, Path]]:
    """One worker for all tests, and a folder: importing librosa takes longer than decoding."""
    backend = installed_or_skip("parakeet-mlx")
    with tempfile.TemporaryDirectory() as scratch:
        started = launch(backend, scratch=Path(scratch), threads=THREADS)
        assert started is not None
        with Worker(started, Deadlines()) as worker:
            worker.hello()
            yield worker, Path(scratch)


def test_a_network_of_its_kind_is_loaded_in_bfloat16_and_decoded_as_declared(
    session: tuple[Worker, Path], weights: Path
) -> None:
    worker, scratch = session
    model = ModelParams("parakeet-tdt-0.6b-v2", str(weights), "parakeet-mlx")
    assert worker.load(LoadParams(model)).value.precision == "bfloat16"
    audio = speech("short", 0.0, 3.0)
    pcm = scratch / "audio.f32"
    audio.astype("<f4").tofile(pcm)

    def decode(contract: DecodeContract) -> m.TranscribeResult:
        spoken = m.AudioParams(str(pcm), len(audio))
        params = m.TranscribeParams(spoken, contract)
        return worker.transcribe(params).value

    heard = decode(DecodeContract())
    assert heard.segments
    assert heard.text == "".join(each.text for each in heard.segments).strip()
    assert all(0 <= each.start_s <= each.end_s <= 3.5 for each in heard.segments)
    assert {each.setting for each in deviations(DecodeContract(), heard.effective)} == {
        *["language", "best_of", "temperatures", "condition_on_previous_text", "window"]
    }
    assert decode(CONTRACTS["beam5"]).effective["beam_size"] == 5


def test_a_device_that_is_not_there_is_refused(session: tuple[Worker, Path], weights: Path) -> None:
    worker, _ = session  # the last test: a worker is ended by its first failure
    missing = "cuda" if sys.platform == "darwin" else "metal"
    model = ModelParams("parakeet-tdt-0.6b-v2", str(weights), "parakeet-mlx")
    with pytest.raises(WorkerFailureError, match="it has cpu"):
        worker.load(LoadParams(model, device=missing))
