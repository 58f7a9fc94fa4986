"""The rules behind the findings: what they notice, and how seldom they cry wolf."""

from __future__ import annotations

import itertools
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.memory import RESIDENT
from mac_whisper_speedtest.run import execute
from mac_whisper_speedtest.summary import contract_findings, findings, text_findings

SETTINGS = DecodeContract().settings()
INFO = run_of(FakeCell()).run.cells[0].model.info
MB = 1_000_000


def sample(index: int = 0, *, round_: int = 0, **changes: Any) -> s.SampleResult:
    plain = s.SampleResult(
        round=round_,
        attempt=0,
        index=index,
        kind="warmup" if index < 0 else "timed",
        seconds=1.0,
        wall_s=changes.get("seconds", 1.0),
        text="the best of times",
        segments=[s.SegmentInfo(start_s=0.0, end_s=9.0, text="the best of times")],
        language="en",
        tokens=None,
        cpu_s=None,
        peak_rss_bytes=300 * MB,
    )
    return msgspec.structs.replace(plain, **changes)


def load(*, round_: int = 0, **changes: Any) -> s.LoadResult:
    plain = s.LoadResult(
        round=round_,
        attempt=0,
        spawn_s=0.1,
        import_s=0.1,
        hello_wall_s=0.2,
        load_s=0.5,
        load_wall_s=0.501,
        device="cpu",
        device_asked="auto",
        precision="float32",
        precision_asked="auto",
    )
    return msgspec.structs.replace(plain, **changes)


def ending(**changes: Any) -> s.EndingResult:
    plain = s.EndingResult(
        round=0,
        attempt=0,
        status="ok",
        stage="",
        error_class="",
        message="",
        log_tail="",
        exit_code=None,
        busy_after_s=0.0,
    )
    return msgspec.structs.replace(plain, **changes)


def cell(
    samples: Sequence[s.SampleResult] = (),
    *,
    loads: Sequence[s.LoadResult] = (),
    endings: Sequence[s.EndingResult] = (),
    weights_bytes: int = 100 * MB,
    reference: str | None = None,
    effective: dict[str, Any] | None = None,
    declared: dict[str, Any] | None = None,
) -> s.CellResult:
    last = loads[-1] if loads else None
    return s.CellResult(
        id="a/tiny.en/clip",
        backend=s.BackendResult(
            name="a",
            version="1",
            versions={},
            device=last.device if last else None,
            precision=last.precision if last else None,
            details={},
        ),
        model=s.ModelResult(
            name="tiny.en",
            info=INFO,
            weights=s.WeightsInfo(
                files={},
                size_bytes=weights_bytes,
                source="made here",
            ),
        ),
        clip=s.ClipInfo(
            name="clip",
            seconds=10.0,
            samples=160000,
            pcm_sha256="",
            source="made here",
            reference=reference,
        ),
        contract=s.ContractResult(
            requested={"name": "greedy", **SETTINGS},
            effective={**SETTINGS, **(effective or {})},
            observed=[],
            deviations=[],
            remarks=[],
            declared=declared or {},
        ),
        status="ok",
        endings=list(endings),
        loads=list(loads),
        samples=list(samples),
    )


def request(device: str = "auto", precision: str = "auto") -> s.RequestInfo:
    known: dict[str, Any] = {
        "device": device,
        "precision": precision,
        "contract": {},
        "rounds": 1,
        "passes": 1,
    }
    plain: dict[type, Any] = {int: 0, str: "", float: 0.0, bool: False, list: []}
    for field in msgspec.structs.fields(s.RequestInfo):
        kind = getattr(field.type, "__origin__", field.type)
        known.setdefault(field.name, plain.get(kind))
    return s.RequestInfo(**known)


# Drift


