"""A worker gets the deadlines of its model's ModelInfo, and the manifest records that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from conftest import Call, write_tone
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.run import execute
from mac_whisper_speedtest.worker import load_check
from mac_whisper_speedtest.worker.supervisor import Deadlines, Worker

SHORT = (
    "timeouts = { load_s = 1.5, transcribe_base_s = 0.5, transcribe_per_audio_s = 0.25, "
    "first_call_factor = 2.0 }"
)
TONE_S = 2.0
Describe = Callable[..., Path]


@pytest.fixture
def describe(fake: Callable[..., Path]) -> Describe:
    """A fake backend that states more of its one model than a path."""

    def described(fault: str = "", stated: str = "") -> Path:
        path = fake("fake", fault=fault)
        text = path.read_text(encoding="utf-8").replace(
            '= "weights.bin" }', '= { path = "weights.bin"'
        )
        path.write_text(
            f"{text.rstrip()}{', ' if stated else ' '}{stated} }} }}\n", encoding="utf-8"
        )
        return path

    return described


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Deadlines]:
    """The deadlines of every worker that is started."""
    seen: list[Deadlines] = []

    def started(start: Any, limits: Deadlines, **more: Any) -> Worker:
        seen.append(limits)
        return Worker(start, limits, **more)

    monkeypatch.setattr(execute, "Worker", started)
    monkeypatch.setattr(load_check, "Worker", started)
    return seen


def run(speedtest: Call, tmp_path: Path, backend: Path, *more: object) -> dict[str, Any]:
    done = speedtest(
        *["run", "-m", "tiny.en", "-b", backend, "--audio", write_tone(tmp_path / "tone.wav")],
        *["--rounds", 1, "--passes", 1, "--json", *more],
    )
    (cell,) = done.json["cells"]
    return dict(cell)


def test_a_worker_gets_exactly_the_time_outs_of_its_model_info(
    speedtest: Call, tmp_path: Path, describe: Describe, given: list[Deadlines]
) -> None:
    assert run(speedtest, tmp_path, describe(stated=SHORT))["status"] == "ok"
    assert run(speedtest, tmp_path, describe())["status"] == "ok"
    tiny = catalog.size_classes()["tiny"]
    assert [(each.load_s, each.warmup_s, each.transcribe_s) for each in given] == [
        (1.5, 2.0, 1.0),
        (tiny.load_s, tiny.first_call_s(TONE_S), tiny.transcribe_s(TONE_S)),
    ]


def test_the_manifest_records_what_is_known_of_the_model_and_no_path(
    speedtest: Call, tmp_path: Path, describe: Describe
) -> None:
    more = 'precision = "int8", license = "MIT", repository = "me/mine", revision = "v1"'
    backend = describe(stated=f'{more}, size_class = "small", {SHORT}')
    tone = write_tone(tmp_path / "tone.wav")
    options = ["--audio", tone, "--rounds", 1, "--passes", 1, "--threads", 1, "--json"]
    found = speedtest(
        *["run", "-m", "tiny.en", "-b", backend, "-b", "faster-whisper", *options]
    ).json
    own, official = [each["model_info"] for each in found["manifest"]["cells"]]
    assert own == {
        "format": "own",
        "precision": "int8",
        "license": "MIT",
        "repository": "me/mine",
        "revision": "v1",
        "size_class": "small",
        "timeouts": {
            "load_s": 1.5,
            "transcribe_base_s": 0.5,
            "transcribe_per_audio_s": 0.25,
            "first_call_factor": 2.0,
        },
    }
    row = catalog.find_hosted("tiny.en", "ctranslate2")
    assert row is not None
    assert official == {
        "format": "ctranslate2",
        "precision": "float16",
        "license": "MIT",
        "repository": row.repository,
        "revision": row.revision,
        "size_class": "tiny",
        "timeouts": asdict(catalog.size_classes()["tiny"]),
    }
    assert [each["model"]["info"] for each in found["cells"]] == [own, official]
    assert str(tmp_path) not in str(found["manifest"]["cells"])


@pytest.mark.parametrize(
    ("fault", "stage"), [("hang_in_load", "load"), ("hang_in_transcribe", "warmup")]
)
def test_what_hangs_ends_when_its_own_time_out_has_passed(
    speedtest: Call, tmp_path: Path, describe: Describe, fault: str, stage: str
) -> None:
    (ending,) = run(speedtest, tmp_path, describe(fault, SHORT))["endings"]
    assert (ending["status"], ending["stage"]) == ("timeout", stage)


def test_timeout_goes_before_them(
    speedtest: Call, tmp_path: Path, describe: Describe, given: list[Deadlines]
) -> None:
    run(speedtest, tmp_path, describe(stated=SHORT), "--timeout", 7)
    assert [(each.load_s, each.warmup_s, each.transcribe_s) for each in given] == [(7.0, 7.0, 7.0)]


@pytest.mark.parametrize(
    ("stated", "options", "load_s"),
    [(SHORT, (), 1.5), ("", (), 120.0), ('size_class = "large"', (), 900.0), (SHORT, (9,), 9.0)],
)
def test_a_load_by_check_models_gets_that_of_the_load(
    speedtest: Call,
    describe: Describe,
    given: list[Deadlines],
    stated: str,
    options: tuple[int, ...],
    load_s: float,
) -> None:
    timeout = [word for seconds in options for word in ("--timeout", seconds)]
    done = speedtest(
        *["check-models", "-b", describe(stated=stated), "-m", "tiny.en"],
        *["--verify-method", "load", "--fresh", "--json", *timeout],
    )
    (row,) = done.json["rows"]
    assert row["load"]["outcome"] == "loaded"
    assert [each.load_s for each in given] == [load_s]
