"""Core ML models out of large repositories: only what is needed, in one folder, kept whole."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from fakes.hub import Fault, Hub
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends import whisperkit
from mac_whisper_speedtest.catalog import PublishedFile
from mac_whisper_speedtest.errors import (
    DownloadError,
    StorageError,
    WeightsMissingError,
)
from mac_whisper_speedtest.weights import hub_cache, inventory, locate, pull, remove, repair
from mac_whisper_speedtest.weights.assemble import assemble
from mac_whisper_speedtest.weights.check import CacheCheck, advice, cost, with_checksums
from mac_whisper_speedtest.weights.check_models import (
    CheckMethod,
    CheckRequest,
    check_models,
    make_complete,
)
from mac_whisper_speedtest.weights.damage import DamagedError
from mac_whisper_speedtest.weights.inspect import Evidence, WeightsState, inspect_copy
from mac_whisper_speedtest.weights.locations import assembled_folder, assembled_locations

from .conftest import WEIGHTS as TWO_MEGABYTES
from .conftest import Seen

WEIGHTS = TWO_MEGABYTES[:300_000]
TOKENIZER = {"tokenizer.json": b'{"model": {}}', "tokenizer_config.json": b"{}"}
PULL = "speedtest models pull tiny.en --format whisperkit"


def info() -> catalog.ModelInfo:
    """A row whose sizes and hashes are learnt at the first pull."""
    return catalog.model_info("tiny.en", "whisperkit", "float16", backend="whisperkit")


def row() -> catalog.HostedWeights:
    found = catalog.find_hosted("tiny.en", "whisperkit")
    assert found is not None
    return found


def bundles(*names: str) -> dict[str, bytes | Path]:
    """The files of compiled Core ML models, each different from those of the others."""
    return {
        f"{name}.mlmodelc/{file}": name.encode() + content
        for name in names
        for file, content in (
            ("weights/weight.bin", WEIGHTS),
            ("coremldata.bin", b"core"),
            ("model.mil", b"program"),
            ("analytics/coremldata.bin", b"analytics"),
        )
    }


NEEDED: dict[str, bytes | Path] = {
    **bundles("AudioEncoder", "MelSpectrogram", "TextDecoder"),
    "config.json": b'{"model_type": "whisper"}',
    "generation_config.json": b"{}",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def published(hub: Hub) -> set[str]:
    """A repository of many models, and one with a tokenizer; the names of what is needed."""
    wanted, tokenizer = row(), row().tokenizer
    assert wanted.revision is not None
    assert tokenizer is not None
    needed = {f"{wanted.folder}/{name}": content for name, content in NEEDED.items()}
    others: dict[str, bytes | Path] = {
        "README.md": b"...",
        "config.json": b"{}",
        f"{wanted.folder}/TextDecoderContextPrefill.mlmodelc/weights/weight.bin": b"old",
        f"{wanted.folder}/AudioEncoder.mlpackage/Data/weight.bin": b"again",
        f"{wanted.folder}_217MB/AudioEncoder.mlmodelc/weights/weight.bin": b"smaller",
        "openai_whisper-tiny/AudioEncoder.mlmodelc/weights/weight.bin": b"another model",
    }
    hub.add(wanted.repository, wanted.revision, {**needed, **others})
    hub.add(
        tokenizer.repository,
        tokenizer.revision,
        {**TOKENIZER, "model.safetensors": b"the same network again", "vocab.json": b"{}"},
    )
    return {*needed, *TOKENIZER}


def pulled(seen: Seen) -> Path:
    return pull.pull_row(row(), notify=seen.messages.append, progress=seen)


def found(seen: Seen) -> locate.Weights:
    return locate.locate(info(), notify=seen.messages.append)


def test_a_pull_fetches_one_folder_and_its_tokenizer_and_makes_one_folder_of_them(
    hub: Hub, published: set[str], seen: Seen
) -> None:
    folder = pulled(seen)
    assert {request.name for request in hub.bodies()} == published
    here = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert here == {*NEEDED, *TOKENIZER}
    assert folder.name == "openai_whisper-tiny.en"
    assert (folder / "TextDecoder.mlmodelc/weights/weight.bin").read_bytes() == (
        b"TextDecoder" + WEIGHTS
    )
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    # The size is said before anything is fetched, and the small repository comes first.
    fetching = [message for message in seen.messages if message.startswith("Fetching")]
    assert "the tokenizer of tiny.en: 2 files" in fetching[0]
    assert "tiny.en as whisperkit: 14 files, 0.9 MB" in fetching[1]


def test_a_tokenizer_alone_is_no_copy_of_the_network_in_its_repository(
    hub: Hub, published: set[str], seen: Seen
) -> None:
    pulled(seen)
    theirs = catalog.model_info("tiny.en", "huggingface", "float16")
    assert CacheCheck().check(theirs).state is WeightsState.ABSENT
    formats = {each.format for each in inventory.installed_weights("tiny.en")}
    assert "whisperkit" in formats
    assert "huggingface" not in formats


def test_a_hard_link_takes_no_room_and_survives_the_removal_of_the_cache(
    hub: Hub, published: set[str], seen: Seen
) -> None:
    weights = pulled(seen) / "AudioEncoder.mlmodelc/weights/weight.bin"
    assert weights.stat().st_nlink == 2
    shutil.rmtree(hub_cache.cache_dir())
    assert found(seen).path == weights.parents[2]


def test_a_disk_without_hard_links_gets_copies(
    hub: Hub, published: set[str], seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    weights = pulled(seen) / "AudioEncoder.mlmodelc/weights/weight.bin"
    assert weights.stat().st_nlink == 1
    assert found(seen).path == weights.parents[2]


def test_a_second_pull_sends_no_request_and_makes_nothing_again(
    hub: Hub, published: set[str], seen: Seen
) -> None:
    first = pulled(seen)
    inode = first.stat().st_ino
    hub.log.clear()
    assert pulled(seen) == first
    assert hub.log == []
    assert first.stat().st_ino == inode
    assert pull.cost(row()) == 0


def test_what_is_located_is_verified_and_says_where_it_comes_from(
    hub: Hub, published: set[str], seen: Seen
) -> None:
    folder = pulled(seen)
    weights = found(seen)
    assert weights.path == folder
    assert weights.source == row().place
    assert set(weights.files) == {*NEEDED, *TOKENIZER}
    record = json.loads((folder.parent / "provenance.json").read_bytes())
    tokenizer = row().tokenizer
    assert tokenizer is not None
    assert record["upstream"] == {
        "weights": row().place,
        "tokenizer": f"{tokenizer.repository}@{tokenizer.revision}",
    }
    assert {each["name"]: each["sha256"] for each in record["output_files"]} == weights.files


def test_an_interrupted_pull_is_resumed_and_nothing_is_made_before_it_is_whole(
    hub: Hub, published: set[str], seen: Seen
) -> None:
    name = f"{row().folder}/TextDecoder.mlmodelc/weights/weight.bin"
    hub.fail(name, Fault(cut_at=100_000), Fault(status=404, times=9))
    with pytest.raises(DownloadError):
        pulled(seen)
    assert not assembled_folder(row()).exists()
    assert CacheCheck().check(info()).state is WeightsState.ABSENT
    with pytest.raises(WeightsMissingError) as caught:
        found(seen)
    assert caught.value.hint == PULL
    hub.faults.clear()
    hub.log.clear()
    pulled(seen)
    assert [request.range for request in hub.bodies(name)] == ["bytes=100000-"]
    assert found(seen).path.is_dir()


def test_a_wrong_file_is_refused(hub: Hub, published: set[str], seen: Seen) -> None:
    name = f"{row().folder}/AudioEncoder.mlmodelc/weights/weight.bin"
    hub.fail(name, Fault(alter=True, times=9))
    with pytest.raises(DownloadError, match="does not have the pinned hash"):
        pulled(seen)
    assert not assembled_folder(row()).exists()


def test_a_tokenizer_that_is_not_there_is_missed_before_the_weights_are_fetched(
    hub: Hub, published: set[str], seen: Seen
) -> None:
    tokenizer = row().tokenizer
    assert tokenizer is not None
    del hub.repositories[tokenizer.repository].files["tokenizer.json"]
    with pytest.raises(DownloadError, match=r"does not list tokenizer\.json"):
        pulled(seen)
    assert hub.bodies() == []


def test_a_folder_that_lacks_a_model_is_refused(hub: Hub, published: set[str], seen: Seen) -> None:
    files = hub.repositories[row().repository].files
    for name in [name for name in files if "/TextDecoder.mlmodelc/" in name]:
        del files[name]
    with pytest.raises(DownloadError, match=r"holds no TextDecoder\.mlmodelc in openai_whisper"):
        pulled(seen)
    assert {request.name for request in hub.bodies()} == set(TOKENIZER)


def test_a_full_disk_is_refused_before_the_weights_are_fetched(
    hub: Hub, published: set[str], seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_cache, "free_bytes", lambda: pull.MARGIN_BYTES + 500_000)
    with pytest.raises(StorageError, match="not enough room"):
        pulled(seen)
    assert {request.name for request in hub.bodies()} == set(TOKENIZER)


def test_nothing_is_fetched_offline(
    hub: Hub, published: set[str], seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE=1 forbids"):
        pulled(seen)
    assert hub.log == []


def test_pulled_files_alone_are_put_together_by_the_next_run(
    hub: Hub, published: set[str], seen: Seen
) -> None:
    folder = pulled(seen)
    shutil.rmtree(folder.parent)
    checked = CacheCheck().check(info())
    assert checked.state is WeightsState.ABSENT
    assert checked.can_be_converted
    assert "the next run assembles it" in advice(checked)
    assert cost([checked]).needs == ()
    hub.log.clear()
    assert found(seen).path == folder
    assert hub.log == []
    assert CacheCheck().check(info()).state is WeightsState.COMPLETE


def test_a_disk_that_fills_up_while_copying_leaves_nothing(
    hub: Hub, published: set[str], seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(pulled(seen).parent)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StorageError) as caught:
        found(seen)
    assert "No space left" in str(caught.value)
    assert not [path for path in assembled_folder(row()).parent.iterdir() if path.is_dir()]


def test_check_models_downloads_what_is_missing_and_puts_it_together(
    hub: Hub, published: set[str], seen: Seen
) -> None:
    request = CheckRequest((whisperkit.BACKEND,), ("tiny.en",), CheckMethod.CACHE_CHECK)
    report = check_models(request)
    missing = cost(each.check for each in report.rows)
    assert [need.row for need in missing.needs] == [row()]
    make_complete(report, missing, notify=seen.messages.append)
    (again,) = check_models(request).rows
    assert (again.check.state, again.check.evidence) == (WeightsState.COMPLETE, Evidence.SIZES)


def test_check_models_reads_every_byte_of_the_folder(
    hub: Hub, published: set[str], seen: Seen
) -> None:
    folder = pulled(seen)
    (checked,) = with_checksums([CacheCheck().check(info())])
    assert (checked.state, checked.evidence) == (WeightsState.COMPLETE, Evidence.HASHES)
    weights = folder / "AudioEncoder.mlmodelc/weights/weight.bin"
    content = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(content[:-1] + b"?")
    (checked,) = with_checksums([CacheCheck().check(info())], fresh=True)
    assert checked.state is WeightsState.CORRUPT
    assert "weight.bin is not the published file" in " ".join(checked.problems)


def test_damage_is_repaired_from_the_hub_even_where_the_cache_shares_it(
    hub: Hub, published: set[str], seen: Seen
) -> None:
    weights = pulled(seen) / "AudioEncoder.mlmodelc/weights/weight.bin"
    with weights.open("r+b") as stream:  # the blob is the same file
        stream.write(b"?")
    with pytest.raises(DamagedError) as caught:
        locate.locate(info(), notify=seen.messages.append, fresh=True)
    assert "speedtest run --repair" in (caught.value.hint or "")
    done: list[str] = []
    whole = repair.repair(
        lambda: locate.locate(info(), notify=seen.messages.append, fresh=True),
        notify=seen.messages.append,
        done=done,
    )
    assert whole.path == weights.parents[2]
    assert weights.read_bytes() == b"AudioEncoder" + WEIGHTS
    assert len(done) == 1


def test_it_is_removed_like_other_copies_of_the_tool(
    hub: Hub, published: set[str], seen: Seen
) -> None:
    folder = pulled(seen)
    removal = remove.plan_removal("tiny.en", weights_format="whisperkit")
    assert [item.path for item in removal.own if item.path.is_dir()] == [folder.parent]
    remove.carry_out(removal, notify=seen.messages.append)
    assert not folder.exists()
    assert pull.cost(row()) == 0


def test_a_removal_from_both_caches_says_what_it_frees(
    hub: Hub, published: set[str], seen: Seen
) -> None:
    folder = pulled(seen)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert remove.plan_removal("tiny.en").size_bytes < 10_000  # the cache keeps the files
    removal = remove.plan_removal("tiny.en", from_hub=True)
    # Two of the files are in other models' folders of the hub, too, and small.
    assert size <= removal.size_bytes <= size + 10_000
    freed = remove.carry_out(removal, notify=seen.messages.append)
    assert abs(freed - removal.size_bytes) < 10_000
    assert not list(hub_cache.cache_dir().rglob("weight.bin"))


def test_pruning_keeps_the_folder_of_the_pinned_commit_alone(
    hub: Hub, published: set[str], seen: Seen
) -> None:
    folder = pulled(seen).parent
    older = folder.with_name("whisperkit-published-0123456789abcdef")
    shutil.copytree(folder, older)
    assert older in {item.path for item in remove.plan_pruning()}
    assert folder not in {item.path for item in remove.plan_pruning()}


# What the frameworks fetched themselves.


def own_copy_of_whisperkit(home: Path) -> Path:
    base = home / "Documents/huggingface/models"
    folder = base / "argmaxinc/whisperkit-coreml" / row().folder
    tokenizer = base / "openai/whisper-tiny.en"
    for place, files in ((folder, NEEDED), (tokenizer, TOKENIZER)):
        for name, content in files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            assert isinstance(content, bytes)
            path.write_bytes(content)
    return folder


def test_whisperkits_own_copy_is_used_in_place(hub: Hub, home: Path, seen: Seen) -> None:
    folder = own_copy_of_whisperkit(home)
    weights = found(seen)
    assert weights.path == folder
    assert weights.source == "WhisperKit's folder, of a commit that is not known"
    assert set(weights.files) >= {"AudioEncoder.mlmodelc/weights/weight.bin", "tokenizer.json"}
    assert CacheCheck().check(info()).state is WeightsState.COMPLETE
    assert not assembled_folder(row()).exists()


def test_the_commit_of_a_frameworks_copy_is_named_where_every_hash_is_the_pinned_one(
    hub: Hub, home: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pinned(files: dict[str, bytes | Path]) -> tuple[PublishedFile, ...]:
        served = hub.add("any/name", "0" * 40, files).files.values()
        return tuple(PublishedFile(file.name, file.size, file.sha256) for file in served)

    tokenizer = row().tokenizer
    assert tokenizer is not None
    whole = dataclasses.replace(
        row(),
        unpinned="",
        files=pinned(NEEDED),
        tokenizer=dataclasses.replace(tokenizer, files=pinned({**TOKENIZER})),
    )
    monkeypatch.setattr(locate, "_row", lambda *_: whole)
    folder = own_copy_of_whisperkit(home)
    weights = found(seen)
    assert weights.source == f"WhisperKit's folder, {row().place}"
    assert weights.of_known_commit
    (folder / "config.json").write_bytes(b'{"model_type": "other"}')
    weights = found(seen)
    assert weights.source == "WhisperKit's folder, of a commit that is not known"
    assert not weights.of_known_commit


def test_an_incomplete_copy_of_a_framework_is_not_used(hub: Hub, home: Path, seen: Seen) -> None:
    folder = own_copy_of_whisperkit(home)
    (folder / "TextDecoder.mlmodelc/weights/weight.bin").unlink()
    with pytest.raises(WeightsMissingError, match=r"weight\.bin is missing in WhisperKit's"):
        found(seen)
    checked = CacheCheck().check(info())
    assert checked.state is WeightsState.PARTIAL
    assert advice(checked) == PULL


def test_a_folder_that_may_not_be_looked_into_is_as_none(
    hub: Hub, published: set[str], home: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Mac asks before a program may look into the folder of documents."""
    documents = own_copy_of_whisperkit(home).parents[4]
    assert documents.name == "Documents"
    look = Path.stat

    def refuse(path: Path, **options: bool) -> os.stat_result:
        if documents in path.parents:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return look(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(WeightsMissingError, match="cannot be examined: Operation not") as caught:
        found(seen)
    assert caught.value.hint == PULL
    checked = CacheCheck().check(info())
    assert checked.state is WeightsState.NOT_CHECKABLE
    assert "cannot be examined" in " ".join(checked.problems)
    assert advice(checked) == PULL
    assert [need.row for need in cost([checked]).needs] == [row()]
    pulled(seen)
    assert found(seen).path == assembled_folder(row()) / row().folder
    assert CacheCheck().check(info()).state is WeightsState.COMPLETE


def test_a_git_lfs_pointer_in_place_of_weights_is_named_and_a_pull_gets_round_it(
    hub: Hub, published: set[str], home: Path, seen: Seen
) -> None:
    folder = own_copy_of_whisperkit(home)
    weights = folder / "AudioEncoder.mlmodelc/weights/weight.bin"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n"
    weights.write_bytes(pointer)
    checked = CacheCheck().check(info())
    assert checked.state is WeightsState.CORRUPT
    assert "is a git-lfs pointer, not the file itself" in " ".join(checked.problems)
    assert PULL in advice(checked)
    with pytest.raises(DamagedError, match="git-lfs pointer"):
        found(seen)
    whole = repair.repair(lambda: found(seen), notify=seen.messages.append, done=[])
    assert whole.path == assembled_folder(row()) / row().folder
    assert weights.read_bytes() == pointer  # what is not ours is not touched
    assert CacheCheck().check(info()).state is WeightsState.COMPLETE


# FluidAudio goes by the folder's name, and its repositories hold six times what it loads.


def test_fluidaudio_gets_four_bundles_and_a_vocabulary_in_a_folder_of_the_name_it_wants(
    hub: Hub, seen: Seen
) -> None:
    pinned = catalog.find_hosted("parakeet-tdt-0.6b-v3", "fluidaudio")
    assert pinned is not None
    assert pinned.complete
    assert pinned.revision is not None
    needed = {file.name: file.name.encode() for file in pinned.files}
    assert {name.partition("/")[0] for name in needed} == {
        *(f"{name}.mlmodelc" for name in ("Preprocessor", "Encoder", "Decoder", "JointDecisionv3")),
        "parakeet_vocab.json",
    }
    others = {"EncoderInt4.mlmodelc/model.mil": b"4 bits", "JointDecision.mlmodelc/model.mil": b""}
    served = hub.add(pinned.repository, pinned.revision, {**needed, **others})
    small = dataclasses.replace(
        pinned,
        files=tuple(
            PublishedFile(name, served.files[name].size, served.files[name].sha256)
            for name in needed
        ),
    )
    folder = pull.pull_row(small, notify=seen.messages.append)
    assert {request.name for request in hub.bodies()} == set(needed)
    assert not any(request.path.startswith("api/") for request in hub.log)  # all is pinned
    assert folder.name == "parakeet-tdt-0.6b-v3"
    own, pulled_files, _ = assembled_locations(small)
    assert inspect_copy(own).state is WeightsState.COMPLETE
    assert assemble(small, inspect_copy(pulled_files), notify=seen.messages.append) == folder.parent


@pytest.mark.parametrize("name", ["parakeet-tdt-0.6b-v2", "parakeet-tdt-0.6b-v3"])
def test_the_size_of_what_fluidaudio_loads_is_known_before_the_hub_is_asked(name: str) -> None:
    pinned = catalog.find_hosted(name, "fluidaudio")
    assert pinned is not None
    assert 460_000_000 < (pull.cost(pinned) or 0) < 490_000_000
