"""Models outside the catalog: found, verified, judged and converted, and never executed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fakes.hub import Hub
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends.adapter import LoadParams, ModelParams, ModelUnusableError
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.insanely_fast_whisper import InsanelyFastWhisper
from mac_whisper_speedtest.catalog import LocationKind
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError
from mac_whisper_speedtest.request import Request
from mac_whisper_speedtest.run.prepare import prepared_cells
from mac_whisper_speedtest.weights import custom, locate, pull
from mac_whisper_speedtest.weights.check import (
    CacheCheck,
    WeightsCheck,
    with_checksums,
)
from mac_whisper_speedtest.weights.check_models import CheckRequest, subjects
from mac_whisper_speedtest.weights.damage import DamagedError
from mac_whisper_speedtest.weights.inspect import WeightsState
from weights.conftest import COMMIT

Files = dict[str, bytes | Path]


def quiet(_text: str) -> None:
    pass


@pytest.fixture(scope="session")
def formats() -> dict[str, Path]:
    """tiny.en in three formats, from the user's cache."""
    names = {"ctranslate2": "", "huggingface": "", "openai": "model.pt"}
    return {
        name: locate.locate(catalog.model_info("tiny.en", name, "float16"), notify=quiet).path
        for name in names
    }


@pytest.fixture
def pulled(hub: Hub) -> Callable[[Files], str]:
    """Offer files as somebody's repository and pull it; gives its name as a model."""

    def offer(files: Files) -> str:
        hub.add("someone/my-whisper", COMMIT, files)
        custom = catalog.parse_custom(f"someone/my-whisper@{COMMIT}")
        pull.pull_custom(custom, notify=quiet)
        hub.log.clear()
        return str(custom)

    return offer


@pytest.fixture
def transformers(formats: dict[str, Path]) -> Files:
    """What somebody publishes for transformers."""
    return {path.name: path for path in formats["huggingface"].iterdir()}


@pytest.fixture
def little() -> Files:
    """The same as far as it is looked at before it is loaded: settings and the weights' header."""
    from safetensors.numpy import save

    return {
        "model.safetensors": save({"proj": np.zeros(1000, np.float16)}),
        "config.json": json.dumps({"model_type": "whisper", "vocab_size": 51864}).encode(),
    }


SPEC = f"someone/my-whisper@{COMMIT}"


def checked(
    weights_format: str, precision: str = "float16", *, checksums: bool = True
) -> WeightsCheck:
    check = CacheCheck().check(catalog.model_info(SPEC, weights_format, precision))
    return with_checksums([check])[0] if checksums else check


@pytest.mark.usefixtures("hub")
def test_what_was_not_pulled_is_missing_and_names_the_command() -> None:
    with pytest.raises(WeightsMissingError) as caught:
        locate.locate(catalog.model_info(SPEC, "ggml", "float16"), notify=quiet)
    assert caught.value.hint == f"speedtest models pull {SPEC}"
    check = checked("ggml")
    assert (check.state, check.reason) == (WeightsState.ABSENT, f"speedtest models pull {SPEC}")


def test_a_form_is_handed_over_as_it_is_and_converted_for_the_others(
    hub: Hub,
    pulled: Callable[[Files], str],
    transformers: Files,
    tmp_path: Path,
) -> None:
    spec = pulled(transformers)
    assert spec == SPEC
    assert checked("ggml").can_be_converted

    given = locate.locate(catalog.model_info(spec, "huggingface", "float16"), notify=quiet)
    assert given.path == tmp_path / "hub/models--someone--my-whisper/snapshots" / COMMIT
    assert (given.model, given.precision, given.source) == (spec, "float16", f"custom: {spec}")
    assert given.english_only
    assert set(given.files) == set(transformers)

    made = locate.locate(catalog.model_info(spec, "ggml", "float16"), notify=quiet)
    weights = tmp_path / "cache" / "weights"
    assert made.path.relative_to(weights).parts == (
        f"custom--someone--my-whisper@{COMMIT}",
        f"ggml-float16-{COMMIT[:16]}",
        "ggml-model.bin",
    )
    assert made.source == f"converted from custom: {spec}"
    assert made.network_sha256 == catalog.model("tiny.en").network_sha256
    assert made.english_only

    assert {checked(weights_format).state for weights_format in ("huggingface", "ggml")} == {
        WeightsState.COMPLETE
    }
    assert checked("ggml").chosen is not None
    assert checked("parakeet-mlx").state is WeightsState.UNAVAILABLE
    assert hub.log == []  # no request was sent for any of this


