"""An adapter that tells everybody what stands in the file that PLANTED names."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mac_whisper_speedtest.backends.adapter import (
    Breakdown,
    LoadedModel,
    LoadParams,
    Segment,
    Transcription,
)
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings


class Telltale:
    """Puts the words into its log, its details and all names; with FAULT also into its error."""

    def __init__(self) -> None:
        self._words = Path(os.environ["PLANTED"]).read_text(encoding="utf-8")
        self._name = self._words.splitlines()[-1]

    def import_library(self) -> Mapping[str, str]:
        return {"version": f"1.0 {self._name}", "numpy": self._name, self._name: "1"}

    def load(self, params: LoadParams) -> LoadedModel:
        print(self._words, file=sys.stderr)
        details = {"weights": self._words, "system_info": self._words, "other": self._words}
        return LoadedModel(
            device=f"cpu {self._name}", precision=f"float32 {self._name}", details=details
        )

    def transcribe(self, audio: Any, contract: DecodeContract) -> Transcription:
        if os.environ.get("FAULT"):
            print(self._words, file=sys.stderr)
            raise RuntimeError(f"cannot go on: {self._words}")
        return Transcription(
            segments=[Segment(0.0, 1.0, "hello")],
            language=self._name,
            breakdown=lambda: Breakdown(stages_s={self._name: 0.0}),
        )

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        return EffectiveSettings(
            values=contract.settings() | {self._name: self._name},
            observed=(self._name,),
            remarks=(self._words,),
        )

    def synchronize(self) -> None:
        pass

    def unload(self) -> None:
        pass
