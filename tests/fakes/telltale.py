"""An adapter that tells whoever listens what stands in the file that PLANTED names."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mac_whisper_speedtest.backends.adapter import LoadedModel, LoadParams, Segment, Transcription
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings


class Telltale:
    """Puts the words into its log and its details; with FAULT also into its error."""

    def __init__(self) -> None:
        self._words = Path(os.environ["PLANTED"]).read_text(encoding="utf-8")

    def import_library(self) -> Mapping[str, str]:
        return {"version": "1.0"}

    def load(self, params: LoadParams) -> LoadedModel:
        print(self._words, file=sys.stderr)
        details = {"weights": self._words, "system_info": self._words, "other": self._words}
        return LoadedModel(device="cpu", precision="float32", details=details)

    def transcribe(self, audio: Any, contract: DecodeContract) -> Transcription:
        if os.environ.get("FAULT"):
            print(self._words, file=sys.stderr)
            raise RuntimeError(f"cannot go on: {self._words}")
        return Transcription(segments=[Segment(0.0, 1.0, "hello")], language="en")

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        return EffectiveSettings(values=contract.settings())

    def synchronize(self) -> None:
        pass

    def unload(self) -> None:
        pass
