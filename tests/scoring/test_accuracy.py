"""Word error rates; and that the libraries behind them load wherever the tool is put."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mac_whisper_speedtest.scoring import accuracy


def test_every_word_wrong_missing_or_added_counts() -> None:
    rate = accuracy.wer("the cat sat down", "the dog sat down again")

    assert rate == pytest.approx(2 / 4)


def test_case_punctuation_and_spelling_variants_do_not_count() -> None:
    assert accuracy.wer("The colour, it's grey.", "the color it is gray") == 0.0


def test_a_reference_without_words_has_no_rate() -> None:
    assert accuracy.wer("(laughs)", "something") is None


def test_the_libraries_load_where_nothing_is_compiled_yet_and_warnings_are_errors(
    tmp_path: Path,
) -> None:
    # A package's own invalid escape sequence is only complained of when it is first compiled.
    done = subprocess.run(
        [
            sys.executable,
            *("-B", "-W", "error", "-X", f"pycache_prefix={tmp_path}"),
            *("-c", "from mac_whisper_speedtest.scoring import accuracy as a; a.wer('a', 'a')"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.stderr == ""
    assert done.returncode == 0
