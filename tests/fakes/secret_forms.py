"""Secrets of every kind as they stand in logs, messages and addresses, made from a seed."""

from __future__ import annotations

import base64
import json
import random
import string
from dataclasses import dataclass
from urllib.parse import quote

_LETTERS = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"


@dataclass(frozen=True)
class FakeSecret:
    """A secret that a foreign text gives away.

    Attributes:
        kind: what it is.
        text: what is written, with the secret in it.
        parts: none of which may remain.
        variables: environment variables by which the tool can know it.
    """

    kind: str
    text: str
    parts: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()


def _random(rnd: random.Random, length: int, letters: str = _LETTERS) -> str:
    """Letters and digits, both of them, so that it is no word."""
    found = "".join(rnd.choice(letters) for _ in range(length - 2))
    return f"{found}{rnd.choice('abcdef')}{rnd.choice(string.digits)}"


def _private_key(rnd: random.Random, kind: str, newline: str) -> FakeSecret:
    lines = [_random(rnd, 64, _LETTERS + "+/") for _ in range(rnd.randint(2, 24))]
    lines.append(_random(rnd, 20) + "==")
    name = rnd.choice(["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
    ends = f"-----BEGIN {name}PRIVATE KEY-----", f"-----END {name}PRIVATE KEY-----"
    return FakeSecret(kind, newline.join([ends[0], *lines, ends[1]]), tuple(lines))


def _plain(rnd: random.Random, kind: str, text: str, length: int = 24) -> FakeSecret:
    secret = _random(rnd, length)
    return FakeSecret(kind, text.format(secret), (secret,))


def _variable(rnd: random.Random, kind: str, name: str, value: str, text: str) -> FakeSecret:
    return FakeSecret(kind, text.format(value), (value,), ((name, value),))


def secrets_of_every_kind(rnd: random.Random) -> list[FakeSecret]:
    """One of each kind; another seed gives others."""
    login = f"anna:{_random(rnd, 12)}"
    basic = base64.b64encode(login.encode()).decode()
    hub = _random(rnd, 34)
    encoded = "".join(f"%{ord(each):02X}" if rnd.random() < 0.3 else each for each in hub)
    jwt = f"eyJ{_random(rnd, 20)}.eyJ{_random(rnd, 40)}.{_random(rnd, 43)}"
    phrase = f"Corr3ct horse {_random(rnd, 6)} & b@ttery"
    short = _random(rnd, rnd.randint(6, 9), string.ascii_lowercase)
    word = "".join(rnd.choice(string.ascii_lowercase) for _ in range(rnd.randint(10, 20)))
    unnamed, database = _random(rnd, 20), _random(rnd, 14)
    where = "https://models.example.org/base.bin"
    return [
        _plain(rnd, "token in an address", f"GET {where}?token={{}}&x=1"),
        _plain(rnd, "short token in an address", f"GET {where}?x=1&access_token={{}}#top", 8),
        _plain(rnd, "shared access signature", f"{where}?sv=2024-11-04&sig={{}}%3D&se=2026"),
        _plain(rnd, "signed address of Amazon", f"{where}?X-Amz-Expires=60&X-Amz-Signature={{}}"),
        _plain(rnd, "credential of Amazon", f"{where}?X-Amz-Credential=AKIA{{}}%2F2026"),
        FakeSecret("basic authorization", f"Authorization: Basic {basic}", (basic,)),
        FakeSecret("basic, in a header of Python's", f"{{'auth': 'Basic {basic}'}}", (basic,)),
        _plain(rnd, "bearer authorization", "sent 'authorization': 'Bearer {}'"),
        _plain(rnd, "other authorization", "> Authorization: token {}\n> Accept: */*"),
        _plain(rnd, "password", "connect(host='db', password={}) failed", 10),
        _plain(rnd, "quoted password", "PASSWORD = 'my {} phrase' is wrong", 10),
        _plain(rnd, "argument", "sh: upload --api-key {} --fast: not found"),
        _plain(rnd, "API key in JSON", '400: {{"api_key": "{}", "model": "tiny"}}'),
        _plain(rnd, "API key in JSON in JSON", 'body "{{\\"apiKey\\":\\"{}\\"}}" refused'),
        _plain(rnd, "secret in YAML", "client_secret: {}\nregion: eu"),
        _plain(rnd, "cookie", "Cookie: lang=en; session={}; theme=dark"),
        _plain(rnd, "new cookie", "Set-Cookie: sid={}; Path=/; HttpOnly"),
        _private_key(rnd, "private key", "\n"),
        _private_key(rnd, "private key in JSON", "\\n"),
        _plain(rnd, "Stripe", "sk_live_{}"),
        _plain(rnd, "GitHub", "ghp_{}", 36),
        _plain(rnd, "token in a file's name", "cannot open recording_of_hf_{}.wav"),
        FakeSecret("word as a token in JSON", f'{{"auth_token": "{word}"}}', (word,)),
        _plain(rnd, "Slack's hook", "https://hooks.slack.com/services/T01ABCDEF/B01ABCDEF/{}"),
        FakeSecret("web token", f"got {jwt}", (jwt,)),
        FakeSecret("encoded token", f"{where}?next=%2Fx%3Ftoken%3Dhf_{encoded}", (hub, encoded)),
        FakeSecret("encoded name too", f"/login%3Fpassword%3D{encoded}", (hub, encoded)),
        _plain(rnd, "login in an address", "postgres://anna:{}@db.example.org/x"),
        _plain(rnd, "netrc", "machine example.org login anna password {}"),
        _variable(rnd, "*_PASS", "PLANTED_DB_PASS", short, "tried {} twice"),
        _variable(rnd, "*_KEY", "PLANTED_SSH_KEY", _random(rnd, 16), "with '{}'"),
        _variable(rnd, "*_AUTH", "PLANTED_AUTH", phrase, "sent <{}>"),
        FakeSecret(
            "encoded value",
            f"{where}?q={quote(phrase)}",
            (phrase, quote(phrase)),
            (("PLANTED_AUTH_2", phrase),),
        ),
        FakeSecret(
            "value in JSON",
            json.dumps({"said": f'"{phrase}\\'}),
            (phrase,),
            (("PLANTED_PHRASE_SECRET", f'"{phrase}\\'),),
        ),
        _variable(rnd, "variable of any name", "PLANTED_COLOR", unnamed, "color {} is unknown"),
        _variable(rnd, "identifier", "PLANTED_ID", _random(rnd, 32, _HEX), "id {}"),
        FakeSecret(
            "password in a variable's address",
            f"FATAL: {database} is not the password of anna",
            (database,),
            (("PLANTED_DATABASE", f"postgres://anna:{database}@db.example.org/x"),),
        ),
        FakeSecret(
            "piece of a variable",
            f"header {unnamed[::-1]}",
            (unnamed[::-1],),
            (("PLANTED_HEADERS", f"api-version=2,x-thing={unnamed[::-1]}"),),
        ),
    ]
