"""Secrets that can be recognized by their form or by the name before them. Pure.

Tokens have the forms that their issuers publish; gitleaks' default rules and detect-secrets'
plugins are collections of the same ones. Neither is used here: gitleaks is a Go program, and
detect-secrets (last release 2024-05, 0.2 s to import, requests and PyYAML with it) looks for
secrets in single lines of source code, where this has to take them out of logs, private keys of
many lines among them.
"""

from __future__ import annotations

import base64
import binascii
import re

REPLACEMENT = "<token>"

_FORMS = {
    # literal text in front of it → the rest, as a regular expression
    **dict.fromkeys(("hf_", "api_org_"), r"[A-Za-z0-9]{8,}"),  # Hugging Face
    "sk-": r"[A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic, and others that adopted its form
    **dict.fromkeys(("sk_live_", "sk_test_", "rk_live_", "rk_test_"), r"[A-Za-z0-9]{10,}"),
    "whsec_": r"[A-Za-z0-9+/=]{16,}",  # Stripe, as the four above
    **dict.fromkeys(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"[A-Za-z0-9]{16,}"),  # GitHub
    "github_pat_": r"[A-Za-z0-9_]{20,}",
    **dict.fromkeys(("glpat-", "glptt-", "gldt-", "glrt-", "glcbt-"), r"[A-Za-z0-9_.-]{16,}"),
    **dict.fromkeys(("AKIA", "ASIA", "ABIA", "ACCA"), r"[A-Z0-9]{16}\b"),  # Amazon
    "AIza": r"[A-Za-z0-9_-]{30,}",  # Google, and the next three
    "ya29.": r"[A-Za-z0-9_-]{20,}",
    "GOCSPX-": r"[A-Za-z0-9_-]{20,}",
    "1//0": r"[A-Za-z0-9_-]{40,}",
    **{f"xox{kind}-": r"[A-Za-z0-9-]{10,}" for kind in "abeoprs"},  # Slack, and the next two
    "xapp-": r"\d-[A-Za-z0-9]{8,}-\d+-[A-Za-z0-9]{20,}",
    "hooks.slack.com/": r"(?:services|workflows|triggers)/[A-Za-z0-9/_-]{20,}",
    "discord.com/api/webhooks/": r"[A-Za-z0-9/_-]{20,}",
    **dict.fromkeys(("npm_", "pypi-"), r"[A-Za-z0-9_-]{30,}"),
    "eyJ": r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",  # JSON Web Tokens, RFC 7519
    "SG.": r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",  # SendGrid
    **dict.fromkeys(("hvs.", "hvb.", "hvr."), r"[A-Za-z0-9_-]{20,}"),  # HashiCorp Vault
    **dict.fromkeys(("dop_v1_", "doo_v1_", "dor_v1_"), r"[0-9a-f]{40,}"),  # DigitalOcean
    **dict.fromkeys(("shpat_", "shpca_", "shppa_", "shpss_"), r"[0-9A-Fa-f]{32}"),  # Shopify
    "dapi": r"[0-9a-f]{32}\b",  # Databricks
    **dict.fromkeys(("r8_", "gsk_", "nvapi-", "pplx-", "xai-"), r"[A-Za-z0-9_-]{30,}"),
    **dict.fromkeys(("lin_api_", "ntn_", "glsa_", "PMAK-", "ATATT3", "sntrys_"), r"[\w=.-]{30,}"),
    "AGE-SECRET-KEY-1": r"[0-9A-Z]{50,}",
}
TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    + "|".join(f"{re.escape(begin)}{rest}" for begin, rest in _FORMS.items())
    + ")"
)
"""Tokens, recognized by their form: random text that is in no transcript."""
TOKEN_BEGINNINGS = tuple(_FORMS)
"""To skip texts without any of them."""

_BEARER = re.compile(r"(?i:\bbearer)\s+[A-Za-z0-9._~+/=-]{12,}")
_BASIC = re.compile(r"(?i:\bbasic)\s+([A-Za-z0-9+/_-]{4,}={0,2})")
_AUTHORIZATION = re.compile(
    r"(?i:(authorization[\"'\\]{0,4}\s{0,3}[:=]\s{0,3}[\"'\\]{0,4}))"
    r"(?![\"'\\<])([A-Za-z][\w-]{1,20}[ \t]+)?([\w.~+/=:-]{3,}+)(?![ \t]*<)"
)
_COOKIES = re.compile(
    # RFC 6265, section 4: pairs, then the attributes of Set-Cookie.
    r"(?i:(cookies?[\"'\\]{0,4}\s{0,3}[:=]\s{0,3}[\"'\\]{0,4}))"
    r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}=[^\s;,\"'\\]{1,4096}"
    r"(?:;[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}(?:=[^\s;,\"'\\]{0,4096})?)*"
)
_URL_LOGIN = re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://)[^/@\s]+@", re.IGNORECASE)

