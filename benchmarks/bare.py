"""Each backend as a plain script would use it: the other side of overhead.py.

    python bare.py BACKEND WEIGHTS AUDIO.f32 THREADS PRECISION

Prints ``ready``, then for every line that it reads ``seconds WALL CPU``: wall time, and CPU time of
all threads of the process.
"""

import ctypes
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Audio = Any  # a float32 array
Transcribe = Callable[[Audio], str]


def faster_whisper(weights: str, threads: int, precision: str) -> Transcribe:
    from faster_whisper import WhisperModel

    model = WhisperModel(
        weights,
        device="cpu",
        compute_type=precision,
        cpu_threads=threads,
        num_workers=1,
        local_files_only=True,
    )

    def transcribe(audio: Audio) -> str:
        segments, _ = model.transcribe(
            audio,
            language="en",
            task="transcribe",
            beam_size=1,
            best_of=1,
            temperature=[0.0],
            condition_on_previous_text=False,
            without_timestamps=False,
            vad_filter=False,
        )
        return "".join(segment.text for segment in segments)

    return transcribe


def faster_whisper_batched(weights: str, threads: int, precision: str) -> Transcribe:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(
        weights,
        device="cpu",
        compute_type=precision,
        cpu_threads=threads,
        num_workers=1,
        local_files_only=True,
    )
    pipeline = BatchedInferencePipeline(model)

    def transcribe(audio: Audio) -> str:
        segments, _ = pipeline.transcribe(
            audio,
            language="en",
            task="transcribe",
            beam_size=1,
            best_of=1,
            temperature=[0.0],
            without_timestamps=True,
            vad_filter=True,
            batch_size=8,
        )
        return "".join(segment.text for segment in segments)

    return transcribe


def whisper_cpp(weights: str, threads: int, precision: str) -> Transcribe:  # noqa: ARG001
    from pywhispercpp.model import Model

    model = Model(
        weights,
        redirect_whispercpp_logs_to=False,
        context_params={"use_gpu": True},
        n_threads=threads,
        print_progress=False,
    )

    def transcribe(audio: Audio) -> str:
        segments = model.transcribe(
            audio,
            language="en",
            translate=False,
            temperature=0.0,
            temperature_inc=0.0,
            greedy={"best_of": 1},
            n_max_text_ctx=0,
            no_timestamps=False,
            suppress_nst=True,
            vad=False,
        )
        return "".join(segment.text for segment in segments)

    return transcribe


def crispasr(weights: str, threads: int, precision: str) -> Transcribe:  # noqa: ARG001
    """The package's class for Whisper; equal work if no window needs a fallback."""
    from crispasr import CrispASR

    model = CrispASR(weights)
    options = {"n_threads": threads, "best_of": 1, "print_progress": 0}

    def transcribe(audio: Audio) -> str:
        segments = model.transcribe_pcm(audio, language="en", decode_options=options)
        return "".join(segment.text for segment in segments)

    return transcribe


def preload_blas() -> None:
    """As the MLX adapters do; without it MLX's Linux build is not representative."""
    faiss = importlib.util.find_spec("faiss")
    if faiss is None or faiss.origin is None:
        return
    folder = Path(faiss.origin).parent.with_name("faiss_cpu.libs")
    for name in ("libquadmath", "libgfortran", "libgomp", "libopenblas"):
        mode = ctypes.RTLD_GLOBAL if name == "libopenblas" else ctypes.RTLD_LOCAL
        for path in sorted(folder.glob(f"{name}*")):
            ctypes.CDLL(str(path), mode=mode)


def mlx_whisper(weights: str, threads: int, precision: str) -> Transcribe:  # noqa: ARG001
    preload_blas()
    import mlx.core as mx
    import mlx_whisper
    from mlx_whisper.transcribe import ModelHolder

    ModelHolder.get_model(weights, getattr(mx, precision))

    def transcribe(audio: Audio) -> str:
        result = mlx_whisper.transcribe(
            audio,
            path_or_hf_repo=weights,
            language="en",
            task="transcribe",
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=False,
            fp16=precision == "float16",
            verbose=None,
        )
        mx.synchronize()
        return str(result["text"])

    return transcribe


