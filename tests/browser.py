"""A headless Chromium for the tests of pages, where there is one; else they skip and say why.

It needs the package ``playwright`` and a Chromium: the one that ``SPEEDTEST_CHROMIUM`` names, or
``chromium`` on the path. Playwright's own download is not used. In a test's module or ``conftest``:
``from browser import chromium, visit``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PHONE = (390, 844)
DESK = (1280, 900)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Playwright's ``Browser``; skips the test where playwright or a Chromium is missing."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the package playwright is not installed"
    )
    wanted = os.environ.get("SPEEDTEST_CHROMIUM")
    program = wanted or next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no chromium on the path, and SPEEDTEST_CHROMIUM does not name one")
    if not Path(program).exists():
        pytest.skip(f"SPEEDTEST_CHROMIUM is {program!r}, and no such file is there")
    with playwright.sync_playwright() as driver:
        # Without its sandbox: it runs as root in containers, and opens nothing but our own files.
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """An open page, and what it did: everything here must stay empty but ``requests[0]``."""

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def complaints(self) -> list[str]:
        """Console errors and warnings, errors in scripts, and requests for anything else."""
        return self.console + [f"requested {each[:200]}" for each in self.requests[1:]]

    @property
    def overflow(self) -> int:
        """How many pixels the page is wider than its window."""
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        found: int = self.page.evaluate(wide)
        return found

    @property
    def texts_outside(self) -> list[str]:
        """The visible texts of drawings that stand out of them at the left or right."""
        script = """() => [...document.querySelectorAll("svg.plot")].flatMap((svg) => {
          const box = svg.getBoundingClientRect();
          return [...svg.querySelectorAll("text")].filter((text) => {
            const own = text.getBoundingClientRect();
            return own.width > 0 && (own.left < box.left - 4 || own.right > box.right + 4);
          }).map((text) => `${svg.querySelector("title").textContent}: ${text.textContent}`);
        })"""
        found: list[str] = self.page.evaluate(script)
        return found

    def rows_above(self, pixels: int) -> list[str]:
        """The texts of table rows that are taller."""
        script = """(pixels) => [...document.querySelectorAll("tr")]
          .filter((row) => row.getBoundingClientRect().height > pixels)
          .map((row) => row.textContent)"""
        found: list[str] = self.page.evaluate(script, pixels)
        return found


@contextlib.contextmanager
def visit(
    browser: Any, path: Path, *, size: tuple[int, int] = DESK, dark: bool = False
) -> Iterator[Visit]:
    """Open a file without a network.

    Args:
        browser: the fixture ``chromium``.
        path: the page.
        size: of the window, in pixels.
        dark: what the system is said to prefer.
    """
    context = browser.new_context(
        offline=True,
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
    )
    try:
        page = context.new_page()
        found = Visit(page)
        page.on(
            "console",
            lambda said: (
                found.console.append(said.text) if said.type in {"error", "warning"} else None
            ),
        )
        page.on("pageerror", lambda error: found.console.append(str(error)))
        page.on("request", lambda request: found.requests.append(request.url))
        page.goto(path.resolve().as_uri())
        yield found
    finally:
        context.close()
