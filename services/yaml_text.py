"""Values as YAML that a person likes to edit: in blocks, in order, nothing folded; what is read again is the same."""

from __future__ import annotations

from typing import Any

import yaml

_WIDEST = 10**9
"""No line is broken: a folded string is hard to edit."""


class Line(list[str]):
    """A list that is written on one line."""


class _Dumper(yaml.SafeDumper):
    """Writes lists below their key with an indent, as people do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


def yaml_text(content: dict[str, Any]) -> str:
    """Return a value as YAML."""
    return str(yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDEST))


def _line(dumper: yaml.SafeDumper, line: Line) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", list(line), flow_style=True)


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if text.isprintable() else '"'  # one line, with escapes, whatever is in it
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(Line, _line)
_Dumper.add_representer(str, _string)
