"""Kinds of findings, each with its meaning and what to do about it."""

from __future__ import annotations

from mac_whisper_speedtest.declared import Word


class FindingKind(Word):
    """What a reader must know beside a number, and what to do about it."""

    CONTRACT = (
        "contract",
        "it did other work than requested, or its reports contradict each other",
        "compare it only with backends of its group; `speedtest backends contract` shows why",
    )
    DEVICE = (
        "device",
        "it ran on another device than requested, or on the CPU beside a usable GPU",
        "`speedtest doctor`; name the device with `--device`",
    )
    PRECISION = (
        "precision",
        "it computed in another precision than requested, or in several",
        "name one that it has: `--precision`",
    )
    TEXT = (
        "text",
        "the same audio gave different texts",
        "`speedtest diff` shows where",
    )
    LOOP = "loop", "a transcript repeats itself more than the reference does", "listen, and read it"
    SILENCE = "silence", "words where nothing is to be heard", "read the text of these recordings"
    FAILED = "failed", "recordings without a text", "read the message; try them with `--audio`"
    CLOCK = (
        "clock",
        "its own time differs from the tool's, or it went on computing after its answer",
        "do not trust its speed; report it to the backend's author",
    )
    FIRST_CALL = (
        "first call",
        "a first call took more than twice the usual, and 0.25 s more",
        "expect this at the start of every process; it is in no median",
    )
    THREADS = (
        "threads",
        "it used more cores than requested, or a Mac's efficiency cores",
        "give `--threads` to all, or run it in the foreground",
    )
    DRIFT = (
        "drift",
        "its speed changes by more than 10 % over samples or rounds, and not by chance",
        "let the machine cool down; more `--rounds`",
    )
    MEMORY = (
        "memory",
        "its peak memory depends on the number of calls",
        "expect it to grow",
    )
    EXIT = "exit", "the process crashed or hung after its last answer", "nothing: its samples stand"
    CRASH = "crash", "processes died, and later attempts did the rest", "read how they ended"
    RESUMED = "resumed", "rounds in which the run was interrupted and resumed", "nothing"
    SAMPLES = (
        "samples",
        "fewer timed samples than requested: the cell's time was used up",
        "a longer `--max-time`",
    )
    UNREACHED = (
        "unreached",
        "recordings that the cell never came to; they count in no figure",
        "`--resume`, or a longer `--max-time`",
    )
    OUTLIER = "outlier", "samples that stand out, with the likeliest cause; they count", "nothing"
    DISTURBED = (
        "disturbed",
        "other programs took the processor, or memory was swapped out, during samples",
        "close other programs, and run again if samples count although disturbed",
    )
    MACHINE = (
        "machine",
        "rounds in which the machine was not what it was before",
        "plug it in, let it cool down, and run again if they count",
    )
    PLACEMENT = (
        "placement",
        "another text than the same backend gives on another device or in another precision",
        "compare the two with `speedtest diff`",
    )
