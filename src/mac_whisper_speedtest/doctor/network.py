"""Whether the hub that weights come from can be reached. Asked only with ``--online``."""

from __future__ import annotations

import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

from mac_whisper_speedtest.doctor.lines import Line, ok, unknown, warn
from mac_whisper_speedtest.version import __version__

TIMEOUT_S = 5.0
"""For connecting and for each answer. A name that cannot be looked up may take the system longer;
that is waited for only `_GRACE_S` more."""

_GRACE_S = 1.0
_HUB = "https://huggingface.co"
_TOPIC = "hub"
_REFUSALS = ("SPEEDTEST_OFFLINE", "HF_HUB_OFFLINE")
_CHECK = "check HTTPS_PROXY and HF_ENDPOINT, then: speedtest doctor --online"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        status: of HTTP; 0 when nothing came.
        seconds: that it took.
        error: why nothing came.
    """

    status: int
    seconds: float
    error: str = ""


def not_asked() -> Line:
    """The line without ``--online``."""
    return unknown(_TOPIC, "not asked", "speedtest doctor --online")


def look() -> Line:
    """Ask the hub once, through the user's proxy, without his token."""
    for name in _REFUSALS:
        if os.environ.get(name, "").lower() not in {"", "0", "false", "no", "off"}:
            return unknown(_TOPIC, f"{name} forbids the network", f"unset {name}")
    address, host = endpoint(os.environ.get("HF_ENDPOINT") or _HUB)
    if not address:
        return warn(_TOPIC, "HF_ENDPOINT is not an address of HTTP", "unset HF_ENDPOINT")
    return judge(host, _in_time(address))


def endpoint(text: str) -> tuple[str, str]:
    """The address to ask and the host to show, both without a login; empty if it is no address."""
    try:
        parts = urllib.parse.urlsplit(text.strip())
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "", ""
    if parts.scheme not in {"http", "https"} or not host:
        return "", ""
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}{port}{parts.path or '/'}", f"{host}{port}"


def judge(host: str, reply: Reply) -> Line:
    """Any answer but a server's own trouble means that it can be reached."""
    if not reply.status:
        return warn(_TOPIC, f"{host} cannot be reached: {reply.error}", _CHECK)
    seen = f"{host} answers {reply.status} in {reply.seconds * 1000:.0f} ms"
    if reply.status == 407:
        return warn(_TOPIC, f"{seen}: the proxy wants a login", _CHECK)
    if reply.status >= 500:
        return warn(_TOPIC, f"{seen}: it is in trouble", "speedtest doctor --online, later")
    return ok(_TOPIC, seen)


def _in_time(address: str) -> Reply:
    """The reply, or that none came: looking a name up cannot be given a time limit."""
    replies: list[Reply] = []
    asking = threading.Thread(target=lambda: replies.append(_ask(address)), daemon=True)
    asking.start()
    asking.join(TIMEOUT_S + _GRACE_S)
    return replies[0] if replies else Reply(0, TIMEOUT_S, f"no answer in {TIMEOUT_S:g} s")


def _ask(address: str) -> Reply:
    request = urllib.request.Request(  # noqa: S310 - endpoint() lets only http and https through
        address, method="HEAD", headers={"User-Agent": f"mac-whisper-speedtest/{__version__}"}
    )
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            return Reply(response.status, time.monotonic() - began)
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, time.monotonic() - began)
    except urllib.error.URLError as error:
        return Reply(0, time.monotonic() - began, str(error.reason))
    except Exception as error:  # noqa: BLE001 - a thread must not end with a traceback
        return Reply(0, time.monotonic() - began, f"{type(error).__name__}: {error}")
