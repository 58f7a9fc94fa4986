"""How long to go on with a network that fails: back-off, jitter, and what the server asks for."""

from __future__ import annotations

import datetime
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mac_whisper_speedtest import refusals
from mac_whisper_speedtest.refusals import BrokenTransferError

Result = TypeVar("Result")

ENOUGH_TO_GO_ON = 1_000_000
"""Bytes: a try that brought so many before it broke does not count as a failure."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a download goes on in the face of trouble. Times in seconds.

    Attributes:
        failures: in a row, after which it is given up.
        first_wait_s: before the second try; doubled for each further one.
        longest_wait_s: that it is doubled to.
        longest_asked_s: the longest wait that a server's Retry-After can impose.
        connect_s: to get a connection.
        silence_s: without one byte.
        slowest_bytes_per_s: over ``window_s`` on average; below it the connection is dropped and
            the file resumed on a new one.
        window_s: see there.
        sleep: waits.
        jitter: a number in [0, 1), so that many machines do not come back in the same moment.
    """

    failures: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    longest_asked_s: float = 120.0
    connect_s: float = 10.0
    silence_s: float = 30.0
    slowest_bytes_per_s: float = 10_000.0
    window_s: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def wait_s(self, failures: int, asked_s: float | None) -> float:
        """How long to wait after so many failures: as asked, else half to all of the doubled."""
        if asked_s is not None:
            return min(asked_s, self.longest_asked_s)
        # The exponent is bounded for the float's sake; the result is bounded long before.
        doubled = self.first_wait_s * 2.0 ** min(failures - 1, 60)
        return min(self.longest_wait_s, doubled) * (0.5 + self.jitter() / 2)

    @property
    def timeouts_s(self) -> tuple[float, float, float, float]:
        """For connecting, reading, writing, and getting a connection out of the pool."""
        return self.connect_s, self.silence_s, self.silence_s, self.connect_s


PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class Source:
    """A repository at one revision, where it is fetched from, and how patiently.

    Attributes:
        endpoint: the hub's address, without a slash at its end.
        repository: ``org/name``.
        revision: a commit; for `listing` also a branch.
        patience: with failing requests.
        announce: told of every failure that is tried again.
    """

    endpoint: str
    repository: str
    revision: str
    patience: Patience
    announce: Callable[[str], None]

    def asked(self, name: str) -> refusals.Asked:
        """What a request for the file ``name`` is for, to explain why it failed."""
        return refusals.Asked(self.endpoint, self.repository, self.revision, name)


def insisting(
    act: Callable[[], Result],
    source: Source,
    name: str = "",
    *,
    so_far: Callable[[], int] = lambda: 0,
) -> Result:
    """Do it until it is done, it cannot succeed, or it failed too often in a row.

    Args:
        act: one try.
        source: what it is for, and how patiently.
        name: the file it is for; empty for the repository itself.
        so_far: counts the bytes moved; a failure after `ENOUGH_TO_GO_ON` of them is the first of a
            new row.

    Raises:
        DownloadError, StorageError: it was given up; in words for people.
    """
    from huggingface_hub.errors import HfHubHTTPError

    # The base of all errors of the HTTP library that this release of huggingface-hub is built on.
    http_error = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    failures = 0
    while True:
        before = so_far()
        try:
            return act()
        except (http_error, OSError, BrokenTransferError) as error:  # type: ignore[misc]
            failures = 1 if so_far() - before >= ENOUGH_TO_GO_ON else failures + 1
            if not refusals.transient(error) or failures >= source.patience.failures:
                raise refusals.explained(error, source.asked(name)) from error
            now = datetime.datetime.now(datetime.UTC)
            wait = source.patience.wait_s(failures, refusals.retry_after_s(error, now))
            source.announce(
                f"{name or source.repository}: {refusals.briefly(error)}; trying again in "
                f"{wait:.0f} s ({failures} of {source.patience.failures - 1})"
            )
        source.patience.sleep(wait)
