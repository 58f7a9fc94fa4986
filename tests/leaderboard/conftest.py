"""The browser, where there is one."""

from browser import chromium

__all__ = ["chromium"]
