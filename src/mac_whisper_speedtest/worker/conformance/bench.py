"""What the checks work with: a program under test, and how a check says what it found."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from mac_whisper_speedtest import interrupts
from mac_whisper_speedtest.audio.decode import SAMPLE_RATE
from mac_whisper_speedtest.audio.recording import write_pcm
from mac_whisper_speedtest.backends.adapter import ModelParams
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.conformance.client import Client, NoAnswerError, WorkerReply
from mac_whisper_speedtest.worker.launch import launch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ConformanceSubject:
    """A program under test and what it is fed.

    Attributes:
        backend: what to start.
        model: weights that it can load.
        samples: audio it can transcribe; shape [samples], 16 kHz mono float32.
        language: what is spoken in it, ISO 639-1.
        takes_weights: whether the program looks at ``model.path`` at all.
        threads: CPU threads it is told to use.
        timeout_s: deadline of every answer, in seconds.
        eof_idle_s: how soon it must have gone after the end of input when idle, in seconds.
        eof_busy_s: the same in the middle of a transcription.
        children_grace_s: how soon processes of the worker's own must have followed it, in seconds.
    """

    backend: Backend
    model: ModelParams
    samples: npt.NDArray[np.float32]
    language: str = "en"
    takes_weights: bool = True
    threads: int = 1
    timeout_s: float = 60.0
    eof_idle_s: float = 5.0
    eof_busy_s: float = 10.0
    children_grace_s: float = 2.0


class FailError(Exception):
    """The program did something else than the protocol asks."""


class DoubtError(Exception):
    """Allowed, but it makes results worth less."""


class SkipError(Exception):
    """There is nothing to check, or what the check builds on has failed already."""


class Bench:
    """The program under test: started when a check needs it, again when it has gone."""

    def __init__(self, subject: ConformanceSubject, folder: Path) -> None:
        self.subject = subject
        self.folder = folder
        self.client: Client | None = None
        self.loaded = False
        self.unusable: set[str] = set()
        self.heard: list[tuple[m.TranscribeResult, float]] = []
        self.junk: list[str] = []
        self.wrong_ids: list[str] = []
        self.leftovers: list[str] = []
        self._audio: dict[int, Path] = {}

    def start(self) -> Client:
        """A new process that nothing was said to yet."""
        self.retire()
        scratch = Path(tempfile.mkdtemp(dir=self.folder))
        started = launch(self.subject.backend, scratch=scratch, threads=self.subject.threads)
        if started is None:
            raise NoAnswerError(f"{self.subject.backend.name} is not installed")
        with interrupts.held_back():  # a process that nobody knows of could not be ended
            self.client, self.loaded = Client(started), False
        return self.client

    def retire(self) -> None:
        """End the current process, keeping what it did wrong in passing."""
        if self.client is not None:
            self.client.kill()
            self.junk += self.client.junk
            self.wrong_ids += self.client.wrong_ids
            self.client = None

    def ask(self, client: Client, method: str, params: Any = None) -> WorkerReply:
        """Call with the deadline that holds for this program."""
        return client.call(method, params or {}, self.subject.timeout_s)

    def greeted(self) -> Client:
        """A living process that has answered hello."""
        if "hello" in self.unusable:
            raise SkipError("hello failed")
        if self.client is not None and self.client.alive:
            return self.client
        client = self.start()
        self.ask(client, m.Method.HELLO, asdict(m.HelloParams()))
        return client

    def ready(self) -> Client:
        """A living process that has loaded the model."""
        client = self.greeted()
        if "load" in self.unusable:
            raise SkipError("load failed")
        if not self.loaded:
            self.result_of(self.ask(client, m.Method.LOAD, self.load_params()), m.LoadReply)
            self.loaded = True
        return client

    def load_params(self, path: str | None = None) -> dict[str, Any]:
        """Parameters of ``load`` for the model, or for the same model at another path."""
        model = asdict(self.subject.model)
        if path is not None:
            model["path"] = path
        return {"model": model, "device": "auto", "threads": self.subject.threads}

    def transcribe_params(self, kind: str = "timed", repeats: int = 1) -> dict[str, Any]:
        """Parameters of ``transcribe`` for the audio, repeated end to end."""
        import numpy as np

        if repeats not in self._audio:
            self._audio[repeats] = self.folder / f"audio-{repeats}.f32"
            write_pcm(np.tile(self.subject.samples, repeats), self._audio[repeats])
        audio = m.AudioParams(str(self._audio[repeats]), self.subject.samples.size * repeats)
        contract = DecodeContract(language=self.subject.language)
        return asdict(m.TranscribeParams(audio, contract, kind))

    @staticmethod
    def result_of(reply: WorkerReply, kind: type[T]) -> T:
        """The typed result of an answer; anything else fails the check."""
        if reply.error is not None:
            raise FailError(f"error {reply.error.code}: {reply.error.message}")
        try:
            return msgspec.json.decode(reply.result, type=kind)
        except msgspec.MsgspecError as error:
            raise FailError(f"a result that does not fit: {error}") from error

    def expect_error(self, client: Client, reply: WorkerReply, code: m.ErrorCode) -> str:
        """Check an error's code and that the program answers the next call, whatever it says."""
        if reply.error is None:
            shown = reply.result[:80].decode("utf-8", "replace")
            raise FailError(f"a result, not error {code:d}: {shown}")
        if reply.error.code != code:
            raise FailError(f"error {reply.error.code} ({reply.error.message}), not {code:d}")
        try:
            self.ask(client, "conformance.still_there")
        except NoAnswerError as error:
            raise FailError(f"error {code:d}, but then it {error}") from error
        return f"error {code:d}"


def speech_like(seconds: float) -> npt.NDArray[np.float32]:
    """A deterministic clip that behaves like speech: a buzzing voice in syllables, some breath.

    Args:
        seconds: its duration; the last quarter is silent.

    Returns:
        Shape [samples], 16 kHz mono float32, about -20 dB.
    """
    import numpy as np

    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = 2 * np.pi * np.cumsum(130 + 20 * np.sin(2 * np.pi * 0.8 * t)) / SAMPLE_RATE
    # Harmonics are strongest near 500 and 1500 Hz, the first two resonances of a neutral vowel.
    voice = sum(
        np.sin(k * pitch) / (1 + abs(130 * k - (500 if k < 8 else 1500)) / 150)
        for k in range(1, 24)
    )
    breath = 0.1 * np.random.default_rng(0).standard_normal(t.size)
    syllables = np.clip(np.sin(2 * np.pi * 4 * t), 0, None) * (t < 0.75 * seconds)
    clip = syllables * (voice + breath)
    samples: npt.NDArray[np.float32] = (0.4 * clip / np.abs(clip).max()).astype(np.float32)
    return samples
