"""Secrets in every text that a backend gives, in every variable and path: in no output of the tool.

Each seed makes other ones of every kind, and a real run of backends that write all of them into
their errors, their details and their logs.
"""

from __future__ import annotations

from pathlib import Path

from fakes.planted import OUTPUTS, measure, planting


def test_no_output_of_a_run_has_a_secret(tmp_path: Path, seed: int) -> None:
    with planting(tmp_path, seed) as planted:
        measured = measure(planted)
        (log,) = (cell.endings[0].log_tail for cell in measured.run.replay().cells[1:])
        assert log.count("<token>") > 20
        for number, (name, output) in enumerate(OUTPUTS.items()):
            (folder := tmp_path / str(number)).mkdir()
            data = output(measured, folder)
            assert len(data) > 200, name
            assert (name, planted.found(data)) == (name, [])
