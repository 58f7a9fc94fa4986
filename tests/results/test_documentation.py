"""docs/reference/words.md has every reading and condition that is written, with its unit."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from mac_whisper_speedtest import reference
from mac_whisper_speedtest.declared import Doc, Word, declarations
from mac_whisper_speedtest.errors import ErrorClass
from mac_whisper_speedtest.machine.conditions import Conditions
from mac_whisper_speedtest.machine.probe import Quality
from mac_whisper_speedtest.reference.structs import spoken_name
from mac_whisper_speedtest.results.schema.measured import LoadRung
from mac_whisper_speedtest.results.schema.words import FindingKind
from mac_whisper_speedtest.stats.ranking import Verdict
from mac_whisper_speedtest.worker.exit_status import Status
from mac_whisper_speedtest.worker.protocol import Allocator

PAGE = reference.PAGES["words.md"]()


@pytest.mark.parametrize(
    "kind", [Status, ErrorClass, Verdict, FindingKind, LoadRung, Quality, Allocator]
)
def test_every_word_has_a_meaning_and_a_row(kind: type[Word]) -> None:
    section = PAGE.partition(f"### {spoken_name(kind)}\n")[2].partition("\n### ")[0]
    assert re.findall(r"^\| `([^`]+)` \| .", section, re.MULTILINE) == list(kind)
    assert all(each.meaning for each in kind)


def test_every_finding_says_what_to_do() -> None:
    assert all(each.action for each in FindingKind)


def test_every_condition_of_the_machine_is_declared_in_order() -> None:
    known = [each.name for each in fields(Conditions) if each.name != "unknown"]
    assert list(declarations(Conditions, Doc)) == known
