"""GPUs, and what each backend's own library sees of them."""

from __future__ import annotations

import plistlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import machines as m
from mac_whisper_speedtest.backends import mlx_wheel
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.doctor import accelerators
from mac_whisper_speedtest.doctor.accelerators import InterpreterLocation
from mac_whisper_speedtest.machine import apple
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown

NONE = Unknown("nvidia-smi is not installed")
H200 = "NVIDIA H200, 570.86.15, 143771, 4, {busy}, 33, Disabled, {mask}"


@pytest.mark.parametrize(
    ("listed", "state", "seen", "kinds"),
    [
        (m.AGX, "ok", "Apple M3 Pro, 18 cores, Metal", {"metal"}),
        ("", "unknown", "not known: ioreg lists no Apple GPU", set()),
        ("<plist", "unknown", "not known", set()),
        (plistlib.dumps({"model": "?"}).decode(), "unknown", "not known", set()),
        (NONE, "unknown", "not known: nvidia-smi is not installed", set()),
    ],
)
def test_apples_gpu_is_named_with_its_cores(
    listed: Answer, state: str, seen: str, kinds: set[str]
) -> None:
    found = accelerators.mac_gpus(apple.parse_apple_gpus(listed))
    assert found.lines[0].state == state
    assert seen in found.lines[0].seen
    assert found.kinds == kinds


@pytest.mark.parametrize(
    ("listed", "state", "seen"),
    [
        (m.DISPLAYS_INTEL, "ok", "AMD Radeon Pro 5500M"),
        (m.DISPLAYS_VIRTUAL, "ok", "Apple Paravirtual device"),
        ('{"SPDisplaysDataType": []}', "ok", "none"),
        ("[]", "unknown", "not known"),
        (NONE, "unknown", "not known"),
    ],
)
def test_other_gpus_of_macs_are_named(listed: Answer, state: str, seen: str) -> None:
    (line,) = accelerators.mac_gpus(apple.parse_displays(listed)).lines
    assert line.state == state
    assert seen in line.seen


@pytest.mark.parametrize(
    ("busy", "mask", "state", "seen"),
    [
        ("0", "0x0000000000000001", "ok", "NVIDIA H200, driver 570.86.15, 150.8 GB, 4 MB of it"),
        ("0", "0x0000000000000004", "ok", "33 °C"),  # the power limit: how it is meant to run
        ("10", "0x0", "ok", "33 °C"),
        ("11", "0x0", "warn", "11 % busy"),
        ("0", "0x20", "warn", "hot"),
        ("0", "0x8", "warn", "clocks are limited"),
        ("0", "0x80", "warn", "clocks are limited"),
        ("0", "0x48", "fail", "too hot"),
        ("0", "64", "fail", "too hot"),  # as NVML's binding writes it
        ("[N/A]", "[N/A]", "ok", "NVIDIA H200"),
    ],
)
def test_a_gpu_that_is_hot_or_in_use_is_noticed(
    busy: str, mask: str, state: str, seen: str
) -> None:
    found = accelerators.nvidia_gpus(H200.format(busy=busy, mask=mask))
    (line,) = found.lines
    assert (line.topic, line.state) == ("gpu", state)
    assert seen in line.seen
    assert found.kinds == {"cuda"}


def test_several_gpus_are_numbered_and_mig_is_named() -> None:
    rows = [
        "NVIDIA A100-SXM4-40GB, 550.54, 40960, 0, 0, 30, Enabled",
        "NVIDIA A100-SXM4-40GB, 550.54, [N/A], [N/A], [N/A], [N/A], Disabled",
    ]
    lines = accelerators.nvidia_gpus("\n".join(rows)).lines
    assert [line.topic for line in lines] == ["gpu 0", "gpu 1"]
    assert lines[0].seen.endswith("MIG")
    assert lines[1].seen == "NVIDIA A100-SXM4-40GB, driver 550.54"


def test_a_table_that_is_none_tells_nothing() -> None:
    found = accelerators.nvidia_gpus("No devices were found")
    assert found.lines[0].state == "unknown"
    assert found.kinds == frozenset()


@pytest.mark.parametrize(
    ("driver", "displays", "state", "seen"),
    [
        (["Model: \t\t NVIDIA L4\nIRQ: 1\n"], ["0x10de"], "unknown", "the state of NVIDIA L4"),
        ([], ["0x10de", "0x8086"], "warn", "without a working driver"),
        ([Unknown("gone")], ["0x10de"], "warn", "without a working driver"),
        ([], ["0x1002"], "ok", "no NVIDIA GPU"),
        ([], [], "ok", "none"),
        ([], None, "unknown", "nvidia-smi is not installed, and the PCI bus is not visible"),
    ],
)
def test_without_nvidia_smi_the_kernel_is_asked(
    driver: list[Answer], displays: list[str] | None, state: str, seen: str
) -> None:
    (line,) = accelerators.without_nvidia_smi(NONE, driver, displays).lines
    assert line.state == state
    assert seen in line.seen


