"""Public declarations of Swift sources and of an SDK's interface: parsed, never compiled.

A declaration is reduced to its *facets*: what a caller can see of it, each as normalized text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import tree_sitter_swift
from tree_sitter import Language, Node, Parser

from stub_check.conditions import active_lines
from stub_check.syntax import (
    COMMENTS,
    Generics,
    access,
    after_colon,
    child_of,
    error_lines,
    inferred,
    inherited,
    is_internal_interface,
    modifiers,
    normalized,
    seen_by_callers,
    settable,
    source,
)

_PARSER = Parser(Language(tree_sitter_swift.language()))
_FUNCTIONS = {
    "function_declaration": "func",
    "protocol_function_declaration": "func",
    "init_declaration": "init",
    "subscript_declaration": "subscript",
}
_PROPERTIES = {"property_declaration", "protocol_property_declaration"}
_EFFECTS = {"async", "throws", "rethrows", "throws_clause"}
_FAIL = {"?", "!", "bang"}
_AFTER_RESULT = {"function_body", "type_constraints", "computed_property"}


_OPAQUE = re.compile(r"@_opaqueReturnTypeOf\(.*\) \w+$")
"""How an interface names a type that has no name in the language."""
_ASSOCIATED = re.compile(r"(?m)(?<=\bassociatedtype )[^{}=\n]*?(?= where\b|$)")


@dataclass(frozen=True, slots=True)
class Declaration:
    """A public declaration.

    Attributes:
        name: with its scope, such as ``WhisperKit.transcribe``; overloads share it.
        facets: what a caller sees of it: facet → normalized text.
        place: ``file:line``.
    """

    name: str
    facets: Mapping[str, str]
    place: str


@dataclass(slots=True)
class Module:
    """The public declarations of one module.

    Attributes:
        found: name → its overloads.
        conformances: type → everything that it conforms to, by extensions too.
        unreadable: places that the parser did not understand, inside bodies as a rule.
    """

    found: dict[str, list[Declaration]] = field(default_factory=dict)
    conformances: dict[str, set[str]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    def conforms_to(self, each: Declaration) -> set[str]:
        """Everything that a type conforms to, with what that implies."""
        found: set[str] = set()
        left = {each.facets["kind"], *self.conformances.get(each.name, set())}
        while left:
            one = left.pop()
            found.add(one)
            left |= (_IMPLIED.get(one, set()) | self.conformances.get(one, set())) - found
        return found

    def declarations(self) -> list[Declaration]:
        """All of them."""
        return [each for overloads in self.found.values() for each in overloads]


_IMPLIED = {
    "Hashable": {"Equatable"},
    "Comparable": {"Equatable"},
    "Codable": {"Encodable", "Decodable"},
    "Error": {"Sendable"},
    "actor": {"Sendable"},
}


def read_module(files: Mapping[str, bytes]) -> Module:
    """The module that these sources make on a Mac: path → content."""
    module = Module()
    for path, content in sorted(files.items()):
        text = _ASSOCIATED.sub(_with_ampersands, active_lines(content.decode()))
        tree = _PARSER.parse(text.encode())
        _File(path, module).visit(tree.root_node, _Scope())
        module.unreadable += [f"{path}:{line}" for line in error_lines(tree.root_node)]
    return module


def _with_ampersands(bounds: re.Match[str]) -> str:
    """``Name: A & B`` for ``Name: A, B``, which means the same and which the grammar knows."""
    return bounds[0].replace(",", " &")


def read_interface(name: str, content: bytes) -> Module:
    """The module of an SDK's ``.swiftinterface``, which has one declaration to a line."""
    lines, protocol = list[str](), ""
    for line in content.decode().splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        if re.match(r"\s*public protocol\b.*\{$", line):
            protocol = f"{indent}}}"
        elif line == protocol:
            protocol = ""
        # Else the parser takes an attribute in the next line for a part of the last type.
        bodyless = re.match(r"[^/{}]*\b(func|init|deinit)\b[^{}]*$", line)
        lines.append(f"{line} {{}}" if bodyless and not protocol else _OPAQUE.sub("Opaque", line))
    return read_module({name: "\n".join(lines).encode()})


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where a declaration stands.

    Attributes:
        name: of the enclosing type.
        access: of members that have no word of their own; empty for internal.
        seen: attributes of the enclosing extension, which its members share.
        constraints: of the enclosing extension.
    """

    name: str = ""
    access: str = ""
    seen: frozenset[str] = frozenset()
    constraints: frozenset[str] = frozenset()

    def full(self, name: str) -> str:
        return f"{self.name}.{name}" if self.name else name


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    module: Module

    def visit(self, node: Node, scope: _Scope) -> None:
        for child in node.children:
            try:
                self._one(child, scope)
            except ValueError:  # the parser took something for a declaration
                self.module.unreadable.append(f"{self.path}:{child.start_point[0] + 1}")

    def _one(self, child: Node, scope: _Scope) -> None:
        if child.type in {"class_declaration", "protocol_declaration"}:
            self._type(child, scope)
        elif child.type == "enum_entry":
            self._cases(child, scope)
        elif child.type in _FUNCTIONS:
            self._function(child, scope)
        elif child.type in _PROPERTIES:
            self._property(child, scope)
        elif child.type == "typealias_declaration":
            equals = [at for at, each in enumerate(child.children) if each.type == "="]
            value = normalized(*child.children[equals[0] + 1 :])
            name = source(child_of(child, "name"))
            self._note(child, scope, name, {"kind": "typealias", "type": value})
        elif child.type == "ERROR":
            self.visit(child, scope)

    def _type(self, node: Node, scope: _Scope) -> None:
        kind = source(child_of(node, "declaration_kind"))
        name = normalized(child_of(node, "name"))
        generics, bases, full = Generics.of(node), inherited(node), scope.full(name)
        self.module.conformances.setdefault(full, set()).update(bases)
        if kind == "extension":
            # Its access, attributes and constraints are those of its members.
            members = _Scope(full, access(node), seen_by_callers(node), generics.constraints)
        else:
            final = "final " if kind == "class" and "final" in modifiers(node) else ""
            facets = {"kind": final + kind, "conforms to": "; ".join(sorted(bases))}
            visible = self._note(node, scope, name, facets | generics.facets())
            members = _Scope(full, "public" if visible and kind == "protocol" else "")
            if visible and kind == "enum":
                members = _Scope(full, "case")
        body = node.child_by_field_name("body")
        if body is not None:
            self.visit(body, members)

    def _cases(self, node: Node, scope: _Scope) -> None:
        if scope.access != "case":
            return
        names = [
            each for each in node.children_by_field_name("name") if each.type == "simple_identifier"
        ]
        for at, name in enumerate(names):
            end = names[at + 1].start_byte if at + 1 < len(names) else node.end_byte
            facets = {"kind": "case"}
            for child in node.children:
                if name.end_byte <= child.start_byte < end:
                    if child.type == "enum_type_parameters":
                        facets["values"] = normalized(child)
                    elif child.type.endswith("_literal"):
                        facets["raw value"] = normalized(child)
            self._note(node, _Scope(scope.name, "public"), source(name).strip("`"), facets)

    def _function(self, node: Node, scope: _Scope) -> None:
        generics, kind = Generics.of(node), _FUNCTIONS[node.type]
        name = kind if kind != "func" else source(child_of(node, "name")).strip("`")
        facets: dict[str, str] = {"kind": kind, **_parameters(node, generics)}
        if kind == "init":
            facets["kind"] += "".join(source(each) for each in node.children if each.type in _FAIL)
        else:
            arrows = [at for at, each in enumerate(node.children) if each.type == "->"]
            result = itertools.takewhile(
                lambda each: each.type not in _AFTER_RESULT,
                node.children[arrows[0] + 1 :] if arrows else [],
            )
            returned = generics.numbered(normalized(*result))
            facets["result"] = "Void" if returned in {"", "()"} else returned
        if kind == "subscript":
            facets["use"] = settable(node)
        facets["effects"] = normalized(*(each for each in node.children if each.type in _EFFECTS))
        self._note(node, scope, name, facets | generics.facets())

    def _property(self, node: Node, scope: _Scope) -> None:
        use, names = settable(node), list[str]()
        value = node.child_by_field_name("value")
        for child in node.children:
            types: str | None = None
            if child.type == "pattern":
                names.append(source(child).split()[-1].strip("`"))
            elif child.type == "type_annotation":  # of all names since the last one
                types = normalized(*after_colon(child))
            elif names and child == value:
                types = inferred(child)
            if types is not None:
                for name in names:
                    facets = {"kind": "property", "type": types, "use": use}
                    if value is not None and use == "let" and "static" in modifiers(node):
                        facets["value"] = normalized(value)
                    self._note(node, scope, name, facets)
                names = []

    def _note(self, node: Node, scope: _Scope, name: str, facets: dict[str, str]) -> bool:
        """Keep a declaration if callers in other modules see it; return whether they do."""
        implied = "" if scope.access == "case" else scope.access
        reach = access(node) or implied
        if reach not in {"public", "open"} or is_internal_interface(node):
            return False
        full, place = scope.full(name), f"{self.path}:{node.start_point[0] + 1}"
        facets["access"] = reach
        facets["attributes"] = "; ".join(sorted(seen_by_callers(node) | scope.seen))
        if scope.constraints:
            facets["constraints of its extension"] = "; ".join(sorted(scope.constraints))
        self.module.found.setdefault(full, []).append(Declaration(full, facets, place))
        return True


def _parameters(node: Node, generics: Generics) -> dict[str, str]:
    """The labels of a function, and the type and default of each parameter."""
    facets: dict[str, str] = {}
    labels: list[str] = []
    parameter, default = "", False
    for child in node.children:
        if child.type == "parameter":
            label = child.child_by_field_name("external_name") or child_of(child, "name")
            word = source(label).strip("`")
            # A label names its parameter, so that one more or less does not rename the others.
            parameter = word if word != "_" and word not in labels else f"#{len(labels) + 1}"
            labels.append(word)
            default = False
            facets[f"type of {parameter}"] = generics.numbered(normalized(*after_colon(child)))
        elif child.type == "..." and parameter:
            facets[f"type of {parameter}"] += "..."
        elif child.type == "=":
            default = True
        elif child.type in {",", ")"}:
            default = False
        elif default and child.type not in COMMENTS:
            facets[f"default of {parameter}"] = normalized(child)
    facets["labels"] = f"({''.join(f'{label}:' for label in labels)})"
    return facets
