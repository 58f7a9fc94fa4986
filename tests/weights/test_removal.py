"""Removing weights: what goes, what stays, and what a removal that was killed leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest

from conftest import wait_until
from fakes.hub_cache import Repository, tree
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.hub import HubFile
from mac_whisper_speedtest.weights import inventory, revisions, trash
from mac_whisper_speedtest.weights import remove as removal
from mac_whisper_speedtest.weights.hub_removal import CacheContents, Claim, SnapshotFile, decide
from mac_whisper_speedtest.weights.inspect import WeightsState
from mac_whisper_speedtest.weights.revisions import CommitListing

KEY = "1a5afae06a4db91c"  # the beginning of the SHA-256 of tiny.en's source
OTHER = "0123456789abcdef0123456789abcdef01234567"
COMMIT = "c0ffee" + "0" * 34
GGML = "ggerganov/whisper.cpp"


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches: ``cache`` the tool's, ``hub`` the Hugging Face one."""
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def convert(caches: Path, name: str, network: str = "tiny.en", size: int = 100) -> Path:
    """A folder as a conversion leaves it, lock included."""
    folder = caches / "cache/weights" / network / name
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(bytes(size))
    folder.with_name(f"{name}.lock").touch()
    return folder


def remove(name: str, **options: object) -> int:
    planned = removal.plan_removal(name, **options)  # type: ignore[arg-type]
    freed = removal.carry_out(planned, notify=lambda _text: None)
    assert freed == planned.size_bytes
    return freed


def row(network: str, weights_format: str) -> catalog.HostedWeights:
    found = catalog.find_hosted(network, weights_format)
    assert found is not None
    return found


def pinned(network: str, weights_format: str) -> str:
    revision = row(network, weights_format).revision
    assert revision is not None
    return revision


# --- the tool's own copies -----------------------------------------------------------------------


def test_all_own_copies_of_a_network_go_and_those_of_others_stay(caches: Path) -> None:
    convert(caches, f"ggml-float16-{KEY}", size=100)
    convert(caches, "mlx-npz-float32-00000000000000ff", size=30)  # of an older source
    convert(caches, "ctranslate2-published-1a5afae06a4db91c", size=7)
    stays = convert(caches, "ggml-float16-dcb76c6586fc06cb", "tiny")
    assert remove("tiny.en") == 137
    assert [path for path in (caches / "cache/weights/tiny.en").iterdir() if path.is_dir()] == []
    assert (stays / "weights").is_file()
    assert remove("tiny.en") == 0


def test_only_the_form_that_is_named_goes(caches: Path) -> None:
    mlx = convert(caches, f"mlx-float16-{KEY}")
    npz = convert(caches, f"mlx-npz-float32-{KEY}")
    remove("tiny.en", weights_format="mlx")
    assert not mlx.exists()
    assert npz.exists()


def test_what_a_killed_conversion_left_goes_with_its_form(caches: Path) -> None:
    staging = convert(caches, f".ggml-float16-{KEY}.abcd1234")
    other = convert(caches, f".mlx-float16-{KEY}.abcd1234")
    remove("tiny.en", weights_format="ggml")
    assert not staging.exists()
    assert other.exists()


def test_what_the_tool_did_not_name_is_not_its_own(caches: Path) -> None:
    convert(caches, f"ggml-float16-{KEY}")
    folder = caches / "cache/weights/tiny.en"
    (folder / "my notes").mkdir()
    (folder / "my-own-weights").mkdir()
    (folder / "ggml-float16-tuned.bin").write_bytes(b"mine")
    remove("tiny.en")
    assert {path.name for path in folder.iterdir() if path.suffix != ".lock"} == {
        "my notes", "my-own-weights", "ggml-float16-tuned.bin",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        *("../../x", "..", ".", "", "/etc", "tiny.en/", "tiny.en/../base", "weights", "\0"),
        *(f"../x@{COMMIT}", f"a/..@{COMMIT}", f"a/b/c@{COMMIT}", "a/b@main", f"a\\b@{COMMIT}"),
    ],
)
def test_a_name_that_leads_anywhere_else_is_refused(caches: Path, name: str) -> None:
    (caches / "x").mkdir()
    convert(caches, f"ggml-float16-{KEY}")
    before = tree(caches)
    with pytest.raises(UsageError):
        removal.plan_removal(name, from_hub=True)
    assert tree(caches) == before