_CERTAIN = (
    r"passw(?:or)?d|passphrase|passcode|secret|credentials?|(?<=[_-])(?:pass|pwd)"
    r"|(?:api|access|private)[_-]?key"
)
_LIKELY = (
    r"token|(?:(?<![a-z])|(?<=x-))auth|sess(?:ion)?[_-]?id|(?-i:(?<=[A-Z])(?:PASS|KEY|AUTH))"
    r"|(?<![a-z])(?:sig|signature|pass|pwd|pin|jwt|sas|sid)"
)
_POSSIBLE = r"[_-]key|(?-i:(?<=[a-z0-9])Key)|(?<![a-z])(?:response|c?nonce)"
_QUERY = re.compile(
    r"([?&;#][\w.~%-]{0,60}?(?:key|token|sig|pass|pwd|auth|secret|cred|code|session|sid|jwt|policy)"
    r"[\w.~-]{0,20}=)([^&#;\s\"'<>\\]{1,4096})",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    rf"(?:(?P<certain>{_CERTAIN})|(?P<likely>{_LIKELY})|{_POSSIBLE})(?P<close>\\{{0,4}}[\"'])?"
    r"(?P<sign>\s{0,3}(?:=>|:=|[:=])\s{0,3})"
    r"(?:(?P<quote>\\{0,4}[\"'])(?P<quoted>(?:(?!(?P=quote))[^\r\n]){1,4096})"
    r"|(?P<bare>(?(close)[^\s\"'\\<>,}\]]{1,4096}|[^\s\"'\\<>]{1,4096})))",
    re.IGNORECASE,
)
_ARGUMENT = re.compile(
    rf"(?P<option>(?<!\S)--[a-z-]{{0,40}}?(?:(?P<certain>{_CERTAIN})|(?P<likely>{_LIKELY})|-key)\s+)"
    r"(?![-<])(?P<value>\S{3,})"
    r"|(?P<user>(?<!\S)(?:-u|--user)\s+)[^\s:]+:\S+"
    r"|(?P<login>\blogin\s+\S{1,200}\s+password\s+)\S+",  # of .netrc
    re.IGNORECASE,
)
_NO_VALUE = re.compile(
    r"(?:none|null|nil|true|false|yes|no|not|is|on|off|unset|missing|required|invalid|empty|set"
    r"|auto|default|-?\d{1,3}(?:\.\d*)?)[.,;:!]?|[<\[(*$].*|[.]+|…",
    re.IGNORECASE | re.DOTALL,
)
_TRAILING = re.compile(r"[,.;:)\]}]+\Z")
_SIGNS = re.compile(r"[=:]")
_NAME_ENDS = (
    *("password", "passwd", "passphrase", "passcode", "secret", "credential", "credentials"),
    *("key", "token", "auth", "session_id", "session-id", "sessionid", "sess_id", "sessid"),
    *("sig", "signature", "pass", "pwd", "pin", "jwt", "sas", "sid", "response", "nonce"),
)
"""The ends, in lower case, of all that :data:`_ASSIGNED` takes for a name."""

_KEY_NAME = r"[A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----"
_KEY_BODY = r"[A-Za-z0-9+/=\\\s:,.()-]"
_PRIVATE_KEY = re.compile(
    # RFC 7468; without its end where the text is cut off. Newlines may be escaped.
    rf"-----BEGIN {_KEY_NAME}(?:(?!-----){_KEY_BODY})*(?:-----END [A-Z0-9 ]{{0,60}}-----)?"
)
_KEY_END = re.compile(rf"-----END {_KEY_NAME}")
_KEY_LINE = re.compile(r"(?:\A|(?<=\n)|(?<=\\n))[A-Za-z0-9+/=]{1,100}(?:\r?\n|\\r|\\n)*\Z")

_LONGEST_PLAIN = 24
"""Characters of a value that can be plain after a name such as ``token``."""
_SHORTEST_WORD = 8
_SEPARATORS = re.compile(r"[\s\-_.:/,;@=+|()\[\]\"'<>%*&?!#~^$\\{}`]+")
_PLAIN_PART = re.compile(
    r"\d{1,20}|[A-Za-z0-9]{1,6}|\d{1,4}[A-Za-z]{1,10}"
    r"|(?:[a-z]{1,24}|[A-Z]{1,24}|[a-z]?(?:[A-Z]{0,3}[a-z]{2,20}){1,6})\d{0,4}"
    r"|[^\W\d_a-zA-Z]+"
)


