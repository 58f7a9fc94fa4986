"""How fields of the schema are declared."""

from __future__ import annotations

import msgspec
import pytest

from mac_whisper_speedtest.bundle.fields import policies
from mac_whisper_speedtest.declared import Column, Doc, FieldPolicy, declarations
from mac_whisper_speedtest.results.schema.base import Struct, fact, kept


class _Example(Struct):
    length_s: float = kept("a length", column=Column("long"))
    share: float | None = kept("a share", "fraction", null="never measured", default=None)
    left_s: dict[str, int] = fact("texts by name", "", policy=FieldPolicy.DROPPED, default={})


def test_a_declaration_is_read_back_with_the_unit_that_the_name_ends_in() -> None:
    assert declarations(_Example, Doc) == {
        "length_s": Doc("a length", "s"),
        "share": Doc("a share", "fraction", "never measured"),
        "left_s": Doc("texts by name"),
    }
    assert declarations(_Example, Column) == {"length_s": Column("long")}
    assert policies(_Example) == {
        "length_s": FieldPolicy.KEPT,
        "share": FieldPolicy.KEPT,
        "left_s": FieldPolicy.DROPPED,
    }


def test_a_field_without_a_default_is_required_and_none_can_be_set() -> None:
    assert msgspec.json.decode(b'{"length_s": 2.5}', type=_Example) == _Example(length_s=2.5)
    with pytest.raises(msgspec.ValidationError, match="missing required field `length_s`"):
        msgspec.json.decode(b"{}", type=_Example)
    with pytest.raises(AttributeError, match="immutable"):
        _Example(length_s=2.5).share = 0.5  # type: ignore[misc]
