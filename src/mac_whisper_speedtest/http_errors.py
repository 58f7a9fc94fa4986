"""What a failed or forbidden request means: whether to try it again, and what to tell a person.

huggingface-hub 1 is built on httpx and 2 on httpx2; their errors have the same names, so these are
distinguished by name and neither is imported.
"""

from __future__ import annotations

import datetime
import email.utils
import errno
import os
import socket
import ssl
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from mac_whisper_speedtest.errors import DownloadError, SpeedtestError, StorageError
from mac_whisper_speedtest.privacy import scrub

_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_TRANSIENT_ERRORS = frozenset({"TimeoutException", "NetworkError", "RemoteProtocolError"})
_LOGIN = "set HF_TOKEN, or run: hf auth login"
_AGAIN = "run it again later: what is here already is kept and resumed"
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What a request is for.

    Attributes:
        endpoint: the server's address, without a slash at its end.
        repository: ``org/name`` where the server is a Hugging Face hub; else empty.
        revision: the commit or branch.
        name: the file; empty for the repository itself.
        kind: what the repository holds.
    """

    endpoint: str
    repository: str = ""
    revision: str = ""
    name: str = ""
    kind: Literal["models", "datasets"] = "models"

    @property
    def host(self) -> str:
        """The server's host, without a login that the address may hold."""
        return urlsplit(self.endpoint).hostname or "the server"

    @property
    def place(self) -> str:
        """The repository at its revision."""
        return f"{self.repository} at {self.revision}"

    @property
    def page(self) -> str:
        """Where people read about the repository."""
        return f"{self.endpoint}/{'datasets/' * (self.kind == 'datasets')}{self.repository}"

    @property
    def url(self) -> str:
        """Where the file is."""
        name = quote(self.name)
        if not self.repository:
            return f"{self.endpoint}/{name}"
        return f"{self.page}/resolve/{self.revision}/{name}"


class BrokenTransferError(Exception):
    """A body that stopped, crawled or ended early: worth another try from where it broke."""


PUBLIC_HUB = "https://huggingface.co"