def test_an_older_driver_is_asked_under_the_older_name() -> None:
    table = "NVIDIA H200, 525.60, 143771, 4, 0, 33, Disabled"
    old = m.Recorded({m.SMI: table, m.SMI_OLD_REASONS: "0x40"}, platform="linux")
    assert accelerators.inspect_gpu(old).lines[0].state == "fail"
    mute = m.Recorded({m.SMI: table}, platform="linux")
    assert accelerators.inspect_gpu(mute).lines[0].state == "ok"


def test_an_nvidia_card_on_the_bus_without_a_driver_is_found(tmp_path: Path) -> None:
    bus = "/sys/bus/pci/devices/0000:01:00"
    m.files(
        tmp_path,
        {
            f"{bus}.0/class": "0x030000\n",
            f"{bus}.0/vendor": "0x10de\n",
            f"{bus}.1/class": "0x040300\n",
            f"{bus}.1/vendor": "0x10de\n",
        },
    )
    found = accelerators.inspect_gpu(m.Recorded({}, platform="linux", root=tmp_path))
    assert found.lines[0].state == "warn"


RECIPE = Recipe("tiny", "tiny-lib", "1.0", platforms=(sys.platform,))
CT2 = Backend("ct2", import_name="faster_whisper", devices=("cpu", "cuda"), recipe=RECIPE)
MLX = Backend("mlx", import_name="mlx_whisper", devices=("cpu", "metal", "cuda"))
TORCH = Backend("torch", import_name="whisper", devices=("cpu", "cuda", "mps"))
MODERN = "system info: WHISPER : COREML = 0 | OPENVINO = 0 | MTL : EMBED_LIBRARY = 1 | CPU : "


def judged(backend: Backend, answer: Answer, *gpus: str) -> tuple[str, str]:
    place = InterpreterLocation(backend, "1.0 beside the tool", "/python", "a question")
    (line,) = accelerators.judge_accelerators([place], {place.key: answer}, gpus)
    assert line.topic == f"backend {backend.name}"
    return line.state, line.seen


@pytest.mark.parametrize(
    ("backend", "answer", "gpus", "state", "seen"),
    [
        (CT2, "devices: cpu ", (), "ok", "sees cpu"),
        (CT2, "devices: cpu cuda", ("cuda",), "ok", "sees cpu, cuda"),
        (CT2, "devices: cpu", ("cuda",), "warn", "not this machine's GPU (cuda)"),
        (
            CT2,
            "missing: libcublas.so.12: no\ndevices: cpu",
            ("cuda",),
            "warn",
            "libcublas.so.12: no",
        ),
        (CT2, "missing: \ndevices: cpu cuda", ("cuda",), "ok", "sees cpu, cuda"),
        (CT2, "devices: cpu", ("metal",), "ok", "sees cpu"),
        (MLX, "devices: cpu metal ", ("metal",), "ok", "sees cpu, metal"),
        (MLX, "devices: cpu", ("metal",), "warn", "not this machine's GPU (metal)"),
        (TORCH, "a warning\ndevices: cpu  mps", ("metal",), "ok", "sees cpu, mps"),
        (TORCH, "something else", (), "unknown", "accelerators not known: its answer names no"),
        (TORCH, Unknown("python did not answer in 10 s"), (), "unknown", "did not answer in 10 s"),
    ],
)
def test_a_library_that_does_not_see_the_gpu_is_warned_about(
    backend: Backend, answer: Answer, gpus: tuple[str, ...], state: str, seen: str
) -> None:
    got, text = judged(backend, answer, *gpus)
    assert got == state
    assert seen in text


OLD_WHEEL = "wheel: macosx_15_0_arm64\ndevices: cpu metal"


