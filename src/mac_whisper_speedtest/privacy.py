"""Remove user names, home folders, host names, tokens and serial numbers from results and logs.

Text from outside this tool (a backend's log, an exception's message, a path) passes :func:`scrub`
before it is written anywhere. Text for other people passes :func:`scrub_for_others`, which removes
more. :func:`secrets` lists what must not remain in it.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOKEN = re.compile(
    r"\b(?:hf|api_org)_[A-Za-z0-9]{8,}"  # Hugging Face
    r"|\bsk-[A-Za-z0-9_-]{16,}"  # OpenAI, and others that adopted its form
    r"|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{30,}"  # Amazon, Google
    r"|\bxox[abeprs]-[A-Za-z0-9-]{10,}|\b(?:npm_|pypi-)[A-Za-z0-9_-]{30,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"  # JSON Web Tokens (RFC 7519)
)
"""Tokens, recognized by their form."""
TOKEN_BEGINNINGS = (
    *("hf_", "api_org_", "sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"),
    *("AKIA", "ASIA", "AIza", "xox", "npm_", "pypi-", "eyJ"),
)
"""The beginnings of all these tokens, to skip texts without any of them."""
_BEARER = re.compile(r"(?i:\bbearer)\s+[A-Za-z0-9._~+/=-]{12,}")
MAC_ADDRESS = re.compile(
    r"(?<![0-9A-Fa-f:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:-])"
)
_SERIAL = re.compile(
    r"(\bserial(?:[ _-]?(?:number|no\.?))?['\"]?\s*[:=]\s*['\"]?)(?=[A-Z-]*\d)[A-Z0-9-]{6,}",
    re.IGNORECASE,
)
_GPU_ID = re.compile(r"\bGPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
# Limited to the lengths of RFC 5321 and to starts of words: otherwise long words take minutes.
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_PATH = re.compile(r"\bfile://[^\s'\"]+|(?<![\w/:.<>~])(?:~|/)[^\s'\",;:()\[\]{}<>|]+")
_SYSTEM_PATHS = ("/usr/", "/lib", "/bin/", "/sbin/", "/sys/", "/proc/", "/dev/", "/System/")
_URL_LOGIN = re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://)[^/@\s]+@", re.IGNORECASE)
_SECRET_VARIABLE = re.compile(r"TOKEN|SECRET|PASSWORD|API_KEY|CREDENTIAL", re.IGNORECASE)
_HOMES = re.compile(r"(/Users|/home)/[^/\s:'\"]+")
_COMMON_NAMES = frozenset(
    {"root", "user", "admin", "runner", "ubuntu", "localhost", "mac", "macbook", "imac"}
)
_SHORTEST_NAME = 3
_SHORTEST_SECRET = 8


def scrub(text: str) -> str:
    """``text`` without tokens, logins in addresses, home folders, and user and host names.

    MAC addresses, and serial numbers that are labeled as such, are removed as well.
    """
    text = TOKEN.sub("<token>", text)
    text = _BEARER.sub("<token>", text)
    text = _URL_LOGIN.sub(r"\1", text)
    for secret in _secrets():
        text = text.replace(secret, "<token>")
    for home in _homes():
        text = re.sub(rf"{re.escape(home)}(?=[/\s:'\",)\]]|$)", "~", text)
    text = _HOMES.sub("~", text)
    for name, stands_for in _names():
        # Host names ignore case (RFC 4343). User names do not, and may equal words such as months.
        found = re.IGNORECASE if stands_for == "<host>" else re.NOFLAG
        text = re.sub(
            rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", stands_for, text, flags=found
        )
    text = MAC_ADDRESS.sub("<mac>", text)
    return _SERIAL.sub(r"\1<serial>", _GPU_ID.sub("<serial>", text))


def scrub_for_others(text: str) -> str:
    """``text`` for other people: scrubbed, and without further details.

    Also removed are mail addresses, all paths except the system's own (they may contain names of
    people and projects), user and host names in any case, and this machine's serial numbers.
    """
    text = scrub(text)
    text = _MAIL.sub("<mail>", text)
    text = _PATH.sub(lambda at: at[0] if at[0].startswith(_SYSTEM_PATHS) else "<path>", text)
    for secret in secrets():
        text = secret.pattern.sub(f"<{_STANDS_FOR[secret.kind]}>", text)
    return text


@dataclass(frozen=True, slots=True)
class Secret:
    """A text of this machine that other people must not read.

    Attributes:
        kind: ``token``, ``home folder``, ``user name``, ``host name``, ``MAC address`` or ``serial
            number``. Messages show the kind, never the text.
        pattern: matches the text in any case; names only as whole words.
    """

    kind: str
    text: str
    pattern: re.Pattern[str]

    @property
    def may_be_a_word(self) -> bool:
        """Whether it has letters only, so that ordinary text may contain it by chance."""
        return bool(re.fullmatch(r"[^\W\d_]+(?:[ '-][^\W\d_]+)*", self.text))


_STANDS_FOR = {
    "token": "token",
    "home folder": "path",
    "user name": "user",
    "host name": "host",
    "MAC address": "mac",
    "serial number": "serial",
}


def secrets() -> list[Secret]:
    """All known secrets of this machine, the longest first."""
    found = [("token", text) for text in _secrets()]
    found += [("home folder", home) for home in _homes()]
    names = {"<user>": "user name", "<host>": "host name"}
    found += [(names[stands_for], name) for name, stands_for in _names()]
    found += [("user name", name) for name in _full_names()]
    found += [("MAC address", text) for text in _mac_addresses()]
    found += [("serial number", text) for text in _serial_numbers()]
    return [
        Secret(kind, text, _pattern(text, whole=kind != "token"))
        for kind, text in sorted(set(found), key=lambda each: (-len(each[1]), each))
    ]


@functools.lru_cache(maxsize=256)
def _pattern(text: str, *, whole: bool) -> re.Pattern[str]:
    found = re.escape(text)
    return re.compile(rf"(?<![A-Za-z0-9]){found}(?![A-Za-z0-9])" if whole else found, re.IGNORECASE)


def _secrets() -> list[str]:
    """Values of environment variables with names of secrets, the longest first."""
    values = {
        value
        for name, value in os.environ.items()
        if _SECRET_VARIABLE.search(name) and len(value) >= _SHORTEST_SECRET
    }
    return sorted(values, key=len, reverse=True)


def _homes() -> list[str]:
    """The home folder as configured and with links resolved, the longest first."""
    homes = {str(Path.home()), str(Path.home().resolve())}
    return sorted((home for home in homes if home != "/"), key=len, reverse=True)


@functools.cache
def _names() -> tuple[tuple[str, str], ...]:
    """The user's and the host's name, unless they are common ones."""
    names = []
    with contextlib.suppress(OSError, KeyError):  # a container's user may have no name
        names.append((getpass.getuser(), "<user>"))
    host = socket.gethostname()
    names += [(host, "<host>"), (host.partition(".")[0], "<host>")]
    return tuple(
        (name, stands_for)
        for name, stands_for in names
        if len(name) >= _SHORTEST_NAME and name.lower() not in _COMMON_NAMES
    )


@functools.cache
def _full_names() -> tuple[str, ...]:
    """The user's full name, if the system has one of at least two words."""
    try:
        import pwd

        name = pwd.getpwuid(os.getuid()).pw_gecos.partition(",")[0].strip()
    except (ImportError, KeyError, OSError):
        return ()
    return (name,) if " " in name else ()