@pytest.mark.parametrize("weights_format", ["../..", "moonshine-onnx", "nothing"])
def test_a_form_that_the_network_does_not_have_is_refused(weights_format: str) -> None:
    with pytest.raises(UsageError, match=r"there are no .* weights"):
        removal.plan_removal("tiny.en", weights_format=weights_format)


def test_of_a_link_in_the_cache_only_the_link_goes(caches: Path) -> None:
    elsewhere = caches / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_bytes(b"precious")
    folder = caches / "cache/weights/tiny.en"
    folder.mkdir(parents=True)
    (folder / f"ggml-float16-{KEY}").symlink_to(elsewhere)
    inner = convert(caches, f"mlx-float16-{KEY}")
    (inner / "linked").symlink_to(elsewhere)
    remove("tiny.en")
    assert [path.name for path in folder.iterdir() if path.suffix != ".lock"] == []
    assert tree(elsewhere) == ["precious"]


def test_a_models_folder_that_is_a_link_goes_as_a_link_or_not_at_all(caches: Path) -> None:
    elsewhere = caches / "elsewhere" / f"ggml-float16-{KEY}"
    elsewhere.mkdir(parents=True)
    (elsewhere / "precious").write_bytes(b"precious")
    link = caches / "cache/weights/tiny.en"
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere.parent)
    with pytest.raises(UsageError, match="is a link"):
        removal.plan_removal("tiny.en", weights_format="ggml")
    remove("tiny.en")
    assert not link.is_symlink()
    assert (elsewhere / "precious").is_file()


def test_nothing_outside_its_root_is_ever_taken_away(caches: Path) -> None:
    root = caches / "cache"
    (root / "inside").mkdir(parents=True)
    outside = caches / "outside"
    (outside / "precious").mkdir(parents=True)
    (root / "link").symlink_to(outside)
    for path in (outside, root / "../outside", root / "link/precious", root, root / "inside/.."):
        with pytest.raises(StorageError, match="leads out of"):
            trash.remove_item(trash.trash_item(path, "", root))
    assert (outside / "precious").is_dir()


def test_a_removal_waits_for_a_conversion_of_the_same_weights(caches: Path) -> None:
    folder = convert(caches, f"ggml-float16-{KEY}")
    messages: list[str] = []
    lock = filelock.FileLock(f"{folder}.lock")
    with lock:
        worker = threading.Thread(
            target=removal.carry_out,
            args=(removal.plan_removal("tiny.en"),),
            kwargs={"notify": messages.append},
        )
        worker.start()
        wait_until(lambda: messages)
        assert folder.exists()
    worker.join(timeout=30)
    assert not folder.exists()
    assert "waiting for it" in messages[0]


# --- the Hugging Face cache ----------------------------------------------------------------------


def test_without_being_asked_to_nothing_of_the_hubs_cache_goes(caches: Path) -> None:
    repository = Repository(caches / "hub", row("tiny.en", "ctranslate2").repository)
    repository.put(pinned("tiny.en", "ctranslate2"), "model.bin", b"weights")
    before = tree(caches)
    assert remove("tiny.en") == 0
    assert tree(caches) == before