@pytest.mark.parametrize(
    ("answer", "macos", "state", "seen"),
    [
        (OLD_WHEEL, "26.2", "warn", "MLX's build is for macOS 15, but there is one for 26"),
        (OLD_WHEEL, "15.5", "ok", "sees cpu, metal"),
        (OLD_WHEEL, "", "ok", "sees cpu, metal"),
        ("wheel: \ndevices: cpu metal", "26.2", "ok", "sees cpu, metal"),
    ],
)
def test_a_build_of_mlx_for_an_older_macos_is_warned_about(
    answer: str, macos: str, state: str, seen: str
) -> None:
    place = InterpreterLocation(MLX, "0.4.3 in its own environment", "/python", "a question")
    (line,) = accelerators.judge_accelerators([place], {place.key: answer}, {"metal"}, macos)
    assert line.state == state
    assert seen in line.seen
    assert ("backends install mlx" in line.next) is (state == "warn")
    beside = InterpreterLocation(MLX, "0.4.3 beside the tool", sys.executable, "a question")
    (line,) = accelerators.judge_accelerators([beside], {beside.key: answer}, {"metal"}, macos)
    assert ("pip install --force-reinstall" in line.next) is (state == "warn")


def test_what_is_missing_for_the_gpu_is_said_with_the_command_that_installs_it() -> None:
    recipe = replace(RECIPE, uses_cublas=True)
    backend = replace(CT2, managed=True, recipe=recipe)
    place = InterpreterLocation(backend, "1.0 in its own environment", "/p", "q")
    answer = "missing: libcublas.so.12: no such file\ndevices: cpu"
    (line,) = accelerators.judge_accelerators([place], {place.key: answer}, ["cuda"])
    assert line.next == "speedtest backends install ct2"


@pytest.mark.parametrize(
    ("answer", "devices"),
    [
        ("system info: AVX = 1 | METAL = 0 | COREML = 0 | CUDA = 0", ["cpu"]),
        ("system info: NEON = 1 | METAL = 1 | COREML = 1", ["cpu", "coreml", "metal"]),
        (MODERN, ["cpu", "metal"]),
        ("system info: COREML = 0 | CUDA : ARCHS = 750 | CPU : SSE3 = 1", ["cpu", "cuda"]),
        ("Segmentation fault", None),
        ("", None),
    ],
)
def test_whisper_cpp_tells_what_it_is_built_for(answer: str, devices: list[str] | None) -> None:
    assert accelerators.parse_devices(answer) == devices


def test_what_is_not_installed_is_named_in_one_line_with_the_command() -> None:
    foreign = Recipe("far", "far-lib", "1.0", platforms=("beos",))
    places = [
        InterpreterLocation(CT2, "1.0 beside the tool", "/python", "q"),
        InterpreterLocation(Backend("two", recipe=RECIPE)),
        InterpreterLocation(Backend("three")),
        InterpreterLocation(Backend("far", recipe=foreign)),
        InterpreterLocation(Backend("bad", broken="it cannot be loaded")),
        InterpreterLocation(Backend("own"), "a program of its own"),
        InterpreterLocation(
            Backend("plain", devices=("cpu",)), "1.0 in its own environment", "/python"
        ),
    ]
    lines = accelerators.judge_accelerators(places, None, ())
    cannot = "its devices cannot be queried quickly"
    assert [(line.topic, line.state, line.seen, line.next) for line in lines] == [
        (
            "backend ct2",
            "ok",
            "1.0 beside the tool; may use cpu, cuda; its devices were not queried",
            "",
        ),
        ("backend bad", "warn", "it cannot be loaded", "speedtest backends info bad"),
        ("backend own", "ok", f"a program of its own; may use what it has; {cannot}", ""),
        ("backend plain", "ok", "1.0 in its own environment; uses the CPU only", ""),
        ("not installed", "ok", "two, three", "speedtest backends install two"),
        ("not for this platform", "ok", "far", ""),
    ]


def test_a_machine_without_any_backend_is_told_how_to_install_one() -> None:
    lines = accelerators.judge_accelerators([InterpreterLocation(CT2)], {}, ())
    assert (lines[0].topic, lines[0].state) == ("backends", "warn")
    assert "speedtest backends install" in lines[0].next


