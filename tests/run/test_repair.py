"""``run --repair``: weights that could not be loaded are read again, and put right if need be."""

from __future__ import annotations

import os
import shutil
import wave
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import FAKES, Tool, write_tone
from fakes.hub import Hub
from fakes.sessions import OK, Rule, Scripted, Unwatched, by_name, summary
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.catalog import LocationKind
from mac_whisper_speedtest.errors import DownloadError, UsageError
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.request import Request
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.run import session
from mac_whisper_speedtest.run.prepare import Prepared, prepare
from mac_whisper_speedtest.weights import locate, pull
from mac_whisper_speedtest.weights.damage import Damage, DamagedError, identity
from mac_whisper_speedtest.weights.locate import Weights
from mac_whisper_speedtest.worker.exit_status import Status, WorkerExit

UNREADABLE = WorkerExit(Status.FAILED, "load", "ModelUnusableError", "cannot read it")
WHOLE = "its weights were read again and are intact: nothing to repair"
AGAIN = "the ggml weights of tiny.en are damaged: converting them again"
COMMIT = "c0ffee" + "0" * 34
SPEC = f"someone/my-whisper@{COMMIT}"


class Disk:
    """The weights as they lie there: damaged or whole, and who looked at them how."""

    def __init__(self, folder: Path, *, damaged: bool) -> None:
        self.folder = folder
        self.looked: list[bool] = []
        self.fails: Exception | None = None
        folder.mkdir()
        self.damaged = identity(folder) if damaged else None

    def locate(self, *_: object, fresh: bool = False, **__: object) -> Weights:
        self.looked.append(fresh)
        if self.damaged and self.folder.exists():
            damage = Damage(
                "tiny.en", "ggml", ("x",), self.folder, LocationKind.CONVERTED, seen=self.damaged
            )
            raise DamagedError("x is not what was converted", damage, by_hand="remove it")
        if self.fails is not None:
            raise self.fails
        return Weights("tiny.en", "own", "float16", Path("w"), {}, 0, "made here")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Disk]:
    def make(*, damaged: bool) -> Disk:
        disk = Disk(tmp_path / "weights", damaged=damaged)
        monkeypatch.setattr(locate, "locate", disk.locate)
        return disk

    return make


def measured(ready: Prepared, rule: Rule[WorkerExit]) -> tuple[s.CellResult, Scripted, list[str]]:
    """The cell of backend b, what was executed, and what was said."""
    execute = Scripted(b=rule)
    said: list[str] = []

    class Hearing(Observer):
        def notify(self, text: str) -> None:
            said.append(text)

    _, run = session.measure(ready, Hearing(), execute=execute, watcher=Unwatched())
    return by_name(run)["b"], execute, said


def test_damaged_weights_are_put_right_and_the_round_is_tried_again(
    prepared: Callable[..., Prepared], disk: Callable[..., Disk]
) -> None:
    where = disk(damaged=True)
    cell, execute, said = measured(
        prepared(repair=True), lambda number, which: UNREADABLE if (number, which) == (0, 0) else OK
    )
    assert cell.status == "ok"
    assert summary(cell).timed_samples == 6
    first, second = (end for end in cell.endings if end.round == 0)
    assert (first.status, first.weights_found) == ("failed", "x is not what was converted")
    assert (second.status, second.attempt, second.repaired) == ("ok", 1, [AGAIN])
    assert first.repaired == []
    assert said == [AGAIN]
    assert where.looked == [True, True]
    assert not where.folder.exists()
    assert [name for name, *_ in execute.visited].count("b") == 4


def test_whole_weights_are_said_to_be_whole_and_the_failure_stands(
    prepared: Callable[..., Prepared], disk: Callable[..., Disk]
) -> None:
    where = disk(damaged=False)
    cell, execute, said = measured(prepared(repair=True), lambda *_: UNREADABLE)
    assert cell.status == "failed"
    assert cell.endings[0].weights_found == WHOLE
    assert said == [f"b/tiny.en/short: {WHOLE}"]
    assert [name for name, *_ in execute.visited].count("b") == 1
    assert where.looked == [True]


def test_without_repair_nothing_is_read_or_fetched(
    prepared: Callable[..., Prepared], disk: Callable[..., Disk]
) -> None:
    where = disk(damaged=True)
    cell, _, said = measured(prepared(), lambda *_: UNREADABLE)
    assert (cell.status, cell.endings[0].weights_found) == ("failed", "")
    assert (said, where.looked) == ([], [])
    assert where.folder.exists()


