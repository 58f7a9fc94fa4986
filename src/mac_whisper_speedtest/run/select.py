"""Which backends a run measures: those that it names, else those that can run its models here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends.backend import GPU, Backend
from mac_whisper_speedtest.errors import ExitCode, UsageError, WeightsMissingError, nearest_names
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.printable import duration_text
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.request import Request
from mac_whisper_speedtest.results.cells import counted
from mac_whisper_speedtest.run.prepare import impossible
from mac_whisper_speedtest.weights import check, custom, pull
from mac_whisper_speedtest.worker.launch import is_installed


class WeightsNeededError(WeightsMissingError):
    """No cell has weights on this machine, and they can be fetched."""

    exit_code = ExitCode.WEIGHTS_MISSING


def measurable(
    request: Request, backends: Sequence[Backend], *, notify: Callable[[str], None]
) -> tuple[Backend, ...]:
    """The backends to measure; with ``pull``, after their missing weights were fetched.

    A request that names its backends gets all of them: those not installed and those without
    weights are results, too. Else those are left out in a line, and networks of another family
    without one.

    Raises:
        UsageError: a named backend has no such device or precision, none is installed, or the
            reference is none of them.
        WeightsNeededError: no backend that can run here has weights.
        DownloadError: weights could not be fetched.
        StorageError: there is no room for them.
    """
    if request.backends:
        found = list(backends)
        for backend in found:
            if problem := _problem(backend, request):
                raise UsageError(f"{backend.label} {problem}", hint=_SHOWS.format(backend.name))
    else:
        _require_known(request, backends)
        found = list(_installed(request, backends, notify))
    labels = [each.label for each in found]
    if request.reference_backend not in {None, *labels}:
        raise UsageError(
            f"--reference is {request.reference_backend!r}, which this run does not measure",
            hint=f"it measures {', '.join(labels)}",
        )
    # Weights help only backends that can run here; the others are reported with what they lack.
    running = [each for each in found if is_installed(each)] if request.backends else found
    checks = _checks(request, running)
    if request.pull:
        for need in check.cost(each for of in checks.values() for each in of).needs:
            pull.pull_row(need.row, notify=notify)
        for model in filter(catalog.is_custom, request.models):
            pull.pull_custom(catalog.parse_custom(model), notify=notify)
        return tuple(found)
    lacking = [
        each for each in running if checks[each.label] and all(map(check.needs, checks[each.label]))
    ]
    if running and len(lacking) == len(running):
        cost = check.cost(each for of in checks.values() for each in of)
        raise _needed(request, cost)
    if request.backends or not lacking:
        return tuple(found)
    names = ", ".join(each.label for each in lacking)
    notify(f"no weights for {names}: add --pull to fetch them")
    return tuple(each for each in found if each not in lacking)


_SHOWS = "speedtest backends info {} shows what it can do"


def _problem(backend: Backend, request: Request) -> str:
    """Why a backend cannot meet a request's device or precision; empty if it can."""
    infos = (backend.model_info(model, request.precision) for model in request.models)
    return next(filter(None, (impossible(backend, info, request) for info in infos)), "")


def _require_known(request: Request, backends: Sequence[Backend]) -> None:
    """Refuse a device or a precision that none of the backends has, if all declare theirs."""
    here = [each for each in backends if each.made_for_here()]
    for what, asked, names in (
        ("device", request.device, [each.devices for each in here]),
        ("precision", request.precision, [_precisions(each) for each in here]),
    ):
        known = {"auto", GPU} if what == "device" else {"auto"}
        known.update(*names)
        if asked not in known and all(names):
            hint = nearest_names(asked, sorted(known), listed_by="speedtest backends info NAME")
            raise UsageError(f"no backend has the {what} {asked!r}", hint=hint)


def _precisions(backend: Backend) -> tuple[str, ...]:
    """The precisions it computes in, and those its weights can be converted to."""
    kind = catalog.weights_formats().get(backend.weights_format)
    return (*backend.precisions, *(kind.converts_to if kind else ()))


def _installed(
    request: Request, backends: Sequence[Backend], notify: Callable[[str], None]
) -> Iterator[Backend]:
    """The installed backends for the models themselves."""
    others: list[str] = []
    left_out: list[str] = []
    fitting = 0
    for backend in backends:
        if not any(backend.network_for(model) == model for model in request.models):
            continue
        refused = backend.refuses(request.decode_contract)
        if backend.broken:
            left_out.append(f"{backend.label} ({scrub(backend.broken)})")
        elif not is_installed(backend):
            others.append(backend.label)
        elif refused is not None:
            always = f"{refused.setting} is always {refused.effective}"
            left_out.append(f"{backend.label} ({always})")
        elif problem := _problem(backend, request):
            left_out.append(f"{backend.label} ({problem})")
        else:
            fitting += 1
            yield backend
    if left_out:
        notify(f"left out: {'; '.join(left_out)}")
    if others and fitting:
        more = counted(len(others), "more backend")
        notify(f"{more} can be installed: speedtest backends install --all")
    if not fitting:
        raise UsageError(
            f"no backend that can run {', '.join(request.models)} like this is installed"
            if others
            else f"none of the backends can run {', '.join(request.models)} like this",
            hint="speedtest backends install --all" if others else "speedtest backends list",
        )


def _checks(request: Request, backends: Sequence[Backend]) -> dict[str, list[check.WeightsCheck]]:
    """Label → the state, by names and sizes, of the weights of each of its cells."""
    cache = check.CacheCheck()
    found: dict[str, list[check.WeightsCheck]] = {}
    for backend in backends:
        networks = dict.fromkeys(filter(None, map(backend.network_for, request.models)))
        infos = [backend.model_info(each, request.precision) for each in networks]
        found[backend.label] = [cache.check(custom.with_listing(info)) for info in infos]
    return found


def _needed(request: Request, cost: check.Cost) -> WeightsNeededError:
    models = ", ".join(request.models)
    known = [megabytes(cost.known_bytes)] if cost.known_bytes else []
    unknown = [f"{cost.unknown} of unknown size"] if cost.unknown else []
    size = f": {' and '.join([*known, *unknown])} to fetch" if known or unknown else ""
    time = f", about {duration_text(cost.seconds)} at the usual rate" if cost.seconds else ""
    # For a backend with its own network, that network must be fetched.
    commands = dict.fromkeys(need.row.pull_command for need in cost.needs)
    fetch = "; ".join(commands) or f"speedtest models pull {' '.join(request.models)}"
    return WeightsNeededError(
        f"no weights for {models} are on this machine{size}{time}",
        hint=f"add --pull, or: {fetch}",
    )
