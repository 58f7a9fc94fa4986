"""Locks pin and hash everything, name no index, and are found by recipe and version."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from packaging.version import Version

from mac_whisper_speedtest.backends import registry, whisper_cpp, whisper_cpp_coreml
from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.environments import locks, uv

FOLDER = Path(str(resources.files("mac_whisper_speedtest.backends").joinpath("locks")))
SHIPPED = sorted(path.name for path in FOLDER.iterdir())
HASH = "    --hash=sha256:" + "0" * 64 + "\n"
TINY = Recipe(name="tiny", distribution="tiny-lib", version="1.0")


def entry(line: str) -> str:
    return f"{line} \\\n{HASH}"


def recipes() -> dict[str, Recipe]:
    """The recipe of every backend that can be loaded, by the recipe's name."""
    found = [backend.recipe for backend in registry.installed().values()]
    return {recipe.name: recipe for recipe in found if isinstance(recipe, Recipe)}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder without locks."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path))
    return tmp_path / "locks"


# --- the locks that ship -----------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_lock_pins_and_hashes_every_package_and_names_no_place(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    found = locks.packages(text)
    assert found
    for package in found:
        lines = package.text.splitlines()
        assert lines[0].endswith("\\"), package.name
        assert len(lines) >= 2, f"{package.name} has no hash"
        for line in lines[1:]:
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line), line
    assert not re.search(r"://|file:|^-|--(find-links|index|extra)|(^|\s)/", text, re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in SHIPPED if "@" in name])
def test_a_shipped_lock_has_the_version_of_its_name(name: str) -> None:
    recipe_name, _, version = name.removesuffix(".txt").rpartition("@")
    recipe = recipes().get(recipe_name)
    if recipe is None:
        pytest.skip(f"the backend of {recipe_name} is not installed or cannot be loaded")
    found = {package.name: package.version for package in locks.packages(_shipped(name))}
    assert found[recipe.distribution] == version


@pytest.mark.parametrize("recipe", recipes().values(), ids=str)
def test_every_recipe_ships_the_lock_of_its_version(recipe: Recipe) -> None:
    lock = locks.read_lock(recipe, recipe.version)
    assert lock is not None
    assert lock.shipped
    assert recipe.version in locks.shipped_versions(recipe)


@pytest.mark.parametrize("recipe", recipes().values(), ids=str)
def test_a_shipped_lock_has_what_an_old_release_does_not_declare(recipe: Recipe) -> None:
    for version in locks.shipped_versions(recipe):
        lock = locks.read_lock(recipe, version)
        assert lock is not None
        names = {package.name for package in locks.packages(lock.text)}
        for first, needed in recipe.undeclared.items():
            if Version(version) < Version(first):
                assert set(needed) <= names, f"{recipe.name} {version}"


def test_what_old_releases_do_not_declare_is_locked_with_them_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[list[str]] = []

    def compiled(lines: list[str], *_rest: object, **_options: object) -> str:
        asked.append(lines)
        return entry(f"tiny-lib=={lines[0].partition('==')[2] or '3.0'}")

    monkeypatch.setattr(locks, "_compile", compiled)
    recipe = replace(TINY, undeclared={"2.0": ("requests",)})
    for version in ("1.9", "2.0", ""):
        locks.resolve(recipe, version)

    assert asked == [["tiny-lib==1.9", "requests"], ["tiny-lib==2.0"], ["tiny-lib"]]


@pytest.mark.parametrize("recipe", recipes().values(), ids=str)
def test_a_recipe_with_torch_is_locked_to_the_torch_whose_cpu_build_is_known(
    recipe: Recipe,
) -> None:
    lock = locks.read_lock(recipe, recipe.version)
    assert lock is not None
    torch = {each.version for each in locks.packages(lock.text) if each.name == "torch"}
    (cpu,) = locks.packages(locks.shipped_part(locks.TORCH_CPU))
    assert torch == {cpu.version.partition("+")[0]} if recipe.uses_torch else True


@pytest.mark.parametrize("recipe", recipes().values(), ids=str)
def test_a_recipe_with_torch_has_what_torch_for_cuda_12_needs_besides(recipe: Recipe) -> None:
    lock = locks.read_lock(recipe, recipe.version)
    assert lock is not None
    built = locks.with_torch(lock.text, locks.shipped_part(locks.TORCH_CUDA12))
    found = {each.name: each.version for each in locks.applicable(built, "3.13.0")}
    if recipe.uses_torch:
        # As torch 2.7.1's METADATA has it.
        needed = {"filelock", "typing-extensions", "setuptools", "sympy", "networkx", "jinja2"}
        assert found["torch"] == "2.7.1"
        assert {*needed, "fsspec"} <= set(found)
        assert not {"triton", "nvidia-cublas", "cuda-toolkit"} & set(found)