@pytest.mark.parametrize(
    ("module", "source", "question", "devices"),
    [
        # cuBLAS is not there, or is: without it a GPU cannot be used.
        ("ctranslate2", "def get_cuda_device_count(): return 2", CT2, ["cpu"]),
        (
            "ctranslate2",
            "import ctypes as c\nc.CDLL = lambda *_, mode: 0\nget_cuda_device_count = lambda: 2",
            CT2,
            ["cpu", "cuda"],
        ),
        ("ctranslate2", "def get_cuda_device_count(): return 0", CT2, ["cpu"]),
        ("ctranslate2", "raise ImportError('libcudart is missing')", CT2, None),
        (
            "_pywhispercpp",
            "def whisper_print_system_info(): return 'COREML = 0 | MTL : EMBED_LIBRARY = 1 |'",
            Backend("cpp", import_name="pywhispercpp"),
            ["cpu", "metal"],
        ),
        (
            "mlx/core",
            "class metal:\n    is_available = staticmethod(lambda: True)",
            MLX,
            ["cpu", "metal"],
        ),
        ("torch/version", "cuda = None", TORCH, ["cpu"]),
        ("torch/version", "cuda = '13.0'\ncapability = (9, 0)", TORCH, ["cpu", "cuda", "mps"]),
        ("torch/version", "cuda = '13.0'\ncapability = (7, 0)", TORCH, ["cpu", "mps"]),
    ],
)
def test_the_questions_are_put_in_words_that_the_libraries_understand(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    source: str,
    question: Backend,
    devices: list[str] | None,
) -> None:
    if module.startswith("torch") and sys.platform != "linux" and devices == ["cpu"]:
        pytest.skip("only Linux has builds for CPUs alone")
    stubs = {f"{module}.py": source}
    if module.startswith("torch"):
        yes = "is_available = staticmethod(lambda: True)"
        stubs["torch/__init__.py"] = (
            "from torch.version import capability\n__version__ = '2.13.0'\n"
            f"class cuda:\n    {yes}\n    get_device_capability = lambda: capability\n"
            "    get_arch_list = lambda: ['sm_75', 'sm_90', 'compute_120']\n"
            f"class backends:\n    class mps:\n        {yes}\n"
        )
    m.files(tmp_path, stubs)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    key = (sys.executable, accelerators._QUESTIONS[question.import_name])
    answer = accelerators.query_interpreter(Reader(), key)
    if devices is None:
        assert isinstance(answer, Unknown)
        assert "libcudart is missing" in answer.reason
    else:
        assert isinstance(answer, str)
        assert accelerators.parse_devices(answer) == devices


def test_mlx_is_asked_for_the_platform_of_its_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = "mlx_metal-0.32.4.dist-info"
    wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-macosx_15_0_arm64\n\n"
    stubs = {
        "mlx/core.py": "class metal:\n    is_available = staticmethod(lambda: True)",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: mlx-metal\nVersion: 0.32.4\n",
        f"{info}/WHEEL": wheel,
    }
    m.files(tmp_path, stubs)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    answer = accelerators.query_interpreter(Reader(), (sys.executable, accelerators._MLX))
    assert answer == "wheel: macosx_15_0_arm64\ndevices: cpu metal"
    monkeypatch.syspath_prepend(tmp_path)
    assert mlx_wheel.platform_tag() == "macosx_15_0_arm64"


def test_every_built_in_python_backend_with_a_gpu_has_a_question() -> None:
    from conftest import built_in_backends

    for backend in built_in_backends():
        if backend.adapter and backend.devices != ("cpu",):
            assert backend.import_name in accelerators._QUESTIONS, backend.name


NVML = """
class NVMLError(Exception):
    pass
class Of:
    total, used, gpu = 143771 * 2**20, 4 * 2**20, 3
def unsupported(*arguments):
    raise NVMLError("Not Supported")
NVML_TEMPERATURE_GPU = 0
nvmlInit = lambda: None
nvmlDeviceGetCount = lambda: 1
nvmlDeviceGetHandleByIndex = nvmlDeviceGetName = lambda index: b"NVIDIA H200"
nvmlSystemGetDriverVersion = lambda: "570.86.15"
nvmlDeviceGetMemoryInfo = nvmlDeviceGetUtilizationRates = lambda gpu: Of
nvmlDeviceGetTemperature = lambda gpu, sensor: 33
nvmlDeviceGetMigMode = unsupported
nvmlDeviceGetCurrentClocksThrottleReasons = lambda gpu: 0x40
"""


def test_nvmls_binding_is_asked_in_a_process_of_its_own_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    m.files(tmp_path, {"pynvml.py": NVML})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (line,) = accelerators.inspect_gpu(Reader(platform="linux")).lines
    assert line.state == "fail"
    assert line.seen == (
        "NVIDIA H200, driver 570.86.15, 150.8 GB, 4 MB of it in use, 33 °C: "
        "too hot, its clocks are cut"
    )
    imported = getattr(sys.modules.get("pynvml"), "__file__", "")
    assert not imported.startswith(str(tmp_path))


def test_a_backend_s_library_is_asked_without_the_user_s_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", "hunter2-hunter2")
    question = "import os; print(sorted(os.environ))"
    answer = accelerators.query_interpreter(Reader(), (sys.executable, question))
    assert isinstance(answer, str)
    assert "'PATH'" in answer
    assert "'HF_HUB_OFFLINE'" in answer
    assert "TOKEN" not in answer