def noisy(
    seed: int, rounds: int, runs: int, *, noise: float, slope: Callable[[int, int], float]
) -> list[list[float]]:
    """Seconds per round: processes differ by half the noise, samples by the noise."""
    chance = random.Random(seed)
    blocks = []
    for r in range(rounds):
        process = chance.gauss(1.0, noise / 2)
        blocks.append([process * chance.gauss(1.0, noise) * (1 + slope(r, i)) for i in range(runs)])
    return blocks


def drift_of(blocks: list[list[float]]) -> list[str]:
    return list(
        findings.drift(
            [
                sample(i, round_=r, seconds=seconds)
                for r, block in enumerate(blocks)
                for i, seconds in enumerate(block)
            ]
        )
    )


@pytest.mark.parametrize("noise", [0.05, 0.10])
@pytest.mark.parametrize(("rounds", "runs"), [(3, 2), (3, 4), (2, 10), (6, 1), (10, 3)])
def test_a_noisy_steady_backend_is_said_to_drift_in_at_most_2_percent_of_runs(
    rounds: int, runs: int, noise: float
) -> None:
    alarms = sum(
        bool(drift_of(noisy(seed, rounds, runs, noise=noise, slope=lambda _r, _i: 0.0)))
        for seed in range(1000)
    )
    assert alarms <= 20


def test_the_default_number_of_samples_is_too_small_to_call_anything_drift() -> None:
    assert drift_of([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]) == []


@pytest.mark.parametrize(
    ("slope", "words"),
    [
        (lambda _r, i: 0.08 * i, "slower between the first and last sample of a process"),
        (lambda _r, i: -0.06 * i, "faster between the first and last sample of a process"),
        (lambda r, _i: 0.05 * r, "slower between the first and last round"),
    ],
)
def test_a_trend_under_noise_of_5_percent_is_seen_in_most_runs(
    slope: Callable[[int, int], float], words: str
) -> None:
    seen = sum(
        any(words in each for each in drift_of(noisy(seed, 8, 6, noise=0.05, slope=slope)))
        for seed in range(100)
    )
    assert seen >= 90


def test_a_significant_trend_of_a_few_percent_is_no_finding() -> None:
    assert drift_of([[1.0 + 0.005 * i for i in range(10)]] * 3) == []


def test_a_drift_over_100_000_samples_of_one_process_is_found_all_the_same() -> None:
    many = 100_000
    drifting = [1.0 + 0.5 * i / many + 0.1 * (i % 7) for i in range(many)]
    assert findings.trend([drifting]) == pytest.approx(0.5 / 1.55, rel=0.02)
    assert findings.trend([[1.0 + 0.1 * (i % 7) for i in range(many)]]) is None


# Memory


def memory_of(*series: Sequence[float]) -> list[str]:
    return list(
        findings.memory(
            cell(
                [
                    sample(i - 1, round_=r, peak_rss_bytes=int(peak * MB))
                    for r, peaks in enumerate(series)
                    for i, peak in enumerate(peaks)
                ]
            ),
            RESIDENT,
        )
    )


def test_memory_that_grows_in_every_call_is_a_leak() -> None:
    (message,) = memory_of([300, 320, 340], [300, 320, 340])
    assert message.startswith("peak memory grew in each of 4 calls, by 20.0 MB per call")


@pytest.mark.parametrize(
    "series",
    [
        [[300, 400, 400, 400, 400, 400]],  # a buffer taken once
        [[300, 340, 360, 370, 375, 377.5]],  # an allocator that approaches its size
        [[300, 330, 345], [300, 330, 345], [300, 330, 345]],
        [[300.0 + 0.1 * i for i in range(20)]],  # 2 MB of bookkeeping in all
        [[300, 330, 360], [300, 330, 330]],  # not in every process
        [[300, 330, 360]],  # too few
    ],
)
def test_memory_that_comes_to_rest_is_no_leak(series: list[list[float]]) -> None:
    assert memory_of(*series) == []


def growth_of(*series: Sequence[float], **changes: Any) -> list[str]:
    samples = [
        sample(i - 1, round_=r, peak_rss_bytes=int(peak * MB), **changes)
        for r, peaks in enumerate(series)
        for i, peak in enumerate(peaks)
    ]
    return list(findings.growth(cell(samples), RESIDENT))


