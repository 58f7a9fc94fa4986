"""Models outside the catalog: one spelling, one folder each, and nothing known but that."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.errors import UsageError

COMMIT = "c0ffee" + "0" * 34
SPEC = f"org/na.me_x-1@{COMMIT}"


def test_a_repository_at_a_commit_is_a_whisper_model_with_the_longest_time_outs() -> None:
    model = catalog.model(SPEC)
    assert model.name == SPEC
    assert model.family == catalog.WHISPER
    assert model.size_class == catalog.model("large-v3").size_class
    assert not model.english_only
    assert model.network_sha256 is None


@pytest.mark.parametrize(
    "text",
    [
        "openai/whisper-tiny",
        "openai/whisper-tiny@main",
        "openai/whisper-tiny@v1.0",
        f"openai/whisper-tiny@{COMMIT[:12]}",
        f"../{SPEC}",
        f"org/../x@{COMMIT}",
        f"/etc/passwd@{COMMIT}",
        f"org\\name@{COMMIT}",
        f"org/na\0me@{COMMIT}",
        f"org/a--b@{COMMIT}",
    ],
)
def test_anything_looser_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        catalog.model(text)
    assert "org/name@REVISION, with the 40 hexadecimal digits" in caught.value.hint


def test_its_folder_is_one_part_of_a_path_and_nobody_else_s() -> None:
    other = "d" * 40
    specs = [
        SPEC,
        f"org/na.me_x-1@{other}",
        f"org/na.me-x_1@{COMMIT}",
        f"org-na/me_x-1@{COMMIT}",
        f"a/{'n' * 94}@{COMMIT}",
    ]
    folders = [catalog.parse_custom(spec).folder for spec in specs]
    assert len(set(folders)) == len(specs)
    assert not set(folders) & set(catalog.models())
    for folder in folders:
        assert PurePosixPath(folder).parts == (folder,)
        assert "\\" not in folder
        assert not folder.startswith(".")
        assert len(folder.encode()) <= 200


def test_no_canonical_name_is_taken_for_one() -> None:
    assert not any(catalog.is_custom(name) for name in catalog.models())
