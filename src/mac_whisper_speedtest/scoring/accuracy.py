"""Word error rate: jiwer's alignment over a pinned normaliser's words."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

NORMALISER = "whisper-normalizer 0.1.15 EnglishTextNormalizer"
"""Identical in output to the normaliser of the Whisper paper's appendix C; the pin is part of what
the number means."""


def wer(reference: str, hypothesis: str) -> float | None:
    """The word error rate of ``hypothesis``: (S + D + I) / words of the reference.

    Both texts are normalised first. ``None`` when the normalised reference has no words, because
    the rate is then undefined.
    """
    normalise = _normaliser()
    expected, heard = normalise(reference), normalise(hypothesis)
    if not expected.split():
        return None
    import jiwer

    return float(jiwer.wer(expected, heard))


@functools.cache
def _normaliser() -> Callable[[str], str]:
    with warnings.catch_warnings():
        # Python complains of its docstrings where it has to compile it: with a deprecation
        # warning before 3.12, with a syntax warning since.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", SyntaxWarning)
        from whisper_normalizer.english import EnglishTextNormalizer

    normalise: Callable[[str], str] = EnglishTextNormalizer()
    return normalise
