"""Adapters with known truth: one that is sound, and one for every way to come by a wrong number.

They run in real worker processes, chosen by class name. ``docs/explanation/method.md`` lists what
the tool has to say about each; ``tests/run/test_pitfalls.py`` holds it to that.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mac_whisper_speedtest.backends.adapter import (
    DecodedSegment,
    LoadedModel,
    LoadParams,
    ModelParams,
    Segment,
    Transcription,
)
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings

WORK_S = 0.03
FIRST_S = 0.6
# Six samples show a trend only if each is longer than the one before, on a busy machine too.
DRIFT = 3.0
BUSY_S = 1.0
LEAK_BYTES = 50_000_000
STEADY_S = 0.2
SLOWER = 1.1
TEXT = "And so, my fellow Americans, ask not what your country can do for you."
OTHER_TEXT = "Four score and seven years ago our fathers brought forth a new nation to this land."
FRENCH_SECONDS = 2
"""Recordings of this length are French, longer ones Russian."""
TEXTS: Mapping[str, str] = {
    "fr": "le petit chien dort",
    "ru": "маленькая собака спит",
    "en": "the little dog sleeps",
}


class Sound:
    """Takes ``WORK_S`` per call, says ``TEXT``, and runs on whatever it is asked to run on."""

    def __init__(self) -> None:
        self.calls = 0
        self.params = LoadParams(ModelParams("", "", ""))

    def import_library(self) -> Mapping[str, str]:
        return {"version": "1.0"}

    def load(self, params: LoadParams) -> LoadedModel:
        self.params = params
        device = "cpu" if params.device == "auto" else params.device
        return LoadedModel(device=device, precision=params.model.precision)

    def transcribe(self, audio: Any, contract: DecodeContract) -> Transcription:
        self.calls += 1
        self.work()
        return Transcription(segments=[Segment(0.0, 2.0, self.text())], language="en")

    def work(self) -> None:
        time.sleep(WORK_S)

    def text(self) -> str:
        return TEXT

    def synchronize(self) -> None:
        pass

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        return EffectiveSettings(values=contract.settings(), observed=("language",))

    def unload(self) -> None:
        pass


class Lazy(Sound):
    """Returns at once; its segments take ``WORK_S`` when they are asked for."""

    def transcribe(self, audio: Any, contract: DecodeContract) -> Transcription:
        return Transcription(segments=self._lazily(), language="en")

    def _lazily(self) -> Iterator[Segment]:
        time.sleep(WORK_S)
        yield Segment(0.0, 2.0, TEXT)


class Asynchronous(Sound):
    """Returns at once; what it started takes ``WORK_S``, and ``synchronize`` waits for it."""

    def work(self) -> None:
        self.started = threading.Thread(target=time.sleep, args=(WORK_S,))
        self.started.start()

    def synchronize(self) -> None:
        self.started.join()


class FinishesLate(Sound):
    """Its clock sees 1 ms of the 0.2 s it takes: the rest passes before it answers, but after the
    clock.

    What a device does that is waited for only when the results are read.
    """

    def work(self) -> None:
        time.sleep(0.001)

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        time.sleep(0.2)
        return super().effective(contract)


_BLOCK = bytes(1_000_000)


class GoesOn(Sound):
    """Computes for ``BUSY_S`` seconds after its answer, on two cores however often it is called."""

    threads: tuple[threading.Thread, ...] = ()
    until = 0.0

    def work(self) -> None:
        super().work()
        self.until = time.monotonic() + BUSY_S
        if not any(each.is_alive() for each in self.threads):
            self.threads = tuple(
                threading.Thread(target=self._compute, daemon=True) for _ in range(2)
            )
            for each in self.threads:
                each.start()

    def _compute(self) -> None:
        while time.monotonic() < self.until:
            hashlib.sha256(_BLOCK)  # lets go of the interpreter


class Compiles(Sound):
    """The first call takes ``FIRST_S`` more than any other; the model was loaded before it."""

    def work(self) -> None:
        time.sleep(WORK_S + (FIRST_S if self.calls == 1 else 0.0))


class WarmsUp(Sound):
    """Its calls take ``STEADY_S``, but the first takes three times as long, the second twice."""

    def work(self) -> None:
        time.sleep(STEADY_S * max(4 - self.calls, 1))


class LoadsLate(Sound):
    """Reads its weights in the first call, which therefore takes ``FIRST_S`` more."""

    def work(self) -> None:
        if self.calls == 1:
            self._weights = Path(self.params.model.path).read_bytes()
            time.sleep(FIRST_S)
        super().work()


class Drifts(Sound):
    """Every timed call takes ``DRIFT`` of ``WORK_S`` more than the one before."""

    def work(self) -> None:
        time.sleep(WORK_S * (1 + DRIFT * max(self.calls - 2, 0)))


class ChangesItsText(Sound):
    """Says something else in every call, and claims temperature 0 without fallback."""

    def text(self) -> str:
        return f"{TEXT} {self.calls}"


class Loops(Sound):
    """Gets stuck in a phrase, as Whisper does on silence."""

    def text(self) -> str:
        return TEXT + " Thank you for watching." * 20


class FallsBack(Sound):
    """Runs on ``metal`` in ``int4`` whatever it is asked for, and says so."""

    def load(self, params: LoadParams) -> LoadedModel:
        return LoadedModel(device="metal", precision="int4")


class OtherWork(Sound):
    """Decodes with a beam of 5 whatever it is asked for, and says so."""

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        return EffectiveSettings(
            values={**contract.settings(), "beam_size": 5}, observed=("beam_size",)
        )


class Lies(Sound):
    """Reports what the contract asks for. Its transcripts are in French and end 28 s too late."""

    def transcribe(self, audio: Any, contract: DecodeContract) -> Transcription:
        self.work()
        return Transcription(segments=[Segment(0.0, 30.0, TEXT)], language="fr")


class HasNoTimes(Sound):
    """Reports timestamps, and says that every segment begins and ends at 0."""

    def transcribe(self, audio: Any, contract: DecodeContract) -> Transcription:
        self.work()
        return Transcription(segments=[Segment(0.0, 0.0, TEXT)], language="en")


class Leaks(Sound):
    """Keeps ``LEAK_BYTES`` of every call for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[bytes] = []

    def work(self) -> None:
        super().work()
        self._kept.append(b"x" * LEAK_BYTES)


