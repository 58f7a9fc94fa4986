"""Conditional compilation (``#if``), decided as for a release build on an Apple-silicon Mac."""

from __future__ import annotations

import re

_DIRECTIVE = re.compile(r"\s*#(if|elseif|else|endif)\b(.*?)(//.*)?$")
_NOT_ON_MACOS = re.compile(r"UIKit|WatchKit|Glibc|Musl|WinSDK|Android|AppKitUI")
_ATOM = re.compile(r"\$?\b[A-Za-z_]\w*\b(\s*\([^()]*\))?")


def active_lines(source: str) -> str:
    """The source with every inactive line and every directive empty, so that lines keep numbers."""
    kept: list[str] = []
    taken: list[tuple[bool, bool]] = []  # for each open #if: this branch is active; one was
    for line in source.splitlines():
        found = _DIRECTIVE.match(line)
        if found is None:
            kept.append(line if all(active for active, _ in taken) else "")
            continue
        kept.append("")
        word, condition = found[1], found[2]
        if word == "if":
            holds = _holds(condition)
            taken.append((holds, holds))
        elif not taken:
            continue  # unbalanced: the parser will complain
        elif word == "endif":
            taken.pop()
        else:
            _, before = taken.pop()
            holds = not before and (word == "else" or _holds(condition))
            taken.append((holds, before or holds))
    return "\n".join(kept) + "\n"


def _holds(condition: str) -> bool:
    left = re.sub(r"\s+", "", _ATOM.sub(lambda found: _value(found[0]), condition))
    before = ""
    while left != before:
        before = left
        for pattern, value in (
            (r"!0|\(1\)", "1"),
            (r"!1|\(0\)", "0"),
            (r"1&&1", "1"),
            (r"0&&[01]|1&&0", "0"),
        ):
            left = re.sub(pattern, value, left)
    # Only "or" is left: it binds least.
    return "1" in left.split("||") if re.fullmatch(r"[01](\|\|[01])*", left) else False


def _value(atom: str) -> str:
    name, _, rest = atom.partition("(")
    name, argument = name.strip(), rest.rstrip(") ")
    if name in {"os", "arch"}:
        return str(int(argument in {"macOS", "OSX", "arm64"}))
    if name == "canImport":
        return str(int(not _NOT_ON_MACOS.match(argument)))
    if name in {"compiler", "swift", "_compiler_version", "hasFeature", "hasAttribute"}:
        return str(int("<" not in argument))
    return str(int(name == "true" or name.startswith("$")))
