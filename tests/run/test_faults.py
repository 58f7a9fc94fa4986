"""Whatever one backend does, the others are measured, and what happened is named."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from conftest import FAKES, Finished, Tool, describe_fake, write_tone

# fault -> how its cell must end: status, stage, error class
ENDINGS = {
    "hang_in_import": ("timeout", "import", "Deadline"),
    "hang_in_load": ("timeout", "load", "Deadline"),
    "hang_in_transcribe": ("timeout", "warmup", "Deadline"),
    "hang_holding_the_interpreter": ("timeout", "warmup", "Deadline"),
    "grandchild_and_hang": ("timeout", "warmup", "Deadline"),
    "segfault": ("crashed", "warmup", "SIGSEGV"),
    "abort": ("crashed", "warmup", "SIGABRT"),
    "exit_with_status": ("crashed", "warmup", "Exit"),
    "exit_silently": ("protocol_violation", "warmup", "SilentExit"),
    "hoard_memory": ("out_of_memory", "warmup", "MemoryLimit"),
    "memory_error": ("out_of_memory", "warmup", "MemoryError"),
    "raise": ("failed", "warmup", "ValueError"),
    "nan_segments": ("failed", "warmup", "ValueError"),
    "bad_model": ("failed", "load", "ModelUnusableError"),
    "unavailable": ("unavailable", "import", "BackendUnavailableError"),
}
# Programs that break the protocol itself, by what tests/fakes/broken_engine.py calls the fault.
VIOLATIONS = {
    "banner": "spawn",
    "wrong ids": "spawn",
    "malformed": "warmup",
    "floods": "warmup",
    "nan": "warmup",
}
HARMLESS = ("", "print_much", "litter")


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Tool]:
    """Every fault and every harmless oddity as a cell of one real run."""
    folder = tmp_path_factory.mktemp("fakes")
    tool = Tool(tmp_path_factory.mktemp("tmp"))
    backends: list[object] = []
    for fault in [*ENDINGS, *HARMLESS]:
        backends += ["-b", describe_fake(folder, fault or "good", fault=fault)]
    engine = str(FAKES / "broken_engine.py")
    for fault in VIOLATIONS:
        command = [sys.executable, engine, fault]
        backends += ["-b", describe_fake(folder, fault.replace(" ", "-"), command=command)]
    done = tool(
        *["run", "-m", "tiny.en", "--audio", write_tone(folder / "tone.wav"), *backends],
        *["--rounds", 2, "--passes", 2, "--timeout", 4, "--max-memory", "150MB", "--json"],
    )
    return done, tool


@pytest.mark.parametrize("fault", ENDINGS)
def test_a_fault_is_classified_with_its_stage_and_class(
    one_run: tuple[Finished, Tool], fault: str
) -> None:
    cell = one_run[0].cell(fault)
    first = cell["endings"][0]
    assert (cell["status"], first["stage"], first["error_class"]) == (
        ENDINGS[fault][0],
        *ENDINGS[fault][1:],
    )
    assert first["message"]


@pytest.mark.parametrize("fault", VIOLATIONS)
def test_a_program_that_breaks_the_protocol_is_told_so(
    one_run: tuple[Finished, Tool], fault: str
) -> None:
    cell = one_run[0].cell(fault.replace(" ", "-"))
    first = cell["endings"][0]
    assert (cell["status"], first["stage"]) == ("protocol_violation", VIOLATIONS[fault])
    assert len(first["message"]) < 1000


@pytest.mark.parametrize("oddity", HARMLESS)
def test_every_other_cell_is_measured_in_full(one_run: tuple[Finished, Tool], oddity: str) -> None:
    cell = one_run[0].cell(oddity or "good")
    assert cell["status"] == "ok"
    assert cell["summary"]["timed_samples"] == 4
    assert cell["summary"]["rounds_ok"] == 2


def test_the_run_as_a_whole_says_that_some_cells_failed(one_run: tuple[Finished, Tool]) -> None:
    assert one_run[0].returncode == 3


def test_no_process_and_no_temporary_file_is_left(one_run: tuple[Finished, Tool]) -> None:
    assert one_run[1].leftovers() == []


def test_a_cell_that_failed_once_is_not_tried_in_later_rounds(
    one_run: tuple[Finished, Tool],
) -> None:
    first, second = one_run[0].cell("segfault")["endings"]
    assert first["status"] == "crashed"
    assert (second["status"], second["error_class"]) == ("skipped", "FailedBefore")


def test_what_a_backend_printed_before_it_failed_is_kept_within_bounds(
    one_run: tuple[Finished, Tool],
) -> None:
    tails: list[dict[str, Any]] = one_run[0].cell("raise")["endings"]
    assert "the decoder is out of sorts" in tails[0]["log_tail"]
    for cell in one_run[0].run["cells"]:
        assert all(len(ending["log_tail"]) <= 16 * 1024 for ending in cell["endings"])