class Settles(Sound):
    """Takes 16 MB in the first call and keeps them: a buffer, no leak."""

    def work(self) -> None:
        super().work()
        if self.calls == 1:
            self._buffer = b"x" * 16_000_000


class Steady(Sound):
    """Takes ``STEADY_S`` per call."""

    def work(self) -> None:
        time.sleep(STEADY_S)


class Slower(Steady):
    """Takes a tenth more."""

    def work(self) -> None:
        time.sleep(STEADY_S * SLOWER)


class Wrong(Steady):
    """As quick as the others, and says something else."""

    def text(self) -> str:
        return OTHER_TEXT


class FallsBackOnce(Steady):
    """Its fourth call is decoded three times: at the last it has a raised temperature."""

    def transcribe(self, audio: Any, contract: DecodeContract) -> Transcription:
        self.calls += 1
        fourth = self.calls == 4
        time.sleep(STEADY_S * (3 if fourth else 1))
        segment = DecodedSegment(0.0, 2.0, TEXT, temperature=0.4 if fourth else 0.0)
        return Transcription(segments=[segment], language="en")


class RefusesSome(Steady):
    """Cannot transcribe what is shorter than a second; goes on living."""

    def transcribe(self, audio: Any, contract: DecodeContract) -> Transcription:
        if len(audio) < 16000:
            raise ValueError("the audio is too short for this backend")
        return super().transcribe(audio, contract)


class Polyglot(Sound):
    """Decodes in the language it is asked for; asked for none, it detects the right one."""

    def transcribe(self, audio: Any, contract: DecodeContract) -> Transcription:
        self.used = self.language(contract, "fr" if len(audio) == FRENCH_SECONDS * 16000 else "ru")
        return Transcription([Segment(0.0, 1.0, TEXTS[self.used])], language=self.used)

    def language(self, contract: DecodeContract, spoken: str) -> str:
        return contract.language or spoken

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        used = replace(contract, language=self.used)
        return EffectiveSettings(used.settings(), observed=("language",))


class English(Polyglot):
    """Decodes everything as English, whatever it is asked."""

    def language(self, contract: DecodeContract, spoken: str) -> str:
        return "en"


class Confused(Polyglot):
    """Decodes Russian as French, whatever it is asked."""

    def language(self, contract: DecodeContract, spoken: str) -> str:
        return "fr"