def test_a_peak_that_is_higher_after_the_second_call_is_reported() -> None:
    (message,) = growth_of([801, 920], [800, 801])
    assert message == (
        "peak memory rose from 801 MB after the first call of a process to 920 MB after 2 calls, "
        "in 1 of 2 processes: more calls may need more"
    )


@pytest.mark.parametrize("series", [[[300, 319]], [[800, 830]], [[300]], [[900, 900, 900]]])
def test_a_peak_that_hardly_depends_on_the_calls_is_not_reported(series: list[list[float]]) -> None:
    assert growth_of(*series) == []


def test_calls_on_other_recordings_may_need_more() -> None:
    short, long = (
        sample(-1, utterance="short"),
        sample(0, utterance="long", peak_rss_bytes=900 * MB),
    )
    assert list(findings.growth(cell([short, long]), RESIDENT)) == []


def test_random_caches_that_fill_up_are_seldom_called_a_leak() -> None:
    """Every call needs a random amount; the peak is the largest so far."""
    alarms = 0
    for seed in range(1000):
        chance = random.Random(seed)
        series = [
            list(itertools.accumulate((chance.gauss(300, 30) for _ in range(3)), max))
            for _ in range(3)
        ]
        alarms += bool(memory_of(*series))
    assert alarms <= 20


# The first call


def first_of(first: float, usual: float, **changes: Any) -> list[str]:
    samples = [sample(-1, seconds=first, **changes), *(sample(i, seconds=usual) for i in (0, 1))]
    known = {"peak_rss_before_bytes": 100 * MB, "peak_rss_bytes": 210 * MB}
    return list(findings.first_call(cell(samples, loads=[load(**known)])))


@pytest.mark.parametrize(("first", "usual"), [(1.4, 1.0), (0.28, 0.04), (1.95, 1.0), (9.0, 5.0)])
def test_a_first_call_that_is_a_little_slower_is_no_finding(first: float, usual: float) -> None:
    assert first_of(first, usual) == []


def test_a_first_call_that_is_much_slower_is_told_with_its_factor() -> None:
    (message,) = first_of(5.0, 0.5)
    assert message.startswith("took 5.00 s, 10 × the usual 0.500 s, in 1 of 1 processes")


@pytest.mark.parametrize(
    ("in_load", "in_call", "inside"), [(0, 110, True), (110, 110, False), (5, 40, False)]
)
def test_weights_that_come_with_the_first_call_are_told_from_compilation(
    in_load: int, in_call: int, inside: bool
) -> None:
    loaded = load(peak_rss_before_bytes=100 * MB, peak_rss_bytes=(100 + in_load) * MB)
    first = sample(-1, seconds=3.0, peak_rss_bytes=(100 + in_load + in_call) * MB)
    (message,) = findings.first_call(cell([first, sample(0)], loads=[loaded]))
    assert ("it loaded the model" in message) == inside


# Texts


def test_texts_that_change_inside_a_process_are_told_from_those_that_change_between() -> None:
    inside = cell([sample(0, text="one"), sample(1, text="won")])
    between = cell([sample(0, text="one"), sample(0, round_=1, text="won")])
    (first,), (second,) = map(text_findings.differing, (inside, between))
    assert "2 different texts" in first
    assert second == f"{first}; the same within a process"


# Loops; which texts are some is tested in test_repetition.py


def test_a_speaker_who_loops_is_no_finding() -> None:
    chant = "ho ho ho chi minh " * 10
    assert list(text_findings.loop(cell([sample(text=chant)], reference=chant))) == []
    assert list(text_findings.loop(cell([sample(text=chant)], reference="ho ho"))) != []


