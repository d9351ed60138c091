"""XML written as it comes, so that a long document is never in memory whole: elements, escaped texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from xml.sax.saxutils import escape, quoteattr

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


class Writer:
    """Collects the lines of a document; whoever made it takes them (`take`) whenever it is handy."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0

    def leaf(self, name: str, text: object = None, /, **attributes: object) -> None:
        """Add an element without children; an attribute that is None is left out."""
        opened = f"<{name}{_attributes(attributes)}"
        self._add(f"{opened}/>" if text is None else f"{opened}>{escape(str(text))}</{name}>")

    def ready(self, line: str) -> None:
        """Add an element that is written already: for the one that comes a million times."""
        self._add(line)

    @contextmanager
    def element(self, name: str, /, **attributes: object) -> Iterator[None]:
        """Add an element; what is added inside the block are its children."""
        self._add(f"<{name}{_attributes(attributes)}>")
        self._depth += 1
        yield
        self._depth -= 1
        self._add(f"</{name}>")

    def take(self) -> str:
        """Return what was added since the last time."""
        taken, self._lines = "".join(self._lines), []
        return taken

    def _add(self, line: str) -> None:
        self._lines.append(f"{' ' * self._depth}{line}\n")


def _attributes(attributes: dict[str, object]) -> str:
    return "".join(
        f" {name.rstrip('_')}={quoteattr(str(value))}" for name, value in attributes.items() if value is not None
    )
