"""Whether what this tool measures on this machine is right: work of known size, and what it sees.

Measuring and judging are apart. A *measurement* holds raw figures and texts and no verdict; a kit
is a file of them. :func:`~mac_whisper_speedtest.selfcheck.checks.judged` is pure, so that a kit
from a machine that no developer has can be judged again, by later code, and replayed in a test.
"""