def mlx_audio(weights: str, threads: int, precision: str) -> Transcribe:  # noqa: ARG001
    preload_blas()
    import mlx.core as mx
    from mlx_audio.stt.models.whisper import Model, ModelConfig
    from mlx_audio.utils import load_config, load_weights

    folder = Path(weights)
    model = Model(ModelConfig.from_dict(load_config(folder)), getattr(mx, precision))
    model.load_weights(list(model.sanitize(load_weights(folder)).items()))
    mx.eval(model.parameters())
    model.eval()
    model = Model.post_load_hook(model, folder)
    times = [f"<|{step * 0.02:.2f}|>" for step in range(1501)]
    model._processor.tokenizer.add_tokens(times)  # noqa: SLF001 - its file ends before them

    def transcribe(audio: Audio) -> str:
        result = model.generate(
            audio,
            fp16=precision == "float16",
            language="en",
            task="transcribe",
            temperature=0.0,
            best_of=1,
            condition_on_previous_text=False,
            return_timestamps=True,
        )
        mx.synchronize()
        return str(result.text)

    return transcribe


def sherpa_onnx(weights: str, threads: int, precision: str) -> Transcribe:  # noqa: ARG001
    from sherpa_onnx import OfflineRecognizer

    recognizer = OfflineRecognizer.from_whisper(
        encoder=f"{weights}/encoder.onnx",
        decoder=f"{weights}/decoder.onnx",
        tokens=f"{weights}/tokens.txt",
        language="en",
        num_threads=threads,
        tail_paddings=3000,
        enable_segment_timestamps=True,
    )

    def transcribe(audio: Audio) -> str:
        stream = recognizer.create_stream()
        stream.accept_waveform(16000, audio)
        recognizer.decode_stream(stream)
        return str(stream.result.text)

    return transcribe


def openai_whisper(weights: str, threads: int, precision: str) -> Transcribe:
    import torch
    import whisper

    torch.set_num_threads(threads)
    model = whisper.load_model(weights, device="cpu")

    def transcribe(audio: Audio) -> str:
        result = model.transcribe(
            audio,
            verbose=None,
            fp16=precision == "float16",
            language="en",
            task="transcribe",
            best_of=1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=False,
        )
        return str(result["text"])

    return transcribe


def insanely_fast_whisper(weights: str, threads: int, precision: str) -> Transcribe:
    import torch
    from transformers import pipeline

    torch.set_num_threads(threads)
    recognize = pipeline(
        "automatic-speech-recognition",
        model=weights,
        dtype=getattr(torch, precision),
        device="cpu",
        model_kwargs={"attn_implementation": "sdpa"},
    )

    def transcribe(audio: Audio) -> str:
        result = recognize(
            {"raw": audio, "sampling_rate": 16000},
            chunk_length_s=30,
            batch_size=24,
            return_timestamps=True,
            ignore_warning=True,
            generate_kwargs={"num_beams": 1, "temperature": 0.0},
        )
        return str(result["text"])

    return transcribe


def whisperx(weights: str, threads: int, precision: str) -> Transcribe:
    # The order that a user of whisperx alone gets: with torch first it is 10 % slower.
    from whisperx.asr import load_model  # isort: skip
    import torch

    torch.set_num_threads(threads)
    pipeline = load_model(
        weights,
        device="cpu",
        compute_type=precision,
        asr_options={"beam_size": 1},
        language="en",
        vad_method="pyannote",
        local_files_only=True,
        threads=threads,
    )

    def transcribe(audio: Audio) -> str:
        result = pipeline.transcribe(audio, batch_size=8, language="en", task="transcribe")
        return "".join(segment["text"] for segment in result["segments"])

    return transcribe