def test_only_the_pinned_commit_goes_and_what_another_one_needs_stays(caches: Path) -> None:
    repository = Repository(caches / "hub", row("tiny.en", "ctranslate2").repository)
    revision = pinned("tiny.en", "ctranslate2")
    repository.put(revision, "model.bin", b"w" * 100)
    repository.put(revision, "config.json", b"{}")
    repository.put(OTHER, "model.bin", b"v" * 100)
    repository.put(OTHER, "config.json", b"{}")
    repository.branch(revision)
    repository.branch(OTHER, "refs/pr/1")
    assert remove("tiny.en", from_hub=True) == 100
    base = repository.folder
    assert {path.name for path in (base / "snapshots").iterdir()} == {OTHER}
    assert (base / "snapshots" / OTHER / "model.bin").read_bytes() == b"v" * 100
    assert (base / "snapshots" / OTHER / "config.json").read_bytes() == b"{}"
    assert len(list((base / "blobs").iterdir())) == 2
    assert tree(base / "refs") == ["refs/pr/1"]


def test_with_its_last_commit_a_repository_goes_altogether(caches: Path) -> None:
    repository = Repository(caches / "hub", row("tiny.en", "ctranslate2").repository)
    revision = pinned("tiny.en", "ctranslate2")
    repository.put(revision, "model.bin", b"w" * 100)
    repository.put(revision, "more/README.md", b"text")
    (repository.folder / "blobs/orphan").write_bytes(b"of a removal that was killed")
    (repository.folder / ".no_exist" / revision).mkdir(parents=True)
    (repository.folder / ".no_exist" / revision / "absent.json").touch()
    repository.branch(revision)
    assert remove("tiny.en", from_hub=True) == 100 + 4 + 28
    assert not repository.folder.exists()


def test_of_a_repository_of_many_networks_only_the_own_files_go(caches: Path) -> None:
    repository = Repository(caches / "hub", GGML)
    revision = pinned("tiny.en", "ggml")
    mine = repository.put(revision, "ggml-tiny.en.bin", b"mine")
    quantized = repository.put(revision, "ggml-tiny.en-q5_1.bin", b"quantized")
    theirs = repository.put(revision, "ggml-tiny.bin", b"theirs")
    other = repository.put(revision, "ggml-base.en-encoder.mlmodelc/coremldata.bin", b"other")
    repository.branch(revision)
    assert remove("tiny.en", weights_format="ggml", from_hub=True) == 13
    assert not mine.is_symlink()
    assert not quantized.is_symlink()
    assert theirs.read_bytes() == b"theirs"
    assert other.read_bytes() == b"other"
    assert tree(repository.folder / "refs") == ["main"]
    assert len(list((repository.folder / "blobs").iterdir())) == 2


def test_of_a_repository_of_folders_only_the_own_folder_goes(caches: Path) -> None:
    known = row("tiny.en", "whisperkit")
    repository = Repository(caches / "hub", known.repository)
    revision = pinned("tiny.en", "whisperkit")
    repository.put(revision, f"{known.folder}/AudioEncoder.mlmodelc/weights/weight.bin", b"mine")
    theirs = repository.put(revision, "openai_whisper-tiny/config.json", b"theirs")
    assert remove("tiny.en", from_hub=True) == 4
    assert theirs.read_bytes() == b"theirs"
    assert len(tree(repository.folder / "snapshots")) == 1


def test_an_unfinished_download_of_pinned_files_goes_too(caches: Path) -> None:
    repository = Repository(caches / "hub", row("tiny.en", "ctranslate2").repository)
    main = row("tiny.en", "ctranslate2").main_file
    assert main is not None
    blobs = repository.folder / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{main.sha256}.incomplete").write_bytes(b"half")
    (blobs / f"{'ab' * 32}.incomplete").write_bytes(b"of somebody else")
    assert remove("tiny.en", from_hub=True) == 4
    assert [path.name for path in blobs.iterdir()] == [f"{'ab' * 32}.incomplete"]


def test_a_repository_that_was_pulled_by_its_commit_goes_with_its_record(caches: Path) -> None:
    repository = Repository(caches / "hub", "someone/small")
    repository.put(COMMIT, "model.safetensors", b"weights")
    repository.put(COMMIT, "config.json", b"{}")
    files = (HubFile("model.safetensors", 7), HubFile("config.json", 2))
    revisions.store_listing(CommitListing("someone/small", COMMIT, files, custom=True))
    name = f"someone/small@{COMMIT}"
    custom = catalog.parse_custom(name)
    made = convert(caches, f"ggml-float16-{COMMIT[:16]}", custom.folder)
    assert [record.repository for record in revisions.custom_listings()] == ["someone/small"]
    assert remove(name) == 100
    assert not made.exists()
    assert inventory.custom_copy(custom).state is WeightsState.COMPLETE
    assert remove(name, from_hub=True) == 9
    assert not repository.folder.exists()
    assert revisions.custom_listings() == []
    with pytest.raises(UsageError, match="is the repository's own"):
        removal.plan_removal(name, weights_format="ggml", from_hub=True)


