"""Looking at everything, at the same time where that disturbs nothing, and putting it in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from mac_whisper_speedtest.doctor import (
    accelerators,
    gpu,
    interpreter,
    load,
    memory,
    microphone,
    network,
    packages,
    power,
    storage,
    system,
    thermal,
    tools,
)
from mac_whisper_speedtest.doctor.lines import Checkup, Line, Section, unknown
from mac_whisper_speedtest.machine.reader import Reader, Unknown
from mac_whisper_speedtest.privacy import scrub

_AT_ONCE = 8  # nearly all of them wait for a program


def examine(reader: Reader | None = None, *, quick: bool = False, online: bool = False) -> Checkup:
    """Look at this machine. No probe that fails ends it; what it would have said is "not known".

    Args:
        reader: where answers come from; by default this machine.
        quick: do not start the backends' interpreters to ask which accelerators they see.
        online: ask the hub; without it nothing is sent anywhere.
    """
    reader = reader or Reader()
    # Before anything else is started, which would be seen as load.
    busy = _guarded("background load", lambda: load.look(reader))
    uv = tools.find_uv()
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        return _together(reader, busy, uv, pool, quick=quick, online=online)
    finally:
        reader.stop()
        pool.shutdown(cancel_futures=True)


def _together(
    reader: Reader,
    busy: list[Line],
    uv: str | Unknown,
    pool: ThreadPoolExecutor,
    *,
    quick: bool,
    online: bool,
) -> Checkup:
    def begin(topic: str, look: Callable[[], Iterable[Line]]) -> Future[list[Line]]:
        return pool.submit(_guarded, topic, look)

    gpus = pool.submit(_gpus, reader)
    backends = begin("backends", lambda: _backends(reader, gpus, pool, quick=quick))
    hub = begin("hub", lambda: [network.look() if online else network.not_asked()])
    programs = begin("uv", lambda: tools.look(reader, uv))
    microphones = begin("microphone", lambda: microphone.look(reader))
    kept = begin("tool cache", lambda: _storage(storage.folders(reader, uv), pool))
    conflicts = begin("packages", lambda: [packages.look()])
    machine = [
        *_guarded("python", lambda: interpreter.look(reader)),
        *_guarded("system", lambda: system.look(reader)),
        *_guarded("memory", lambda: memory.look(reader)),
    ]
    quiet = [
        *_guarded("power source", lambda: power.look(reader)),
        *_guarded("thermal state", lambda: thermal.look(reader)),
        *busy,
    ]
    return Checkup(
        (
            _section("machine", [*machine, *gpus.result().lines]),
            _section("quiet", quiet),
            _section("backends", backends.result()),
            _section("storage", kept.result()),
            _section(
                "software",
                [
                    *conflicts.result(),
                    *programs.result(),
                    *microphones.result(),
                    *hub.result(),
                ],
            ),
        )
    )


def _backends(
    reader: Reader, gpus: Future[gpu.Gpus], pool: ThreadPoolExecutor, *, quick: bool
) -> list[Line]:
    places = accelerators.places()
    if quick:
        return accelerators.judge(places, accelerators.Asked(asked=False), gpus.result().kinds)
    keys = {place.key for place in places if place.question}
    answers = {key: pool.submit(accelerators.ask, reader, key) for key in keys}
    asked = accelerators.Asked({key: answer.result() for key, answer in answers.items()})
    return accelerators.judge(places, asked, gpus.result().kinds)


def _storage(folders: Sequence[storage.Folder], pool: ThreadPoolExecutor) -> list[Line]:
    """One line per folder, all counted at the same time, and one per disk."""

    def one(folder: storage.Folder) -> list[Line]:
        return _guarded(folder.topic, lambda: [storage.look(folder)])

    sizes = [pool.submit(one, folder) for folder in folders]
    disks = _guarded("disk", lambda: storage.disks(folders))
    return [*(line for size in sizes for line in size.result()), *disks]


def _gpus(reader: Reader) -> gpu.Gpus:
    try:
        return gpu.look(reader)
    except Exception as error:  # noqa: BLE001 - as in _guarded
        return gpu.Gpus((unknown("gpu", f"{type(error).__name__}: {error}"),))


def _guarded(topic: str, look: Callable[[], Iterable[Line]]) -> list[Line]:
    """What ``look`` says; if it breaks on a machine nobody has tried, that costs its own lines."""
    try:
        return list(look())
    except Exception as error:  # noqa: BLE001 - see above
        return [unknown(topic, f"{type(error).__name__}: {error}")]


def _section(title: str, lines: Iterable[Line]) -> Section:
    """The lines without names, home folders and tokens, each on one line."""
    return Section(
        title,
        tuple(replace(line, seen=_clean(line.seen), next=_clean(line.next)) for line in lines),
    )


def _clean(text: str) -> str:
    return scrub(" ".join(text.split()))