def test_another_precision_than_the_published_one_has_to_be_converted(
    pulled: Callable[[Files], str], little: Files
) -> None:
    source = locate.official(pulled(little))
    assert locate.suits(source.format, source.precision, "huggingface", "float16")
    assert not locate.suits(source.format, source.precision, "huggingface", "float32")


def test_what_cannot_be_written_says_so_and_costs_only_its_own_cells(
    pulled: Callable[[Files], str], little: Files
) -> None:
    spec = pulled(little)
    with pytest.raises(WeightsMissingError, match="cannot be converted to ctranslate2"):
        locate.locate(catalog.model_info(spec, "ctranslate2", "float16"), notify=quiet)
    check = checked("ctranslate2")
    assert check.state is WeightsState.UNAVAILABLE
    assert "cannot be converted to ctranslate2" in check.reason


def test_ctranslate2_weights_suit_whoever_loads_that_form_in_any_precision(
    pulled: Callable[[Files], str], formats: dict[str, Path]
) -> None:
    spec = pulled({path.name: path for path in formats["ctranslate2"].iterdir()})
    given = locate.locate(catalog.model_info(spec, "ctranslate2", "float32"), notify=quiet)
    assert (given.format, given.precision, given.english_only) == ("ctranslate2", "float16", True)
    assert given.path.is_dir()


def test_a_pytorch_file_is_known_whatever_it_is_called(
    pulled: Callable[[Files], str], formats: dict[str, Path]
) -> None:
    given = locate.locate(
        catalog.model_info(pulled({"fine-tuned.pt": formats["openai"]}), "openai", "float16"),
        notify=quiet,
    )
    assert given.path.name == "fine-tuned.pt"
    chosen = checked("openai").chosen
    assert chosen is not None
    assert chosen.path.name == "fine-tuned.pt"
    with pytest.raises(WeightsMissingError, match="openai weights have no vocabulary"):
        locate.locate(catalog.model_info(SPEC, "ggml", "float16"), notify=quiet)
    assert checked("ggml").state is WeightsState.UNAVAILABLE


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_is_not_the_listed_one_is_refused_whatever_its_size(
    name: str, pulled: Callable[[Files], str], little: Files
) -> None:
    spec = pulled(little)
    path = locate.official(spec).path / name
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.resolve().write_bytes(content)

    with pytest.raises(DamagedError, match=f"{name} of .* is not the published file") as caught:
        locate.official(spec)

    assert caught.value.hint == f"speedtest models pull {spec}; or: speedtest run --repair"
    assert caught.value.damage.names == (name,)
    assert caught.value.damage.origin is LocationKind.HUB
    if name == "model.safetensors":
        assert checked("huggingface").state is WeightsState.CORRUPT
        # As a disk does it, without leaving a trace: only reading it again can tell.
        path.resolve().write_bytes(little[name])  # type: ignore[arg-type]
        locate.official(spec)
        os.utime(path, ns=(status.st_atime_ns, 10**18))
        locate.official(spec)
        path.resolve().write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, 10**18))
        locate.official(spec)
        with pytest.raises(DamagedError):
            locate.official(spec, fresh=True)


