"""Backends come from entry points and TOML files; whatever is wrong with one is named."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from conftest import Tool
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.backend import Backend, BackendModel
from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.catalog import PublishedFile, Timeouts
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.reference.markdown import attributes

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "adding-a-backend.md").read_text(
    encoding="utf-8"
)
KNOWN = {name: Backend(name=name) for name in ("faster-whisper", "mlx-whisper", "whisper.cpp")}
PROGRAM = '[backend]\nname = "engine"\ncommand = ["./engine", "--worker", "node"]\n'

TIMES = "load_s = 2, transcribe_base_s = 3, transcribe_per_audio_s = 0.5, first_call_factor = 4.0"


def _block(name: str) -> str:
    """The code block that docs/guide/adding-a-backend.md calls ``name``."""
    found = re.search(
        rf"^`{re.escape(name)}`[^\n]*:\n\n```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
    )
    assert found, f"no code block is called {name}"
    return found[1]


@pytest.fixture
def describe(tmp_path: Path) -> Callable[[str], Path]:
    """Write a backend file."""

    def write(text: str) -> Path:
        path = tmp_path / "engine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


# --- from_toml ---------------------------------------------------------------------------------


def test_a_program_needs_only_a_name_and_a_command(
    describe: Callable[[str], Path], tmp_path: Path
) -> None:
    assert registry.from_toml(describe(PROGRAM)) == Backend(
        name="engine",
        command=(str(tmp_path / "engine"), "--worker", "node"),
        source="engine.toml",
    )


def test_every_key_arrives_and_every_path_is_relative_to_the_file(
    describe: Callable[[str], Path], tmp_path: Path
) -> None:
    path = describe(
        '[backend]\nname = "mine"\nadapter = "mine:Mine"\npython = "python3.13"\n'
        'search_path = [".", "../more"]\nimport_name = "mine_lib"\n'
        'weights_format = "ggml"\nweights_precision = "float32"\nsummary = "of my own"\n'
        'cwd = "here"\n'
        'environment = { LEVEL = "3", THREADS = "2" }\n[backend.models]\n"tiny.en" = "w/tiny.bin"\n'
    )
    assert registry.from_toml(path) == Backend(
        name="mine",
        adapter="mine:Mine",
        python="python3.13",
        search_path=(str(tmp_path), str(tmp_path / "../more")),
        import_name="mine_lib",
        weights_format="ggml",
        weights_precision="float32",
        summary="of my own",
        cwd=str(tmp_path / "here"),
        environment={"LEVEL": "3", "THREADS": "2"},
        models={"tiny.en": BackendModel(tmp_path / "w/tiny.bin")},
        source="engine.toml",
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[backend", "not valid TOML"),
        ('name = "engine"', "no [backend] table"),
        ("backend = 3", "no [backend] table"),
        (PROGRAM + 'comand = ["x"]', "unknown key 'comand'"),
        (PROGRAM + 'adapter = "a:A"', "exactly one of command and adapter"),
        ('[backend]\nname = "engine"', "exactly one of command and adapter"),
        ('[backend]\nname = "engine"\ncommand = []', "exactly one of command and adapter"),
        ('[backend]\ncommand = ["x"]', "needs a name"),
        ('[backend]\ncommand = ["x"]\nname = ""', "needs a name"),
        ('[backend]\ncommand = ["x"]\nname = 3', "backend.name must be a string, not 3"),
        (
            '[backend]\nname = "engine"\ncommand = "./x"',
            "backend.command must be a list of strings",
        ),
        ('[backend]\nname = "engine"\nadapter = 3', "backend.adapter must be a string, not 3"),
        (PROGRAM + "python = 3.13", "backend.python must be a string, not 3.13"),
        (PROGRAM + 'search_path = "."', "backend.search_path must be a list of strings, not '.'"),
        (PROGRAM + "search_path = [1]", "backend.search_path must be a list of strings, not [1]"),
        (PROGRAM + "import_name = []", "backend.import_name must be a string"),
        (PROGRAM + "weights_format = true", "backend.weights_format must be a string, not True"),
        (PROGRAM + "weights_precision = 16", "backend.weights_precision must be a string, not 16"),
        (PROGRAM + "summary = 1", "backend.summary must be a string, not 1"),
        (PROGRAM + "cwd = 1", "backend.cwd must be a string, not 1"),
        (
            PROGRAM + 'environment = "A=1"',
            "backend.environment must be a table of strings, not 'A=1'",
        ),
        (
            PROGRAM + 'models = "tiny.en"',
            "backend.models must be a table, not 'tiny.en'",
        ),
        (PROGRAM + "environment = { A = 1 }", "backend.environment must be a table of strings"),
        (
            PROGRAM + 'models = { "tiny.en" = 3 }',
            'models."tiny.en" must be a path or a table, not 3',
        ),
        (PROGRAM + 'models = { "tiny.eng" = "w" }', "unknown model 'tiny.eng'"),
        (
            PROGRAM + '[backend.models."tiny.en"]\nsize = 1\n',
            "unknown key 'size' in backend.models.\"tiny.en\"",
        ),
        (PROGRAM + f"x = {'[' * 1000}{']' * 1000}", "is nested deeper than 64 levels"),
        (PROGRAM + f"{'x.' * 1000}x = 1", "is nested deeper than 64 levels"),
        (f"[{'backend.' * 1000}x]\n", "is nested deeper than 64 levels"),
        (
            PROGRAM + f'summary = "{"x" * 3000}"',
            "backend.summary has 3000 characters; at most 2000",
        ),
        (PROGRAM + "search_path = [" + "1," * 2000 + "]", "search_path has 2000 entries; at most"),
        ("#" * 2_000_000, "is larger than 1 MB"),
        (
            PROGRAM + "timeouts = { load_s = inf }",
            "backend.timeouts.load_s is inf, not within 0 to",
        ),
        *(
            (
                PROGRAM + f"models.tiny.timeouts.load_s = {each}",
                f"backend.models.tiny.timeouts.load_s is {each}, not within 0 to",
            )
            for each in ("inf", "nan")
        ),
        *(
            (f'[backend]\ncommand = ["x"]\nname = "{name}"', "backend.name is '")
            for name in ("a:int8", "a@1.2", "a/b", "a b", "a\\u001b[31m", "a\\u202e", "a\\nb")
        ),
        (
            f'[backend]\ncommand = ["x"]\nname = "{"x" * 301}"',
            "name has 301 characters; at most 300",
        ),
        *(
            (PROGRAM + f'[backend.models."tiny.en"]\n{line}\n', f'models."tiny.en"{named}')
            for line, named in [
                ("path = 3", ".path must be a string, not 3"),
                ("license = true", ".license must be a string, not True"),
                ('size_class = "huge"', ": size_class is 'huge', not one of tiny, base, small"),
                (
                    'license = "MIT"',
                    ": license describes the backend's own weights, which need a path",
                ),
                ("timeouts = 3", ".timeouts must be a table of the numbers load_s"),
                ("timeouts = { load_s = 1 }", ".timeouts must be a table of the numbers"),
                (f"timeouts = {{ {TIMES}, x_s = 1 }}", ".timeouts must be a table of the numbers"),
                (f"timeouts = {{ {TIMES.replace('= 2', '= true')} }}", ".timeouts must be a table"),
                (f"timeouts = {{ {TIMES.replace('= 2', '= 0')} }}", ": timeouts.load_s is 0.0"),
                ('path = "w"\nfiles = "w"', ".files must be a list of tables with name"),
                ('path = "w"\nfiles = [{ size = 1 }]', ".files must be a list of tables with name"),
                (
                    'path = "w"\nfiles = [{ name = "w", sha1 = "x" }]',
                    ".files must be a list of tab",
                ),
                ('path = "w"\nfiles = [{ name = "../w" }]', ": files: '../w' is not a path inside"),
                (
                    'path = "w"\nfiles = [{ name = "w", sha256 = "x" }]',
                    ": files: the sha256 of w is",
                ),
            ]
        ),
    ],
)
def test_a_bad_file_gets_one_line_that_names_the_file_and_the_key(
    describe: Callable[[str], Path], text: str, named: str
) -> None:
    path = describe(text)
    with pytest.raises(UsageError) as caught:
        registry.from_toml(path)
    assert str(path) in caught.value.message
    assert named in caught.value.message
    assert "\n" not in caught.value.message


def test_a_file_may_state_all_that_is_known_of_a_model(
    describe: Callable[[str], Path], tmp_path: Path
) -> None:
    sha256 = "ab" * 32
    backend = registry.from_toml(
        describe(
            PROGRAM
            + '[backend.models.tiny]\nsize_class = "medium"\n[backend.models.base]\npath = "w"\n'
            'precision = "int8"\nlicense = "MIT"\nrepository = "me/mine"\nrevision = "v1"\n'
            f"timeouts = {{ {TIMES} }}\n"
            f'files = [{{ name = "a.bin", size = 7, sha256 = "{sha256}" }}, {{ name = "b" }}]\n'
        )
    )
    assert backend.models == {
        "tiny": BackendModel(size_class="medium"),
        "base": BackendModel(
            tmp_path / "w",
            precision="int8",
            license="MIT",
            repository="me/mine",
            revision="v1",
            timeouts=Timeouts(2.0, 3.0, 0.5, 4.0),
            files=(PublishedFile("a.bin", 7, sha256), PublishedFile("b")),
        ),
    }


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the backend file .*gone\.toml: No such"):
        registry.from_toml(tmp_path / "gone.toml")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "engine.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(UsageError, match=r"engine\.toml is not valid TOML: .*utf-8"):
        registry.from_toml(tmp_path / "engine.toml")


# --- select ------------------------------------------------------------------------------------


def test_no_name_selects_every_backend() -> None:
    assert registry.select([], KNOWN) == list(KNOWN.values())


def test_names_are_selected_in_the_order_given_and_once() -> None:
    chosen = registry.select(["whisper.cpp", "faster-whisper", "whisper.cpp"], KNOWN)
    assert [backend.name for backend in chosen] == ["whisper.cpp", "faster-whisper"]


@pytest.mark.parametrize("alias", [*registry.ALIASES, "PyWhisperCpp"])
def test_an_alias_in_any_case_stands_for_its_backend(alias: str) -> None:
    assert registry.select([alias], KNOWN) == [KNOWN[registry.ALIASES[alias.lower()]]]


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("fast-whisper", "faster-whisper"),
        ("whispercp", "whispercpp"),
        ("mlxwhisper", "mlx-whisper"),
    ],
)
def test_an_unknown_name_gets_the_nearest_names(typed: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"unknown backend '{typed}'") as caught:
        registry.select([typed], KNOWN)
    assert near in caught.value.hint.partition("?")[0]


def test_a_name_like_nothing_gets_all_names() -> None:
    with pytest.raises(UsageError) as caught:
        registry.select(["qqqq"], KNOWN)
    assert "did you mean" not in caught.value.hint
    assert all(name in caught.value.hint for name in KNOWN)


def test_a_toml_file_can_be_selected_beside_names(describe: Callable[[str], Path]) -> None:
    chosen = registry.select(["mlx-whisper", str(describe(PROGRAM))], KNOWN)
    assert [backend.name for backend in chosen] == ["mlx-whisper", "engine"]


RECIPE = Recipe("faster-whisper", "faster-whisper", "1.2.1")
VERSIONED = {**KNOWN, "faster-whisper": Backend(name="faster-whisper", recipe=RECIPE)}


@pytest.mark.parametrize(
    ("spec", "version", "precision"),
    [
        ("faster-whisper", "", ""),
        ("faster-whisper@1.1.1", "1.1.1", ""),
        ("faster-whisper@v1.1.1", "1.1.1", ""),
        ("faster-whisper@1.2.0rc1", "1.2.0rc1", ""),
        ("faster-whisper:int8_float32", "", "int8_float32"),
        ("faster-whisper@1.1.1:q5_1", "1.1.1", "q5_1"),
    ],
)
def test_a_name_may_carry_a_version_and_a_precision(
    spec: str, version: str, precision: str
) -> None:
    (backend,) = registry.select([spec], VERSIONED)
    assert (backend.name, backend.version, backend.precision) == (
        "faster-whisper",
        version,
        precision,
    )


def test_an_alias_may_carry_them_too() -> None:
    recipe = Recipe("whisper.cpp", "pywhispercpp", "1.5.1")
    known = {"whisper.cpp": Backend(name="whisper.cpp", recipe=recipe)}
    (backend,) = registry.select(["pywhispercpp@1.4.0:q8_0"], known)
    assert backend.label == "whisper.cpp@1.4.0:q8_0"


def test_two_versions_of_one_backend_are_two_in_a_run_and_one_of_them_twice_is_one() -> None:
    specs = ["faster-whisper@1.1.1", "faster-whisper@1.2.1", "faster-whisper@1.1.1"]
    chosen = registry.select(specs, VERSIONED)
    assert [backend.label for backend in chosen] == specs[:2]


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("", "does not name a backend", "NAME@VERSION:PRECISION"),
        ("@1.1.1", "does not name a backend", "NAME@VERSION"),
        ("faster-whisper@", "does not name a backend", "NAME@VERSION"),
        ("faster-whisper:", "does not name a backend", "NAME:PRECISION"),
        ("faster-whisper:int8@1.1.1", "does not name a backend", "NAME@VERSION:PRECISION"),
        ("faster-whisper@1@2", "does not name a backend", "NAME@VERSION"),
        ("faster-whisper:INT 8", "does not name a backend", "NAME:PRECISION"),
        ("faster-whisper@newest", "'newest' is not a version", "faster-whisper@1.2.1"),
        (
            "mlx-whisper@0.4.3",
            "mlx-whisper@0.4.3: only backends with a recipe have versions",
            "write mlx-whisper",
        ),
        ("slower-whisper@1.0", "unknown backend 'slower-whisper'", "did you mean faster-whisper"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused_with_how_to_write_it(
    spec: str, message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        registry.select([spec], VERSIONED)
    assert message in caught.value.message
    assert hint in caught.value.hint


# --- installed ---------------------------------------------------------------------------------


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make these the only entry points there are: ``declare(name="package:ATTRIBUTE")``."""

    def put(**values: str) -> None:
        entries = metadata.EntryPoints(
            metadata.EntryPoint(name, value, registry.GROUP) for name, value in values.items()
        )
        monkeypatch.setattr(metadata, "entry_points", entries.select)

    return put


