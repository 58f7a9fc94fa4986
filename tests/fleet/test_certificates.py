"""Certificates, settings and packages: what a machine of a fleet has, and what it refuses."""

from __future__ import annotations

import datetime
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from conftest import Call
from fleet.conftest import new_fleet, new_node
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.fleet import certificates
from mac_whisper_speedtest.fleet import settings as fleet_settings
from mac_whisper_speedtest.fleet.settings import FleetSettings, Part


@pytest.fixture
def fleet(tmp_path: Path) -> FleetSettings:
    return new_fleet(tmp_path / "first" / "fleet", "10.0.0.5")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command line's fleet is in this folder, and so is what it writes."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def verify(settings: FleetSettings, part: Part) -> None:
    """As strictly as RFC 5280 has it."""
    authority = x509.load_pem_x509_certificate(settings.authority.read_bytes())
    certificate = x509.load_pem_x509_certificate(settings.certificate(part).read_bytes())
    policy = PolicyBuilder().store(Store([authority]))
    policy.build_client_verifier().verify(certificate, [])
    name = certificate.subject.rfc4514_string().removeprefix("CN=")
    policy.build_server_verifier(x509.DNSName(name)).verify(certificate, [])


@pytest.mark.parametrize("part", Part)
def test_a_certificate_is_one_of_this_fleet_only(
    fleet: FleetSettings, part: Part, tmp_path: Path
) -> None:
    verify(fleet, part)

    other = new_fleet(tmp_path / "other", "10.0.0.5")
    shutil.copy(other.authority, fleet.authority)
    with pytest.raises(VerificationError):
        verify(fleet, part)


def test_no_other_user_can_read_a_key(home: Path, speedtest: Call) -> None:
    assert speedtest("fleet", "init", "10.0.0.5", "--node", "mini").code == 0
    node = new_node(fleet_settings.load(), "studio", home / "studio")

    private = [
        path
        for path in (*home.rglob("*"), *node.folder.rglob("*"))
        if path.is_file() and (path.suffix == ".zip" or b"PRIVATE KEY" in path.read_bytes())
    ]
    assert len({*private}) == 7
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
    assert {each.stat().st_mode & 0o777 for each in (home / "fleet", node.folder)} == {0o700}


def test_a_key_that_others_can_read_is_not_used(fleet: FleetSettings) -> None:
    fleet.certificate(Part.NODE).chmod(0o644)

    with pytest.raises(UsageError, match="others can read") as error:
        fleet.own_certificate(Part.NODE)
    assert "chmod 600" in error.value.hint


def test_a_second_fleet_does_not_replace_the_first(home: Path, speedtest: Call) -> None:
    speedtest("fleet", "init", "10.0.0.5")
    before = {path: path.read_bytes() for path in home.rglob("*.*")}

    answer = speedtest("fleet", "init", "10.0.0.6")

    assert answer.code == 2
    assert "belongs to a fleet already" in answer.err
    assert "--node NAME" in answer.err
    assert {path: path.read_bytes() for path in home.rglob("*.*")} == before


def test_a_package_is_not_replaced(home: Path, speedtest: Call) -> None:
    speedtest("fleet", "init", "10.0.0.5", "--node", "mini")

    answer = speedtest("fleet", "init", "--node", "mini")

    assert answer.code == 2
    assert "fleet-mini.zip is there already" in answer.err


def test_only_the_first_machine_adds_others(fleet: FleetSettings, tmp_path: Path) -> None:
    node = new_node(fleet, "mini", tmp_path / "mini")

    assert not node.authority_key.exists()
    with pytest.raises(UsageError, match="cannot make certificates here"):
        certificates.issue(node, "another")


def test_a_package_makes_a_machine_a_node(fleet: FleetSettings, tmp_path: Path) -> None:
    node = new_node(fleet, "mini-m4", tmp_path / "mini" / "fleet")

    assert fleet_settings.load(node.folder) == node
    assert (node.name, node.scheduler) == ("mini-m4", "tls://10.0.0.5:8786")
    verify(node, Part.NODE)
    with pytest.raises(UsageError, match="no certificate as client"):
        node.own_certificate(Part.CLIENT)


def test_a_package_of_another_fleet_is_refused_and_one_of_the_same_renews(
    fleet: FleetSettings, tmp_path: Path
) -> None:
    node = new_node(fleet, "mini", tmp_path / "mini")
    before = node.certificate(Part.NODE).read_bytes()
    other = new_fleet(tmp_path / "other", "10.0.0.6")

    with pytest.raises(UsageError, match="another fleet"):
        new_node(other, "mini", shutil.copytree(node.folder, tmp_path / "copy"))
    (tmp_path / "mini.zip").unlink()
    new_node(fleet, "mini", node.folder)

    assert node.certificate(Part.NODE).read_bytes() != before