def test_a_file_that_is_gone_makes_them_missing(
    pulled: Callable[[Files], str], little: Files
) -> None:
    spec = pulled(little)
    (locate.official(spec).path / "model.safetensors").resolve().unlink()
    with pytest.raises(WeightsMissingError):
        locate.official(spec)
    assert checked("huggingface").state is WeightsState.PARTIAL


@pytest.mark.parametrize(
    ("config", "weights", "message"),
    [
        ({"model_type": "bert", "vocab_size": 30522}, "model.safetensors", "a 'bert' network"),
        ({"vocab_size": 51865}, "model.safetensors", "not a Whisper network"),
        ({"model_type": "whisper"}, "model.safetensors", "not a Whisper network"),
        ({"model_type": "whisper"}, "pytorch_model.bin", "holds no known weights format"),
    ],
)
def test_what_is_no_whisper_that_can_be_read_is_refused(
    config: dict[str, Any], weights: str, message: str, pulled: Callable[[Files], str]
) -> None:
    spec = pulled({weights: b"anything", "config.json": json.dumps(config).encode()})
    with pytest.raises(WeightsError, match=message):
        locate.official(spec)
    check = checked("huggingface")
    assert check.state is WeightsState.UNAVAILABLE
    assert message in check.reason


@pytest.mark.parametrize(("size", "english_only"), [(51864, True), (51865, False), (51866, False)])
def test_the_vocabulary_tells_whether_it_knows_english_alone(
    size: int,
    english_only: bool,
    pulled: Callable[[Files], str],
    little: Files,
) -> None:
    config = json.dumps({"model_type": "whisper", "vocab_size": size}).encode()
    source = locate.official(pulled({**little, "config.json": config}))
    assert source.english_only is english_only


def test_the_transformers_adapter_trusts_no_code_and_takes_nothing_but_a_local_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's default, ``None``, asks on standard input only for networks that it has not.

    Those are refused before (a ``config.json`` that is not Whisper's), so it never comes to that.
    """
    asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def pipeline(*arguments: Any, **named: Any) -> Any:
        asked.append((arguments, named))
        raise OSError("that is enough")

    def module(name: str, **contents: Any) -> None:
        made = ModuleType(name)
        vars(made).update(contents)
        monkeypatch.setitem(sys.modules, name, made)

    module(
        "torch",
        set_num_threads=lambda _count: None,
        float32="float32",
        cuda=SimpleNamespace(is_available=lambda: False),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: False)),
    )
    module("transformers", pipeline=pipeline)
    module("transformers.utils", is_flash_attn_2_available=lambda: False)

    adapter = InsanelyFastWhisper()
    with pytest.raises(ModelUnusableError, match="that is enough"):
        adapter.load(LoadParams(ModelParams(SPEC, str(tmp_path), "huggingface"), "cpu"))
    ((_, named),) = asked
    assert not named.get("trust_remote_code")
    assert named["model"] == str(tmp_path)
    with pytest.raises(ModelUnusableError, match="is not a folder"):
        adapter.load(LoadParams(ModelParams(SPEC, "someone/my-whisper", "huggingface"), "cpu"))
    assert len(asked) == 1


def test_once_it_is_pulled_its_size_gives_its_time_outs_and_the_hub_its_files(
    pulled: Callable[[Files], str], little: Files
) -> None:
    backend = Backend(name="b", weights_format="huggingface")
    before = custom.with_listing(backend.model_info(SPEC))
    assert (before.size_class, before.files) == ("large", ())
    spec = pulled(little)
    (_, checked) = subjects(CheckRequest((backend,), (spec,)))[0]
    (cell,) = prepared_cells(Request(models=(spec,)), (backend,), "speech")
    for info in (checked, cell.info):
        assert info.size_class == "tiny"
        assert info.timeouts == catalog.size_classes()["tiny"]
        assert {file.name: file.size for file in info.files} == {
            name: len(content) for name, content in little.items() if isinstance(content, bytes)
        }
        assert [file.sha256 is not None for file in info.files] == [
            file.name.endswith(".safetensors") for file in info.files
        ]
