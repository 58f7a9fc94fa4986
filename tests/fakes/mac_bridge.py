"""A stand-in for the bridges in Swift that transcribes: it hears the language of `tone_speech`.

``main("speedtest-whisperkit", [])``. It looks at weights as the frameworks do, answers what the
bridges answer, keeps what was "compiled" where Core ML does, and computes the text from the
samples. Standard library only.
"""

from __future__ import annotations

import array
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from fakes import tone_speech

BUNDLES = {
    "whisperkit": ("MelSpectrogram", "TextDecoder", "AudioEncoder"),
    "fluidaudio": ("Preprocessor", "Encoder", "Decoder", "JointDecision"),
}
FILES = {
    "whisperkit": ("tokenizer.json", "tokenizer_config.json", "generation_config.json"),
    "fluidaudio": ("parakeet_vocab.json",),
}
VERSIONS = {"whisperkit": "1.1.0", "fluidaudio": "0.15.6", "apple-speech": "25A354"}
PRECISIONS = {"whisperkit": "float16", "fluidaudio": "palettized6", "apple-speech": "unstated"}
_UNKNOWN = ("best_of", "temperatures", "condition_on_previous_text", "window")
DECODES: dict[str, dict[str, Any]] = {
    "whisperkit": {"beam_size": 1, "best_of": 1, "condition_on_previous_text": False, "vad": False},
    "fluidaudio": {
        **dict.fromkeys(("language", *_UNKNOWN)),
        "task": "transcribe",
        "beam_size": 1,
        "vad": False,
        "timestamps": True,
        "batch_size": 1,
    },
    "apple-speech": dict.fromkeys((*_UNKNOWN, "beam_size", "vad", "batch_size")),
}
METHODS = ("hello", "load", "transcribe", "unload", "shutdown")
SUPPORTED = ("de-DE", "en-US")


class ProtocolError(Exception):
    """An error answer: the protocol's number and a message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class UnusableError(ProtocolError):
    """Weights that cannot be loaded."""

    def __init__(self, message: str) -> None:
        super().__init__(-32002, message)


class Bridge:
    """One program, named for its framework; Apple's has two kinds of ``results``."""

    def __init__(self, framework: str, results: str) -> None:
        self.framework, self.results = framework, results
        self.loaded = self.ended = False

    def answer(self, line: bytes) -> dict[str, Any]:
        """What is written back for one line."""
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": None}
        try:
            try:
                call = json.loads(line)
            except ValueError as error:
                raise ProtocolError(-32700, f"no JSON: {error}") from error
            if not isinstance(call, dict) or "id" not in call or "method" not in call:
                raise ProtocolError(-32600, "no call")
            answer["id"] = call["id"]
            if call["method"] not in METHODS:
                raise ProtocolError(-32601, f"no method {call['method']}")
            answer["result"] = getattr(self, call["method"])(call.get("params", {}))
        except ProtocolError as error:
            answer["error"] = {"code": error.code, "message": str(error)}
        except (KeyError, TypeError) as error:
            answer["error"] = {"code": -32602, "message": f"{type(error).__name__}: {error}"}
        return answer

    def hello(self, params: dict[str, Any]) -> dict[str, Any]:
        return {
            "protocol": params["protocol"],
            "name": self.framework,
            "version": VERSIONS[self.framework],
            "versions": {"swift": "6.1.2"},
        }

    def load(self, params: dict[str, Any]) -> dict[str, Any]:
        began = time.perf_counter()
        folder = Path(params["model"]["path"])
        for bundle in BUNDLES.get(self.framework, ()):
            if not (folder / f"{bundle}.mlmodelc" / "coremldata.bin").is_file():
                raise UnusableError(f"{bundle}.mlmodelc is not a compiled model")
        for name in FILES.get(self.framework, ()):
            if not (folder / name).is_file():
                raise UnusableError(f"{name} is missing")
        device = "ane" if params["device"] == "auto" else params["device"]
        if self.framework == "apple-speech":
            device = "system"
            if locale_of(params["model"]["name"]) not in installed():
                name = params["model"]["name"]
                raise UnusableError(
                    f"the assets of {locale_of(name)} are not installed: "
                    f"speedtest models pull {name}"
                )
        else:
            self.compile_once()
        self.loaded = True
        return {
            "load_s": time.perf_counter() - began,
            "device": device,
            "precision": PRECISIONS[self.framework],
            "details": {"compute_units": f"{device}: asked, not observed"},
            "peak_rss_bytes": peak_rss(),
        }

    def compile_once(self) -> None:
        """Core ML keeps what it compiled for the Neural Engine, by program and build of macOS."""
        caches = Path(os.environ["HOME"], "Library", "Caches", f"speedtest-{self.framework}")
        bundles = caches / "com.apple.e5rt.e5bundlecache" / "24F74"
        bundles.mkdir(parents=True, exist_ok=True)
        (bundles / "bundle").touch()

    def transcribe(self, params: dict[str, Any]) -> dict[str, Any]:
        if not self.loaded:
            raise ProtocolError(-32006, "nothing is loaded")
        audio = params["audio"]
        try:
            samples = array.array("f", Path(audio["path"]).read_bytes())
        except (OSError, ValueError) as error:
            raise ProtocolError(-32003, str(error)) from error
        if len(samples) != audio["samples"]:
            raise ProtocolError(-32003, f"{len(samples)} samples instead of {audio['samples']}")
        began, cpu = time.perf_counter(), time.process_time()
        words = tone_speech.hear(samples)
        text = " ".join(word for _, _, word in words)
        seconds = time.perf_counter() - began
        contract = {name: value for name, value in params["contract"].items() if name != "name"}
        effective = {**contract, **DECODES[self.framework]}
        if self.results == "progressive":
            effective["window"] = "progressive"
        return {
            "seconds": seconds,
            "text": text,
            "segments": [
                {"start_s": start, "end_s": end, "text": f" {word}"} for start, end, word in words
            ],
            "language": "en",
            "tokens": len(words),
            "effective": effective,
            "cpu_s": time.process_time() - cpu,
            "peak_rss_bytes": peak_rss(),
            "first_segment_s": seconds / 2,
        }

    def unload(self, _params: dict[str, Any]) -> dict[str, Any]:
        self.loaded = False
        return {}

    def shutdown(self, _params: dict[str, Any]) -> dict[str, Any]:
        self.ended = True
        return {}


def peak_rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# What macOS has of Apple's networks.


def assets_file() -> Path:
    return Path(os.environ["HOME"], "Library", "speech-assets.json")


def installed() -> list[str]:
    file = assets_file()
    return json.loads(file.read_text()) if file.exists() else []


def locale_of(model: str) -> str:
    language, region = model.removeprefix("apple-speech-").split("-")
    return f"{language}-{region.upper()}"


def assets(words: list[str]) -> None:
    if words[0] == "install":
        print(f"installing {words[1]}: 50 %", file=sys.stderr)
        assets_file().write_text(json.dumps([*installed(), words[1]]))
    report = {"available": True, "build": "25A354", "macos": "26.0"}
    print(json.dumps({**report, "supported": SUPPORTED, "installed": installed()}))


def main(product: str, arguments: list[str]) -> None:
    if arguments and arguments[0] in {"assets", "install"}:
        assets(arguments)
        return
    bridge = Bridge(product.removeprefix("speedtest-"), arguments[-1] if arguments else "")
    for line in sys.stdin.buffer:
        answer = bridge.answer(line)
        print(json.dumps(answer), flush=True)
        if bridge.ended:
            return
