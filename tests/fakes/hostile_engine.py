"""A worker that attacks the tool: ``python hostile_engine.py FILE``, which holds a JSON object.

Without anything in it, it works as an honest engine does. ``{"hello"|"load"|"transcribe": {...}}``
changes members of an answer; ``{"do": NAME, "at": METHOD, "with": {...}}`` calls a method of
:class:`Attack` instead of answering. In texts, ``@nest:N`` stands for N nested lists, ``@long:N``
for N letters, and ``@raw:X`` for X as it is; ``["@times", N, X]`` is a list of N times X. Standard
library only.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

SPEC: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
OUT = sys.stdout.fileno()
FOREVER_S = 600.0
_ESCAPEE = "import time; time.sleep(600)"


def write(data: bytes, to: int = OUT) -> None:
    while data:
        data = data[os.write(to, data) :]


def encoded(message: dict[str, Any]) -> bytes:
    text = json.dumps(message)
    text = re.sub(r'"@nest:(\d+)"', lambda at: "[" * int(at[1]) + "]" * int(at[1]), text)
    text = re.sub(r"@long:(\d+)", lambda at: "a" * int(at[1]), text)
    text = re.sub(r'"@raw:(.*?)"', lambda at: str(json.loads(f'"{at[1]}"')), text)
    return text.encode("utf-8", "surrogatepass") + b"\n"


def notification(method: str, **params: Any) -> bytes:
    return encoded({"jsonrpc": "2.0", "method": method, "params": params})


def result_of(method: str, params: dict[str, Any]) -> dict[str, Any]:
    began = time.perf_counter()
    if method == "hello":
        honest = {"protocol": params["protocol"], "name": "hostile-engine", "version": "1"}
    elif method == "load":
        honest = {"load_s": 0.0, "device": "cpu", "precision": "float32"}
    elif method == "transcribe":
        time.sleep(0.005)
        effective = {name: value for name, value in params["contract"].items() if name != "name"}
        said = "And so, my fellow Americans."
        honest = {
            "seconds": time.perf_counter() - began,
            "text": said,
            "segments": [{"start_s": 0.0, "end_s": 1.0, "text": said}],
            "effective": effective,
        }
    else:
        honest = {}
    return {**honest, **{name: _grown(each) for name, each in SPEC.get(method, {}).items()}}


def _grown(value: Any) -> Any:
    if isinstance(value, list) and value[:1] == ["@times"]:
        return [value[2]] * value[1]
    return value


class Attack:
    """What it does instead of the answer to ``call``."""

    def __init__(self, call: dict[str, Any]) -> None:
        self.call = call

    def _answer(self, **changed: Any) -> bytes:
        result = result_of(self.call["method"], self.call["params"])
        return encoded({"jsonrpc": "2.0", "id": self.call["id"], "result": result, **changed})

    def hang(self) -> NoReturn:
        time.sleep(FOREVER_S)
        sys.exit(9)

    def leave(self, status: int = 0) -> NoReturn:
        os._exit(status)

    def flood(self, kind: str = "log", length: int = 100) -> None:
        """Write as fast as the pipe takes it, for ever."""
        one = {
            "log": notification("log", level="info", message="x" * length),
            "progress": notification("progress", stage="load"),
            "unknown": notification("progress", stage="y" * length),
            "blank": b"\n" * length,
            "letters": b"x" * length,
            "brackets": b"[" * length,
            "answers": self._answer(id="other"),
            "stderr": b"\x1b[31m" + b"e" * length + b"\n",
        }[kind]
        block = one * max((1 << 20) // len(one), 1)
        while True:
            write(block, 2 if kind == "stderr" else OUT)

    def notify(self, method: str = "log", **params: Any) -> None:
        """One notification, then the honest answer."""
        write(notification(method, **params) + self._answer())

    def error(self, **error: Any) -> None:
        """An error answer."""
        write(self._answer(error=error).replace(b'"result"', b'"unused"'))

    def reply(self, **changed: Any) -> None:
        """The honest answer with other members of the envelope."""
        write(self._answer(**changed))

    def raw(self, text: str = "", hexadecimal: str = "", hang: bool = True) -> None:
        """These bytes instead of an answer."""
        write(bytes.fromhex(hexadecimal) or text.encode())
        if hang:
            self.hang()

    def drip(self, pause_s: float = 0.05, hang: bool = False) -> None:
        """The honest answer, byte by byte; perhaps without its end."""
        for byte in self._answer()[: -1 if hang else None]:
            write(bytes([byte]))
            time.sleep(pause_s)
        if hang:
            self.hang()

    def twice(self) -> None:
        """The honest answer, and the next one before it is asked for."""
        following = {**self.call, "id": self.call["id"] + 1}
        write(self._answer() + Attack(following)._answer())

    def close(self, which: str = "stdout", crash_after_s: float = 0.0) -> NoReturn:
        """Close pipes and live on; or only as long as the system needs to end a crash."""
        for each in {"stdout": [1], "stderr": [2], "all": [0, 1, 2]}[which]:
            os.close(each)
        if crash_after_s:
            time.sleep(crash_after_s)
            self.kill(11)
        self.hang()

    def kill(self, signal: int = 9) -> NoReturn:
        """Send itself a signal."""
        os.kill(os.getpid(), signal)
        self.hang()

    def escape(self, then: str = "hang", empty: bool = True, name: str = "") -> None:
        """Leave a process with all pipes open, in a session of its own and without a parent."""
        child = os.fork()
        if not child:
            os.setsid()
            if os.fork():
                os._exit(0)
            words = [sys.executable, "-I", "-S", "-c", _ESCAPEE, name]
            os.execve(sys.executable, words, {} if empty else os.environ)
        os.waitpid(child, 0)
        if then == "hang":
            self.hang()
        if then == "leave":
            os._exit(0)
        write(self._answer())

    def deaf(self, pause_s: float = 0.0) -> NoReturn:
        """Answer calls that were perhaps not made, and never read one again."""
        for number in range(self.call["id"], self.call["id"] + 10_000):
            write(self._answer(id=number))
            time.sleep(pause_s)
        sys.exit(9)


def main() -> int:
    for line in sys.stdin.buffer:
        call = json.loads(line)
        attack = Attack(call)
        if SPEC.get("do") and SPEC.get("at", "transcribe") == call["method"]:
            getattr(attack, SPEC["do"])(**SPEC.get("with", {}))
        else:
            attack.reply()
        if call["method"] == "shutdown":
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