@pytest.fixture
def package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], None]]:
    """Write an importable package; it is forgotten afterwards."""
    written = []

    def write(name: str, text: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text, encoding="utf-8")
        written.append(name)

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    for name in written:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("stated", "why"),
    [
        ('"tiny.en": BackendModel(size_class="huge")', "size_class is 'huge'"),
        ('"tiny.eng": BackendModel()', "unknown model 'tiny.eng'"),
        ('"tiny.en": "weights.bin"', "no attribute 'problem'"),
        ('"tiny.en": BackendModel(timeouts=Timeouts("1", 1, 1, 1))', "not supported between"),
        ('"tiny.en": BackendModel(files=(PublishedFile("../x"),))', "'../x' is not a path inside"),
    ],
)
def test_an_installed_description_that_states_nonsense_of_a_model_is_broken(
    declare: Callable[..., None], package: Callable[[str, str], None], stated: str, why: str
) -> None:
    package(
        "speedtest_odd",
        "from mac_whisper_speedtest.backends.backend import Backend, BackendModel\n"
        "from mac_whisper_speedtest.catalog import PublishedFile, Timeouts\n"
        f'BACKEND = Backend(name="odd", models={{{stated}}})\n',
    )
    declare(odd="speedtest_odd:BACKEND", good="mac_whisper_speedtest.backends.mlx_whisper:BACKEND")
    found = registry.installed()
    assert why in found["odd"].broken
    assert found["mlx-whisper"].broken == ""


