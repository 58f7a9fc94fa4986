"""What would have to be fetched so that weights that are not whole become so, and at what cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mac_whisper_speedtest import catalog, paths
from mac_whisper_speedtest.weights import history, hub_cache
from mac_whisper_speedtest.weights.check import Check
from mac_whisper_speedtest.weights.inspect import Copy, State
from mac_whisper_speedtest.weights.locations import FRAMEWORKS


@dataclass(frozen=True, slots=True)
class Need:
    """One publication that has to be fetched.

    Attributes:
        row: what to fetch.
        missing_bytes: what is not here of it yet; ``None`` where its size is not known.
    """

    row: catalog.Publication
    missing_bytes: int | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What fetching everything that is missing would take.

    Attributes:
        needs: each publication once.
        known_bytes: of those whose size is known.
        unknown: how many there are whose size is not.
        seconds: for the known bytes, at the speed of earlier downloads; ``None`` without any.
        free_bytes: on the disk of the Hugging Face cache.
    """

    needs: tuple[Need, ...]
    known_bytes: int
    unknown: int
    seconds: float | None
    free_bytes: int | None


def need(check: Check) -> Need | None:
    """What has to be fetched for one subject; ``None`` when nothing has to, or nothing can."""
    if check.state in {State.COMPLETE, State.UNAVAILABLE, State.NOT_CHECKABLE}:
        return None
    if check.can_be_made or check.subject.own is not None:
        return None
    form = check.subject.form
    if catalog.forms()[form].converts_to:
        row = catalog.publication(check.subject.network, catalog.SOURCE_FORM)
        here = check.source
    else:
        row = catalog.publication(check.subject.network, form, check.subject.precision)
        here = check.chosen
    if row is None or row.unavailable or form in FRAMEWORKS:
        return None
    return Need(row, _missing_bytes(row, here))


def _missing_bytes(row: catalog.Publication, here: Copy | None) -> int | None:
    """What is not here of ``row``; what is damaged has to be fetched again."""
    if not row.complete:
        return row.main_file.size if row.main_file else None
    whole: set[str] = set()
    if here is not None and here.place.hub_repository and here.state is not State.CORRUPT:
        whole = {file.name for file in here.files}
    return sum(file.size or 0 for file in row.files if file.name not in whole)


def cost(checks: Iterable[Check]) -> Cost:
    """What fetching all that is missing would take, each publication counted once."""
    needs = {one.row.place: one for check in checks if (one := need(check)) is not None}
    sizes = [one.missing_bytes for one in needs.values()]
    known = sum(size for size in sizes if size is not None)
    return Cost(
        tuple(needs.values()),
        known,
        sizes.count(None),
        history.expected_seconds(known) if known else None,
        _free_bytes(),
    )


def _free_bytes() -> int | None:
    try:
        return hub_cache.free_bytes()
    except OSError:
        return None


def advice(check: Check) -> str:
    """The next thing to do about one subject; empty when there is nothing to do."""
    if check.state is State.COMPLETE:
        return ""
    if check.state in {State.UNAVAILABLE, State.NOT_CHECKABLE} or check.subject.own is not None:
        return check.reason
    chosen = check.chosen
    if check.state is State.CORRUPT and chosen is not None:
        return _mend(check, chosen)
    if check.can_be_made:
        return "nothing to fetch: the next run makes it, or check-models --download does"
    return _get(check)


def _mend(check: Check, chosen: Copy) -> str:
    """What to do about a damaged copy."""
    network, form = check.subject.network, check.subject.form
    if chosen.place.record is not None:
        return f"speedtest models remove {network} --form {form}; the next run makes it again"
    if chosen.place.for_run and chosen.place.hub_repository:
        return f"speedtest models pull {network} fetches what is damaged again"
    if chosen.place.folder.is_relative_to(paths.cache_dir()):
        return f"speedtest models remove {network} --form {form}, then pull it again"
    return f"remove it from {chosen.place.where}"


def _get(check: Check) -> str:
    """What to do about a copy that is not there."""
    framework = FRAMEWORKS.get(check.subject.form)
    if framework:
        return f"{framework} fetches it itself"
    one = need(check)
    if one is None:
        return check.reason
    if one.row.repository or one.row.mirror:
        return f"speedtest models pull {one.row.network}"
    return f"fetch it from {one.row.url}"