def test_links_out_of_the_hubs_cache_are_never_followed(caches: Path) -> None:
    repository = Repository(caches / "hub", row("tiny.en", "ctranslate2").repository)
    revision = pinned("tiny.en", "ctranslate2")
    elsewhere = caches / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_bytes(b"precious")
    repository.put(revision, "model.bin", b"weights")
    snapshot = repository.folder / "snapshots" / revision
    (snapshot / "file").symlink_to(elsewhere / "precious")
    (snapshot / "folder").symlink_to(elsewhere)
    (repository.folder / ".no_exist").symlink_to(elsewhere)
    (elsewhere / revision).mkdir()
    assert remove("tiny.en", from_hub=True) == 7
    assert not snapshot.exists()
    assert tree(elsewhere) == ["precious"]
    assert (elsewhere / revision).is_dir()


@pytest.mark.parametrize("part", ["", "blobs", "snapshots", "refs"])
def test_a_repository_that_is_partly_a_link_is_left_alone(caches: Path, part: str) -> None:
    repository = Repository(caches / "hub", row("tiny.en", "ctranslate2").repository)
    revision = pinned("tiny.en", "ctranslate2")
    repository.put(revision, "model.bin", b"weights")
    repository.branch(revision)
    moved = caches / "moved"
    here = repository.folder / part
    here.rename(moved)
    here.symlink_to(moved)
    before = tree(caches)
    assert remove("tiny.en", from_hub=True) == 0
    assert tree(caches) == before


def test_a_blob_that_somebody_fetches_just_now_stays(caches: Path) -> None:
    repository = Repository(caches / "hub", row("tiny.en", "ctranslate2").repository)
    link = repository.put(pinned("tiny.en", "ctranslate2"), "model.bin", b"weights")
    blob = link.resolve()
    lock = caches / "hub/.locks" / repository.folder.name / f"{blob.name}.lock"
    lock.parent.mkdir(parents=True)
    with filelock.FileLock(lock):
        removal.carry_out(removal.plan_removal("tiny.en", from_hub=True), notify=lambda _text: None)
    assert blob.is_file()
    assert not link.is_symlink()
    assert remove("tiny.en", from_hub=True) == 7


@pytest.mark.parametrize("shared", [False, True])
def test_a_blob_in_the_store_of_all_repositories_goes_with_its_last_link(
    caches: Path, shared: bool
) -> None:
    repository = Repository(caches / "hub", row("tiny.en", "ctranslate2").repository)
    other = Repository(caches / "hub", "someone/else")
    store = caches / "hub/blobs"
    payload = store / "ab" / ("ab" * 32)
    payload.parent.mkdir(parents=True)
    payload.write_bytes(b"weights")
    (store / ".huggingface-shared-blobs").write_text("1\n")
    links = []
    for each in (repository, other)[: 2 if shared else 1]:
        link = each.put(pinned("tiny.en", "ctranslate2"), "model.bin", b"weights")
        links.append(blob := link.resolve())
        blob.unlink()
        blob.symlink_to(os.path.relpath(payload, blob.parent))
    names = [str(blob.relative_to(caches / "hub")) for blob in links]
    payload.with_name(f"{payload.name}.refs").write_text("".join(f"{name}\n" for name in names))

    planned = removal.plan_removal("tiny.en", from_hub=True)
    freed = removal.carry_out(planned, notify=lambda _text: None)

    assert planned.size_bytes == 7
    assert freed == (0 if shared else 7)
    assert not repository.folder.exists()
    assert payload.exists() == shared
    assert [blob.read_bytes() for blob in links[1:]] == [b"weights"] * shared


