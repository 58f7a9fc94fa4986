"""Signatures of bundles: minisign's (Ed25519), in a file ``x.zip.minisig`` next to ``x.zip``.

The format is minisign's (https://jedisct1.github.io/minisign/), so its own program makes keys and
verifies these files too. The trusted comment, which is signed too, contains the public key, so a
bundle can be verified without knowing the signer. A valid signature shows that the owner of the key
signed these bytes; it shows neither who that is nor whether the content is true.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mac_whisper_speedtest import files
from mac_whisper_speedtest.bundle.container import BundleError
from mac_whisper_speedtest.errors import StorageError, UsageError

SUFFIX = ".minisig"
_LARGEST = 16 << 10
"""Most bytes of a signature or a key: minisign's comments have at most 8192 characters."""
_OWN_KEY = re.compile(r"(?:\A|\s)speedtest-key:([A-Za-z0-9+/=]{56})(?:\s|\Z)")


def signature_path(bundle: Path) -> Path:
    """Where the signature of a bundle is."""
    return bundle.with_name(bundle.name + SUFFIX)


def sign_bundle(bundle: Path, key: Path, *, password: Callable[[], str]) -> str:
    """Write the signature of ``bundle`` next to it.

    Args:
        bundle: the file.
        key: minisign's secret key. If there is no such file, a key without a password is created,
            readable only for its owner, and its public key next to it (``.pub``).
        password: asked for if the key has one.

    Returns:
        The public key, in base64.

    Raises:
        UsageError: the key cannot be used.
        StorageError: a file cannot be read or written.
    """
    minisign = _library()
    if not key.exists():
        _create_key(minisign, key)
    try:
        secret = minisign.SecretKey.from_bytes(_read(key))
        if secret.is_encrypted():
            secret.decrypt(password())
        public: str = secret.get_public_key().to_base64().decode()
        with bundle.open("rb") as stream:
            signed = secret.sign(
                stream,
                untrusted_comment="signature of a bundle of mac-whisper-speedtest",
                trusted_comment=f"file:{_ascii(bundle.name)} speedtest-key:{public}",
            )
    except minisign.Error as error:
        raise UsageError(
            f"cannot sign with {key}: {error}", hint="name a secret key file of minisign"
        ) from error
    except OSError as error:
        raise StorageError(f"cannot read {bundle}: {error.strerror}") from error
    files.write_bytes(signature_path(bundle), bytes(signed) + b"\n")
    return public


def signer_of(bundle: Path) -> str:
    """The public key of a bundle's signature, in base64; empty if it has no signature.

    Raises:
        BundleError: the signature is not of this file, or not by the key that it names.
        UsageError: the library for signatures is not installed.
        StorageError: a file cannot be read.
    """
    path = signature_path(bundle)
    if not path.is_file():
        return ""
    minisign = _library()
    try:
        found = minisign.Signature.from_bytes(_read(path))
        named = _OWN_KEY.search(found.trusted_comment)
        if named is None:
            raise BundleError(
                f"its signature does not name its key; check it with minisign -V -m {bundle.name}"
            )
        with bundle.open("rb") as stream:
            minisign.PublicKey.from_base64(named[1]).verify(stream, found)
    # ValueError, by cryptography: the key is not a point on the curve.
    except (minisign.Error, ValueError) as error:
        raise BundleError(f"its signature is wrong: {error}") from error
    except OSError as error:
        raise StorageError(f"cannot read {bundle}: {error.strerror}") from error
    return named[1]


def public_key(text: str) -> str:
    """A public key in base64, from base64 or a minisign file.

    Raises:
        UsageError: it is neither.
    """
    minisign = _library()
    try:
        if Path(text).is_file():
            text = minisign.PublicKey.from_bytes(_read(Path(text))).to_base64().decode()
        minisign.PublicKey.from_base64(text)
    except minisign.Error as error:
        raise UsageError(
            f"{text} is not a public key of minisign: {error}",
            hint="name a .pub file or its second line",
        ) from error
    return text


def _create_key(minisign: Any, path: Path) -> None:
    pair = minisign.KeyPair.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(bytes(pair.secret_key) + b"\n")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
    files.write_bytes(path.with_name(path.name + ".pub"), bytes(pair.public_key) + b"\n")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_LARGEST).rstrip()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error


def _ascii(name: str) -> str:
    """A file's name in characters that a comment can have."""
    return "".join(each if "!" <= each <= "~" else "_" for each in name)


def _library() -> Any:
    try:
        import minisign
    except ImportError as error:
        raise UsageError(
            "signatures of bundles need the package py-minisign",
            hint="pip install 'mac-whisper-speedtest[sign]'",
        ) from error
    return minisign
