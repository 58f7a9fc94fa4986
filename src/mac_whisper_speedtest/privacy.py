"""Keeping user names, home folders, host names and tokens out of results and logs.

Everything that comes from outside this tool (a backend's log, an exception's message, a path) goes
through :func:`scrub` before it is written anywhere.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import re
import socket
from pathlib import Path

_TOKEN = re.compile(
    r"\bhf_[A-Za-z0-9]{8,}|\bsk-[A-Za-z0-9_-]{16,}|\bgh[pousr]_[A-Za-z0-9]{16,}"
    r"|(?i:\bbearer)\s+[A-Za-z0-9._~+/=-]{12,}"
)
_URL_LOGIN = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/@\s]+@", re.IGNORECASE)
_SECRET_VARIABLE = re.compile(r"TOKEN|SECRET|PASSWORD|API_KEY|CREDENTIAL", re.IGNORECASE)
_HOMES = re.compile(r"(/Users|/home)/[^/\s:'\"]+")
_COMMON_NAMES = frozenset({"root", "user", "admin", "runner", "ubuntu", "localhost"})
_SHORTEST_NAME = 3
_SHORTEST_SECRET = 8


def scrub(text: str) -> str:
    """``text`` without tokens, logins in addresses, home folders, and user and host names."""
    text = _TOKEN.sub("<token>", text)
    text = _URL_LOGIN.sub(r"\1", text)
    for secret in _secrets():
        text = text.replace(secret, "<token>")
    for home in _homes():
        text = re.sub(rf"{re.escape(home)}(?=[/\s:'\",)\]]|$)", "~", text)
    text = _HOMES.sub("~", text)
    for name, stands_for in _names():
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", stands_for, text)
    return text


def _secrets() -> list[str]:
    """Values of environment variables that are named like secrets, longest first."""
    values = {
        value
        for name, value in os.environ.items()
        if _SECRET_VARIABLE.search(name) and len(value) >= _SHORTEST_SECRET
    }
    return sorted(values, key=len, reverse=True)


def _homes() -> list[str]:
    """The home folder as configured and as it really is, longest first."""
    homes = {str(Path.home()), str(Path.home().resolve())}
    return sorted((home for home in homes if home != "/"), key=len, reverse=True)


@functools.cache
def _names() -> tuple[tuple[str, str], ...]:
    """The user's and the host's name, unless they are words that everybody has."""
    names = []
    with contextlib.suppress(OSError, KeyError):  # a container may have no name for its user
        names.append((getpass.getuser(), "<user>"))
    host = socket.gethostname()
    names += [(host, "<host>"), (host.partition(".")[0], "<host>")]
    return tuple(
        (name, stands_for)
        for name, stands_for in names
        if len(name) >= _SHORTEST_NAME and name.lower() not in _COMMON_NAMES
    )
