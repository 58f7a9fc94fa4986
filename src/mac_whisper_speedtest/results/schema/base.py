"""The bases of everything that is written down."""

from __future__ import annotations

import msgspec


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything written: immutable, fields by name; unknown fields are passed over."""


class Computed(Struct, frozen=True, kw_only=True):
    """Base of what is computed from the manifest and the journal: a bundle has none of it."""
