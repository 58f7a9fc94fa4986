"""CrispASR in its own environment: a fork of whisper.cpp, called through its C interface."""

from __future__ import annotations

import subprocess
from pathlib import Path

import mac_whisper_speedtest
from backends.conftest import Session, installed_or_skip, speech
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.worker.launch import program

MOVED = """
from ctypes import POINTER, Structure, c_int
from crispasr._binding import _find_lib
from mac_whisper_speedtest.backends import crispasr_native as native
from mac_whisper_speedtest.backends.adapter import BackendUnavailableError

native.Library(_find_lib())
for place in range(len(native.FullParams._fields_)):
    fields = list(native.FullParams._fields_)
    fields.insert(place, ("new", c_int * 2))
    moved = type("FullParams", (Structure,), {"_fields_": fields})
    native._SIGNATURES["whisper_full_default_params_by_ref"] = (POINTER(moved), (c_int,))
    try:
        native.Library(_find_lib())
    except BackendUnavailableError as error:
        assert "another layout of parameters than 0.8.45" in str(error)
    else:
        print(f"a parameter before {fields[place + 1][0]} was not noticed")
"""


def test_a_release_with_its_parameters_in_other_places_is_refused() -> None:
    python = program(installed_or_skip("crispasr"))
    source = Path(mac_whisper_speedtest.__file__).parents[1]
    done = subprocess.run(
        [str(python), "-c", MOVED],
        env={"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == ""


def test_it_hears_what_whisper_cpp_hears_in_the_same_file() -> None:
    texts = []
    for name in ("whisper.cpp", "crispasr"):
        with Session(name) as session:
            texts.append(session.decode(DecodeContract(), speech("short")).text)
    assert texts[0].split() == texts[1].split()
