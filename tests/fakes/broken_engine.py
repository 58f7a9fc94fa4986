"""A small worker in plain Python that speaks the protocol, except for the one fault it is told.

``python broken_engine.py [fault]``. Standard library only, nothing of the package imported, so that
it is an independent reading of docs/reference/protocol.md.
"""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False  # importing typing would take longer than all the rest
if TYPE_CHECKING:
    from typing import Any

FAULT = sys.argv[1] if len(sys.argv) > 1 else "none"
LONG_AUDIO_SAMPLES = 20 * 16000


class CallError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Engine:
    def __init__(self) -> None:
        self.loaded = False
        self.calls = 0

    def hello(self, params: dict[str, Any]) -> dict[str, Any]:
        if FAULT == "hangs":
            time.sleep(60)
        version = "" if FAULT == "no version" else "1"
        return {"protocol": params["protocol"], "name": "broken-engine", "version": version}

    def load(self, params: dict[str, Any]) -> dict[str, Any]:
        if FAULT == "refuses to load":
            raise CallError(-32002, "never heard of it")
        if FAULT != "takes any path" and not os.access(params["model"]["path"], os.R_OK):
            raise CallError(-32002, "no such model")
        if FAULT == "loads slowly":
            time.sleep(2.5)
        if FAULT == "fetches":  # from the host and port that are its second argument
            import socket

            host, _, port = sys.argv[2].partition(":")
            socket.create_connection((host, int(port)), 5).close()
        if FAULT == "spoils the weights":
            with open(params["model"]["path"], "ab") as stream:  # noqa: PTH123
                stream.write(b"more")
        self.loaded = True
        return {"load_s": 0.0, "device": "cpu", "precision": "float32"}

    def transcribe(self, params: dict[str, Any]) -> dict[str, Any]:
        if not self.loaded and FAULT != "loads on demand":
            raise CallError(-32006, "load first")
        audio, contract = params["audio"], params["contract"]
        if FAULT == "refuses unknown" and "conformance_unknown" in params:
            raise CallError(-32602, "unknown parameter")
        try:
            size = os.stat(audio["path"]).st_size  # noqa: PTH116 - pathlib takes too long
        except OSError as error:
            raise CallError(-32003, str(error)) from error
        if size != 4 * audio["samples"] and FAULT != "any length":
            raise CallError(-32003, "other length")
        self.calls += 1
        started = time.perf_counter()
        if FAULT == "finishes first" and audio["samples"] > LONG_AUDIO_SAMPLES:
            time.sleep(30)
        time.sleep(0.001)
        seconds = time.perf_counter() - started
        if FAULT == "lazy":
            time.sleep(0.1)
        if FAULT == "exaggerates":
            seconds += 10
        if FAULT == "nan":
            seconds = float("nan")
        if FAULT == "no time":
            seconds = 0.0
        effective = {name: None for name in contract if name != "name"}
        if FAULT == "hides a setting":
            del effective["beam_size"]
        text = f"call {self.calls}" if FAULT == "varies" else "sound"
        if FAULT == "hears":
            import hashlib

            with open(audio["path"], "rb") as stream:  # noqa: PTH123 - pathlib takes too long
                text = hashlib.sha256(stream.read()).hexdigest()
        if FAULT.endswith(" the audio"):
            damage(audio["path"], 4 * audio["samples"])
        result = {"seconds": seconds, "text": text, "effective": effective}
        if FAULT == "nests":
            result["extra"] = json.loads("[" * 100 + "]" * 100)
        if FAULT == "loops":
            result["text"] = "thank you for watching " * 10_000
        if FAULT == "negative":
            result["cpu_s"] = -1.0
        if FAULT == "overworked":
            result["cpu_s"] = 100_000.0
        return result

    def unload(self, _params: dict[str, Any]) -> dict[str, Any]:
        self.loaded = FAULT == "keeps the model"
        return {}

    def shutdown(self, _params: dict[str, Any]) -> dict[str, Any]:
        return {}

    def answer(self, line: bytes) -> dict[str, Any]:
        try:
            call = json.loads(line)
        except ValueError:
            if FAULT == "dies of a bad line":
                sys.exit(7)
            return error_of(None, -32700, "not JSON")
        identity = call["id"] + 1 if FAULT == "wrong ids" else call["id"]
        method = getattr(self, call["method"], None)
        if method is None:
            return error_of(identity, -32601, "no such method")
        try:
            return {"jsonrpc": "2.0", "id": identity, "result": method(call["params"])}
        except CallError as error:
            return error_of(identity, error.code, str(error))


def damage(path: str, size: int) -> None:
    """Spoil a recording that others will read, where an honest worker may only read it."""
    os.chmod(path, 0o600)  # noqa: PTH101 - pathlib takes too long
    if FAULT == "removes the audio":
        os.unlink(path)  # noqa: PTH108
    elif FAULT == "links the audio":
        os.unlink(path)  # noqa: PTH108
        os.symlink(os.devnull, path)  # noqa: PTH211
    elif FAULT == "truncates the audio":
        os.truncate(path, 4)
    elif FAULT == "silences the audio":
        with open(path, "r+b") as stream:  # noqa: PTH123
            stream.write(bytes(size))


def error_of(identity: int | None, code: int, message: str) -> dict[str, Any]:
    code = -32000 if FAULT == "one code for all" else code
    return {"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": message}}


def misbehave() -> None:
    """What the garbled and the flooding engine say before they would answer."""
    if FAULT == "malformed":
        print('{"jsonrpc": "2.0", "id": 3, "result": {', flush=True)
    if FAULT == "floods":
        for _ in range(100):
            sys.stdout.write("x" * 1_000_000)
        sys.stdout.flush()


def main() -> int:
    if FAULT == "banner":
        print("Welcome to broken-engine 1", flush=True)
    engine = Engine()
    if FAULT == "leaves a child":
        import subprocess  # here, because most faults do not wait for it

        null = subprocess.DEVNULL
        subprocess.Popen(["sleep", "60"], stdin=null, stdout=null, start_new_session=True)
    for line in sys.stdin.buffer:
        if b'"transcribe"' in line:
            misbehave()
        reply = engine.answer(line)
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()
        if b'"shutdown"' in line:
            return 3 if FAULT == "unclean exit" else 0
    if FAULT == "ignores the end of input":
        time.sleep(60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