@pytest.mark.parametrize(
    "ending",
    [
        replace(UNREADABLE, status=Status.TIMEOUT),
        replace(UNREADABLE, status=Status.OUT_OF_MEMORY),
        replace(UNREADABLE, status=Status.UNAVAILABLE),
        replace(UNREADABLE, stage="warmup"),
        replace(UNREADABLE, stage="import"),
    ],
    ids=lambda ending: f"{ending.status} in {ending.stage}",
)
def test_what_says_nothing_against_the_weights_has_nobody_read_them(
    ending: WorkerExit, prepared: Callable[..., Prepared], disk: Callable[..., Disk]
) -> None:
    where = disk(damaged=True)
    measured(prepared(repair=True), lambda *_: ending)
    assert where.looked == []


def test_a_crash_while_loading_counts_as_a_failure(
    prepared: Callable[..., Prepared], disk: Callable[..., Disk]
) -> None:
    disk(damaged=True)
    crash = WorkerExit(Status.CRASHED, "load", "SIGSEGV", "crashed")
    cell, _, _ = measured(
        prepared(repair=True), lambda number, which: OK if number or which else crash
    )
    assert cell.status == "ok"


def test_a_cell_s_weights_are_read_again_once_however_often_it_fails(
    prepared: Callable[..., Prepared], disk: Callable[..., Disk]
) -> None:
    where = disk(damaged=True)
    cell, execute, said = measured(prepared(repair=True, retries=2), lambda *_: UNREADABLE)
    assert cell.status == "failed"
    # The first attempt, the one after the repair, and those that were asked for.
    assert [which for name, _, which in execute.visited if name == "b"] == [0, 1, 2, 3]
    assert said == [AGAIN]
    assert where.looked == [True, True]


@pytest.mark.parametrize("damaged", [True, False])
def test_a_repair_that_fails_costs_the_cell_and_not_the_run(
    damaged: bool, prepared: Callable[..., Prepared], disk: Callable[..., Disk]
) -> None:
    where = disk(damaged=damaged)
    where.fails = DownloadError("no hub") if damaged else PermissionError("no entry")
    cell, _, said = measured(prepared(repair=True), lambda *_: UNREADABLE)
    assert cell.status == "failed"
    unread = "b/tiny.en/short: its weights cannot be read again: no entry"
    assert said == ([AGAIN, "b/tiny.en/short: not repaired: no hub"] if damaged else [unread])
    assert [ending.repaired for ending in cell.endings] == [[] for _ in cell.endings]


