"""The English and the basic rules are OpenAI's own, compared in openai-whisper's environment."""

from __future__ import annotations

import itertools
import json
import random
import subprocess

import pytest

from mac_whisper_speedtest.accuracy import normalize
from mac_whisper_speedtest.audio import builtin
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.worker import launch

# Loads the rules alone: the package itself imports torch.
PROGRAM = """
import importlib.metadata, importlib.util, json, pathlib, sys
folder = pathlib.Path(importlib.util.find_spec("whisper").origin).parent / "normalizers"
spec = importlib.util.spec_from_file_location(
    "rules", folder / "__init__.py", submodule_search_locations=[str(folder)])
rules = sys.modules["rules"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rules)
english, basic = rules.EnglishTextNormalizer(), rules.BasicTextNormalizer()
texts = json.load(sys.stdin)
json.dump({
    "version": importlib.metadata.version("openai-whisper"),
    "replacers": list(english.replacers.items()),
    "english": [english(text) for text in texts],
    "basic": [basic(text) for text in texts],
}, sys.stdout)
"""
PHRASES = (
    *("cause", "because", "'cause", "kinda", "sorta", "dunno", "gonna", "wanna", "gotta", "lemme"),
    *("I'd've", "she's", "won't", "y'all", "Mr. Smith", "Dr. No", "Prof.", "St. Paul", "uh", "hmm"),
    *("colour", "mobilise", "grey", "theatre", "(laughs)", "[noise]", "<unk>", "café", "naïve"),
    *("twenty-one", "one hundred and five", "two point five million", "$3.50", "ten dollars"),
    *("1,000,000", "the 3rd", "nineteen eighty four", "double oh seven", "20%", "£12", "half past"),
    *("U.S.A.", "e.g.", "...", "—", "it 's", "o'clock", "ﬁne", "I", "said", "the", "sacred", "and"),
)


def texts() -> list[str]:
    chance = random.Random(9)
    made = [" ".join(chance.choices(PHRASES, k=chance.randrange(1, 12))) for _ in range(3_000)]
    pairs = [" ".join(pair) for pair in itertools.product(PHRASES, repeat=2)]
    spoken = [clip.reference for clip in builtin.builtin_clips().clips.values()]
    return [*made, *pairs, *spoken, *(each.upper() for each in spoken)]


def test_every_text_comes_out_as_from_openai_whisper_itself() -> None:
    (backend,) = registry.select(["openai-whisper"], registry.installed())
    python = launch.program(backend)
    if python is None:
        pytest.skip("openai-whisper is not installed")
    given = texts()

    done = subprocess.run(
        [python, "-c", PROGRAM], input=json.dumps(given), capture_output=True, text=True, check=True
    )

    theirs = json.loads(done.stdout)
    assert f"openai-whisper {theirs['version']} " in normalize.named("english").describe()
    for name in ("english", "basic"):
        rules = normalize.named(name)
        differing = [
            (text, rules(text), expected)
            for text, expected in zip(given, theirs[name], strict=True)
            if rules(text) != " ".join(expected.split())
        ]
        assert differing == []
