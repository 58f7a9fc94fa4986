"""Damaged weights: which files of a copy, its origin, and the error that names them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.catalog import LocationKind
from mac_whisper_speedtest.errors import WeightsError


@dataclass(frozen=True, slots=True)
class Damage:
    """Damaged files of one copy.

    Attributes:
        model: the name as users type it.
        format: of the weights.
        names: the files.
        folder: of these files.
        origin: how they were created, which decides how they are replaced.
        row: where they are published; ``None`` for conversions and models outside the catalog.
        seen: `identity` of the folder when it was read; another process may replace it later.
    """

    model: str
    format: str
    names: tuple[str, ...]
    folder: Path
    origin: LocationKind
    row: catalog.HostedWeights | None = None
    seen: tuple[int, int] = field(default=(0, 0), compare=False)

    @property
    def message(self) -> str:
        """The damage and its repair, before and after the repair."""
        if self.origin is LocationKind.CONVERTED:
            return f"the {self.format} weights of {self.model} are damaged: converting them again"
        verb = "is" if len(self.names) == 1 else "are"
        if self.row is None:
            where = "the hub"
        elif self.origin is not LocationKind.HUB and self.row.mirror is not None:
            where = f"the package {self.row.mirror.distributions}"
        else:
            where = self.row.place
        names = ", ".join(self.names)
        return f"{names} of {self.model} {verb} damaged: fetching them again from {where}"


class DamagedError(WeightsError):
    """A copy is present but damaged.

    Attributes:
        damage: which files, and how they can be replaced.
        by_hand: what to do without ``--repair``.
    """

    def __init__(
        self, message: str, damage: Damage, *, by_hand: str, repair_failed: bool = False
    ) -> None:
        """``repair_failed``: a repair was tried, so the hint does not suggest it again."""
        super().__init__(
            message, hint=by_hand if repair_failed else f"{by_hand}; or: speedtest run --repair"
        )
        self.damage = damage
        self.by_hand = by_hand


def identity(folder: Path) -> tuple[int, int]:
    """Inode and change time, which distinguish a folder from its replacement; zeros if unknown."""
    try:
        status = folder.stat()
    except OSError:
        return (0, 0)
    return status.st_ino, status.st_ctime_ns
