"""Does code that compiles against a stub compile against the real module, and mean the same?

A stub may lack declarations. What it has must be as in the real module, an enum with all its cases
(a `switch` over fewer would not compile) and a type with everything that it conforms to at its
declaration.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stub_check.declarations import Declaration, Module


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a stub is not as the real module.

    Attributes:
        place: in the stub.
        name: of the declaration.
        what: the facet, and what it is on both sides.
        absent: the real module has no declaration of that name.
    """

    place: str
    name: str
    what: str
    absent: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.name}: {self.what}"


def differences(stub: Module, real: Module) -> list[Difference]:
    """Everything that a caller would see differently, in the stub's order."""
    found = list(_incomplete_enums(stub, real))
    for each in stub.declarations():
        overloads = real.found.get(each.name, [])
        if not overloads:
            found.append(
                Difference(each.place, each.name, "is not public in the real module", absent=True)
            )
            continue
        judged = [(_facets_that_differ(stub, each, real, other), other) for other in overloads]
        wrong, nearest = min(judged, key=lambda one: len(one[0]))
        found += [
            Difference(each.place, each.name, f"{facet}: {words}, {nearest.place}")
            for facet, words in wrong.items()
        ]
    return found


def _facets_that_differ(
    stub: Module, mine: Declaration, real: Module, other: Declaration
) -> dict[str, str]:
    wrong: dict[str, str] = {}
    facets = dict.fromkeys(["labels", *mine.facets, *other.facets])
    for facet in facets:
        here, there = mine.facets.get(facet, ""), other.facets.get(facet, "")
        if facet == "conforms to":
            words = _conformances_that_differ(stub, mine, real, there)
        elif facet == "attributes":
            # A member need not repeat what its type says.
            words = _words(_own_attributes(mine, stub), _own_attributes(other, real))
        elif facet == "raw value":
            implied = f'"{mine.name.rpartition(".")[2]}"'
            words = _words(here or implied, there or implied)
        elif facet == "value" and not (here and there):
            words = ""  # of a constant: it is compared where both sides show it
        elif facet == "labels":
            words = _labels_that_differ(here, there)
        else:
            words = _words(here, there)
        one_sided = facet not in mine.facets or facet not in other.facets
        if words and not ("labels" in wrong and one_sided and " of " in facet):
            wrong[facet] = words
    return wrong


def _labels_that_differ(here: str, there: str) -> str:
    mine, theirs = here.strip("()").split(":"), there.strip("()").split(":")
    parts = [
        f"{', '.join(each for each in some if each not in others)} in the {where} only"
        for some, others, where in ((mine, theirs, "stub"), (theirs, mine, "source"))
        if set(some) - set(others)
    ]
    return "; ".join(parts) or _words(here, there)


def _words(here: str, there: str) -> str:
    return "" if here == there else f"{here or 'none'} in the stub, {there or 'none'} in the source"


def _conformances_that_differ(stub: Module, mine: Declaration, real: Module, declared: str) -> str:
    """A conformance by an extension may be left out; one at the declaration may not."""
    here, there = stub.conforms_to(mine), real.conforms_to(mine)
    missing = set(filter(None, declared.split("; "))) - here
    invented = stub.conformances.get(mine.name, set()) - there
    parts = []
    if missing:
        parts.append(f"{', '.join(sorted(missing))} missing in the stub")
    if invented:
        parts.append(f"{', '.join(sorted(invented))} in the stub only")
    return " and ".join(parts)


def _own_attributes(each: Declaration, module: Module) -> str:
    found = _attributes(each)
    scope = each.name
    while scope := scope.rpartition(".")[0]:
        for around in module.found.get(scope, []):
            shared = {one for one in _attributes(around) if one.startswith("@available(macOS")}
            found -= shared | {one for one in _attributes(around) if one.endswith("Actor")}
    return "; ".join(sorted(found))


def _attributes(each: Declaration) -> set[str]:
    return set(each.facets["attributes"].split("; "))


def _incomplete_enums(stub: Module, real: Module) -> Iterator[Difference]:
    for each in stub.declarations():
        if each.facets["kind"] != "enum":
            continue
        scope = f"{each.name}."
        missing = [
            other
            for other in real.declarations()
            if other.facets["kind"] == "case"
            and other.name.rpartition(".")[0] == each.name
            and other.name not in stub.found
        ]
        if missing:
            names = ", ".join(other.name.removeprefix(scope) for other in missing)
            words = f"cases missing in the stub: {names}, {missing[0].place}"
            yield Difference(each.place, each.name, words)
