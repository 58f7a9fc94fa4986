"""Adapters with known truth: one that works, and one per way to go wrong.

They run in real worker processes, chosen by the variable FAULT. Every transcription takes
``WORK_S`` seconds of wall time and says ``TEXT``, unless the fault is about just that.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mac_whisper_speedtest.backends.adapter import (
    BackendUnavailableError,
    LoadedModel,
    LoadParams,
    ModelUnusableError,
    Segment,
    Transcription,
)
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings

WORK_S = 0.05
TEXT = "And so, my fellow Americans."
_FOREVER_S = 10_000.0


class Faulty:
    """Works, except for what the variable FAULT names."""

    def __init__(self) -> None:
        self._fault = os.environ.get("FAULT", "")
        self._hoard: list[bytearray] = []

    def import_library(self) -> Mapping[str, str]:
        if self._fault == "unavailable":
            raise BackendUnavailableError("no such library here")
        if self._fault == "hang_in_import":
            time.sleep(_FOREVER_S)
        return {"version": "1.0"}

    def load(self, params: LoadParams) -> LoadedModel:
        if self._fault == "hang_in_load":
            time.sleep(_FOREVER_S)
        if self._fault == "bad_model":
            raise ModelUnusableError(f"{Path(params.model.path).name} is not a model")
        if self._fault == "takes_no_path" and params.model.path:
            raise ModelUnusableError(f"there is a path: {params.model.path}")
        device = "ane" if self._fault == "on_the_neural_engine" else "cpu"
        return LoadedModel(device=device, precision="float32")

    def transcribe(self, audio: Any, contract: DecodeContract) -> Transcription:
        fault = getattr(self, f"_{self._fault}", None)
        if fault is not None:
            fault()
        time.sleep(WORK_S)
        end = float("nan") if self._fault == "nan_segments" else 1.0
        return Transcription(segments=[Segment(0.0, end, TEXT)], language="en")

    def synchronize(self) -> None:
        pass

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        return EffectiveSettings(values=contract.settings())

    def unload(self) -> None:
        pass

    def _hang_in_transcribe(self) -> None:
        time.sleep(_FOREVER_S)

    def _hang_holding_the_interpreter(self) -> None:
        """Catastrophic backtracking: no other Python thread runs meanwhile."""
        re.match(r"(a+)+$", "a" * 64 + "b")

    def _segfault(self) -> None:
        ctypes.string_at(0)

    def _abort(self) -> None:
        os.abort()

    def _exit_silently(self) -> None:
        os._exit(0)

    def _exit_with_status(self) -> None:
        os._exit(7)

    def _raise(self) -> None:
        raise ValueError("the decoder is out of sorts")

    def _memory_error(self) -> None:
        raise MemoryError

    def _hoard_memory(self) -> None:
        for _ in range(8):
            self._hoard.append(bytearray(b"x" * (32 << 20)))
        time.sleep(_FOREVER_S)

    def _print_much(self) -> None:
        """100 MB on Python's stdout and, underneath it, on file descriptor 1."""
        line = "x" * 99 + "\n"
        for _ in range(50):
            sys.stdout.write(line * 10_000)
            sys.stdout.flush()
            os.write(1, (line * 10_000).encode())

    def _grandchild_and_hang(self) -> None:
        """A grandchild that leaves the worker's session, and one that ignores being asked."""
        sleep = [sys.executable, "-c", f"import time; time.sleep({_FOREVER_S})"]
        subprocess.Popen(sleep, start_new_session=True)
        subprocess.Popen(sleep)
        time.sleep(_FOREVER_S)

    def _litter(self) -> None:
        """Files in the current and in the temporary folder."""
        Path("litter.bin").write_bytes(b"x" * 1000)
        Path(os.environ["TMPDIR"], "more.bin").write_bytes(b"x" * 1000)

    def _leak_secrets(self) -> None:
        raise RuntimeError(f"cannot read {Path.home()}/model with hf_{'A' * 30}")
