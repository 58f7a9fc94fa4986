"""One verified source of weights, turned into the form each backend loads.

A source form is read into canonical tensors (`checkpoint`), which a target form writes; a form is
one module with a ``FORM``, listed in `forms`. `convert` does the whole: read, validate, write, read
back, compare, record.
"""
