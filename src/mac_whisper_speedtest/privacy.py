"""Remove user names, home folders, host names, tokens and serial numbers from results and logs.

Text from outside this tool (a backend's log, an exception's message, a path) passes :func:`scrub`
before it is written anywhere. Text for other people passes :func:`scrub_for_others`, which removes
more. :func:`secrets` lists what must not remain in it.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import json
import os
import re
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest.secret_forms import REPLACEMENT, is_plain, without_secrets

MAC_ADDRESS = re.compile(
    r"(?<![0-9A-Fa-f:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:-])"
)
_SERIAL = re.compile(
    r"(\bserial(?:[ _-]?(?:number|no\.?))?['\"]?\s*[:=]\s*['\"]?)(?=[A-Z-]*\d)[A-Z0-9-]{6,}",
    re.IGNORECASE,
)
_GPU_ID = re.compile(r"\b(?:GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
# Limited to the lengths of RFC 5321 and to starts of words: otherwise long words take minutes.
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_PATH = re.compile(r"\bfile://[^\s'\"]+|(?<![\w/:.<>~])(?:~|/)[^\s'\",;:()\[\]{}<>|]+")
_SYSTEM_PATHS = ("/usr/", "/lib", "/bin/", "/sbin/", "/sys/", "/proc/", "/dev/", "/System/")
_HOMES = re.compile(r"(/Users|/home)/[^/\s:'\"]+")
_COMMON_NAMES = frozenset(
    {"root", "user", "admin", "runner", "ubuntu", "localhost", "mac", "macbook", "imac"}
)
_SHORTEST_NAME = 3
_SHORTEST_SERIAL = 8
_ENCODED = re.compile(r"(?<![^\s\"'<>])[^\s\"'<>]+")
_MOST_DECODED = 3


def scrub(text: str) -> str:
    """``text`` without secrets, logins in addresses, home folders, and user and host names.

    Secrets are the values of environment variables (:func:`environment_secrets`) and what
    :mod:`~mac_whisper_speedtest.secret_forms` recognizes, also where they are percent-encoded.
    MAC addresses, and serial numbers that are labeled as such, are removed as well.

    Cut texts to length afterwards: half a secret cannot be recognized.
    """
    for each in environment_secrets():
        if each.text in text:
            text = each.exact.sub(REPLACEMENT, text)
    text = without_secrets(text)
    for home in _homes():
        if home in text:
            text = re.sub(rf"{re.escape(home)}(?=[/\s:'\",)\]]|$)", "~", text)
    text = _HOMES.sub("~", text)
    for name, stands_for in _names():
        # Host names ignore case (RFC 4343). User names do not, and may equal words such as months.
        found = re.IGNORECASE if stands_for == "<host>" else re.NOFLAG
        text = re.sub(
            rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", stands_for, text, flags=found
        )
    text = MAC_ADDRESS.sub("<mac>", text)
    text = _SERIAL.sub(r"\1<serial>", _GPU_ID.sub("<serial>", text))
    return _ENCODED.sub(_scrub_decoded, text) if "%" in text else text


def _scrub_decoded(found: re.Match[str]) -> str:
    """A word, decoded and scrubbed if something is found in it then (RFC 3986, section 2.1)."""
    from urllib.parse import unquote

    word = found[0]
    for _ in range(_MOST_DECODED):
        if "%" not in word or (decoded := unquote(word)) == word:
            break
        if (clean := scrub(decoded)) != decoded:
            return clean
        word = decoded
    return found[0]


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
        whole: whether it is looked for as a whole word only.
    """

    kind: str
    text: str
    whole: bool = True

    @property
    def pattern(self) -> re.Pattern[str]:
        """The text in any case."""
        return _pattern(self.text, re.IGNORECASE, whole=self.whole)

    @property
    def exact(self) -> re.Pattern[str]:
        """The original text."""
        return _pattern(self.text, re.NOFLAG, whole=self.whole)

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
    found = set(environment_secrets())
    found |= {Secret("home folder", home) for home in _homes()}
    kinds = {"<user>": "user name", "<host>": "host name"}
    found |= {Secret(kinds[stands_for], name) for name, stands_for in _names()}
    found |= {Secret("user name", name) for name in _full_names()}
    found |= {Secret("MAC address", text) for text in _mac_addresses()}
    found |= {Secret("serial number", text) for text in _serial_numbers()}
    return sorted(found, key=lambda each: (-len(each.text), each.kind, each.text))


@functools.lru_cache(maxsize=1024)
def _pattern(text: str, flags: re.RegexFlag, *, whole: bool) -> re.Pattern[str]:
    found = re.escape(text)
    return re.compile(rf"(?<![A-Za-z0-9]){found}(?![A-Za-z0-9])" if whole else found, flags)


