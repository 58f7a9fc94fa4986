"""May something be downloaded? Only what the user asked for, and never where it is forbidden."""

from __future__ import annotations

import os

from mac_whisper_speedtest.errors import DownloadError


def refuse_unless_allowed(what: str, size: int | None, *, allow_download: bool) -> None:
    """Stop before a download that was not asked for.

    Args:
        what: would be downloaded.
        size: its bytes; None while not known.
        allow_download: whether the user asked for it.

    Raises:
        DownloadError: it may not be.
    """
    refuse_offline(what)
    if not allow_download:
        megabytes = f" ({size / 1e6:.0f} MB)" if size is not None else ""
        raise DownloadError(
            f"{what} is not on this machine, and would have to be downloaded{megabytes}",
            hint="add --download to fetch it; it is kept, and is not asked for again",
        )


def refuse_offline(what: str) -> None:
    """Stop where the environment forbids all downloads.

    Raises:
        DownloadError: it does.
    """
    if os.environ.get("SPEEDTEST_OFFLINE", "") not in {"", "0"}:
        raise DownloadError(
            f"{what} is not on this machine, and SPEEDTEST_OFFLINE forbids fetching it",
            hint="unset SPEEDTEST_OFFLINE for this one command",
        )