def test_cublas_12_is_a_part_of_its_own_for_x86_64() -> None:
    found = locks.packages(locks.shipped_part(locks.CUBLAS))
    assert {each.name for each in found} == {"nvidia-cublas-cu12", "nvidia-cuda-nvrtc-cu12"}
    assert all("x86_64" in each.marker and "linux" in each.marker for each in found)


def test_the_lock_of_what_is_built_has_its_tools_and_the_hash_of_its_source_alone() -> None:
    recipe = whisper_cpp_coreml.BACKEND.recipe
    assert isinstance(recipe, Recipe)
    lock = locks.read_lock(recipe, recipe.version)
    assert lock is not None
    found = {package.name: package for package in locks.packages(lock.text)}
    assert {"cmake", "ninja", "setuptools", "setuptools-scm", "wheel"} <= set(found)
    built = [package for package in found.values() if locks.is_built(recipe, package)]
    assert [package.text.count("--hash") for package in built] == [1]
    # The same release as plain whisper.cpp, whose lock has the source among its files.
    plain = whisper_cpp.BACKEND.recipe
    assert isinstance(plain, Recipe)
    (digest,) = re.findall("sha256:[0-9a-f]{64}", built[0].text)
    other = locks.read_lock(plain, recipe.version)
    assert other is not None
    assert digest in other.text


def test_the_lock_of_mlx_whisper_leaves_torch_out() -> None:
    found = locks.packages(_shipped("mlx-whisper@0.4.3.txt"))
    assert "torch" not in {package.name for package in found}