# The environment. Every value is taken for a secret that is not plainly something else.

_SECRET_VARIABLE = re.compile(
    r"TOKEN(?!IZ)|SECRET|PASSW|PASSPHRASE|CREDENTIAL|(?:API|ACCESS|PRIVATE)_?KEY|COOKIE"
    r"|(?<![A-Z])(?:PASS|PWD|KEYS?|AUTH|SIG|SIGNATURE|SAS|DSN|JWT|PAT|PIN|SALT|WEBHOOK)(?![A-Z])",
    re.IGNORECASE,
)
_HARMLESS_VARIABLE = re.compile(
    # Names of this machine and its user, which have rules of their own; public hashes.
    r"\A(?:HOST|HOSTNAME|USER|USERNAME|LOGNAME|NAME)\Z|\A(?:SPEEDTEST|PYTEST)_"
    r"|(?:SHA\d*|COMMIT|REVISION|DIGEST|HASH)\Z",
    re.IGNORECASE,
)
_HARMLESS_VALUE = re.compile(r"true|false|yes|no|on|off|none|(?:~|\.{0,2})/.*", re.IGNORECASE)
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""A commit or a checksum, in a variable of any name: results have them too."""
_SHORTEST_SECRET = 8
_SHORTEST_NAMED = 6
"""Characters of a secret whose variable is named like one, if it is not of letters only."""
_PIECES = re.compile(r"[\s,;=&]+")
_LOGIN_IN_VALUE = re.compile(r"://([^/@\s:]*):?([^/@\s]*)@")


def environment_secrets() -> Sequence[Secret]:
    """The secrets in this process's environment, the longest first.

    These are values of variables that are named like secrets, and all others of eight characters
    or more, except paths, numbers and what :func:`~.secret_forms.is_plain`; likewise their pieces
    and lines, and passwords in addresses.
    """
    return _last_environment.secrets()


class _LastEnvironment:
    """The secrets of the environment, which are found again only when it has changed."""

    def __init__(self) -> None:
        self._last: tuple[object, Sequence[Secret]] = ({}, ())

    def secrets(self) -> Sequence[Secret]:
        """See :func:`environment_secrets`, which is asked many times for each sample."""
        # CPython's own table behind the environment: comparing it takes a hundredth of decoding it.
        now = getattr(os.environ, "_data", None)
        seen, found = self._last
        if now is None or now != seen:
            before = None if now is None else dict(now)
            found = _environment_secrets(tuple(os.environ.items()))
            self._last = before, found
        return found


_last_environment = _LastEnvironment()


@functools.lru_cache(maxsize=4)
def _environment_secrets(environment: tuple[tuple[str, str], ...]) -> Sequence[Secret]:
    found: set[str] = set()
    for name, value in environment:
        named = _SECRET_VARIABLE.search(name) is not None
        if _HARMLESS_VARIABLE.search(name) and not named:
            continue
        if login := _LOGIN_IN_VALUE.search(value):
            found |= {each for each in login.groups() if _is_secret(each, named=True)}
        elif _is_secret(value, named=named):
            found.add(value)
        found |= {each for each in _PIECES.split(value) if _is_secret(each, named=False)}
    # As they are in JSON and in the text of Python objects.
    found |= {json.dumps(each, ensure_ascii=False)[1:-1] for each in found}
    return [
        Secret("token", each, whole=len(each) < 2 * _SHORTEST_SECRET)
        for each in sorted(found, key=lambda each: (-len(each), each))
    ]


def holds_secret(variable: str, value: str) -> bool:
    """Whether an environment variable is named like a secret, or is an address with a login."""
    return bool(_SECRET_VARIABLE.search(variable) or _LOGIN_IN_VALUE.search(value))


def _is_secret(value: str, *, named: bool) -> bool:
    if _HARMLESS_VALUE.fullmatch(value):
        return False
    if not named:
        plain = is_plain(value) or _HASH.fullmatch(value)
        return len(value) >= _SHORTEST_SECRET and not plain
    return len(value) >= (_SHORTEST_SECRET if value.isalpha() else _SHORTEST_NAMED)


# Names and numbers of this machine.


def _homes() -> list[str]:
    """The home folder as configured and with links resolved, the longest first."""
    return _with_links_resolved(str(Path.home()))


@functools.lru_cache(maxsize=4)
def _with_links_resolved(folder: str) -> list[str]:
    homes = {folder, str(Path(folder).resolve())}
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
        len(text) >= _SHORTEST_SERIAL
        and any(letter.isdigit() for letter in text)
        and len(set(text) - {"-", " "}) > 3
        and text not in "0123456789"
    )
