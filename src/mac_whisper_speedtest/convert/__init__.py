"""One verified source of weights, turned into the form each backend loads.

A source form is read into canonical tensors (`checkpoint`), which a target form writes; a form is
one module with a ``FORM``, listed in `forms`. `convert` does the whole: read, validate, write, read
back, compare, record.
"""

from __future__ import annotations

from mac_whisper_speedtest.convert.checkpoint import Checkpoint, Dims, network_sha256, validate
from mac_whisper_speedtest.convert.conversion import convert
from mac_whisper_speedtest.convert.form import Form
from mac_whisper_speedtest.convert.forms import FORMS, detect_form, form_named
from mac_whisper_speedtest.convert.record import (
    RECORD_NAME,
    ConversionRecord,
    FileRecord,
    read_record,
)

__all__ = [
    "FORMS",
    "RECORD_NAME",
    "Checkpoint",
    "ConversionRecord",
    "Dims",
    "FileRecord",
    "Form",
    "convert",
    "detect_form",
    "form_named",
    "network_sha256",
    "read_record",
    "validate",
]