def test_a_loop_is_found_where_the_speaker_repeats_words_too() -> None:
    spoken = "ho ho ho chi minh " * 10
    (message,) = text_findings.loop(cell([sample(text=spoken + spoken)], reference=spoken))
    assert message == "repeats “ho ho ho chi minh” 20 times in a row, in 1 of 1 transcripts"


# Device and precision


@pytest.mark.parametrize(
    ("asked", "used", "same"),
    [
        ("auto", "cpu", True),
        ("gpu", "metal", True),
        ("gpu", "cuda", True),
        ("gpu", "cuda:0", True),
        ("cuda", "cuda:0", True),
        ("metal", "gpu", True),
        ("cuda", "cpu", False),
        ("ane", "gpu", False),
        ("cuda:1", "cuda:0", False),
        ("metal", "vulkan", False),
    ],
)
def test_a_device_is_what_was_asked_for_or_a_finding(asked: str, used: str, same: bool) -> None:
    loads = [load(device=used, device_asked=asked)]
    found = list(contract_findings.device(cell(loads=loads)))
    assert found == ([] if same else [f"ran on {used}, although {asked} was requested"])


def test_a_device_that_changes_between_processes_is_told() -> None:
    loads = [load(device="cuda"), load(device="cpu", round_=1)]
    assert list(contract_findings.device(cell(loads=loads))) == [
        "differed between processes: cuda, cpu"
    ]


@pytest.mark.parametrize(
    ("weights_format", "used", "said"),
    [
        ("ggml-coreml", ["coreml", "coreml"], []),
        (
            "ggml-coreml",
            ["metal"],
            ["Core ML did not load its encoder, which ran on metal instead"],
        ),
        (
            "ggml-coreml",
            ["coreml", "cpu"],
            [
                "Core ML did not load its encoder, which ran on cpu instead",
                "differed between processes: coreml, cpu",
            ],
        ),
        ("ggml", ["metal"], []),
    ],
)
def test_an_encoder_for_core_ml_that_ran_elsewhere_is_reported(
    weights_format: str, used: list[str], said: list[str]
) -> None:
    plain = cell(loads=[load(device=each, round_=number) for number, each in enumerate(used)])
    info = msgspec.structs.replace(plain.model.info, format=weights_format)
    model = msgspec.structs.replace(plain.model, info=info)
    assert list(contract_findings.device(msgspec.structs.replace(plain, model=model))) == said


@pytest.mark.parametrize(
    ("asked", "cores", "wall_s", "said"),
    [
        (1, 1.9, 1.0, "used 1.9 cores although --threads is 1: "),
        (4, 7.6, 1.0, "used 7.6 cores although --threads is 4"),
        (4, 5.4, 1.0, ""),  # helpers
        (8, 1.0, 1.0, ""),  # on a GPU
        (1, 3.0, 0.1, ""),  # too short for ticks
    ],
)
def test_more_cores_than_threads_are_reported(
    asked: int, cores: float, wall_s: float, said: str
) -> None:
    timed = [sample(index, wall_s=wall_s, tree_cpu_s=cores * wall_s) for index in range(3)]
    assert "; ".join(findings.threads(timed, asked)).startswith(said)
    assert bool(list(findings.threads(timed, asked))) is bool(said)
    assert list(findings.threads([sample()], asked)) == []  # not metered


@pytest.mark.parametrize(
    ("total_s", "slow_s", "said"),
    [
        (2.0, 1.9, "spent 95% of its processor time on efficiency cores"),
        (2.0, 0.4, ""),
        (0.1, 0.1, ""),  # a GPU does the work
        (2.0, None, ""),
    ],
)
def test_a_worker_on_efficiency_cores_is_reported(
    total_s: float, slow_s: float | None, said: str
) -> None:
    timed = [
        sample(index, wall_s=1.0, tree_cpu_s=total_s, efficiency_cpu_s=slow_s) for index in range(3)
    ]
    found = list(findings.threads(timed, 4))
    assert "; ".join(found).startswith(said)
    assert bool(found) is bool(said)


NO_NEURAL = ": without the neural accelerators of M5"