def _shipped(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


# --- reading one -------------------------------------------------------------------------------


def test_a_lock_is_read_into_names_versions_markers_and_lines() -> None:
    text = "# made by hand\n" + entry("Some.Lib==1.2") + entry("b[x]==3 ; sys_platform == 'linux'")
    first, second = locks.packages(text)
    assert (first.name, first.version, first.marker) == ("some-lib", "1.2", "")
    assert (second.name, second.version) == ("b", "3")
    assert second.marker.strip() == "sys_platform == 'linux'"
    assert first.text == entry("Some.Lib==1.2")


@pytest.mark.parametrize("text", ["lib>=1\n", "./lib.whl\n", "--index-url https://x\n", HASH])
def test_a_line_that_pins_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not pinned|continuation"):
        locks.packages(text)


def test_only_the_packages_for_this_machine_and_python_are_needed() -> None:
    text = (
        entry("a==1")
        + entry("b==1 ; python_full_version < '3.12'")
        + entry("b==2 ; python_full_version >= '3.12'")
        + entry("c==1 ; sys_platform == 'beos'")
    )
    assert [(each.name, each.version) for each in locks.applicable(text, "3.11.7")] == [
        ("a", "1"),
        ("b", "1"),
    ]


def test_the_cpu_variant_has_another_torch_and_no_cuda_and_is_otherwise_the_same() -> None:
    kept = entry("numpy==2.0") + entry("torchaudio==2.13.0"), entry("zlib-ng==1")
    cuda = entry("nvidia-cublas==13 ; sys_platform == 'linux'") + entry("cuda-bindings==13")
    cuda += entry("triton==3") + entry("pytorch-triton-rocm==3")
    builds = entry("torch==2.13.0+cpu")
    index = kept[0] + cuda + entry("torch==2.13.0") + kept[1]
    assert locks.with_torch(index, builds) == kept[0] + builds + kept[1]


# --- which one ---------------------------------------------------------------------------------


def test_a_lock_that_ships_wins_over_the_user_s_own_of_that_version(own: Path) -> None:
    recipe = Recipe("mlx-whisper", "mlx-whisper", "0.4.3")
    locks.save(locks.Lock("mlx-whisper", "0.4.3", entry("x==1")))
    locks.save(locks.Lock("mlx-whisper", "0.4.2", entry("mlx-whisper==0.4.2")))
    shipped, other = locks.read_lock(recipe, "0.4.3"), locks.read_lock(recipe, "0.4.2")
    assert shipped is not None
    assert other is not None
    assert shipped.shipped
    assert not other.shipped
    assert locks.versions(recipe) == ["0.4.2", "0.4.3"]
    assert locks.shipped_versions(recipe) == ["0.4.3"]
    assert locks.delete_user_lock(recipe, "0.4.2")
    assert not locks.delete_user_lock(recipe, "0.4.2")
    assert locks.versions(recipe) == ["0.4.3"]


def test_versions_are_in_their_own_order_not_the_alphabet_s(own: Path) -> None:
    for version in ("1.10", "1.9", "1.9.1"):
        locks.save(locks.Lock("tiny", version, entry(f"tiny-lib=={version}")))
    assert locks.versions(TINY) == ["1.9", "1.9.1", "1.10"]


def test_the_bare_name_means_the_shipped_version_or_the_newer_one_that_upgrade_chose(
    own: Path,
) -> None:
    assert locks.default_version(TINY) == "1.0"
    locks.set_default(TINY, "1.2")
    assert locks.default_version(TINY) == "1.0", "there is no lock for it"
    locks.save(locks.Lock("tiny", "1.2", entry("tiny-lib==1.2")))
    assert locks.default_version(TINY) == "1.2"
    newer_tool = Recipe(name="tiny", distribution="tiny-lib", version="1.3")
    assert locks.default_version(newer_tool) == "1.3"


@pytest.mark.parametrize(
    "damage", ["{", "[" * 9999, "[]", '{"tiny": 3}', "null", '{"tiny": "x y"}']
)
def test_a_damaged_file_of_defaults_is_ignored(own: Path, damage: str) -> None:
    own.mkdir()
    (own / "current.json").write_text(damage, encoding="utf-8")
    assert locks.default_version(TINY) == "1.0"


# --- pip's settings, for uv --------------------------------------------------------------------


def test_pip_s_options_come_from_its_files_and_its_variables_which_win(tmp_path: Path) -> None:
    weak, strong = tmp_path / "weak.conf", tmp_path / "strong.conf"
    weak.write_text(
        "[global]\nindex-url = https://one.example/simple\ncert = /one.pem\n"
        "[install]\nfind_links = /a\n    /b\n[list]\nindex-url = https://no.example\n",
        encoding="utf-8",
    )
    strong.write_text(
        "[global]\nindex-url = https://two.example/simple\nfind-links = /c\n", encoding="utf-8"
    )
    environ = {"PIP_CERT": "/mine.pem", "PIP_INDEX_URL": "", "OTHER": "x"}
    options = uv.pip_options(environ, [weak, strong, tmp_path / "missing.conf"])
    assert options["index-url"] == "https://two.example/simple"
    assert options["find-links"].split() == ["/a", "/b"], "[install] wins over [global]"
    assert options["cert"] == "/mine.pem"


def test_a_damaged_file_of_pip_s_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_bytes(b"index-url = no section\n\xff")
    assert uv.pip_options({}, [tmp_path / "pip.conf"]) == {}


@pytest.mark.parametrize(("users", "seen"), [(None, "0"), ("1", "1")])
def test_uv_s_pythons_are_asked_for_the_true_release_of_macos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users: str | None, seen: str
) -> None:
    """A Python that was built before macOS 26 is told there that it is 16.0."""
    program = tmp_path / "uv"
    program.write_text('#!/bin/sh\necho "$SYSTEM_VERSION_COMPAT"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(uv, "program", lambda: str(program))
    monkeypatch.delenv("SYSTEM_VERSION_COMPAT", raising=False)
    if users is not None:
        monkeypatch.setenv("SYSTEM_VERSION_COMPAT", users)
    assert uv.call("python", "find").strip() == seen


def test_uv_gets_the_index_and_the_certificates_of_pip_s_configuration() -> None:
    options = {
        "index-url": "https://mine.example/simple",
        "extra-index-url": "https://a.example/simple\nhttps://b.example/simple",
        "find-links": "/wheels /more",
        "cert": "/etc/ssl/mine.pem",
        "timeout": "180",
        "no-index": "0",
    }
    assert uv.uv_variables(options) == {
        "UV_DEFAULT_INDEX": "https://mine.example/simple",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_FIND_LINKS": "/wheels,/more",
        "SSL_CERT_FILE": "/etc/ssl/mine.pem",
    }
    assert uv.uv_variables({"no-index": "true"}) == {"UV_NO_INDEX": "true"}
    assert uv.uv_variables({}) == {}


def test_a_lock_is_made_from_one_index_only_and_installed_from_all_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uv, "pip_files", lambda _environ: [])
    monkeypatch.setenv("PIP_INDEX_URL", "https://mine.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://other.example/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    locking, installing = uv.for_locking(), uv.for_installing()
    assert locking["UV_DEFAULT_INDEX"] == installing["UV_DEFAULT_INDEX"]
    assert {"UV_INDEX", "UV_FIND_LINKS"} & set(locking) == set()
    assert {"UV_INDEX", "UV_FIND_LINKS"} <= set(installing)
    assert "UV_FIND_LINKS" not in uv.for_installing(find_links=False)


def test_pip_s_files_are_where_pip_looks_and_none_when_they_are_disabled() -> None:
    files = uv.pip_files({"PIP_CONFIG_FILE": "/my/pip.conf"})
    assert files[-1] == Path("/my/pip.conf")
    assert any(path.is_relative_to(Path.home()) for path in files)
    assert uv.pip_files({"PIP_CONFIG_FILE": os.devnull}) == []
