"""Adapters that end their own process, on some recordings or all, or come in several releases."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mac_whisper_speedtest.backends.adapter import LoadedModel, LoadParams, Segment, Transcription
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings

WORK_S = 0.03
TEXT = "And so, my fellow Americans, ask not what your country can do for you."


class Living:
    """Takes ``WORK_S`` per call and says ``TEXT``."""

    def import_library(self) -> Mapping[str, str]:
        return {"version": "1.0"}

    def load(self, params: LoadParams) -> LoadedModel:
        return LoadedModel(device=params.device, precision=params.model.precision)

    def transcribe(self, audio: Any, contract: DecodeContract) -> Transcription:
        time.sleep(WORK_S)
        return Transcription(segments=[Segment(0.0, 2.0, TEXT)], language="en")

    def synchronize(self) -> None:
        pass

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        return EffectiveSettings(values=contract.settings(), observed=("language",))

    def unload(self) -> None:
        pass


class DiesOnShort(Living):
    """Dies of what is shorter than a second."""

    def transcribe(self, audio: Any, contract: DecodeContract) -> Transcription:
        if len(audio) < 16000:
            os.abort()
        return super().transcribe(audio, contract)


class DiesAlways(Living):
    """Dies of everything."""

    def transcribe(self, audio: Any, contract: DecodeContract) -> Transcription:
        os.abort()


class Released(Living):
    """Of the release that the file named by VERSION_FILE says."""

    def import_library(self) -> Mapping[str, str]:
        return {"version": Path(os.environ["VERSION_FILE"]).read_text(encoding="utf-8").strip()}