def is_plain(text: str) -> bool:
    """Whether a text is of words, numbers and versions, as a random secret is not.

    ``large-v3-turbo``, ``int8_float16``, ``xterm-256color`` and ``12.4.1`` are plain, a part with
    letters and digits in turn such as ``a1b2c3d4`` is not. A password made of words is.
    """
    return all(map(_PLAIN_PART.fullmatch, filter(None, _SEPARATORS.split(text))))


def without_secrets(text: str) -> str:
    """``text`` with ``<token>`` for everything with the form or the name of a secret.

    The text around it stays: names, quotes, and the rest of an address. Logins in addresses go
    without a trace. Numbers and plain words stay after names that are no certain sign, such as
    ``token`` or ``sort_key``.
    """
    if "-----" in text:
        text = _without_private_keys(text)
    if any(begin in text for begin in TOKEN_BEGINNINGS):
        text = TOKEN.sub(REPLACEMENT, text)
    if "://" in text:
        text = _URL_LOGIN.sub(r"\1", text)
    low = text.lower()
    if "cookie" in low:
        text = _COOKIES.sub(rf"\1{REPLACEMENT}", text)
    if "authorization" in low:
        text = _AUTHORIZATION.sub(rf"\1\2{REPLACEMENT}", text)
    if "bearer" in low:
        text = _BEARER.sub(REPLACEMENT, text)
    if "basic" in low:
        text = _BASIC.sub(_without_login, text)
    if "=" in low:
        text = _QUERY.sub(_without_parameter, text)
    before = _SIGNS.split(low)[:-1]
    if any(each.rstrip(" \t\"'\\").endswith(_NAME_ENDS) for each in before):
        text = _ASSIGNED.sub(_without_value, text)
    if "--" in low or "-u " in low or "login " in low:
        text = _ARGUMENT.sub(_without_argument, text)
    return text


def _without_parameter(found: re.Match[str]) -> str:
    return found[0] if _NO_VALUE.fullmatch(found[2]) else found[1] + REPLACEMENT


def _without_login(found: re.Match[str]) -> str:
    """RFC 7617: the base64 of ``user:password``. Other words may follow ``basic`` too."""
    try:
        login = base64.b64decode(found[1] + "=" * (-len(found[1]) % 4), altchars=None)
    except (binascii.Error, ValueError):
        return found[0]
    return f"Basic {REPLACEMENT}" if b":" in login and login.isascii() else found[0]


def _without_value(found: re.Match[str]) -> str:
    close = found["close"] or ""
    value = found["quoted"] if found["bare"] is None else found["bare"]
    if found["bare"] is not None and (trailing := _TRAILING.search(value)):
        value = value[: trailing.start()]
    if _is_harmless(found, value):
        return found[0]
    at = found.start("quoted" if found["bare"] is None else "bare") - found.start()
    # In JSON, a bare value is a number.
    new = REPLACEMENT if found["bare"] is None else f"{close}{REPLACEMENT}{close}"
    return found[0][:at] + new + found[0][at + len(value) :]


def _without_argument(found: re.Match[str]) -> str:
    if found["option"] and _is_harmless(found, found["value"]):
        return found[0]
    return (found["option"] or found["user"] or found["login"]) + REPLACEMENT


def _is_harmless(found: re.Match[str], value: str) -> bool:
    """Whether the value after a more or less certain name is no secret."""
    if not value or _NO_VALUE.fullmatch(value):
        return True
    if found["certain"] or len(value) >= _LONGEST_PLAIN:
        return False
    if not is_plain(value) or not found["likely"]:
        return is_plain(value)
    if found.groupdict().get("close") and value.isalpha():  # JSON, and no words of a person
        return len(value) < _SHORTEST_WORD
    parts = filter(None, _SEPARATORS.split(value))
    return all(each.isalpha() or each.isdecimal() for each in parts)


def _without_private_keys(text: str) -> str:
    text = _PRIVATE_KEY.sub("<private key>", text)
    while end := _KEY_END.search(text):  # its beginning was cut off
        begin = end.start()
        while line := _KEY_LINE.search(text, max(begin - 128, 0), begin):
            begin = line.start()
        text = f"{text[:begin]}<private key>{text[end.end() :]}"
    return text
