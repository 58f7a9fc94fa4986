"""``speedtest results reindex``: the index, made anew from the runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click

from mac_whisper_speedtest.cli import scrubbed
from mac_whisper_speedtest.cli.results import warn

_NEWS_EVERY_S = 0.2


@click.command("reindex")
def command() -> None:
    """Read every run again and make the index of them anew.

    The index is made and kept up by itself; this is for when it is not to be trusted. Nothing
    stands only in it.

    Exit codes: 0 done; 5 the runs cannot be read, or the index cannot be written.
    """
    from mac_whisper_speedtest.errors import StorageError
    from mac_whisper_speedtest.store import location
    from mac_whisper_speedtest.store.index import open_index

    decided = location.here()
    if decided.path is None:
        raise StorageError(f"there is no place for the index: {decided.reason}")
    if decided.reason:
        scrubbed.echo(decided.reason)
    began_s = time.monotonic()
    with open_index(warn, refresh=False) as index:
        if damage := index.check():
            index.renew(damage)
        done = index.refresh(everything=True, progress=_progress())
        kept = index.path
    if kept is None:
        raise StorageError("the index could not be written", hint="check the free disk space")
    took_s = time.monotonic() - began_s
    scrubbed.echo(f"{done.read} runs with {done.samples} samples in {took_s:.1f} s: {kept}")


def _progress() -> Callable[[int, int], None] | None:
    """Says how far it is, on a terminal only."""
    stream = sys.stderr
    if not stream.isatty():
        return None
    last_s = 0.0

    def news(done: int, total: int) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if done < total and now_s - last_s < _NEWS_EVERY_S:
            return
        last_s = now_s
        end = "\r\x1b[K" if done >= total else ""
        stream.write(f"\r\x1b[Kread {done} of {total} runs{end}")
        stream.flush()

    return news