def test_the_time_of_a_repair_is_not_the_cell_s(
    prepared: Callable[..., Prepared],
    disk: Callable[..., Disk],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = disk(damaged=False)
    look, now = where.locate, [0.0]

    def slowly(*given: Any, **named: Any) -> Weights:
        now[0] += 1000.0
        return look(*given, **named)

    monkeypatch.setattr(locate, "locate", slowly)
    clock = SimpleNamespace(monotonic=lambda: now[0])
    for module in ("attempts", "rounds"):
        monkeypatch.setattr(f"mac_whisper_speedtest.run.{module}.time", clock)
    cell, _, _ = measured(
        prepared(repair=True, retries=1, max_time_s=10.0),
        lambda number, which: OK if number or which else UNREADABLE,
    )
    assert [ending.error_class for ending in cell.endings].count("Budget") == 0
    assert summary(cell).rounds_ok == 3


def test_a_run_without_these_fields_is_still_read() -> None:
    import msgspec

    old = {
        "round": 0,
        "attempt": 0,
        "status": "failed",
        "stage": "load",
        "error_class": "E",
        "message": "",
        "log_tail": "",
        "exit_code": None,
    }
    ending = msgspec.convert(old, s.EndingResult)
    assert (ending.weights_found, ending.repaired) == ("", [])


# --- the tool itself, on real weights ------------------------------------------------------------

BREAKS_ITS_WEIGHTS = '''
import os
from pathlib import Path

from faulty_adapter import Faulty
from mac_whisper_speedtest.backends.adapter import ModelUnusableError


class Breaking(Faulty):
    """Turns a bit of its weights before the first load, and nobody can see it by looking."""

    def load(self, params):
        path, marker = Path(params.model.path), Path(os.environ["MARKER"])
        if not marker.exists():
            marker.touch()
            before = path.stat()
            with path.open("r+b") as stream:
                stream.seek(before.st_size // 2)
                turned = bytes([stream.read(1)[0] ^ 1])
                stream.seek(before.st_size // 2)
                stream.write(turned)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            raise ModelUnusableError("these are no weights")
        return super().load(params)
'''


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, with the clips and conversions that it needs."""
    found = locate.locate(
        catalog.model_info("tiny.en", "ggml", "float16"), notify=print
    ).path.parent
    cache = tmp_path / "cache"
    shutil.copytree(found, cache / "weights" / "tiny.en" / found.name)
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(cache))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return cache


def test_weights_that_break_during_a_run_are_made_again_and_measured(
    tool: Tool, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "breaking.py").write_text(BREAKS_ITS_WEIGHTS, encoding="utf-8")
    description = tmp_path / "breaking.toml"
    description.write_text(
        f'[backend]\nname = "breaking"\nadapter = "breaking:Breaking"\nweights_format = "ggml"\n'
        f'search_path = ["{tmp_path}", "{FAKES}"]\n'
        f'environment = {{ MARKER = "{tmp_path / "marker"}" }}\n',
        encoding="utf-8",
    )
    for file in cache.rglob("ggml-model.bin"):
        os.utime(file, ns=(10**18, 10**18))  # old enough that its hash is remembered
    call = ["run", "-m", "tiny.en", "-b", description, "--audio", write_tone(tmp_path / "t.wav")]

    done = tool(*call, "--rounds", 1, "--passes", 1, "--json", "--repair")

    assert done.returncode == 0, done.stderr
    assert done.run["manifest"]["request"]["repair"] is True
    assert done.run["manifest"]["repaired"] == []
    first, second = done.cell("breaking")["endings"]
    assert first["weights_found"].startswith("ggml-model.bin of tiny.en is not what was converted")
    assert second["repaired"] == [AGAIN]
    assert second["status"] == "ok"
    assert AGAIN in done.stderr


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "SPEEDTEST_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with Hub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        yield served


def test_somebody_s_own_model_is_measured_by_all_that_can_load_it_and_repaired(
    tool: Tool, hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = locate.official("tiny.en").path
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    silence = tmp_path / "silence.wav"
    with wave.open(str(silence), "wb") as out:  # nothing to hear is quickest to transcribe
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(bytes(2 * 16000))
    names = ("faster-whisper", "whisper.cpp", "moonshine-voice")
    chosen = registry.select(names, registry.installed())
    request = Request(models=(SPEC,), backends=names, audio=str(silence))

    missing = prepare(request, chosen, notify=print).unavailable
    assert set(missing) == {f"{name}/{SPEC}/silence.wav" for name in names[:2]}
    assert all(f"speedtest models pull {SPEC}" in reason for reason in missing.values())

    files: dict[str, bytes | Path] = {path.name: path for path in source.iterdir()}
    hub.add("someone/my-whisper", COMMIT, {**files, "modeling.py": b"raise SystemExit"})
    folder = pull.pull_custom(catalog.parse_custom(SPEC), notify=print)
    weights = (folder / "model.bin").resolve()
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    hub.log.clear()

    with pytest.raises(DamagedError, match=r"model\.bin of .* is not the published file") as caught:
        prepare(request, chosen, notify=print)
    assert "speedtest run --repair" in caught.value.hint
    assert hub.log == []

    backends = [word for name in names for word in ("-b", name)]
    options = ["--audio", silence, "--rounds", 1, "--passes", 1, "--threads", 1]
    options += ["--json", "--repair"]
    done = tool("run", "-m", SPEC, *backends, *options, timeout=280)

    assert done.returncode == 0, done.stderr
    told = f"model.bin of {SPEC} is damaged: fetching them again from the hub"
    assert done.run["manifest"]["repaired"] == [told]
    assert told in done.stderr
    assert [request.name for request in hub.bodies()] == ["model.bin"]
    assert {cell["model"]["name"] for cell in done.run["cells"]} == {SPEC}
    sources = {
        cell["backend"]["name"]: cell["model"]["weights"]["source"] for cell in done.run["cells"]
    }
    assert sources == {
        "faster-whisper": f"custom: {SPEC}",
        "whisper.cpp": f"converted from custom: {SPEC}",
    }
    german = replace(request, language="de")
    with pytest.raises(UsageError, match="knows only English"):
        prepare(german, chosen, notify=print)