def test_the_built_in_backends_are_installed_in_name_order() -> None:
    found = registry.installed()
    assert list(found) == sorted(found)
    assert set(KNOWN) <= set(found)
    assert all(name == backend.name for name, backend in found.items())


def test_the_documented_package_is_found_through_its_entry_point(
    declare: Callable[..., None], package: Callable[[str, str], None], tmp_path: Path
) -> None:
    package("speedtest_levels", _block("speedtest_levels/__init__.py"))
    declare(levels="speedtest_levels:BACKEND")
    backend = registry.installed()["levels"]
    assert backend.importable_here()
    assert backend.models["tiny.en"].path == tmp_path / "speedtest_levels" / "levels.json"
    assert 'levels = "speedtest_levels:BACKEND"' in _block("pyproject.toml")


def test_an_entry_point_that_is_not_a_backend_is_broken_and_says_its_type(
    declare: Callable[..., None],
) -> None:
    declare(odd="json:dumps")
    assert "json:dumps" in registry.installed()["odd"].broken
    assert "is a function, not a Backend" in registry.installed()["odd"].broken


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_package:BACKEND", "No module named 'no_such_package'"),
        ("json:BACKEND", "no attribute 'BACKEND'"),
        ("speedtest_broken:BACKEND", "out of sorts"),
    ],
)
def test_an_entry_point_that_cannot_be_loaded_is_broken_and_costs_no_other_backend(
    declare: Callable[..., None], package: Callable[[str, str], None], value: str, why: str
) -> None:
    package("speedtest_broken", 'raise RuntimeError("out of sorts")\n')
    declare(broken=value, good="mac_whisper_speedtest.backends.faster_whisper:BACKEND")
    found = registry.installed()
    assert value in found["broken"].broken
    assert why in found["broken"].broken
    assert found["faster-whisper"].broken == ""


