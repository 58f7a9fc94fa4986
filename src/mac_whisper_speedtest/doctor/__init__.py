"""Whether this machine is ready for benchmarking: one judged line per fact, and what to type.

:mod:`~mac_whisper_speedtest.machine.reader` queries the machine and never raises; the modules here
judge its answers in pure functions, which are tested with answers of other machines.
:mod:`checkup` puts the lines together.
"""
