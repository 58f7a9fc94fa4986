"""The Python API on real fakes, and the examples of its page, run one after the other."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from conftest import describe_fake, write_tone
from fakes.events import one_round
from fakes.runs import timed
from mac_whisper_speedtest import api as st
from mac_whisper_speedtest import request
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.run.prepare import backends_of
from test_startup import HEAVY

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "python.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def own_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder for the runs of this module alone: ``latest`` is one of them."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEEDTEST_DATA_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def measured(own_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> st.Results:
    """One real run: a fake that works, and one that fails."""
    folder = tmp_path_factory.mktemp("fakes")
    said: list[str] = []
    found = st.run(
        "tiny.en",
        backends=[describe_fake(folder, "good"), describe_fake(folder, "bad", fault="raise")],
        audio=write_tone(folder / "tone.wav"),
        rounds=2,
        passes=2,
        retake=False,
        tags=["from-python"],
        progress=said.append,
    )
    assert "round 1 of 2: good/tiny.en/tone.wav" in said
    assert any("the decoder is out of sorts" in line for line in said)
    return found


def test_a_run_is_measured_and_what_failed_is_in_it(measured: st.Results) -> None:
    assert [cell.status for cell in measured.cells] == ["ok", "failed"]
    assert measured.run.manifest.tags == ["from-python"]
    assert measured.run.manifest.request.rounds == 2
    assert measured.path is not None
    assert (measured.path / "run.json").is_file()
    assert repr(measured) == f"<Results of run {measured.number}: 1 of 2 ok>"


def test_a_run_can_be_loaded_by_whatever_names_it(measured: st.Results) -> None:
    for name in (measured.number, "from-python", measured.path):
        assert name is not None
        assert st.load(name).run.cells == measured.run.cells
    with pytest.raises(st.SpeedtestError, match="is not a run"):
        st.load("no such run")


def test_rows_are_those_of_the_export(measured: st.Results) -> None:
    rows = measured.to_rows("samples", text=True)
    counted = [row for row in rows if row["counted"]]
    assert len(counted) == 4
    assert {row["backend"] for row in counted} == {"good"}
    assert {row["text"] for row in counted} == {"And so, my fellow Americans."}
    assert "text" not in measured.to_rows("samples")[0]
    with pytest.raises(st.SpeedtestError, match="there is no table 'runs'"):
        measured.to_rows("runs")


def test_files_are_written_and_their_paths_returned(measured: st.Results, tmp_path: Path) -> None:
    table = measured.export(tmp_path / "cells.csv")
    assert table.read_text("utf-8").count("\n") == 3
    whole = json.loads(measured.export(tmp_path / "run.json").read_bytes())
    assert whole["manifest"]["run"] == measured.number
    assert b"<!doctype html>" in measured.report(tmp_path / "r.html").read_bytes()[:100].lower()
    trace = json.loads(measured.trace(tmp_path / "t.json").read_bytes())
    samples = [each for each in trace["traceEvents"] if each.get("cat") == "sample"]
    assert len(samples) == 4
    assert "note" not in trace["otherData"]  # its times are known
    with pytest.raises(st.SpeedtestError, match="unknown suffix"):
        measured.export(tmp_path / "cells.xls")


def test_in_a_notebook_a_run_is_a_table_with_every_text_escaped(
    measured: st.Results, tmp_path: Path
) -> None:
    shown = measured._repr_html_()
    assert "<table>" in shown
    assert shown.count("<tr>") == 3
    events = one_round()
    timed(events).write(tmp_path / "run")
    manifest = tmp_path / "run" / "manifest.json"
    text = manifest.read_text("utf-8").replace('"name": "speech"', '"name": "<script>x</script>"')
    manifest.write_text(
        text.replace('"clip": "speech"', '"clip": "<script>x</script>"'), encoding="utf-8"
    )
    hostile = st.load(tmp_path / "run")._repr_html_()
    assert "<script>" not in hostile
    assert "&lt;script&gt;" in hostile


def test_two_runs_are_compared_with_the_words_of_the_command_line(
    measured: st.Results, tmp_path: Path
) -> None:
    base = st.load(timed(one_round()).write(tmp_path / "base"))
    later = timed(one_round()).write(tmp_path / "new") / "manifest.json"
    head = json.loads(later.read_bytes())
    later.write_text(json.dumps(head | {"run_id": "2" * 32}), encoding="utf-8")
    new = st.load(later.parent)
    found = st.compare(base, new, margin=0.05, fail_on="slower")
    assert found.document.margin == 0.05
    assert [cell.backend for cell in found.cells] == ["a", "b"]
    assert found.regressions == []
    (undecided,) = found.undecided
    assert "its speed is AMBIGUOUS (a comparison needs 3 rounds" in undecided
    assert "a tiny.en" in repr(found)
    assert "|" in found.to_markdown()
    assert "<table>" in found._repr_html_()
    with pytest.raises(st.SpeedtestError, match="cannot be compared"):
        st.compare(base, measured)
    with pytest.raises(st.SpeedtestError, match="margin is 5"):
        st.compare(base, new, margin=5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rounds": 0}, "rounds is 0, but must be at least 1"),
        ({"margin": 2}, "margin is 2, but must be a fraction"),
        ({"budget_s": float("inf")}, "budget_s is inf, but must be a number above 0"),
        ({"timeout_s": "5m"}, "timeout_s is '5m', not a number"),
        ({"contract": "quick"}, "contract is 'quick', not one of greedy, beam5, as-shipped"),
        ({"tags": ["latest"]}, "the tag 'latest' means a run already"),
        ({"backends": ["no-such-backend"]}, "no-such-backend"),
        ({"mic_seconds": 0}, "mic_seconds is 0"),
    ],
)
def test_what_no_run_can_be_made_with_is_refused_beforehand(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(st.SpeedtestError) as refused:
        st.run("tiny.en", **wrong)
    assert message in refused.value.message


def test_an_option_that_does_not_exist_is_an_error_of_the_caller() -> None:
    misspelt: dict[str, Any] = {"round": 3}
    with pytest.raises(TypeError, match="run\\(\\) has no option round; did you mean rounds"):
        st.run("tiny.en", **misspelt)


def test_options_become_the_request_of_the_command_line(tmp_path: Path) -> None:
    backend = describe_fake(tmp_path, "one")
    found = request.from_keywords(
        models="tiny.en",
        backends=backend,
        clip="cities",
        precision="int8",
        max_memory_bytes=10**9,
        affinity=[1, 0],
        threads=3,
        seed=7,
        managed=True,
        contract="beam5",
        budget_s=60.0,
        resume=False,
        margin=None,
    )
    assert (found.precision, found.max_memory_bytes, found.affinity) == ("int8", 10**9, (0, 1))
    assert (found.threads, found.seed, found.clip) == (3, 7, "cities")
    assert all(each.managed for each in backends_of(found))
    assert found.decode_contract.beam_size == 5
    assert found.adaptive
    assert found.backends == (str(backend),)
    assert (found.resume, found.margin) == (None, None)
    everything = request.from_keywords(models=["tiny.en", "tiny.en"])
    assert everything.models == ("tiny.en",)
    assert everything.backends == ()
    fitting = [each for each in registry.installed().values() if each.made_for_here()]
    assert [each.name for each in backends_of(everything)] == [each.name for each in fitting]


def test_every_option_can_be_seen_in_the_signature() -> None:
    assert set(inspect.signature(st.run).parameters) == request.OPTIONS.keys() | {"progress"}


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, mac_whisper_speedtest\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(done.stdout.split()) & (HEAVY | {"click", "pandas", "polars"}) == set()


@pytest.fixture(scope="module")
def notebook(
    own_runs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Any]]:
    """Runs examples one after the other in one namespace, with fakes for the two backends.

    The fakes have the names that the page uses, so that its code runs as it stands.
    """
    folder = tmp_path_factory.mktemp("examples")
    fakes = {name: describe_fake(folder, name) for name in ("faster-whisper", "whisper.cpp")}
    tone = write_tone(folder / "short.wav")
    names: dict[str, Any] = {"__name__": "__main__"}

    def run(code: str) -> dict[str, Any]:
        for name, path in fakes.items():
            code = code.replace(f'"{name}"', repr(str(path)))
        code = code.replace('clip="short"', f"audio={str(tone)!r}, retake=False")
        code = code.replace("rounds=6", "rounds=2")
        before = Path.cwd()
        os.chdir(folder)
        try:
            exec(compile(code, str(PAGE), "exec"), names)
        finally:
            os.chdir(before)
        return names

    return run


def test_the_examples_of_the_page_run_one_after_the_other(
    notebook: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(EXAMPLES) >= 8
    names: dict[str, Any] = {}
    for code in EXAMPLES:
        needs = re.match(r"# needs: (\w+)", code)
        if needs and find_spec(needs[1]) is None:
            continue
        names = notebook(code)
    said = capsys.readouterr().out
    assert "rounds is 0, but must be at least 1" in said
    assert "times real time" in said
    assert "round 1 of 2" in said
    assert len(names["seconds"]) == 2 * 2 * 2
    assert names["comparison"].document.base.run == names["results"].number


@pytest.mark.skipif(find_spec("pandas") is None, reason="pandas is not installed")
def test_a_pandas_frame_has_types_even_where_a_column_is_empty(measured: st.Results) -> None:
    frame = measured.to_pandas()
    assert len(frame) == 2
    assert str(frame["wer"].dtype) == "float64"
    assert str(frame["backend"].dtype) == "string"
    assert str(frame["rounds_ok"].dtype) == "Int64"
    assert list(frame.columns) == list(measured.to_rows()[0])


@pytest.mark.skipif(find_spec("polars") is None, reason="polars is not installed")
def test_a_polars_frame_has_types_even_where_a_column_is_empty(measured: st.Results) -> None:
    import polars

    frame = measured.to_polars()
    assert frame.height == 2
    assert frame["wer"].dtype == polars.Float64
    assert frame["rounds_ok"].dtype == polars.Int64
    assert frame.columns == list(measured.to_rows()[0])


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_without_the_library_the_error_says_what_to_install(
    measured: st.Results, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(st.SpeedtestError, match=f"{name} is not installed"):
        getattr(measured, f"to_{name}")()
