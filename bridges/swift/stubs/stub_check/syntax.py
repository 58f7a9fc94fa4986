"""Normalized text of Swift's syntax: types, defaults, attributes, access and accessors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

COMMENTS = {"comment", "multiline_comment"}
_SPACED = {"->", "&", "=", "=="}
_MODULES = {
    *("Swift", "_Concurrency", "Foundation", "CoreFoundation"),
    *("ObjectiveC", "CoreMedia", "CoreML", "AVFAudio", "AVFoundation", "Speech"),
}
"""Modules whose name an SDK's interface writes before each of their types."""
_SEEN_ATTRIBUTES = re.compile(
    r"@(frozen|discardableResult|preconcurrency|dynamicMemberLookup|Sendable|\w*Actor)$"
)
_SEEN_MODIFIERS = {"static", "class", "mutating", "nonisolated"}
_OLDEST_MACOS = 14
"""The bridges' deployment target: an availability up to it concerns no caller."""
_LITERALS = {
    "integer_literal": "Int",
    "real_literal": "Double",
    "line_string_literal": "String",
    "boolean_literal": "Bool",
}


def source(node: Node) -> str:
    """The text as it stands."""
    return (node.text or b"").decode()


def child_of(node: Node, name: str) -> Node:
    """The child in a field that the grammar always fills."""
    child = node.child_by_field_name(name)
    if child is None:
        raise ValueError(f"a {node.type} without {name}: {source(node)[:80]}")
    return child


def descendants(node: Node, *types: str) -> Iterator[Node]:
    """All nodes of these types below a node, in order."""
    for child in node.children:
        if child.type in types:
            yield child
        else:
            yield from descendants(child, *types)


def error_lines(node: Node) -> Iterator[int]:
    """The lines that the parser did not understand."""
    if node.type == "ERROR" or node.is_missing:
        yield node.start_point[0] + 1
    elif node.has_error:
        for child in node.children:
            yield from error_lines(child)


def normalized(*nodes: Node) -> str:
    """The text of these nodes without comments and names of modules, spaced in one way."""
    text, words = "", [word for node in nodes for word in _words(node)]
    skip = False
    for at, word in enumerate(words):
        following = words[at + 1] if at + 1 < len(words) else ""
        if skip:
            skip = False
        elif word in _MODULES and following == "." and not text.endswith("."):
            skip = True
        elif word in _SPACED:
            text = f"{text.rstrip()} {word} "
        elif word in {",", ":"}:
            text = f"{text.rstrip()}{word} "
        elif re.match(r"[\w@]", word) and re.search(r"\w$", text):
            text += f" {word}"
        else:
            text += word
    return text.strip()


def _words(node: Node) -> Iterator[str]:
    if node.type in COMMENTS:
        return
    if node.type == "throws_clause":
        yield "throws"  # the grammar keeps the word itself to itself
    if not node.children or node.type.endswith("string_literal"):
        yield source(node).strip("`")
        return
    around = node.parent.parent if node.type == "tuple_type_item" and node.parent else None
    # Parameters' names in the type of a function are for people.
    of_function = around is not None and around.type == "function_type"
    for child in (after_colon(node) if of_function else []) or node.children:
        yield from _words(child)


def after_colon(node: Node) -> list[Node]:
    """The children behind the first colon: the type of what stands before it."""
    colons = [at for at, child in enumerate(node.children) if child.type == ":"]
    return node.children[colons[0] + 1 :] if colons else []


def access(node: Node) -> str:
    """``public``, ``open``, ``hidden`` (a narrower word), or empty where there is no word."""
    found = ""
    for each in descendants_of_modifiers(node, "visibility_modifier"):
        word = source(each)
        if word in {"public", "open"}:
            found = word
        elif "(" not in word:
            return "hidden"
    return found


def descendants_of_modifiers(node: Node, *types: str) -> list[Node]:
    """Attributes or words that stand before a declaration."""
    before = [child for child in node.children if child.type == "modifiers"]
    return [each for child in before for each in descendants(child, *types)]


def modifiers(node: Node) -> frozenset[str]:
    """The words before a declaration."""
    before = [child for child in node.children if child.type == "modifiers"]
    return frozenset(
        source(each) for child in before for each in child.children if each.type != "attribute"
    )