@pytest.mark.parametrize(
    ("tag", "macos", "said"),
    [
        (
            "macosx_15_0_arm64",
            "26.2",
            f"MLX's build is for macOS 15, but there is one for 26{NO_NEURAL}",
        ),
        ("macosx_14_0_arm64", "15.5", "MLX's build is for macOS 14, but there is one for 15"),
        ("macosx_26_0_arm64", "26.2", ""),
        ("macosx_26_0_arm64", "27.0", ""),  # there is none for 27
        ("macosx_14_0_arm64", "14.7.1", ""),
        ("manylinux_2_35_x86_64", "6.8.0", ""),
        ("", "26.2", ""),
    ],
)
def test_a_build_of_mlx_for_an_older_macos_is_reported(tag: str, macos: str, said: str) -> None:
    plain = cell()
    backend = msgspec.structs.replace(plain.backend, versions={"mlx-metal wheel": tag})
    machine = msgspec.structs.replace(NVIDIA, os="Darwin", os_version=macos)
    found = contract_findings.older_build(msgspec.structs.replace(plain, backend=backend), machine)
    assert "; ".join(found) == said


NVIDIA = s.MachineInfo(
    os="Linux",
    os_version="6.1",
    architecture="x86_64",
    python="3.11",
    cpu=None,
    physical_cores=8,
    logical_cores=16,
    memory_bytes=None,
    gpus=["NVIDIA H200"],
    load_average_1m=None,
)


@pytest.mark.parametrize(
    ("machine", "asked", "used", "versions", "said"),
    [
        ({}, "auto", "cpu", {"torch": "2.9.1+cpu"}, True),
        ({}, "auto", "cpu", {"ctranslate2": "4.6"}, True),
        ({}, "auto", "cuda:0", {"torch": "2.9.1"}, False),
        ({}, "cpu", "cpu", {"torch": "2.9.1"}, False),  # as was asked for
        ({}, "auto", "cpu", {"onnxruntime": "1.22"}, False),
        ({"gpus": None}, "auto", "cpu", {"torch": "2.9.1"}, False),
        ({"os": "Darwin", "gpus": ["Apple M4"]}, "auto", "cpu", {"torch": "2.9.1"}, False),
    ],
)
def test_a_gpu_that_nothing_forbade_and_that_was_not_used_is_reported(
    machine: dict[str, Any], asked: str, used: str, versions: dict[str, str], said: bool
) -> None:
    plain = cell(loads=[load(device=used, device_asked=asked)])
    backend = msgspec.structs.replace(plain.backend, versions=versions)
    found = contract_findings.unused_gpu(
        msgspec.structs.replace(plain, backend=backend), msgspec.structs.replace(NVIDIA, **machine)
    )
    name, version = next(iter(versions.items()))
    message = (
        f"ran on the CPU although the machine has the GPU NVIDIA H200 ({name} {version} can use it)"
    )
    assert list(found) == ([message] if said else [])


@pytest.mark.parametrize(("cores", "said"), [(10, True), (None, False)])
def test_on_a_mac_apple_s_gpu_is_asked_for_too(cores: int | None, said: bool) -> None:
    plain = cell(loads=[load(device="cpu", device_asked="auto")])
    backend = msgspec.structs.replace(plain.backend, versions={"torch": "2.13.0"})
    mac = msgspec.structs.replace(NVIDIA, os="Darwin", gpus=["Apple M4"], gpu_cores=cores)
    found = contract_findings.unused_gpu(msgspec.structs.replace(plain, backend=backend), mac)
    assert any("the GPU Apple M4 (torch 2.13.0" in each for each in found) is said


def test_why_the_gpu_was_not_used_is_said_where_the_adapter_knows() -> None:
    plain = cell(loads=[load(device="cpu", device_asked="auto")])
    backend = msgspec.structs.replace(
        plain.backend, versions={"ctranslate2": "4.8.5"}, details={"cuda": "no libcublas.so.12"}
    )
    (found,) = contract_findings.unused_gpu(msgspec.structs.replace(plain, backend=backend), NVIDIA)
    assert found.endswith("(ctranslate2 4.8.5 can use it): no libcublas.so.12")