def test_the_first_machine_is_not_made_a_node_only(fleet: FleetSettings) -> None:
    with pytest.raises(UsageError, match="another fleet"):
        new_node(fleet, "mini", fleet.folder)
    assert fleet.authority_key.exists()


@pytest.mark.parametrize("change", ["no zip", "more", "less", "outside", "twice", "settings"])
def test_what_is_no_package_is_refused(fleet: FleetSettings, tmp_path: Path, change: str) -> None:
    package = tmp_path / "given.zip"
    contents = list(fleet_settings.package_of(fleet, "mini", b"certificate").items())
    contents = {
        "more": [*contents, ("more", b"")],
        "less": contents[1:],
        "outside": [*contents[1:], ("../fleet.toml", b"")],
        "twice": [*contents, contents[0]],
        "settings": [("fleet.toml", b"format = 1\nscheduler = 'tcp://x:1'"), *contents[1:]],
    }.get(change, contents)
    with warnings.catch_warnings(), zipfile.ZipFile(package, "w") as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, content in contents:
            archive.writestr(name, content)
    if change == "no zip":
        package.write_bytes(b"PK")

    with pytest.raises(UsageError):
        fleet_settings.install_package(package, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_certificates_that_end_soon_are_named_with_what_helps(
    fleet: FleetSettings, tmp_path: Path
) -> None:
    node = new_node(fleet, "mini", tmp_path / "mini")
    ends = certificates.valid_until(node.certificate(Part.NODE))

    def said(settings: FleetSettings, days: int) -> list[str]:
        return certificates.ending(settings, ends - datetime.timedelta(days=days))

    assert said(node, 31) == []
    (soon,) = said(node, 29)
    assert f"as node ends on {ends:%Y-%m-%d}" in soon
    assert "speedtest fleet init --node mini" in soon
    (ended,) = said(node, -1)
    assert "as node ended on" in ended
    assert len(said(fleet, 29)) == len(Part)
    assert all("--renew" in line for line in said(fleet, 29))


def test_certificates_are_renewed(home: Path, speedtest: Call) -> None:
    settings = new_fleet(home / "fleet")
    certificates.renew(settings, days=3)

    assert "ends on" in speedtest("fleet", "init", "--node", "mini").err
    assert speedtest("fleet", "init", "--renew").err == ""

    assert certificates.ending(settings) == []
    verify(settings, Part.SCHEDULER)


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("10.0.0.5", "tls://10.0.0.5:8786"),
        ("mini.local:9000", "tls://mini.local:9000"),
        ("tls://[fe80::1]", "tls://[fe80::1]:8786"),
        ("tcp://10.0.0.5", "TLS only"),
        ("0.0.0.0", "listens on one"),
        ("10.0.0.5:99999", "no address"),
        ("me:secret@host", "no address"),
        ("", "no address"),
    ],
)
def test_an_address_is_one_machine_and_tls(typed: str, address: str) -> None:
    if address.startswith("tls://"):
        assert fleet_settings.checked_address(typed) == address
    else:
        with pytest.raises(UsageError, match=address):
            fleet_settings.checked_address(typed)


@pytest.mark.parametrize("text", ["", "format = 1", "format = 2", "format =", "[" * 9000, "\0"])
def test_settings_of_another_hand_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "fleet.toml").write_text(text, encoding="utf-8")

    with pytest.raises(UsageError):
        fleet_settings.load(tmp_path)


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "x" * 65, 'a"\n'])
def test_a_name_that_is_none_is_refused(home: Path, speedtest: Call, name: str) -> None:
    speedtest("fleet", "init", "10.0.0.5")

    answer = speedtest("fleet", "init", f"--node={name}")

    assert answer.code == 2
    assert list(home.glob("*.zip")) == []


_WITHOUT_THE_EXTRA = """
import sys
sys.modules.update(dict.fromkeys(("distributed", "dask", "fsspec", "cryptography")))
from mac_whisper_speedtest import cli
for command in ("init 10.0.0.5", "serve", "join", "status", "drain mini", "collect",
                "run --model tiny.en --to bundles"):
    sys.argv = ["speedtest", "fleet", *command.split()]
    print(command, cli.main())
"""


def test_without_the_extra_one_line_says_what_to_install(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_THE_EXTRA], capture_output=True, text=True, check=True
    )

    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["2"] * 7
    assert done.stderr.splitlines() == 7 * [
        "speedtest: error: a fleet needs the packages distributed, fsspec, cryptography",
        "  hint: pip install 'mac-whisper-speedtest[fleet]'",
    ]


def test_a_machine_without_a_fleet_is_told_how_to_get_one(home: Path, speedtest: Call) -> None:
    answer = speedtest("fleet", "serve")

    assert answer.code == 2
    assert "speedtest fleet init ADDRESS" in answer.err
