"""Whether this tool measures correctly on this machine: work of known size, and its figures.

Measuring and judging are separate. A *measurement* has raw figures and texts, no verdict; a kit
is a file of them. :func:`~mac_whisper_speedtest.selfcheck.checks.judged` is pure, so that a kit
from a machine that no developer has can be judged again, by later code, and replayed in a test.
"""
