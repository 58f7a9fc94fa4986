"""A stand-in for the bridges in Swift: it looks at weights as WhisperKit or FluidAudio does.

``python coreml_bridge.py whisperkit|fluidaudio``. Standard library only, nothing of the package
imported. It computes nothing: it finds files where those frameworks look for them, and asks the hub
where they would.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

FRAMEWORK = sys.argv[1]


class UnusableError(Exception):
    """Weights that cannot be loaded."""


def ask_hub(variable: str, default: str, path: str) -> None:
    """What a downloader does: the address from its variable, no proxy. The answer is an error."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{os.environ.get(variable, default)}/{path}", timeout=5):
        pass


def check_bundle(folder: Path) -> None:
    if not (folder / "coremldata.bin").is_file():
        raise UnusableError(f"{folder.name} is not a compiled model")


def load_whisperkit(folder: Path, _name: str) -> None:
    for bundle in ("MelSpectrogram", "TextDecoder", "AudioEncoder"):
        check_bundle(folder / f"{bundle}.mlmodelc")
    try:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            json.loads((folder / name).read_bytes())
    except (OSError, ValueError) as error:
        ask_hub("HF_ENDPOINT", "https://huggingface.co", "openai/whisper-tiny.en/resolve/main/x")
        raise UnusableError("it fetched a tokenizer") from error


def load_fluidaudio(folder: Path, name: str) -> None:
    # It goes by the name of the model, whatever the folder is called.
    folder = folder.parent / name
    joint = "JointDecisionv3" if name.endswith("v3") else "JointDecision"
    try:
        for bundle in ("Preprocessor", "Encoder", "Decoder", joint):
            check_bundle(folder / f"{bundle}.mlmodelc")
        json.loads((folder / "parakeet_vocab.json").read_bytes())
    except (OSError, ValueError, UnusableError) as error:
        ask_hub("REGISTRY_URL", "https://huggingface.co", "api/models/x/tree/main")
        raise UnusableError("it fetched the model") from error


LOADERS = {"whisperkit": load_whisperkit, "fluidaudio": load_fluidaudio}


def result_of(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "hello":
        return {"protocol": params["protocol"], "name": FRAMEWORK, "version": "1.1.0"}
    if method == "load":
        model = params["model"]
        LOADERS[FRAMEWORK](Path(model["path"]), model["name"])
        return {"load_s": 0.01, "device": "ane", "precision": "float16"}
    return {}


def main() -> None:
    for line in sys.stdin.buffer:
        call = json.loads(line)
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            answer["result"] = result_of(call["method"], call["params"])
        except (UnusableError, OSError) as error:
            answer["error"] = {"code": -32002, "message": str(error)}
        print(json.dumps(answer), flush=True)
        if call["method"] == "shutdown":
            return


if __name__ == "__main__":
    main()
