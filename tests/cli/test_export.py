"""``speedtest export`` on runs made by hand."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.events import SAID
from fakes.runs import FakeCell, run_of_set
from mac_whisper_speedtest import cli
from mac_whisper_speedtest.cli import report as command
from mac_whisper_speedtest.export import files, tables
from mac_whisper_speedtest.results import schema as s


@dataclass(frozen=True)
class Answer:
    code: int
    out: bytes
    err: str

    @property
    def rows(self) -> list[dict[str, str]]:
        """What was printed, as CSV."""
        return list(csv.DictReader(io.StringIO(self.out.decode(), newline="")))


Call = Callable[..., Answer]


@pytest.fixture
def speedtest(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Call:
    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["speedtest", *map(str, arguments)])
        code = cli.main()
        said = capfdbinary.readouterr()
        return Answer(int(code or 0), said.out, said.err.decode())

    return call


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return run_of_set(FakeCell("quick"), FakeCell("slow", rtf=0.2), passes=2).write(
        tmp_path / "first"
    )


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return run_of_set(FakeCell("quick", rtf=0.15), number=2).write(tmp_path / "second")


def test_the_command_offers_what_there_is() -> None:
    assert tuple(files.FORMATS) == command.FORMATS
    assert tables.NAMES == command.TABLES


def test_several_runs_go_into_one_table(speedtest: Call, first: Path, second: Path) -> None:
    answer = speedtest("export", first, second, "--format", "csv")
    assert answer.code == 0
    assert [(row["run"], row["backend"]) for row in answer.rows] == [
        ("1", "quick"),
        ("1", "slow"),
        ("2", "quick"),
    ]
    assert float(answer.rows[2]["median_s"]) == pytest.approx(3.0, rel=0.02)


def test_json_of_one_run_is_the_document_that_show_prints(speedtest: Call, first: Path) -> None:
    answer = speedtest("export", first, "-f", "json")
    assert answer.out == speedtest("show", first, "--json").out
    assert json.loads(answer.out)["schema_version"] == s.SCHEMA_VERSION


@pytest.mark.parametrize("name", [name for name in files.FORMATS if name != "parquet"])
def test_a_file_holds_what_stdout_would(
    speedtest: Call, first: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / f"out.{name}"
    answer = speedtest("export", first, "-o", path)
    assert (answer.code, answer.out) == (0, b"")
    assert path.read_bytes() == speedtest("export", first, "--format", name).out


def test_the_format_that_was_named_goes_before_the_ending(
    speedtest: Call, first: Path, tmp_path: Path
) -> None:
    path = tmp_path / "comment.txt"
    assert speedtest("export", first, "--format", "md", "-o", path).code == 0
    assert path.read_text(encoding="utf-8").startswith("| run | backend |")


def test_samples_have_transcripts_only_when_asked_for(speedtest: Call, first: Path) -> None:
    asked = ("export", first, "--format", "csv", "--table", "samples")
    assert "text" not in speedtest(*asked).rows[0]
    found = speedtest(*asked, "--text").rows
    assert len(found) == 2 * 6 * (1 + 2 * len(SAID))
    assert {row["text"] for row in found} == set(SAID.values())


def test_utterances_are_listed_with_their_errors(speedtest: Call, first: Path) -> None:
    found = speedtest("export", first, "--format", "csv", "--table", "utterances").rows
    assert [row["utterance"] for row in found] == ["u1", "u2", "u1", "u2"]
    assert {row["rate"] for row in found} == {"0.0"}


def test_parquet_goes_through_a_pipe_and_not_to_a_terminal(
    speedtest: Call, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    assert speedtest("export", first, "--format", "parquet").out[:4] == b"PAR1"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    refused = speedtest("export", first, "--format", "parquet")
    assert (refused.code, refused.out) == (2, b"")
    assert "not for a terminal" in refused.err
    assert "-o FILE.parquet" in refused.err


def test_a_format_must_be_known_from_somewhere(speedtest: Call, first: Path) -> None:
    answer = speedtest("export", first)
    assert answer.code == 2
    assert "no format was named" in answer.err
    assert "--format csv" in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-f", "json", "--table", "samples"], "json contains whole runs"),
        (["-f", "csv", "--text"], "--text is for --table samples"),
        (["-o", "out.xlsx"], "unknown suffix '.xlsx'"),
        (["-f", "csv", "-o", f"{__file__}/out.csv"], "Not a directory"),
        (["-f", "xml"], "xml"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_read(
    speedtest: Call, arguments: list[str], said: str
) -> None:
    answer = speedtest("export", "no-such-run", *arguments)
    assert answer.code == 2
    assert said in answer.err


def test_a_run_that_is_not_there_leaves_no_half_of_a_table(
    speedtest: Call, first: Path, tmp_path: Path
) -> None:
    before = set(tmp_path.iterdir())
    for where in ([], ["-o", tmp_path / "out.csv"]):
        answer = speedtest("export", first, tmp_path / "none", "--format", "csv", *where)
        assert answer.code == 2
        assert answer.out == b""
        assert "none" in answer.err
    assert set(tmp_path.iterdir()) == before


def test_the_same_run_twice_is_a_mistake(speedtest: Call, first: Path) -> None:
    answer = speedtest("export", first, f"{first}/", "--format", "csv")
    assert (answer.code, answer.out) == (2, b"")
    assert "are the same run" in answer.err


def test_show_writes_every_format_too(speedtest: Call, first: Path, tmp_path: Path) -> None:
    names = [name for name in files.FORMATS if name != "parquet"]
    outputs = [part for name in names for part in ("-o", tmp_path / f"out.{name}")]
    assert speedtest("show", first, *outputs).code == 0
    for name in names:
        found = (tmp_path / f"out.{name}").read_bytes()
        assert found == speedtest("export", first, "--format", name).out


def test_help_imports_neither_the_schema_nor_pyarrow() -> None:
    import subprocess

    code = (
        "import sys\n"
        "from mac_whisper_speedtest.cli import main\n"
        "sys.argv = ['speedtest', 'export', '--help']\n"
        "main()\n"
        "assert not {'msgspec', 'pyarrow', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
