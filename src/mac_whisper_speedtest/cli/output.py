"""What commands print: scrubbed lines, JSON, sizes, and a line that is rewritten on a terminal."""

from __future__ import annotations

import json
import shutil
import sys
import time
from typing import Any, TextIO

import click

from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.printable import escaped_json, printable
from mac_whisper_speedtest.privacy import scrub

_REWRITTEN_EVERY_S = 0.2


def say(text: str, *, err: bool = False) -> None:
    """Print a line with control characters made visible.

    All that commands print passes here, :func:`echo_document` or ``report.console``.
    """
    click.echo(printable(text), err=err)


def echo(text: str, *, err: bool = False) -> None:
    """Print a line without home folders and user names."""
    say(scrub(text), err=err)


def notify(text: str) -> None:
    """Print a line on stderr: a long step begins, or the user must know something."""
    echo(text, err=True)


def echo_document(text: str) -> None:
    """Print text for programs: always in UTF-8.

    Control characters are escaped as in JSON, and lone surrogates (of a file name that is not
    UTF-8) with them.
    """
    click.echo(escaped_json(text).encode(), nl=False)


def echo_json(value: Any) -> None:
    """Print a value as JSON without home folders and user names."""
    echo_document(scrub(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def size(count: int | None) -> str:
    """Bytes as people read them, in decimal units; ``?`` if unknown."""
    if count is None:
        return "?"
    if count < 10_000_000:
        return megabytes(count, 1)
    return megabytes(count) if count < 1_000_000_000 else f"{count / 1e9:.2f} GB"


class RewrittenLine:
    """The last lines of a terminal, which are updated in place; elsewhere nothing is printed."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self.on_terminal = self._stream.isatty()
        self._last_s = 0.0
        self._above = 0

    def write(self, *texts: str) -> None:
        """Show these lines, each cut to the terminal's width, in place of those before.

        The empty text removes them.
        """
        if not self.on_terminal:
            return
        # Wrapped lines would be more than are removed.
        width = max(shutil.get_terminal_size().columns - 1, 1)
        up = f"\x1b[{self._above}A" if self._above else ""
        shown = "\n".join(" ".join(printable(text).splitlines())[:width] for text in texts)
        self._stream.write(f"{up}\r\x1b[J{shown}")
        self._stream.flush()
        self._above = len(texts) - 1

    def progress(self, text: str, *, done: bool) -> None:
        """Show a text that changes often: not each time, and no longer when it is ``done``."""
        now_s = time.monotonic()
        if done or now_s - self._last_s >= _REWRITTEN_EVERY_S:
            self._last_s = now_s
            self.write("" if done else text)
