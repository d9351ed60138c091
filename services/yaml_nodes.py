"""YAML as nodes that know their lines, turned into plain values: no aliases, no tags, no key twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml
from yaml.events import Event
from yaml.reader import ReaderError

_DEEPEST = 20
_TAG = "tag:yaml.org,2002:"
_SCALARS = {_TAG + name for name in ("str", "int", "float", "bool", "null")}
_SYNTAX_REMEDY = "Mind indentation, colons and brackets; put text with signs such as : # ' in double quotes."

Location = tuple[str | int, ...]
"""Keys and numbers that lead from the top of a document to a value."""


class WrongYaml(Exception):
    """Text that is no YAML of ours: its line, what is wrong, what mends it."""

    def __init__(self, line: int, message: str, remedy: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.remedy = remedy


def compose(text: str, empty_remedy: str) -> yaml.Node:
    """Return the node of a document. Raises WrongYaml when it is none, is empty, or uses anchors or aliases."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise WrongYaml(line, "a control character", "Write it as an escape (\\x07) in double quotes.") from None
    except yaml.MarkedYAMLError as error:
        is_unclosed = "end of stream" in (error.problem or "")  # say where it was opened
        mark = error.context_mark if is_unclosed else error.problem_mark
        message = f"this is not YAML: {error.problem or error.context}"
        raise WrongYaml(mark.line + 1 if mark else 1, message, _SYNTAX_REMEDY) from None
    if node is None:
        raise WrongYaml(1, "the file is empty", empty_remedy)
    return node


class _Loader(yaml.SafeLoader):
    """Composes nodes without anchors and aliases, and not deeper than any document of ours."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node; refuse what could grow without bound."""
        event: Event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1 if event.start_mark else 1
        if getattr(event, "anchor", None):
            raise WrongYaml(line, "an anchor or an alias (& or *)", "Write the value out, or put text in quotes.")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise WrongYaml(line, f"nested deeper than {_DEEPEST} levels", _SYNTAX_REMEDY)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def plain(node: yaml.Node) -> Any:
    """Return a node as dict, tuple, str, int, float, bool or None. Raises WrongYaml for the rest, and keys twice."""
    if isinstance(node, yaml.MappingNode):
        return _mapping(node)
    if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
        return tuple(plain(entry) for entry in node.value)
    try:
        if node.tag in _SCALARS:
            return yaml.SafeLoader("").construct_object(node)
    except (ValueError, KeyError):  # a number of thousands of digits; a tag that its text does not fit
        pass
    raise WrongYaml(_line(node), "this is neither text, nor a number, nor true or false", "Put it in quotes.")


def _mapping(node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        if key.tag != _TAG + "str" or not isinstance(key.value, str):
            raise WrongYaml(_line(key), "a key that is not text", "Write the key as a word.")
        if key.value in found:
            raise WrongYaml(_line(key), f"`{key.value}` is there twice", "Keep one of the two.")
        found[key.value] = plain(value)
    return found


def line_of(node: yaml.Node, at: Sequence[str | int]) -> int:
    """Return the line (from 1) of the value at a location; of what it should be in, when it is not there."""
    shown = node
    for part in at:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            pair = (node.value[part], node.value[part])
        else:
            pair = None
        if pair is None:
            break
        shown, node = pair
    return _line(shown)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
