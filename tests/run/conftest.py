"""Sessions whose workers are scripted."""

from fakes.sessions import prepared

__all__ = ["prepared"]
