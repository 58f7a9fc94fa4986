"""What is metered besides the time: processor, memory, energy, and the state of the machine.

Each probe is a class with one interface (:mod:`probe`) and is read before and after a span, never
inside it. Pure functions, tested with answers of other machines, parse what it reads. A probe that
fails returns reasons in place of values.
"""
