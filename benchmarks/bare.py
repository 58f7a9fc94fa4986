"""Each backend as a plain script would use it: the other side of overhead.py.

    python bare.py BACKEND WEIGHTS AUDIO.f32 THREADS PRECISION

Prints ``ready``, then one line of seconds for every line it reads.
"""

import sys
import time
from collections.abc import Callable
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


def mlx_whisper(weights: str, threads: int, precision: str) -> Transcribe:  # noqa: ARG001
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


LOADERS = {
    "faster-whisper": faster_whisper,
    "whisper.cpp": whisper_cpp,
    "mlx-whisper": mlx_whisper,
}


def main(backend: str, weights: str, pcm: str, threads: str, precision: str) -> None:
    audio = np.fromfile(pcm, dtype="<f4")
    transcribe = LOADERS[backend](weights, int(threads), precision)
    out = sys.stdout
    print("ready", file=out, flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        transcribe(audio)
        print(f"seconds {time.perf_counter() - started!r}", file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
