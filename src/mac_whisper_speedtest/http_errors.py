"""Failed and forbidden requests: whether to retry them, and the error that the user sees.

huggingface-hub 1 is built on httpx and 2 on httpx2. Their errors have the same names, so they are
recognized by name and neither is imported. Rooms that can download import this module for commands
that never do, too, so it imports ssl and urllib.request only where a request failed.
"""

from __future__ import annotations

import datetime
import errno
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from mac_whisper_speedtest.errors import DownloadError, SpeedtestError, StorageError
from mac_whisper_speedtest.privacy import scrub

_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_TRANSIENT_ERRORS = frozenset({"TimeoutException", "NetworkError", "RemoteProtocolError"})
_LOGIN = "set HF_TOKEN, or run: hf auth login"
_AGAIN = "run it again later: the download resumes where it stopped"
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What a request is for.

    Attributes:
        endpoint: the server's address, without a slash at its end.
        repository: ``org/name`` on a Hugging Face hub; empty for another server.
        revision: the commit or branch.
        name: the file; empty for the repository itself.
    """

    endpoint: str
    repository: str = ""
    revision: str = ""
    name: str = ""
    kind: Literal["models", "datasets"] = "models"

    @property
    def host(self) -> str:
        """The server's host, without a login."""
        return urlsplit(self.endpoint).hostname or "the server"

    @property
    def page(self) -> str:
        """The repository's web page."""
        return f"{self.endpoint}/{'datasets/' * (self.kind == 'datasets')}{self.repository}"

    @property
    def url(self) -> str:
        """The file's address."""
        name = quote(self.name)
        if not self.repository:
            return f"{self.endpoint}/{name}"
        return f"{self.page}/resolve/{self.revision}/{name}"


class BrokenTransferError(Exception):
    """A body that stopped, crawled or ended early; the transfer can be resumed."""


PUBLIC_HUB = "https://huggingface.co"

