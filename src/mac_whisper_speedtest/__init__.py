"""Measure every Whisper backend that runs on this machine, under equal work."""

__version__ = "0.1.0"