def test_ctranslate2_has_no_cuda_on_arm() -> None:
    plain = cell(loads=[load(device="cpu", device_asked="auto")])
    backend = msgspec.structs.replace(plain.backend, versions={"ctranslate2": "4.8.5"})
    grace = msgspec.structs.replace(NVIDIA, architecture="aarch64", gpus=["NVIDIA GH200 480GB"])
    (found,) = contract_findings.unused_gpu(msgspec.structs.replace(plain, backend=backend), grace)
    assert found.endswith("the GPU NVIDIA GH200 480GB (ctranslate2 4.8.5 has no CUDA on aarch64)")


@pytest.mark.parametrize(
    ("built", "supported", "said"),
    [("13.0", "12.8", True), ("12.6", "12.8", False), ("", "12.8", False), ("13.0", None, False)],
)
def test_a_build_that_the_driver_is_too_old_for_is_named(
    built: str, supported: str | None, said: bool
) -> None:
    plain = cell(loads=[load(device="cpu", device_asked="auto")])
    versions = {"torch": "2.13.0", **({"cuda": built} if built else {})}
    backend = msgspec.structs.replace(plain.backend, versions=versions)
    machine = msgspec.structs.replace(NVIDIA, cuda=supported)
    (found,) = contract_findings.unused_gpu(
        msgspec.structs.replace(plain, backend=backend), machine
    )
    assert found.endswith(": it is built for CUDA 13.0, but the driver supports 12.8") is said


def test_a_device_that_is_not_named_is_told() -> None:
    found = list(contract_findings.device(cell(loads=[load(device="auto")])))
    assert found == ["not reported by the backend"]


@pytest.mark.parametrize(
    ("asked", "used", "same"),
    [
        ("auto", "int8", True),
        ("float16", "fp16", True),
        ("int8", "int8_float32", True),
        ("float16", "float32", False),
        ("q5_0", "q5_1", False),
    ],
)
def test_a_precision_is_what_was_asked_for_or_a_finding(asked: str, used: str, same: bool) -> None:
    loads = [load(precision=used, precision_asked=asked)]
    found = list(contract_findings.precision(cell(loads=loads)))
    assert found == ([] if same else [f"computed in {used}, although {asked} was requested"])


# The contract


@pytest.mark.parametrize(
    ("effective", "declared", "found"),
    [
        ({}, {"window": "sequential-30s"}, []),
        ({}, {"window": "chunked-30s"}, ["window: reported sequential-30s, but declared chu"]),
        ({"vad": None}, {"vad": True}, []),
        ({"language": "en"}, {"language": None}, []),
    ],
)
def test_what_is_reported_is_held_against_the_description(
    effective: dict[str, Any], declared: dict[str, Any], found: list[str]
) -> None:
    said = list(
        contract_findings.contract(cell([sample()], effective=effective, declared=declared))
    )
    assert len(said) == len(found)
    assert all(each.startswith(words) for each, words in zip(said, found, strict=True))


@pytest.mark.parametrize(
    ("times", "found"),
    [
        ([(0.0, 4.0), (4.0, 10.5)], []),
        ([(0.0, 4.0), (3.99, 10.0)], []),
        ([(0.0, 0.0), (0.0, 0.0)], ["reported timestamps, but its segments have no times"]),
        ([], ["reported timestamps, but its segments have no times"]),
        ([(4.0, 8.0), (0.0, 4.0)], ["its segments are not in order of time"]),
        ([(0.0, 12.0)], ["a segment ends at 12.0 s in audio of 10.0 s"]),
    ],
)
def test_timestamps_that_are_reported_must_be_there(
    times: list[tuple[float, float]], found: list[str]
) -> None:
    segments = [s.SegmentInfo(start_s=start, end_s=end, text="word") for start, end in times]
    assert list(contract_findings.contract(cell([sample(segments=segments)]))) == found
    without = cell([sample(segments=segments)], effective={"timestamps": False})
    assert list(contract_findings.contract(without)) == []


