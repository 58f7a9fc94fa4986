"""The allow-list of bundles: for every field of every struct, how it goes into a bundle.

The list is built from the declarations at the schema's fields. A field without a declaration goes
into no bundle: writing one then fails, and so does a test.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping

from mac_whisper_speedtest.declared import FieldPolicy, declarations
from mac_whisper_speedtest.results import schema as s

DETAILS = frozenset(
    {"architecture", "attention", "backend", "blas", "coreml", "cuda", "provider"}
    | {"system_info", "weights"}
)
"""The keys of ``details`` that the tool's own backends write. Others may write anything, such as
the serial number of a graphics card or the name of a person."""


def structs_in(kind: object) -> Iterator[type[s.Struct]]:
    """Every struct inside a type, including the type itself; some more than once."""
    if isinstance(kind, type) and issubclass(kind, s.Struct):
        yield kind
        for inner in typing.get_type_hints(kind).values():
            yield from structs_in(inner)
    elif isinstance(kind, types.UnionType) or typing.get_origin(kind) is not None:
        for inner in typing.get_args(kind):
            yield from structs_in(inner)


def policies(kind: type[s.Struct]) -> dict[str, FieldPolicy]:
    """How each field of a struct goes into a bundle; fields without a declaration are left out."""
    if issubclass(kind, s.Computed):
        return dict.fromkeys(kind.__struct_fields__, FieldPolicy.COMPUTED)
    return declarations(kind, FieldPolicy)


POLICIES: Mapping[type[s.Struct], Mapping[str, FieldPolicy]] = {
    **{kind: policies(kind) for root in (s.Manifest, s.Event) for kind in structs_in(root)},
}
"""The policies of every struct in a bundle."""