def test_the_librarys_own_look_at_the_cache_finds_nothing_wrong_afterwards(caches: Path) -> None:
    from huggingface_hub import scan_cache_dir

    repository = Repository(caches / "hub", row("tiny.en", "ctranslate2").repository)
    revision = pinned("tiny.en", "ctranslate2")
    for commit in (revision, OTHER):
        repository.put(commit, "model.bin", commit.encode())
        repository.put(commit, "config.json", b"{}")
    repository.branch(revision)
    remove("tiny.en", from_hub=True)
    scanned = scan_cache_dir(caches / "hub")
    assert scanned.warnings == []
    (found,) = scanned.repos
    assert {each.commit_hash for each in found.revisions} == {OTHER}


def test_the_weights_lose_their_name_first() -> None:
    """So that nothing is ever there that lacks only its settings."""
    contents = CacheContents(
        {
            COMMIT: {
                "config.json": SnapshotFile("c", 0),
                "model.bin": SnapshotFile("m", 0),
                "a": SnapshotFile("", 5),
            }
        },
        {"c": 2, "m": 1000},
        {"main": COMMIT},
    )
    going = decide(contents, Claim("a/b", COMMIT, everything=True))
    assert going.files == ("model.bin", "a", "config.json")
    assert (going.blobs, going.refs, going.size_bytes) == (("c", "m"), ("main",), 1007)


# --- killed in the middle ------------------------------------------------------------------------

SLOW_FOLDER = """
import shutil, sys, time
from mac_whisper_speedtest.weights import trash, remove
def slow(path, *rest, **more):
    print(path.name, flush=True)
    time.sleep(60)
trash.shutil.rmtree = slow
remove.carry_out(remove.plan_removal("tiny.en"), notify=print)
"""
SLOW_HUB = """
import time
from pathlib import Path
from mac_whisper_speedtest.weights import remove
really = Path.unlink
count = 0
def slow(path, *rest, **more):
    global count
    really(path, *rest, **more)
    count += 1
    if count == STOP:
        print(path.name, flush=True)
        time.sleep(60)
Path.unlink = slow
remove.carry_out(remove.plan_removal("tiny.en", from_hub=True), notify=print)
"""


def killed(code: str) -> Iterator[str]:
    """Run ``code`` until it says where it is, yield that, and kill it."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_what_a_killed_removal_leaves_of_a_conversion_looks_like_nothing(caches: Path) -> None:
    folder = convert(caches, f"ggml-float16-{KEY}")
    for at in killed(SLOW_FOLDER):
        assert at == f".ggml-float16-{KEY}.removed"
        assert not folder.exists()
    assert inventory.for_backend("tiny.en", "ggml", "float16").state is WeightsState.ABSENT
    # The next removal takes what is left, also beside a copy that was made since.
    convert(caches, f"ggml-float16-{KEY}")
    assert remove("tiny.en") == 200
    assert [path.name for path in folder.parent.iterdir()] == [f"{folder.name}.lock"]


# Four links go, then the branch, then four blobs.
@pytest.mark.parametrize("stop", [1, 4, 5, 6, 9])
def test_a_removal_from_the_hubs_cache_may_be_killed_anywhere(caches: Path, stop: int) -> None:
    repository = Repository(caches / "hub", row("tiny.en", "ctranslate2").repository)
    revision = pinned("tiny.en", "ctranslate2")
    for file in row("tiny.en", "ctranslate2").files:
        content = bytes((file.size or 0) // 1000)
        repository.put(revision, file.name, content, file.sha256 or "")
    repository.branch(revision)
    for at in killed(SLOW_HUB.replace("STOP", str(stop))):
        assert at
    left = repository.folder / "snapshots" / revision
    # The weights went first, so no library takes the rest for whole.
    assert not (left / "model.bin").exists()
    remove("tiny.en", from_hub=True)
    assert not repository.folder.exists()
