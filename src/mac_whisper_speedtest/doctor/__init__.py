"""Whether this machine is ready for benchmarking: one judged line per fact, and what to type.

:mod:`~mac_whisper_speedtest.machine.reader` asks the machine and never raises, and
:mod:`~mac_whisper_speedtest.machine` reads what it said; every module here judges that, in
functions that are pure and tested with what other machines say. :mod:`checkup` puts it together.
"""