def lightning_whisper_mlx(weights: str, threads: int, precision: str) -> Transcribe:  # noqa: ARG001
    preload_blas()
    import mlx.core as mx
    from lightning_whisper_mlx.transcribe import ModelHolder, transcribe_audio

    ModelHolder.get_model(weights, getattr(mx, precision))

    def transcribe(audio: Audio) -> str:
        result = transcribe_audio(
            audio,
            path_or_hf_repo=weights,
            batch_size=12,
            fp16=precision == "float16",
            language="en",
            task="transcribe",
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        mx.synchronize()
        return str(result["text"])

    return transcribe


def whisper_mps(weights: str, threads: int, precision: str) -> Transcribe:  # noqa: ARG001
    preload_blas()
    import mlx.core as mx
    import torch
    from whisper_mps.whisper import load_models, torch_whisper
    from whisper_mps.whisper import transcribe as library
    from whisper_mps.whisper.transcribe import ModelHolder

    checkpoint = torch.load(weights, map_location="cpu", weights_only=True)
    reader = torch_whisper.Whisper(torch_whisper.ModelDimensions(**checkpoint["dims"]))
    reader.load_state_dict(checkpoint["model_state_dict"])
    ModelHolder.model = load_models.torch_to_mlx(reader, getattr(mx, precision))
    ModelHolder.model_name = weights

    def transcribe(audio: Audio) -> str:
        result = library(
            audio,
            model=weights,
            fp16=precision == "float16",
            language="en",
            task="transcribe",
            temperature=[0.0],
            best_of=1,
            condition_on_previous_text=False,
            without_timestamps=False,
        )
        mx.synchronize()
        return str(result["text"])

    return transcribe


def parakeet_mlx(weights: str, threads: int, precision: str) -> Transcribe:  # noqa: ARG001
    preload_blas()
    import mlx.core as mx
    from parakeet_mlx import from_pretrained
    from parakeet_mlx.audio import get_logmel

    model = from_pretrained(weights, dtype=getattr(mx, precision))

    def transcribe(audio: Audio) -> str:
        result = model.generate(get_logmel(mx.array(audio), model.preprocessor_config))[0]
        mx.synchronize()
        return str(result.text)

    return transcribe


def moonshine_voice(weights: str, threads: int, precision: str) -> Transcribe:  # noqa: ARG001
    from moonshine_voice import ModelArch, Transcriber

    transcriber = Transcriber(weights, ModelArch.TINY)

    def transcribe(audio: Audio) -> str:
        lines = transcriber.transcribe_without_streaming(audio.tolist(), 16000).lines
        return " ".join(line.text for line in lines)

    return transcribe


LOADERS = {
    "faster-whisper": faster_whisper,
    "faster-whisper-batched": faster_whisper_batched,
    "moonshine-voice": moonshine_voice,
    "whisper.cpp": whisper_cpp,
    "crispasr": crispasr,
    "mlx-whisper": mlx_whisper,
    "mlx-audio": mlx_audio,
    "sherpa-onnx": sherpa_onnx,
    "lightning-whisper-mlx": lightning_whisper_mlx,
    "whisper-mps": whisper_mps,
    "parakeet-mlx": parakeet_mlx,
    "openai-whisper": openai_whisper,
    "insanely-fast-whisper": insanely_fast_whisper,
    "whisperx": whisperx,
}


def main(backend: str, weights: str, pcm: str, threads: str, precision: str) -> None:
    audio = np.fromfile(pcm, dtype="<f4")
    transcribe = LOADERS[backend](weights, int(threads), precision)
    out = sys.stdout
    print("ready", file=out, flush=True)
    for _ in sys.stdin:
        cpu, wall = time.process_time(), time.perf_counter()
        transcribe(audio)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"seconds {wall!r} {cpu!r}", file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
