"""What is metered beside the time: processor, memory, energy, and the state of the machine.

Each probe is a class with one interface (:mod:`probe`) that is asked before and after a span, never
inside it. What it reads is parsed by functions that are pure and tested with what other machines
say. A probe that fails gives reasons in place of values.
"""