HUB_OFFLINE = ("SPEEDTEST_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
"""The environment variables that forbid asking the hub; only the first is this tool's own."""


def offline_variable(names: Sequence[str] = HUB_OFFLINE) -> str | None:
    """The first of these variables that forbids the network, as ``NAME=value``; else ``None``."""
    for name in names:
        value = os.environ.get(name, "")
        # The hub's own library takes these words for a yes; this tool takes all but 0.
        if value.upper() in {"1", "ON", "YES", "TRUE"}:
            return f"{name}={value}"
        if name == "SPEEDTEST_OFFLINE" and value not in {"", "0"}:
            return f"{name}={value}"
    return None


def refuse_offline(what: str, names: Sequence[str] = HUB_OFFLINE) -> None:
    """Stop before a download that the environment forbids.

    Raises:
        DownloadError: one of the variables ``names`` forbids it.
    """
    if variable := offline_variable(names):
        raise _offline(what, variable)


def _offline(what: str, variable: str) -> DownloadError:
    return DownloadError(
        f"{what} is not all on this machine, and {variable} forbids fetching it",
        hint=f"unset {variable.partition('=')[0]} for this one command",
    )


def transient(error: BaseException) -> bool:
    """Whether the same request may well succeed a little later."""
    if isinstance(error, BrokenTransferError):
        return True
    if (status := _status(error)) is not None:
        return status in _TRANSIENT_STATUS
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return False
    return bool(_names(error) & _TRANSIENT_ERRORS)


def retry_after_s(error: BaseException, now: datetime.datetime) -> float | None:
    """Seconds to wait that the server asked for: ``Retry-After``, a number or a date (RFC 9110)."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    value = str(headers.get("Retry-After", "")).strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):  # no date, or one without a time zone
        return None


def short_reason(error: BaseException, asked: RequestContext) -> str:
    """What went wrong in a few words, for the line that says it is tried again."""
    if (status := _status(error)) is not None:
        return f"{'the hub' if asked.repository else asked.host} answered {status}"
    if isinstance(error, BrokenTransferError):
        return str(error)
    if "TimeoutException" in _names(error):
        return "no answer in time"
    return scrub(f"the connection failed ({_root(error)})")


def to_user_error(error: BaseException, asked: RequestContext) -> SpeedtestError:
    """The one error that a person sees for ``error``, without secrets.

    Args:
        error: what a request or a write raised, or was given up with.
        asked: what was asked for.
    """
    if isinstance(error, SpeedtestError):
        return error
    if "OfflineModeIsEnabled" in _names(error):
        return _offline(asked.repository or asked.name, offline_variable() or "HF_HUB_OFFLINE")
    status = _status(error)
    if status is None and isinstance(error, OSError):
        return _unwritable(error, asked)
    message, hint = _unanswered(error, asked) if status is None else _answered(error, status, asked)
    return DownloadError(scrub(message), hint=scrub(hint))


def _answered(error: BaseException, status: int, asked: RequestContext) -> tuple[str, str]:
    """Message and hint for an answer that was no success; the library reads X-Error-Code."""
    what, host, page = asked.repository, asked.host, asked.page
    if not what:
        if status in _TRANSIENT_STATUS:
            return f"gave up on {asked.name} from {host}: it answered {status}", _AGAIN
        return f"{host} answered {status} for {asked.name}", f"see what {asked.url} leads to"
    if status == 401 and type(error).__name__ != "GatedRepoError":
        return _no_login(error, asked)
    by_kind = {
        "GatedRepoError": (
            f"{what} is gated: only those who accepted its conditions may fetch it ({status})",
            f"accept them at {page}, then {_LOGIN}",
        ),
        "RevisionNotFoundError": (
            f"{what} has no revision {asked.revision}",
            f"see {page}/commits/main",
        ),
        "RemoteEntryNotFoundError": (
            f"{what} has no file {asked.name} at {asked.revision}",
            f"see {page}/tree/{asked.revision}",
        ),
    }
    by_status = {
        403: (
            f"{host} does not let you read {what} (403)",
            f"accept its license at {page} if it has one, and use a token that may read it",
        ),
        404: (
            f"there is no repository {what} on {host}: it answered 404 for {asked.place}",
            "check the name, and HF_ENDPOINT if it is set",
        ),
        407: _proxy("407", asked.endpoint),
        429: (f"{host} keeps answering that there were too many requests (429)", _AGAIN),
    }
    other = (f"{host} answered {status} for {asked.name or what}", _AGAIN)
    return by_kind.get(type(error).__name__) or by_status.get(status, other)


def _no_login(error: BaseException, asked: RequestContext) -> tuple[str, str]:
    request = getattr(getattr(error, "response", None), "request", None)
    if "authorization" in getattr(request, "headers", {}):
        return (
            f"{asked.host} refused the token it was sent for {asked.repository} (401)",
            f"make a valid one at {asked.endpoint}/settings/tokens, then {_LOGIN}",
        )
    return (
        f"{asked.host} wants a login (401): {asked.repository} is private, or does not exist",
        f"check the name; if it is private, {_LOGIN}",
    )


def _unanswered(error: BaseException, asked: RequestContext) -> tuple[str, str]:
    """Message and hint for a request that got no answer, or not all of it."""
    host, what = asked.host, asked.name or asked.repository
    proxy = _proxy_in_use(asked.endpoint)
    through = f" through the proxy {proxy}" if proxy else ""
    check = "check the network" + (" and the proxy settings (HTTPS_PROXY, NO_PROXY)" * bool(proxy))
    if "ProxyError" in _names(error):
        return _proxy(str(error), asked.endpoint)
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {host}{through} is not trusted: {cause.verify_message}",
                "if your network puts in its own, name its file in SSL_CERT_FILE",
            )
        if isinstance(cause, socket.gaierror):
            return f"cannot find {proxy or host}: {cause.strerror}", check
    if isinstance(error, BrokenTransferError) or "TimeoutException" in _names(error):
        return f"gave up on {what} from {host}{through}: {short_reason(error, asked)}", _AGAIN
    if "ConnectError" in _names(error):
        return f"cannot connect to {host}{through}: {_root(error)}", check
    return f"cannot fetch {what} from {host}{through}: {_root(error)}", _AGAIN


def _proxy(why: str, endpoint: str) -> tuple[str, str]:
    proxy = _proxy_in_use(endpoint) or "your network's proxy"
    return (
        f"the proxy {proxy} did not let the request through: {why}",
        "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and the login in them",
    )


def _proxy_in_use(endpoint: str) -> str:
    """Host and port of the proxy for ``endpoint``, never the login; empty without one."""
    address = urlsplit(endpoint)
    proxies = urllib.request.getproxies()
    found = proxies.get(address.scheme) or proxies.get("all") or ""
    if not found or urllib.request.proxy_bypass(address.hostname or ""):
        return ""
    return found.rpartition("@")[2].rpartition("//")[2]


def _unwritable(error: OSError, asked: RequestContext) -> StorageError:
    is_model = asked.repository and asked.kind == "models"
    cache = "HF_HUB_CACHE" if is_model else "SPEEDTEST_CACHE_DIR"
    where = f" {error.filename}" if error.filename else ""
    if error.errno in _NO_SPACE:
        return StorageError(
            scrub(f"the disk is full{where and f': cannot write{where}'}"),
            hint="make room and run it again: what is here already is resumed",
        )
    return StorageError(
        scrub(f"cannot write{where}: {error.strerror or error}"),
        hint=f"check the permissions of that folder, or set {cache} to another one",
    )


def _status(error: BaseException) -> int | None:
    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _root(error: BaseException) -> str:
    """The innermost reason, in words: what the operating system said, where it said something."""
    for cause in reversed(list(_causes(error))):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(error) or type(error).__name__
