"""The version of this program, which everything may import."""

__version__ = "0.1.0"
