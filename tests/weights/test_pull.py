"""Pulling weights: exactly the files that are needed, in place, whole, and only once."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.hub import Hub
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.catalog import PublishedFile
from mac_whisper_speedtest.errors import DownloadError, StorageError, UsageError
from mac_whisper_speedtest.weights import locate, mirror, pull
from mac_whisper_speedtest.weights.revisions import cached_listing
from weights.conftest import COMMIT, WEIGHTS, Seen, cached

TINY_EN = "Systran/faster-whisper-tiny.en"


@pytest.fixture(scope="session")
def tiny_en() -> Path:
    """The official files, as the mirror's package has them."""
    return locate.official("tiny.en").path


@pytest.fixture
def official(hub: Hub, tiny_en: Path) -> catalog.HostedWeights:
    """The hub offers the official files of tiny.en at the pinned commit."""
    row = pull.row_for("tiny.en")
    assert row.revision is not None
    files: dict[str, bytes | Path] = {file.name: tiny_en / file.name for file in row.files}
    hub.add(row.repository, row.revision, {**files, "README.md": b"about"})
    return row


def test_a_catalog_row_is_fetched_file_by_file_into_the_layout_that_libraries_read(
    hub: Hub, official: catalog.HostedWeights, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import hf_hub_download

    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop")
    hub.redirect_large = True
    assert pull.cost(official) == 78_090_594

    folder = pull.pull_row(official, notify=seen.messages.append, progress=seen)

    for file in official.files:
        found = hf_hub_download(
            TINY_EN,
            file.name,
            revision=official.revision,
            cache_dir=folder.parents[2],
            local_files_only=True,
        )
        assert Path(found) == folder / file.name
        assert hashlib.sha256(Path(found).read_bytes()).hexdigest() == file.sha256
    assert sorted(request.name for request in hub.bodies()) == sorted(
        file.name for file in official.files
    )
    # The token goes to the hub, and not to the host that the hub sends us to.
    assert {bool(request.authorization) for request in hub.log if request.server == "hub"} == {True}
    (stored,) = [request for request in hub.log if request.server == "store"]
    assert (stored.name, stored.authorization) == ("model.bin", "")
    assert "hf_abcdefghijklmnop" not in "".join(seen.messages)
    assert pull.cost(official) == 0


def test_what_is_whole_is_not_asked_for_again(
    hub: Hub, fetch_small: Callable[..., Path], seen: Seen
) -> None:
    first = fetch_small()
    hub.log.clear()
    seen.messages.clear()

    assert fetch_small() == first

    assert hub.log == []
    assert seen.messages == [f"someone/small@{COMMIT} is already here"]


def test_it_says_beforehand_what_it_fetches_and_afterwards_how_fast(
    fetch_small: Callable[..., Path], seen: Seen
) -> None:
    fetch_small()
    assert seen.messages[0] == (
        f"Fetching someone/small@{COMMIT}: 2 files, 2.0 MB, of someone/small@c0ffee00 "
        "from 127.0.0.1"
    )
    assert seen.messages[-1].endswith("MB/s)")


def test_progress_counts_every_byte_once(fetch_small: Callable[..., Path], seen: Seen) -> None:
    fetch_small()
    assert {file.name: file.size for file in seen.files} == {
        "model.safetensors": 2_000_000,
        "config.json": 2,
    }
    for file in seen.files:
        assert seen.here[file.name] == sorted(seen.here[file.name])
        assert seen.here[file.name][-1] == file.size


@pytest.fixture(scope="session")
def converted() -> Path:
    """tiny.en as this tool converts it for transformers."""
    messages: list[str] = []
    return locate.locate(
        catalog.model_info("tiny.en", "huggingface", "float16"), notify=messages.append
    ).path


def test_safetensors_are_preferred_and_code_is_never_fetched(
    converted: Path, hub: Hub, seen: Seen
) -> None:
    files: dict[str, bytes | Path] = {path.name: path for path in converted.iterdir()}
    needed = set(files) - {"provenance.json"}
    decoys = ["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx"]
    decoys += [
        "modeling.py",
        "README.md",
        ".gitattributes",
        "requirements.txt",
        "model.fp32.safetensors",
    ]
    hub.add("someone/whisper", COMMIT, {**files, **dict.fromkeys(decoys, b"decoy")})

    folder = pull.pull_custom(
        catalog.parse_custom(f"someone/whisper@{COMMIT}"), notify=seen.messages.append
    )

    assert "model.safetensors" in needed
    assert {path.name for path in folder.iterdir()} - {"provenance.json"} == needed
    assert not {request.name for request in hub.log} & set(decoys)
    for name in needed:
        assert (folder / name).read_bytes() == (converted / name).read_bytes()
    found = cached_listing("someone/whisper", COMMIT)
    assert found is not None
    assert found.custom
    assert {file.name for file in found.files} == {*files, *decoys}


@pytest.fixture
def unpinned(hub: Hub) -> catalog.HostedWeights:
    """A row of which the catalog knows no commit, offered by the hub."""
    row = pull.row_for("base.en", "mlx")
    assert (row.revision, row.unpinned) == (None, "hub-lfs")
    hub.add(row.repository, COMMIT, {"weights.npz": WEIGHTS, "config.json": b"{}"})
    return row


def test_an_unpinned_row_is_pinned_to_the_commit_it_was_first_fetched_at(
    hub: Hub, unpinned: catalog.HostedWeights, seen: Seen
) -> None:
    assert pull.cost(unpinned) is None

    folder = pull.pull_row(unpinned, notify=seen.messages.append)

    assert folder.name == COMMIT
    assert (folder.parents[1] / "refs" / "main").read_text() == COMMIT
    found = cached_listing(unpinned.repository, COMMIT)
    assert found is not None
    assert not found.custom
    weights = next(file for file in found.files if file.name == "weights.npz")
    assert weights.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert pull.cost(unpinned) == 0
    hub.add(unpinned.repository, "1" * 40, {"weights.npz": b"newer", "config.json": b"{}"})
    hub.log.clear()
    assert pull.pull_row(unpinned, notify=seen.messages.append) == folder
    assert hub.log == []


def test_a_listing_that_differs_from_the_catalog_is_refused(hub: Hub, seen: Seen) -> None:
    row = pull.row_for("tiny.en", "huggingface")
    assert row.revision is not None
    hub.add(row.repository, row.revision, {"model.safetensors": b"other", "config.json": b"{}"})
    with pytest.raises(DownloadError, match="is not the pinned file on the hub"):
        pull.pull_row(row, notify=seen.messages.append)
    assert hub.bodies() == []


def test_a_file_that_differs_from_the_catalog_is_refused_before_it_is_transferred(
    hub: Hub, official: catalog.HostedWeights, seen: Seen, tmp_path: Path
) -> None:
    assert official.revision is not None
    names = [file.name for file in official.files]
    hub.add(TINY_EN, official.revision, dict.fromkeys(names, b"other"))
    with pytest.raises(DownloadError, match=r"model\.bin of .* is not the pinned file"):
        pull.pull_row(official, notify=seen.messages.append)
    assert hub.bodies() == []
    assert cached(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["../../evil.json", "/etc/evil.json", "a/../../evil.json", "a\\..\\evil.json", "a//b"]
)
def test_a_file_name_that_leaves_the_folder_condemns_the_repository(
    name: str, hub: Hub, small: catalog.Custom, seen: Seen, tmp_path: Path
) -> None:
    hub.add("someone/small", COMMIT, {"model.safetensors": WEIGHTS, name: b"evil"})
    with pytest.raises(DownloadError, match="would be outside its folder; nothing was fetched"):
        pull.pull_custom(small, notify=seen.messages.append)
    assert hub.bodies() == []
    assert list(tmp_path.rglob("*evil*")) == []


def test_a_repository_without_weights_is_refused(hub: Hub, seen: Seen) -> None:
    hub.add("someone/small", COMMIT, {"config.json": b"{}", "script.py": b""})
    with pytest.raises(DownloadError, match="holds no weights that this tool knows"):
        pull.pull_custom(
            catalog.parse_custom(f"someone/small@{COMMIT}"), notify=seen.messages.append
        )
    assert cached_listing("someone/small", COMMIT) is None


@pytest.mark.parametrize("damage", ["one bit", "shorter"])
def test_a_damaged_file_in_the_cache_is_fetched_again_and_only_that(
    damage: str, hub: Hub, fetch_small: Callable[..., Path], seen: Seen
) -> None:
    blob = (fetch_small() / "model.safetensors").resolve()
    broken = bytes([WEIGHTS[0] ^ 1]) + WEIGHTS[1:]
    blob.write_bytes(broken if damage == "one bit" else WEIGHTS[:1000])
    hub.log.clear()

    folder = fetch_small()

    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert [request.name for request in hub.bodies()] == ["model.safetensors"]
    assert [line for line in seen.messages if "model.safetensors of someone/small" in line]


def test_a_file_that_another_commit_has_too_is_only_linked(
    hub: Hub, fetch_small: Callable[..., Path], seen: Seen
) -> None:
    fetch_small()
    newer = "d" * 40
    hub.add("someone/small", newer, {"model.safetensors": WEIGHTS, "config.json": b"{ }"})
    hub.log.clear()

    folder = pull.pull_custom(
        catalog.parse_custom(f"someone/small@{newer}"), notify=seen.messages.append
    )

    assert [request.name for request in hub.bodies()] == ["config.json"]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_disk_without_room_is_refused_before_any_transfer(
    hub: Hub,
    fetch_small: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> object:
        asked.append(path)
        return shutil._ntuple_diskusage(10**12, 10**12 - 201_000_000, 201_000_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(StorageError, match=r"202 MB are needed .* 201 MB are free"):
        fetch_small()
    assert asked == [tmp_path]
    assert hub.bodies() == []


def test_what_is_partly_here_costs_only_the_rest(
    official: catalog.HostedWeights, tmp_path: Path
) -> None:
    main = official.main_file
    assert main is not None
    blobs = tmp_path / "hub" / "models--Systran--faster-whisper-tiny.en" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{main.sha256}.incomplete").write_bytes(b"x" * 1000)
    assert pull.cost(official) == 78_090_594 - 1000


def test_rows_without_a_repository_come_from_their_mirror_or_name_their_address(
    monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    def mirrored(row: catalog.HostedWeights, **_: object) -> Path:
        return Path(row.model)

    monkeypatch.setattr(mirror, "fetch_row", mirrored)
    moonshine = pull.row_for("moonshine-tiny-en")
    assert pull.pull_row(moonshine, notify=seen.messages.append) == Path("moonshine-tiny-en")
    with pytest.raises(UsageError, match=r"published only at https://openaipublic\..*") as caught:
        pull.pull_row(pull.row_for("tiny", "openai"), notify=seen.messages.append)
    assert "pull tiny without --format" in caught.value.hint


def test_names_and_forms_that_nobody_publishes_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown model 'tinny'"):
        pull.row_for("tinny")
    with pytest.raises(UsageError, match="there are no gguf weights of tiny"):
        pull.row_for("tiny", "gguf")
    with pytest.raises(UsageError, match="there are no mlx weights of parakeet") as caught:
        pull.row_for("parakeet-tdt-0.6b-v2", "mlx")
    assert "parakeet-mlx" in caught.value.hint
    with pytest.raises(UsageError, match=r"there are no mlx-npz weights of tiny\.en"):
        pull.row_for("tiny.en", "mlx-npz")


def test_an_endpoint_that_is_no_address_is_refused(
    small: catalog.Custom, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    with pytest.raises(UsageError, match="HF_ENDPOINT is not an address"):
        pull.pull_custom(small, notify=seen.messages.append)


@pytest.mark.parametrize(
    "text",
    [
        "org/name",
        "org/name@main",
        f"org/name@{COMMIT.upper()}",
        f"org/name@{COMMIT}0",
        f"org/name@{COMMIT}\n",
        f"name@{COMMIT}",
        f"org/sub/name@{COMMIT}",
        f"../name@{COMMIT}",
        f"org/..@{COMMIT}",
        f"/etc/passwd@{COMMIT}",
        f"org\\name@{COMMIT}",
        f"org/na\0me@{COMMIT}",
        f"org/a--b@{COMMIT}",
        f"org/.hidden@{COMMIT}",
        f"org/{'n' * 100}@{COMMIT}",
        f"https://huggingface.co/org/name@{COMMIT}",
        "@",
    ],
)
def test_a_custom_model_is_a_repository_and_a_whole_commit_and_nothing_else(text: str) -> None:
    assert catalog.is_custom(text)
    with pytest.raises(UsageError) as caught:
        catalog.parse_custom(text)
    assert "org/name@REVISION" in caught.value.hint


def test_a_custom_model_is_told_from_a_canonical_name() -> None:
    assert not any(catalog.is_custom(name) for name in catalog.models())
    custom = catalog.parse_custom(f"org/na.me_x-1@{COMMIT}")
    assert (custom.repository, custom.revision) == ("org/na.me_x-1", COMMIT)


def test_the_last_downloads_say_how_long_the_next_will_take(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path))
    assert pull.expected_seconds(1) is None
    pull.record(1000, 10.0)  # says nothing about large ones
    assert pull.expected_seconds(1) is None
    shuffled = random.Random(2).sample(range(1, 26), 25)
    for rate in shuffled:
        pull.record(rate * 1_000_000, 1.0)
    last = sorted(shuffled[-pull.KEPT :])
    median = (last[9] + last[10]) / 2
    assert pull.expected_seconds(100_000_000) == pytest.approx(100 / median)
    (tmp_path / "downloads.json").write_text("[[1]]")
    assert pull.expected_seconds(1) is None


def test_pins_of_the_catalog_outlive_a_listing_that_knows_less(hub: Hub, seen: Seen) -> None:
    real = pull.row_for("tiny.en", "huggingface")
    row = replace(
        real,
        repository="someone/small",
        revision=COMMIT,
        files=(PublishedFile("model.safetensors", 3, hashlib.sha256(b"abd").hexdigest()),),
    )
    hub.add("someone/small", COMMIT, {"model.safetensors": b"abc"})
    hub.repositories["someone/small"].files["model.safetensors"].large = False
    with pytest.raises(DownloadError, match="does not have the pinned hash"):
        pull.pull_row(row, notify=seen.messages.append)
