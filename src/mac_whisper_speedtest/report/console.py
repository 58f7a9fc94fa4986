"""The only consoles of this program: they show any text literally.

No text is read as Rich's markup, as the name of an emoji or as something to highlight, and no
control character reaches the terminal but those of Rich's own styles. Styles come from
:class:`~rich.text.Text` alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from mac_whisper_speedtest.printable import REPLACEMENT, UNSEEN

PIPE_WIDTH = 200
"""Characters per line where the output is not a terminal."""


class TextConsole(Console):
    """A console on which foreign text cannot act; see the module."""

    def __init__(self, **options: Any) -> None:  # those of Rich's Console
        super().__init__(**options, markup=False, emoji=False, highlight=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """All printed text passes here."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(UNSEEN.sub(REPLACEMENT, segment.text), segment.style)


def output_console(console: TextConsole | None = None, *, pipe: int = PIPE_WIDTH) -> TextConsole:
    """``console`` if given, else stdout: a terminal unchanged, a pipe ``pipe`` characters wide."""
    if console is not None:
        return console
    stdout = TextConsole()
    return stdout if stdout.is_terminal else TextConsole(width=pipe)
