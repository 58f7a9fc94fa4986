"""What ``models remove`` takes away: the tool's own copies, and on request the hub's.

Deciding (`plan`) reads and touches nothing; `carry_out` acts. Other libraries' folders and
installed packages are never looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.weights import disposal, hub_removal, stored
from mac_whisper_speedtest.weights.disposal import Doomed
from mac_whisper_speedtest.weights.hub_removal import HubCopy


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes of one model.

    Attributes:
        name: canonical, or a repository at a commit.
        own: copies in the tool's own cache.
        hub: copies in the Hugging Face cache.
    """

    name: str
    own: tuple[Doomed, ...] = ()
    hub: tuple[HubCopy, ...] = ()

    @property
    def size_bytes(self) -> int:
        """What is freed by it."""
        sizes = [item.size_bytes for item in self.own]
        return sum(sizes) + sum(copy.size_bytes for copy in self.hub)


def plan(name: str, *, form: str = "", from_hub: bool = False) -> Removal:
    """What removing ``name`` means, as things are now.

    Args:
        name: canonical, or ``org/name@`` and a commit.
        form: only the copies in this form; empty for all.
        from_hub: also what lies in the Hugging Face cache.

    Raises:
        UsageError: no such model, or no such form of it.
    """
    model = catalog.model(name)
    if form:
        _check_form(form, model)
    if not catalog.is_custom(name):
        own = own_copies(model.name, model.name, form)
        hub = hub_removal.of_network(model.name, form) if from_hub else ()
        return Removal(model.name, tuple(own), hub)
    custom = catalog.parse_custom(name)
    if form and from_hub:
        raise UsageError(
            f"the files of {custom.repository} in the Hugging Face cache are in no form of ours",
            hint="leave out --form, or --hub",
        )
    own = own_copies(model.name, custom.folder, form)
    return Removal(model.name, tuple(own), hub_removal.of_custom(custom) if from_hub else ())


def _check_form(form: str, network: catalog.Model) -> None:
    known = [each.name for each in catalog.forms().values() if each.family == network.family]
    if form not in known:
        raise UsageError(
            f"there are no {form} weights of {network.name}", hint=f"forms: {', '.join(known)}"
        )


def own_copies(name: str, part: str, form: str = "") -> list[Doomed]:
    """The tool's own copies of a model, and what killed conversions of it left.

    Args:
        name: for messages.
        part: the name of its folder.
        form: only the copies in this form; empty for all.

    Raises:
        UsageError: its folder is a link, and only a part of it is asked for.
    """
    root = stored.root()
    folder = root / part
    if folder.is_symlink():
        if form:
            raise UsageError(
                f"the folder of {name} in the tool's cache is a link to another one",
                hint="leave out --form to remove the link; what it leads to stays",
            )
        return [disposal.doomed(folder, "a link; what it leads to stays", root)]
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        target = stored.staged_for(path.name)
        meant = stored.parse(target or path.name)
        if meant is None or form not in {"", meant.form}:
            continue
        what = f"{meant}, unfinished" if target else str(meant)
        if path.is_symlink():
            what = f"{meant}: a link; what it leads to stays"
        lock = Path(f"{folder / (target or path.name)}.lock")
        found.append(disposal.doomed(path, what, root, [lock]))
    return found


def carry_out(removal: Removal, *, announce: Callable[[str], None]) -> int:
    """Remove what was planned; what went meanwhile is no matter.

    Args:
        removal: from `plan`.
        announce: told when another process has to be waited for.

    Returns:
        The bytes that were freed.

    Raises:
        StorageError: something could not be removed.
    """
    freed = sum(disposal.take_away(item, announce) or 0 for item in removal.own)
    return freed + sum(hub_removal.carry_out(copy, announce=announce) for copy in removal.hub)
