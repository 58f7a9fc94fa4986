"""What a run may be called by ``--tag``."""

from __future__ import annotations

import re

from mac_whisper_speedtest.errors import UsageError

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_RESERVED = ("latest", "previous-comparable")
_RUN_ID = re.compile(r"[0-9A-Fa-f]{8,}")


def check(text: str) -> str:
    """A tag that cannot be taken for another way to name a run.

    Raises:
        UsageError: it could, or it has characters that a tag may not have.
    """
    wrong = ""
    if not _TAG.fullmatch(text):
        wrong = "has other characters than letters, digits, '.', '_', '+' and '-', or too many"
        if text[:1] in {".", "_", "+", "-"}:
            wrong = "does not begin with a letter or digit"
    elif text.isdigit():
        wrong = "is a run's number"
    elif text.lower() in _RESERVED:
        wrong = "means a run already"
    elif _RUN_ID.fullmatch(text):
        wrong = "looks like a run's id (8 or more hexadecimal digits)"
    elif text.lower().endswith((".zip", ".json")):
        wrong = "looks like a file"
    if wrong:
        raise UsageError(
            f"the tag {text!r} {wrong}", hint="write it like before-update or v1.2, 64 at most"
        )
    return text
