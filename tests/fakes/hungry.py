"""Adapters that want something from the network while they load, each in another way.

Chosen by the variable FAULT; whom they ask is in HUNGRY_FOR, ``host:port``.
"""

from __future__ import annotations

import _socket
import contextlib
import ctypes
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

from mac_whisper_speedtest.backends.adapter import LoadedModel, LoadParams, Transcription
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings

_FOREVER_S = 10_000.0


class Hungry:
    """Loads, after it did what FAULT says."""

    def import_library(self) -> Mapping[str, str]:
        return {"version": "1.0"}

    def load(self, params: LoadParams) -> LoadedModel:
        host, _, port = os.environ.get("HUNGRY_FOR", "127.0.0.1:9").partition(":")
        getattr(self, f"_{os.environ['FAULT']}")(host, int(port))
        return LoadedModel(device="cpu", precision="float32")

    def transcribe(self, audio: Any, contract: DecodeContract) -> Transcription:
        raise AssertionError("a check of weights transcribes nothing")

    def synchronize(self) -> None:
        pass

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        raise AssertionError("a check of weights transcribes nothing")

    def unload(self) -> None:
        pass

    def _nothing(self, host: str, port: int) -> None:
        pass

    def _urllib(self, host: str, port: int) -> None:
        urllib.request.urlopen(f"http://{host}:{port}/model.bin", timeout=5).read()

    def _socket(self, host: str, port: int) -> None:
        socket.create_connection((host, port), timeout=5).close()

    def _datagram(self, host: str, port: int) -> None:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", (host, port))

    def _asks_for_a_name(self, host: str, port: int) -> None:
        socket.create_connection(("weights.example.org", 443), timeout=5)

    def _hub(self, host: str, port: int) -> None:
        from huggingface_hub import snapshot_download

        snapshot_download("some/where")

    def _asks_its_hub(self, host: str, port: int) -> None:
        """A library that takes no proxy from variables, as Apple's URL loading."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        direct.open(f"{os.environ['HF_ENDPOINT']}/api/models/some/where", timeout=5).read()

    def _swallowed(self, host: str, port: int) -> None:
        """A library that looks for updates, and does without."""
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), timeout=5)

    def _curl(self, host: str, port: int) -> None:
        """Native code with sockets of its own."""
        subprocess.run(
            ["curl", "--silent", "--fail", "--max-time", "5", f"http://{host}:{port}/model.bin"],
            check=True,
        )

    def _curl_tls(self, host: str, port: int) -> None:
        subprocess.run(
            ["curl", "--silent", "--fail", "--max-time", "5", "https://weights.example.org/x"],
            check=True,
        )

    def _another_python(self, host: str, port: int) -> None:
        """A process of its own, without the guard in its interpreter."""
        code = f"import urllib.request as r; r.urlopen('http://{host}:{port}/x', timeout=5).read()"
        subprocess.run([sys.executable, "-c", code], check=True)

    def _low_socket(self, host: str, port: int) -> None:
        """Below the module that the guard is in."""
        connection = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        connection.connect((host, port))

    def _libc(self, host: str, port: int) -> None:
        """Native code in the interpreter's own process."""
        libc = ctypes.CDLL(None, use_errno=True)
        family = b"\x10\x02" if sys.platform == "darwin" else struct.pack("=H", socket.AF_INET)
        address = family + struct.pack("!H4s8x", port, socket.inet_aton(host))
        handle = libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
        if libc.connect(handle, address, len(address)):
            raise OSError(ctypes.get_errno(), "connect failed")

    def _clean_child(self, host: str, port: int) -> None:
        """A program that got none of the worker's variables."""
        code = f"import socket; socket.create_connection(('{host}', {port}), 5)"
        subprocess.run([sys.executable, "-I", "-c", code], env={}, check=True)

    def _floods_the_log(self, host: str, port: int) -> None:
        """Writes for itself what the tool takes for hosts."""
        with open(os.environ["SPEEDTEST_NETWORK_LOG"], "w", encoding="utf-8") as log:  # noqa: PTH123
            log.write("\x1b[2Jevil\n" + "x" * 50_000_000)

    def _puts_a_pipe_for_the_log(self, host: str, port: int) -> None:
        os.mkfifo(os.environ["SPEEDTEST_NETWORK_LOG"])

    def _links_the_log(self, host: str, port: int) -> None:
        os.symlink("/etc/passwd", os.environ["SPEEDTEST_NETWORK_LOG"])  # noqa: PTH211

    def _works_on(self, host: str, port: int) -> None:
        end = time.monotonic() + _FOREVER_S
        while time.monotonic() < end:
            pass

    def _reads_on(self, host: str, port: int) -> None:
        """Waits for its disk much more than it computes."""
        while True:
            with open("/dev/zero", "rb") as stream:  # noqa: PTH123
                stream.read(2 << 20)
            time.sleep(0.1)

    def _waits(self, host: str, port: int) -> None:
        time.sleep(_FOREVER_S)

    def _aborts(self, host: str, port: int) -> None:
        os.abort()

    def _raises(self, host: str, port: int) -> None:
        raise ValueError("unexpected key encoder.conv1.scales")

    def _leaves_a_child(self, host: str, port: int) -> None:
        subprocess.Popen(["sleep", str(_FOREVER_S)], start_new_session=True)
        time.sleep(_FOREVER_S)