@pytest.mark.parametrize("spoken", ["en", None, "english"])
def test_a_language_that_fits_the_report_is_no_finding(spoken: str | None) -> None:
    assert list(contract_findings.contract(cell([sample(language=spoken)]))) == []


# The clock


@pytest.mark.parametrize(("late", "found"), [(1, 0), (3, 1), (6, 1)])
def test_answers_that_lie_about_now_and_then_are_no_work_outside_the_clock(
    late: int, found: int
) -> None:
    timed = [sample(i, seconds=0.03, wall_s=0.12 if i < late else 0.031) for i in range(6)]
    assert len(list(findings.clock(cell(timed), timed))) == found


def test_a_load_outside_the_clock_is_told_when_every_load_is() -> None:
    liar = load(load_s=0.0, load_wall_s=2.0)
    assert list(findings.clock(cell(loads=[liar, liar]), [])) == [
        "the backend reported 0.000 s for a load that took 2.000 s"
    ]
    assert list(findings.clock(cell(loads=[liar, load()]), [])) == []


def test_threads_that_spin_for_a_fifth_of_a_second_are_no_work_after_the_answer() -> None:
    assert list(findings.clock(cell(endings=[ending(busy_after_s=0.25)]), [])) == []
    (message,) = findings.clock(cell(endings=[ending(busy_after_s=0.5), ending()]), [])
    assert message.startswith("still computing 0.5 s after its last answer in 1 of 2 processes")


@pytest.mark.parametrize(
    ("program", "busy"), [("import time; time.sleep(60)", False), ("while True: pass", True)]
)
def test_a_process_that_computes_is_told_from_one_that_rests(program: str, busy: bool) -> None:
    ready = f"print(flush=True)\n{program}"
    # More than one, so that they get a share of a machine that is busy with other things.
    processes = [
        subprocess.Popen([sys.executable, "-c", ready], stdout=subprocess.PIPE) for _ in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        seen = [execute._busy_after_s(os.getpid()) or 0.0 for _ in range(3)]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert (statistics.median(seen) >= findings.BUSY_AFTER_S) == busy


def test_every_recording_with_words_over_silence_is_reported() -> None:
    names = [f"u{number}" for number in range(6)]
    over = s.SegmentInfo(start_s=1.0, end_s=3.0, text="thank you")
    base = cell()
    clip = msgspec.structs.replace(
        base.clip,
        utterances=[
            s.UtteranceInfo(
                name=name, seconds=10.0, samples=160_000, pcm_sha256="", silences_s=[(0.0, 5.0)]
            )
            for name in names
        ],
    )
    samples = [sample(i, utterance=name) for name in names for i in range(2)]
    # The second sample of all but the first recording.
    samples = [
        msgspec.structs.replace(each, segments=[over])
        if each.index == 1 and each.utterance != "u0"
        else each
        for each in samples
    ]
    found = list(text_findings.silence(msgspec.structs.replace(base, clip=clip, samples=samples)))
    assert [each.partition(":")[0] for each in found[:3]] == ["u1", "u2", "u3"]
    assert found[3:] == ["and in 2 more of 6 recordings with silence"]


def test_nothing_is_said_of_a_sound_cell() -> None:
    known = {"peak_rss_before_bytes": 100 * MB, "peak_rss_bytes": 250 * MB}
    samples = [sample(i, round_=r) for r in range(6) for i in range(-1, 6)]
    loads = [load(round_=r, **known) for r in range(6)]
    sound = cell(samples, loads=loads, endings=[ending()])
    timed = [each for each in samples if each.kind == "timed"]
    run = run_of(FakeCell(), rounds=6, passes=6).run
    assert findings.findings_for_cell(run, sound, timed) == []
