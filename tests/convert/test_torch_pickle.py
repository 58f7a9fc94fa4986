from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import pytest

from mac_whisper_speedtest.convert import torch_pickle
from mac_whisper_speedtest.convert.torch_pickle import StoredTensor
from mac_whisper_speedtest.errors import WeightsError

TENSOR = StoredTensor("3", "half", 12, 0, (3, 4), (4, 1))


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_what_is_written_is_read_back() -> None:
    found = torch_pickle.load(torch_pickle.dump({"n_mels": 80}, {"conv.weight": TENSOR}), "x.pt")
    assert found == {"dims": {"n_mels": 80}, "model_state_dict": {"conv.weight": TENSOR}}


def test_a_harmful_pickle_is_named_and_not_run(tmp_path: Path) -> None:
    content = pickle.dumps({"dims": Harmful(tmp_path / "ran")}, protocol=2)
    with pytest.raises(WeightsError, match=r"x\.pt uses .*which no checkpoint of weights needs"):
        torch_pickle.load(content, "x.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cos\nsystem\n(X\x02\x00\x00\x00lstR.", r"uses os\.system"),
        (b"cbuiltins\neval\n.", r"uses builtins\.eval"),
        (b"ctorch._utils\n_rebuild_parameter\n.", r"_rebuild_parameter"),
        (b"ctorch\nHalfStorage\n)R.", r"a call of torch\.HalfStorage"),
        (b"ccollections\nOrderedDict\n]\x85R.", "OrderedDict with contents"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "the instruction SHORT_BINUNICODE"),
        (b"(X\x01\x00\x00\x00aios\nsystem\n.", "the instruction INST"),
        (b"NR.", "cannot be read"),
        (b"}", "cannot be read"),
        (b"r\xff\xff\xff\xff.", "cannot be read"),
        (b"u.", "cannot be read"),
        (b"X\xff\xff\xff\x7fab.", "cannot be read"),
        (b"}}.", "cannot be read"),
        (b"]K\x01K\x02s.", "not a dict"),
        (b"", "cannot be read"),
    ],
)
def test_anything_else_than_tensors_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        torch_pickle.load(content, "x.pt")


def test_every_cut_of_a_pickle_is_refused() -> None:
    content = torch_pickle.dump({"n_mels": 80}, {"conv.weight": TENSOR})
    for length in range(len(content)):
        with pytest.raises(WeightsError):
            torch_pickle.load(content[:length], "x.pt")


def test_plain_values_as_python_pickles_them_are_read() -> None:
    value = {"a": [1, 2, None, True], "b": (0.5, -3, 1 << 40), "c": OrderedDict()}
    assert torch_pickle.load(pickle.dumps(value, protocol=2), "x.pt") == value
