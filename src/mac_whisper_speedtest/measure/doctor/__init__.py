"""Whether this machine is fit for measuring: one judged line per fact, and what to type about it.

:mod:`reader` asks the machine and never raises; every other module judges what it was told, in
functions that are pure and tested with what other machines say. :mod:`checkup` puts it together.
"""
