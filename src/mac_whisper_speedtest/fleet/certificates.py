"""The certificates of a fleet: an authority of its own, and one certificate for each part.

Keys are P-256. The authority signs nothing but this fleet's certificates, and its key never leaves
the machine of ``speedtest fleet init``. Anyone who holds a certificate can run code on every
machine of the fleet (Dask unpickles what members send), so there is one rank of member only.
"""

from __future__ import annotations

import datetime
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.fleet import settings as fleet_settings
from mac_whisper_speedtest.fleet.settings import FleetSettings, Part

AUTHORITY_DAYS = 3650
DAYS = 730
"""A certificate cannot be withdrawn, so it ends by itself."""
WARNING_DAYS = 30
_CLOCK_DAYS = 1
"""How much a clock may be late: certificates are valid from a day before they are made."""


def create_fleet(scheduler: str, folder: Path | None = None) -> FleetSettings:
    """A new fleet: its authority, and certificates of every part for this machine.

    Raises:
        UsageError: this machine belongs to a fleet already.
        StorageError: a file cannot be written.
    """
    folder = folder or fleet_settings.default_folder()
    if (folder / "fleet.toml").exists():
        raise UsageError(
            f"this machine belongs to a fleet already: {folder}",
            hint="speedtest fleet init --node NAME adds a machine to it",
        )
    settings = FleetSettings(
        folder, fleet_settings.checked_address(scheduler), f"node-{secrets.token_hex(3)}"
    )
    with files.storage_errors(f"create {folder}"):
        files.private_folder(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name_of(f"speedtest fleet {secrets.token_hex(4)}")
    authority = (
        _builder(name, name, key.public_key(), key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    files.write_bytes(settings.authority_key, _key_pem(key))
    files.write_bytes(settings.authority, authority.public_bytes(serialization.Encoding.PEM))
    renew(settings)
    fleet_settings.save(settings)
    return settings


def renew(settings: FleetSettings, days: int = DAYS) -> None:
    """Make new certificates of every part for this machine.

    Raises:
        UsageError: the authority's key is not here.
        StorageError: a file cannot be written.
    """
    for part in Part:
        subject = settings.name if part is Part.NODE else part.value
        files.write_bytes(settings.certificate(part), issue(settings, subject, days))


def issue(settings: FleetSettings, subject: str, days: int = DAYS) -> bytes:
    """A new key and its certificate, in PEM.

    Args:
        settings: of the machine that has the authority's key.
        subject: whom it is for: a node's name, or a part.
        days: for how long it is valid.

    Raises:
        UsageError: the authority's key is not here.
    """
    try:
        signing = serialization.load_pem_private_key(settings.authority_key.read_bytes(), None)
        authority = x509.load_pem_x509_certificate(settings.authority.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot make certificates here: {error}",
            hint="do it on the machine where speedtest fleet init ADDRESS was called",
        ) from error
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name_of(subject), authority.subject, key.public_key(), signing.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        # Both: in Dask a node listens too.
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        .sign(signing, hashes.SHA256())
    )
    return _key_pem(key) + certificate.public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    days: int,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=max(_CLOCK_DAYS, 1 - days)))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
        )
    )


def _name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def valid_until(path: Path) -> datetime.datetime:
    """When the certificate in a file ends. Raises UsageError for a file without one."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the certificate {path}: {error}") from error


def ending(settings: FleetSettings, now: datetime.datetime | None = None) -> list[str]:
    """A line for each certificate of this machine that ends within `WARNING_DAYS`, or has ended."""
    now = now or datetime.datetime.now(datetime.UTC)
    soon = now + datetime.timedelta(days=WARNING_DAYS)
    how = f"where the fleet began: speedtest fleet init --node {settings.name}"
    if settings.authority_key.exists():
        how = "speedtest fleet init --renew"
    lines = [
        f"the certificate as {part} {_ends(until, now)}; {how}"
        for part in Part
        if settings.certificate(part).exists()
        and (until := valid_until(settings.certificate(part))) < soon
    ]
    if (until := valid_until(settings.authority)) < soon:
        lines.append(f"the fleet's authority {_ends(until, now)}; begin a new fleet")
    return lines


def _ends(until: datetime.datetime, now: datetime.datetime) -> str:
    return f"{'ended' if until <= now else 'ends'} on {until:%Y-%m-%d}"
