"""Converts one verified source of weights into the format that each backend loads.

A source format is read into canonical tensors (`checkpoint`), which a target format writes; a
format is one module with a ``FORMAT``, listed in `conversion`.
"""