def seen_by_callers(node: Node) -> frozenset[str]:
    """The attributes and words before a declaration that change what its callers may write."""
    found = set(modifiers(node) & _SEEN_MODIFIERS)
    for each in descendants_of_modifiers(node, "attribute"):
        text = normalized(each)
        if _SEEN_ATTRIBUTES.match(text):
            found.add(text)
        elif text.startswith("@available"):
            found |= _availability(text)
    return frozenset(found)


def is_internal_interface(node: Node) -> bool:
    """Whether a declaration is only for those who import a special interface of its module."""
    attributes = descendants_of_modifiers(node, "attribute")
    return any(source(each).startswith("@_spi") for each in attributes)


def _availability(text: str) -> set[str]:
    if gone := re.search(r"\b(deprecated|unavailable|obsoleted|noasync)\b", text):
        concerned = re.search(r"\(\s*(\*|macOS|swift|noasync)", text)
        return {f"@available({gone[1]})"} if concerned else set()
    since = re.search(r"\bmacOS(?:,\s*introduced:)?\s*(\d+(?:\.\d+)*)", text)
    if since is None or int(since[1].partition(".")[0]) <= _OLDEST_MACOS:
        return set()
    version = re.sub(r"(\.0)+$", "", since[1])
    return {f"@available(macOS {version})"}


def settable(node: Node) -> str:
    """What a caller may do with a property or subscript: ``let``, ``get`` or ``get set``."""
    binding = next(descendants(node, "value_binding_pattern"), None)
    if binding is not None and source(binding).endswith("let"):
        return "let"
    narrow = [source(each) for each in descendants_of_modifiers(node, "visibility_modifier")]
    if any("(" in word for word in narrow):
        return "get"
    bodies = [
        child
        for child in node.children
        if child.type in {"computed_property", "protocol_property_requirements"}
    ]
    if not bodies:
        return "get set"
    if next(descendants(bodies[0], "setter_specifier", "modify_specifier"), None):
        return "get set"
    getter = next(descendants(bodies[0], "getter_specifier"), None)
    return normalized(getter) if getter is not None else "get"


def inferred(value: Node) -> str:
    """The type of a property without one, where its value shows it; else the value itself."""
    if value.type in _LITERALS:
        return _LITERALS[value.type]
    if value.type == "call_expression" and re.match(r"[A-Z][\w.]*$", source(value.children[0])):
        return normalized(value.children[0]).removesuffix(".init")
    return f"that of {normalized(value)}"


def inherited(node: Node) -> set[str]:
    """The class and protocols after a type's colon, including attributes such as ``@unchecked``."""
    found, before = set(), ""
    for child in node.children:
        if child.type == "attribute":
            before = f"{normalized(child)} "
        elif child.type == "inheritance_specifier":
            found.add(before + normalized(child))
            before = ""
    return found


@dataclass(frozen=True, slots=True)
class Generics:
    """Generic parameters, and what their types must be.

    Callers see no names of parameters, so they are numbered.
    """

    names: tuple[str, ...]
    constraints: frozenset[str]

    @classmethod
    def of(cls, node: Node) -> Generics:
        """Those of one declaration."""
        names: list[str] = []
        required: list[str] = []
        for child in node.children:
            if child.type == "type_parameters":
                for each in descendants(child, "type_parameter"):
                    name, _, bounds = normalized(each).partition(": ")
                    names.append(name)
                    required += [f"{name}: {bound}" for bound in bounds.split(" & ") if bound]
            elif child.type == "type_constraints":
                for each in descendants(child, "type_constraint"):
                    left, colon, bounds = normalized(each).partition(": ")
                    required += (
                        [f"{left}: {bound}" for bound in bounds.split(" & ")] if colon else [left]
                    )
        constraints = frozenset(_numbered(each, names) for each in required)
        return cls(tuple(names), constraints)

    def numbered(self, text: str) -> str:
        """A type with this declaration's parameters numbered."""
        return _numbered(text, self.names)

    def facets(self) -> dict[str, str]:
        """What a caller sees of them."""
        count = {"generic parameters": str(len(self.names))} if self.names else {}
        where = {"constraints": "; ".join(sorted(self.constraints))} if self.constraints else {}
        return count | where


def _numbered(text: str, names: list[str] | tuple[str, ...]) -> str:
    for number, name in enumerate(names, start=1):
        text = re.sub(rf"(?<![\w.]){re.escape(name)}\b", f"T{number}", text)
    return text
