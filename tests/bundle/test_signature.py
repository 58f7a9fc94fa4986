"""A signature says that a key's owner stands by a bundle; with any other byte it is wrong."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import minisign
import pytest

from fakes.parks import machine
from fakes.runs import given
from mac_whisper_speedtest.bundle import signature, write
from mac_whisper_speedtest.bundle.container import BundleError
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.leaderboard import build, intake
from mac_whisper_speedtest.results.directory import RunDirectory


def _no_password() -> str:
    raise AssertionError("the key has none")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle without a signature."""
    write.write_bundle(given(tmp_path / "run", public=True), tmp_path / "x.zip")
    return tmp_path / "x.zip"


def signed(bundle: Path, key: Path) -> str:
    return signature.sign_bundle(bundle, key, password=_no_password)


def test_a_key_that_is_not_there_is_created_for_its_owner_alone(bundle: Path) -> None:
    key = bundle.parent / "keys" / "mine"
    public = signed(bundle, key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert signature.signer_of(bundle) == public
    assert signature.public_key(f"{key}.pub") == public == signature.public_key(public)
    assert signed(bundle, key) == public


def test_the_files_are_those_of_minisign(bundle: Path) -> None:
    signed(bundle, bundle.parent / "mine")
    public = minisign.PublicKey.from_file(bundle.parent / "mine.pub")
    public.verify_file(bundle)
    lines = Path(f"{bundle}.minisig").read_text().splitlines()
    assert [line.partition(": ")[0] for line in lines[::2]] == [
        "untrusted comment",
        "trusted comment",
    ]


def test_a_key_with_a_password_asks_for_it(bundle: Path) -> None:
    key = bundle.parent / "mine"
    pair = minisign.KeyPair.generate()
    pair.secret_key.encrypt("hunter2", opslimit=32768, memlimit=1 << 20)
    key.write_bytes(bytes(pair.secret_key))
    public = signature.sign_bundle(bundle, key, password=lambda: "hunter2")
    assert signature.signer_of(bundle) == public
    with pytest.raises(UsageError, match="wrong password"):
        signature.sign_bundle(bundle, key, password=lambda: "hunter3")


def test_a_bundle_without_a_signature_has_no_signer(bundle: Path) -> None:
    assert signature.signer_of(bundle) == ""


def test_another_byte_makes_it_wrong(bundle: Path) -> None:
    signed(bundle, bundle.parent / "mine")
    bundle.write_bytes(bundle.read_bytes() + b"\0")
    with pytest.raises(BundleError, match="its signature is wrong"):
        signature.signer_of(bundle)


def test_a_key_that_was_named_afterwards_makes_it_wrong(bundle: Path) -> None:
    mine = signed(bundle, bundle.parent / "mine")
    text = Path(f"{bundle}.minisig").read_text()
    other = signed(bundle, bundle.parent / "other")
    Path(f"{bundle}.minisig").write_text(text.replace(mine, other))
    with pytest.raises(BundleError, match="its signature is wrong"):
        signature.signer_of(bundle)


@pytest.mark.parametrize("text", ["", "x", "a\nb\nc\nd\n", "\0" * 100_000])
def test_what_is_no_signature_is_wrong(bundle: Path, text: str) -> None:
    Path(f"{bundle}.minisig").write_text(text)
    with pytest.raises(BundleError, match="its signature is wrong"):
        signature.signer_of(bundle)


def test_without_the_library_the_command_to_type_is_named(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed(bundle, bundle.parent / "mine")
    monkeypatch.setitem(sys.modules, "minisign", None)
    with pytest.raises(UsageError, match="py-minisign") as error:
        signature.signer_of(bundle)
    assert "mac-whisper-speedtest[sign]" in error.value.hint
    with pytest.raises(UsageError, match="py-minisign"):
        signed(bundle, bundle)


def _bundled(folder: Path, number: int, key: Path | None, *, times: float = 1.0) -> Path:
    run = machine(number, rounds=2, passes=1, times=times).write(folder / f".{number}")
    path = folder / f"{number}.zip"
    write.write_bundle(RunDirectory(run), path)
    if key is not None:
        signed(path, key)
    return path


def test_several_bundles_of_one_key_count_once_in_a_row(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    paths = [_bundled(tmp_path, number, mine) for number in (1, 2, 3)]
    paths.append(_bundled(tmp_path, 4, None, times=1.02))
    paths.append(_bundled(tmp_path, 5, tmp_path / "other"))

    found = intake.read_bundles(paths)

    assert len({each.signer for each in found.accepted}) == 3
    (board,) = build.build_leaderboard(found.accepted).boards
    for row in board.groups[0].rows:
        assert row.rtfx is not None
        assert (len(row.rtfx.values), row.runs_ok, len(row.bundles)) == (3, 5, 5)


def test_a_bundle_with_a_wrong_signature_is_on_no_leaderboard(tmp_path: Path) -> None:
    path = _bundled(tmp_path, 1, tmp_path / "mine")
    _bundled(tmp_path, 2, tmp_path / "mine")
    Path(f"{path}.minisig").write_bytes((tmp_path / "2.zip.minisig").read_bytes())
    found = intake.read_bundles([path, tmp_path / "2.zip"])
    assert [each.name for each in found.refused] == ["1.zip"]
    assert "its signature is wrong" in found.refused[0].reason
