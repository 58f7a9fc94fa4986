"""What the checks work with: the program under test, and the exceptions that end a check."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mac_whisper_speedtest import interrupts
from mac_whisper_speedtest.audio.decode import SAMPLE_RATE
from mac_whisper_speedtest.audio.recording import write_pcm
from mac_whisper_speedtest.backends.adapter import ModelParams
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.limits import LimitError
from mac_whisper_speedtest.printable import shown
from mac_whisper_speedtest.worker import answers
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.conformance.client import Client, NoAnswerError, WorkerReply
from mac_whisper_speedtest.worker.launch import launch
from mac_whisper_speedtest.worker.messages import ViolationError, decode, start_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ConformanceSubject:
    """The program under test and its input.

    Attributes:
        samples: audio it can transcribe; shape [samples], 16 kHz mono float32.
        language: of the audio, ISO 639-1.
        takes_weights: whether the program uses ``model.path``.
        threads: CPU threads it may use.
        timeout_s: deadline of every answer, in seconds.
        load_s: deadline of the answer to ``load``, if it differs.
        eof_idle_s: seconds to exit after the end of input, when idle.
        eof_busy_s: the same during a transcription.
        children_grace_s: seconds for its child processes to exit after it.
    """

    backend: Backend
    model: ModelParams
    samples: npt.NDArray[np.float32]
    language: str = "en"
    takes_weights: bool = True
    threads: int = 1
    timeout_s: float = 60.0
    load_s: float | None = None
    eof_idle_s: float = 5.0
    eof_busy_s: float = 10.0
    children_grace_s: float = 2.0


class FailError(Exception):
    """The program violated the protocol."""


class DoubtError(Exception):
    """The protocol allows it, but it makes results less reliable."""


class SkipError(Exception):
    """A check does not apply, or a check that it depends on has failed."""


class Bench:
    """The program under test: started when a check needs it, restarted when it has exited."""

    def __init__(self, subject: ConformanceSubject, folder: Path) -> None:
        self.subject = subject
        self.folder = folder
        self.client: Client | None = None
        self.loaded = False
        self.unusable: set[str] = set()
        self.transcriptions: list[tuple[m.TranscribeResult, float]] = []
        self.junk: list[str] = []
        self.wrong_ids: list[str] = []
        self.leftovers: list[str] = []
        self._audio: dict[int, Path] = {}

    @property
    def audio_s(self) -> float:
        """Seconds of the audio under test."""
        return self.subject.samples.size / SAMPLE_RATE

    def start(self) -> Client:
        """A new process that has received no call yet."""
        self.retire()
        scratch = Path(tempfile.mkdtemp(dir=self.folder))
        started = launch(self.subject.backend, scratch=scratch, threads=self.subject.threads)
        if started is None:
            raise NoAnswerError(f"{self.subject.backend.name} is not installed")
        with interrupts.held_back():  # an unregistered process could not be killed
            self.client, self.loaded = Client(started), False
        return self.client

    def retire(self) -> None:
        """Kill the current process; keep the violations that it recorded."""
        if self.client is not None:
            self.client.kill()
            self.junk += self.client.junk
            self.wrong_ids += self.client.wrong_ids
            self.client = None

    def call(self, client: Client, method: str, params: Any = None) -> WorkerReply:
        """Call with the deadline of this program."""
        load_s = self.subject.load_s if method == m.Method.LOAD else None
        return client.call(method, params or {}, load_s or self.subject.timeout_s)

    def greeted(self) -> Client:
        """A running process that has answered hello."""
        if "hello" in self.unusable:
            raise SkipError("hello failed")
        if self.client is not None and self.client.alive:
            return self.client
        client = self.start()
        self.call(client, m.Method.HELLO, asdict(m.HelloParams()))
        return client

    def ready(self) -> Client:
        """A running process that has loaded the model."""
        client = self.greeted()
        if "load" in self.unusable:
            raise SkipError("load failed")
        if not self.loaded:
            self.result_of(self.call(client, m.Method.LOAD, self.load_params()), m.LoadReply)
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
    def result_of(
        reply: WorkerReply, kind: type[T], checked: Callable[[T], T] = lambda result: result
    ) -> T:
        """The typed result of an answer; ``checked`` applies the limits of a run.

        Raises:
            FailError: the answer is an error, or its result has another type or exceeds a limit.
        """
        if reply.error is not None:
            said = answers.cleaned_line(reply.error.message)
            raise FailError(f"error {shown(reply.error.code)}: {said}")
        try:
            return checked(decode(reply.result, kind, "result"))
        except (LimitError, ViolationError) as problem:
            raise FailError(f"invalid result: {problem}") from problem

    def expect_error(self, client: Client, reply: WorkerReply, code: m.ErrorCode) -> str:
        """Require an error with this code, and any answer to the next call."""
        if reply.error is None:
            raise FailError(f"a result, not error {code:d}: {start_of(reply.result)}")
        if reply.error.code != code:
            said = answers.cleaned_line(reply.error.message)
            raise FailError(f"error {shown(reply.error.code)} ({said}) instead of {code:d}")
        try:
            self.call(client, "conformance.still_there")
        except NoAnswerError as error:
            raise FailError(f"error {code:d}, but then it {error}") from error
        return f"error {code:d}"


def speech_like(seconds: float) -> npt.NDArray[np.float32]:
    """A deterministic clip that resembles speech: a buzzing voice in syllables, some breath.

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