def test_two_distributions_with_one_backend_name_are_refused(declare: Callable[..., None]) -> None:
    target = "mac_whisper_speedtest.backends.faster_whisper:BACKEND"
    declare(one=target, two=target)
    with pytest.raises(UsageError, match="two installed distributions declare"):
        registry.installed()


def test_a_backend_named_twice_is_measured_once() -> None:
    chosen = registry.select(["whisper.cpp", "pywhispercpp", "whisper.cpp"], KNOWN)
    assert [backend.name for backend in chosen] == ["whisper.cpp"]


def test_two_different_backends_of_one_name_are_refused(describe: Callable[[str], Path]) -> None:
    other = describe('[backend]\nname = "whisper.cpp"\ncommand = ["./x"]\n')
    with pytest.raises(UsageError, match=r"two different backends are named 'whisper.cpp'"):
        registry.select(["whisper.cpp", str(other)], KNOWN)


# --- docs/guide/adding-a-backend.md ---------------------------------------------------------------


def test_every_field_and_key_is_documented() -> None:
    for kind in (Backend, BackendModel):
        assert list(attributes(kind)) == [field.name for field in fields(kind)]
    assert set(registry.TOML_KEYS) < attributes(Backend).keys()


def test_the_documented_adapter_is_measured(tool: Tool, tone: Path, tmp_path: Path) -> None:
    for name in ("levels.py", "levels.json", "levels.toml"):
        (tmp_path / name).write_text(_block(name), encoding="utf-8")
    done = tool(
        *["run", "-m", "tiny.en", "-b", tmp_path / "levels.toml", "--audio", tone],
        *["--rounds", 1, "--passes", 1, "--json"],
    )
    assert done.returncode == 0, done.stderr
    cell: dict[str, Any] = done.cell("levels")
    assert cell["status"] == "ok"
    assert cell["backend"]["version"] == "1.0"
    assert {sample["text"] for sample in cell["samples"]} == {" sound sound"}
    assert [sample["kind"] for sample in cell["samples"]].count("timed") == 1
    assert "contract" in [finding["kind"] for finding in cell["summary"]["findings"]]


def test_the_documented_adapter_refuses_weights_that_are_not_its_own(
    tool: Tool, tone: Path, tmp_path: Path
) -> None:
    for name in ("levels.py", "levels.toml"):
        (tmp_path / name).write_text(_block(name), encoding="utf-8")
    (tmp_path / "levels.json").write_text("[]", encoding="utf-8")
    done = tool(
        *["run", "-m", "tiny.en", "-b", tmp_path / "levels.toml", "--audio", tone],
        *["--rounds", 1, "--passes", 1, "--json"],
    )
    assert done.returncode == 4
    (ending,) = done.cell("levels")["endings"]
    assert (ending["status"], ending["stage"]) == ("failed", "load")
    assert ending["error_class"] == "ModelUnusableError"