HUB_OFFLINE = ("SPEEDTEST_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
"""Environment variables that forbid requests to the hub; the first is this tool's own."""


def offline_variable(names: Sequence[str] = HUB_OFFLINE) -> str | None:
    """The first of these variables that forbids the network, as ``NAME=value``; else ``None``."""
    for name in names:
        value = os.environ.get(name, "")
        # The hub's library accepts these words; this tool's own variable accepts all but 0.
        if value.upper() in {"1", "ON", "YES", "TRUE"}:
            return f"{name}={value}"
        if name == "SPEEDTEST_OFFLINE" and value not in {"", "0"}:
            return f"{name}={value}"
    return None


def refuse_offline(what: str, names: Sequence[str] = HUB_OFFLINE) -> None:
    """Refuse a download that the environment forbids.

    Raises:
        DownloadError: one of the variables ``names`` forbids it.
    """
    if variable := offline_variable(names):
        raise _offline(what, variable)


def _offline(what: str, variable: str) -> DownloadError:
    return DownloadError(
        f"{what} is not completely on this machine, and {variable} forbids fetching it",
        hint=f"unset {variable.partition('=')[0]} for this command",
    )


def transient(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    import ssl

    if isinstance(error, BrokenTransferError):
        return True
    if (status := _status(error)) is not None:
        return status in _TRANSIENT_STATUS
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return False
    return bool(_class_names(error) & _TRANSIENT_ERRORS)


def retry_after_s(error: BaseException, now: datetime.datetime) -> float | None:
    """The wait that the server requests by ``Retry-After``, a number or a date (RFC 9110)."""
    from email.utils import parsedate_to_datetime

    headers = getattr(getattr(error, "response", None), "headers", {})
    value = str(headers.get("Retry-After", "")).strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):  # no date, or one without a time zone
        return None


def short_reason(error: BaseException, request: RequestContext) -> str:
    """The failure in a few words, for the line that reports a retry."""
    if (status := _status(error)) is not None:
        return f"{'the hub' if request.repository else request.host} answered {status}"
    if isinstance(error, BrokenTransferError):
        return str(error)
    if "TimeoutException" in _class_names(error):
        return "no answer in time"
    return scrub(f"the connection failed ({_root_cause(error)})")


def to_user_error(error: BaseException, request: RequestContext) -> SpeedtestError:
    """The error that the user sees for a failed request or write, without secrets."""
    if isinstance(error, SpeedtestError):
        return error
    if "OfflineModeIsEnabled" in _class_names(error):
        return _offline(request.repository or request.name, offline_variable() or "HF_HUB_OFFLINE")
    status = _status(error)
    if status is None and isinstance(error, OSError):
        return _unwritable(error, request)
    message, hint = (
        _no_answer(error, request) if status is None else _refusal(error, status, request)
    )
    return DownloadError(scrub(message), hint=scrub(hint))


def _refusal(error: BaseException, status: int, request: RequestContext) -> tuple[str, str]:
    """Message and hint for an error status; the library has read X-Error-Code."""
    what, host, page = request.repository, request.host, request.page
    if not what:
        if status in _TRANSIENT_STATUS:
            return f"gave up on {request.name} from {host}: it answered {status}", _AGAIN
        return f"{host} answered {status} for {request.name}", f"open {request.url} in a browser"
    if status == 401 and type(error).__name__ != "GatedRepoError":
        return _no_login(error, request)
    by_kind = {
        "GatedRepoError": (
            f"{what} is gated: its conditions must be accepted before it can be fetched ({status})",
            f"accept them at {page}, then {_LOGIN}",
        ),
        "RevisionNotFoundError": (
            f"{what} has no revision {request.revision}",
            f"see {page}/commits/main",
        ),
        "RemoteEntryNotFoundError": (
            f"{what} has no file {request.name} at {request.revision}",
            f"see {page}/tree/{request.revision}",
        ),
    }
    by_status = {
        403: (
            f"{host} does not let you read {what} (403)",
            f"accept its license at {page} if it has one, and use a token with read access",
        ),
        404: (
            f"there is no repository {what} on {host} (404 for revision {request.revision})",
            "check the name, and HF_ENDPOINT if it is set",
        ),
        407: _proxy("407", request.endpoint),
        429: (f"{host} repeatedly reported too many requests (429)", _AGAIN),
    }
    other = (f"{host} answered {status} for {request.name or what}", _AGAIN)
    return by_kind.get(type(error).__name__) or by_status.get(status, other)


def _no_login(error: BaseException, request: RequestContext) -> tuple[str, str]:
    sent = getattr(getattr(error, "response", None), "request", None)
    if "authorization" in getattr(sent, "headers", {}):
        return (
            f"{request.host} refused the token for {request.repository} (401)",
            f"create a valid one at {request.endpoint}/settings/tokens, then {_LOGIN}",
        )
    return (
        f"{request.host} requires a login (401): {request.repository} is private or does not exist",
        f"check the name; if it is private, {_LOGIN}",
    )


def _no_answer(error: BaseException, request: RequestContext) -> tuple[str, str]:
    """Message and hint for a request without a complete answer."""
    import ssl

    host, what = request.host, request.name or request.repository
    proxy = _proxy_in_use(request.endpoint)
    through = f" through the proxy {proxy}" if proxy else ""
    check = "check the network" + (" and the proxy settings (HTTPS_PROXY, NO_PROXY)" * bool(proxy))
    if "ProxyError" in _class_names(error):
        return _proxy(str(error), request.endpoint)
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {host}{through} is not trusted: {cause.verify_message}",
                "if your network uses its own certificate, set SSL_CERT_FILE to its file",
            )
        if isinstance(cause, socket.gaierror):
            return f"cannot find {proxy or host}: {cause.strerror}", check
    if isinstance(error, BrokenTransferError) or "TimeoutException" in _class_names(error):
        return f"gave up on {what} from {host}{through}: {short_reason(error, request)}", _AGAIN
    if "ConnectError" in _class_names(error):
        return f"cannot connect to {host}{through}: {_root_cause(error)}", check
    return f"cannot fetch {what} from {host}{through}: {_root_cause(error)}", _AGAIN


def _proxy(why: str, endpoint: str) -> tuple[str, str]:
    proxy = _proxy_in_use(endpoint) or "your network's proxy"
    return (
        f"the proxy {proxy} refused the request: {why}",
        "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and the login in them",
    )


def _proxy_in_use(endpoint: str) -> str:
    """Host and port of the proxy for ``endpoint``, without its login; empty without a proxy."""
    import urllib.request

    address = urlsplit(endpoint)
    proxies = urllib.request.getproxies()
    found = proxies.get(address.scheme) or proxies.get("all") or ""
    if not found or urllib.request.proxy_bypass(address.hostname or ""):
        return ""
    return found.rpartition("@")[2].rpartition("//")[2]


def _unwritable(error: OSError, request: RequestContext) -> StorageError:
    is_model = request.repository and request.kind == "models"
    cache = "HF_HUB_CACHE" if is_model else "SPEEDTEST_CACHE_DIR"
    where = f" {error.filename}" if error.filename else ""
    if error.errno in _NO_SPACE:
        return StorageError(
            scrub(f"the disk is full{where and f': cannot write{where}'}"),
            hint="free some space and run it again: the download resumes where it stopped",
        )
    return StorageError(
        scrub(f"cannot write{where}: {error.strerror or error}"),
        hint=f"check the permissions of that folder, or set {cache} to another folder",
    )


def _status(error: BaseException) -> int | None:
    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None


def _class_names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _root_cause(error: BaseException) -> str:
    """The innermost reason in words: the operating system's message if there is one."""
    for cause in reversed(list(_causes(error))):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(error) or type(error).__name__
