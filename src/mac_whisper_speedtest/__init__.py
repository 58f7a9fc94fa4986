"""Measure every Whisper backend that runs on this machine, under equal work.

    import mac_whisper_speedtest.api as st

    results = st.run("tiny.en")
    results.to_pandas()

The Python interface is :mod:`mac_whisper_speedtest.api`; docs/guide/python.md describes it.
"""

from mac_whisper_speedtest.version import __version__

__all__ = ["__version__"]
