"""A real backend in one worker process, for tests that decode many times."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pytest

from mac_whisper_speedtest.audio import builtin
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.adapter import LoadParams, ModelParams
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.weights.locate import locate
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.launch import launch, program
from mac_whisper_speedtest.worker.supervisor import Deadlines, Worker

THREADS = 1
"""Of a real backend in these tests. Two test processes with two threads each wait for one another
on a machine of two cores: the same texts then take three times as much processor time."""

Samples = npt.NDArray[np.float32]

# Importing torch for the first time takes minutes on a busy machine.
PATIENT = Deadlines(import_s=290, load_s=290, transcribe_s=290)


def installed_or_skip(name: str) -> Backend:
    """The built-in backend of that name; the test is skipped where it has no environment."""
    backend = registry.installed()[name]
    if program(backend) is None:
        pytest.skip(f"{name} is not installed: speedtest backends install {name}")
    return backend


def speech(clip: str, start_s: float = 0.0, end_s: float | None = None) -> Samples:
    """A piece of a built-in clip."""
    samples = builtin.load(clip, notify=print).samples
    return samples[int(start_s * 16000) : None if end_s is None else int(end_s * 16000)]


class Session:
    """One worker with one backend and a Whisper, or its own network, loaded. Use with ``with``.

    Attributes:
        backend: the backend that runs in it.
        model: the requested network.
        loaded: what it answered to ``load``.
    """

    loaded: m.LoadReply

    def __init__(self, name: str, model: str = "tiny.en") -> None:
        self.backend = installed_or_skip(name)
        self.model = model
        self._recordings = 0

    def __enter__(self) -> Self:
        backend = self.backend
        weights = locate(backend.model_info(self.model), notify=print)
        with ExitStack() as opened:
            self._scratch = Path(opened.enter_context(tempfile.TemporaryDirectory()))
            started = launch(backend, scratch=self._scratch, threads=THREADS)
            assert started is not None
            self._worker = opened.enter_context(Worker(started, PATIENT))
            self._worker.hello()
            model = ModelParams(weights.model, str(weights.path), weights.format)
            self.loaded = self._worker.load(LoadParams(model, threads=THREADS)).value
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def decode(self, contract: DecodeContract, audio: Samples) -> m.TranscribeResult:
        """Decode ``audio`` (16 kHz mono, shape [samples]) under ``contract``."""
        self._recordings += 1
        pcm = self._scratch / f"{self._recordings}.f32"
        audio.astype("<f4").tofile(pcm)
        params = m.TranscribeParams(m.AudioParams(str(pcm), len(audio)), contract)
        return self._worker.transcribe(params).value
