"""The codes of errors and warnings, as the sources give them: read, never run.

A code is what goes where a callable has a parameter (or a record a field) called `code`, what stands at the key `code`
of a dict, and the first of a tuple whose second is a sentence. What only the command line says is left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

PACKAGES = ("config", "services", "web", "workflow_scripts")
ENGLISH_ONLY = "services/cli"
_CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_SENTENCES = {"message", "sentence", "note", "warning"}
_PART = re.compile(r"[a-z0-9_]*")
_Parents = dict[str, list[str]]


@dataclass
class Codes:
    """`known` are codes, `patterns` those that are put together (regular expressions), each with a place it is given."""

    known: dict[str, str] = field(default_factory=dict)
    patterns: dict[str, str] = field(default_factory=dict)


@dataclass
class Sources:
    """Modules by their path; where a callable takes its code, what functions return and constants are, by their names."""

    modules: dict[str, ast.Module]
    places: dict[str, set[int]] = field(default_factory=dict)
    returned: dict[str, list[ast.expr]] = field(default_factory=dict)
    constants: dict[str, ast.expr] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parents: _Parents = {}
        for module in self.modules.values():
            for node in ast.walk(module):
                if isinstance(node, ast.FunctionDef):
                    self._declare(node.name, _parameters(node))
                    self.returned.setdefault(node.name, []).extend(_returned(node))
                elif isinstance(node, ast.ClassDef):
                    parents[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
                    self._declare(node.name, _fields(node))
                elif isinstance(node, ast.Assign):
                    self.constants.update({name: value for name, value in _bound(node) if name.lstrip("_").isupper()})
        for name in parents:
            for ancestor in _ancestors(name, parents):
                self.places.setdefault(name, set()).update(self.places.get(ancestor, ()))

    def _declare(self, name: str, parameters: list[str]) -> None:
        if "code" in parameters:
            self.places.setdefault(name, set()).add(parameters.index("code"))

    def given(self, module: ast.Module) -> Iterator[ast.expr]:
        """Yield the expressions that a module gives as a code."""
        for node in ast.walk(module):
            if isinstance(node, ast.Call):
                places = self.places.get(_name(node.func), ())
                yield from (each for at, each in enumerate(_before_starred(node.args)) if at in places)
                yield from (each.value for each in node.keywords if each.arg == "code")
            elif isinstance(node, ast.Dict):
                named = zip(node.keys, node.values, strict=True)
                yield from (value for key, value in named if isinstance(key, ast.Constant) and key.value == "code")
            elif isinstance(node, ast.Tuple) and len(node.elts) > 1 and _is_sentence(node.elts[1]):
                yield node.elts[0]

    def strings(self, given: ast.expr, function: ast.AST) -> Iterator[ast.expr]:
        """Yield the strings that an expression in a function may be; none where it only passes on what it got."""
        if isinstance(given, ast.IfExp):
            yield from self.strings(given.body, function)
            yield from self.strings(given.orelse, function)
        elif isinstance(given, ast.Constant | ast.JoinedStr):
            yield given
        elif isinstance(given, ast.Name):
            called = [value for value in _assigned(given.id, function) if isinstance(value, ast.Call)]
            yield from (each for value in called for each in self.returned.get(_name(value.func), ()))
            if given.id in self.constants:
                yield from self.strings(self.constants[given.id], function)


@lru_cache(maxsize=1)
def codes(repository: Path) -> Codes:
    """Return every code that the sources of a repository can give."""
    paths = [path for name in PACKAGES for path in sorted((repository / name).rglob("*.py"))]
    modules = {path.relative_to(repository).as_posix(): ast.parse(path.read_text("utf-8")) for path in paths}
    sources, found = Sources(modules), Codes()
    for path, module in modules.items():
        if path.startswith(ENGLISH_ONLY):
            continue
        for given in sources.given(module):
            for said in sources.strings(given, module):
                _take(said, f"{path}:{given.lineno}", found)
    return found


def _take(said: ast.expr, place: str, found: Codes) -> None:
    if isinstance(said, ast.Constant) and isinstance(said.value, str) and _CODE.fullmatch(said.value):
        found.known.setdefault(said.value, place)
    elif isinstance(said, ast.JoinedStr):
        fixed = [str(part.value) for part in said.values if isinstance(part, ast.Constant)]
        if any(fixed) and all(_PART.fullmatch(part) for part in fixed):
            parts = (str(part.value) if isinstance(part, ast.Constant) else r"\w+" for part in said.values)
            found.patterns.setdefault("".join(parts), place)


def _name(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def _before_starred(arguments: list[ast.expr]) -> Iterator[ast.expr]:
    return takewhile(lambda each: not isinstance(each, ast.Starred), arguments)


def _parameters(function: ast.FunctionDef) -> list[str]:
    names = [argument.arg for argument in function.args.args]
    return names[1:] if names[:1] == ["self"] else names


def _fields(made: ast.ClassDef) -> list[str]:
    for node in made.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return _parameters(node)
    return [
        each.target.id for each in made.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    ]


def _ancestors(name: str, parents: _Parents) -> Iterator[str]:
    for parent in parents.get(name, ()):
        yield parent
        yield from _ancestors(parent, parents)


def _returned(function: ast.FunctionDef) -> list[ast.expr]:
    """Return the strings that a function returns, alone or first in a tuple."""
    found = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
    first = [each.elts[0] if isinstance(each, ast.Tuple) and each.elts else each for each in found]
    return [each for each in first if isinstance(each, ast.Constant)]


def _assigned(name: str, within: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(within):
        if isinstance(node, ast.NamedExpr) and node.target.id == name:
            yield node.value
        elif isinstance(node, ast.Assign):
            yield from (value for bound, value in _bound(node) if bound == name)


def _bound(node: ast.Assign) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that a statement binds, each with its value."""
    for target in node.targets:
        if isinstance(target, ast.Name):
            yield target.id, node.value
        elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = zip(target.elts, node.value.elts, strict=False)
            yield from ((to.id, value) for to, value in pairs if isinstance(to, ast.Name))


def _is_sentence(node: ast.expr) -> bool:
    """Tell a text with spaces, or what goes by the name of one."""
    if isinstance(node, ast.Name | ast.Attribute):
        return (node.attr if isinstance(node, ast.Attribute) else node.id) in _SENTENCES
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return any(isinstance(part, ast.Constant) and " " in str(part.value) for part in parts)