@functools.cache
def _mac_addresses() -> tuple[str, ...]:
    """MAC addresses of this machine's network cards, each in three notations."""
    import uuid

    node = uuid.getnode()
    # A random substitute has its multicast bit set (RFC 9562, section 6.10).
    known = set() if node >> 40 & 1 else {f"{node:012x}"}
    for path in Path("/sys/class/net").glob("*/address"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            known.add(path.read_text(encoding="ascii").strip().replace(":", "").lower())
    found = []
    for plain in sorted(known):
        if re.fullmatch(r"[0-9a-f]{12}", plain) and len(set(plain)) > 2:
            pairs = [plain[at : at + 2] for at in range(0, 12, 2)]
            found += [plain, ":".join(pairs), "-".join(pairs)]
    return tuple(found)


@functools.cache
def _serial_numbers() -> tuple[str, ...]:
    """This machine's readable serial numbers and ids."""
    return tuple(sorted({text for text in _machine_ids() if _is_real_serial(text)}))


def _machine_ids() -> Iterator[str]:
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            yield Path(path).read_text(encoding="ascii").strip()
    folder = Path("/sys/class/dmi/id")
    for name in ("product_serial", "product_uuid", "board_serial", "chassis_serial"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            yield folder.joinpath(name).read_text(encoding="ascii").strip()
    if sys.platform == "darwin":
        import subprocess

        with contextlib.suppress(OSError, subprocess.SubprocessError):
            listed = subprocess.run(
                ["/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"],
                capture_output=True,
                text=True,
                check=True,
                timeout=5,
            ).stdout
            yield from re.findall(r'"IOPlatform(?:SerialNumber|UUID)" = "([^"]+)"', listed)


def _is_real_serial(text: str) -> bool:
    """False for placeholders, such as "Default string" and 0123456789."""
    return (
        len(text) >= _SHORTEST_SECRET
        and any(letter.isdigit() for letter in text)
        and len(set(text) - {"-", " "}) > 3
        and text not in "0123456789"
    )
