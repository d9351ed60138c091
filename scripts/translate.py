"""Bring the interface's words up to date: read them from the sources, fill them into each language, compile.

envs/env/bin/python scripts/translate.py

What is new stands in `web/translations/<language>/LC_MESSAGES/messages.po` without a translation, and is named here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields
from io import BytesIO
from itertools import chain
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(REPOSITORY)

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from config.catalog import environments, models
from config.settings import Settings
from services.planner import workflows
from web.sayings import meanings

WEB = REPOSITORY / "web"
FILES = "*/LC_MESSAGES/messages.po"
"""Where a language's words stand, below `web/translations`."""


def words() -> Catalog:
    """Return every text that pages show in the reader's language, in English."""
    with (WEB / "babel.cfg").open(encoding="utf-8") as stream:
        methods, options = parse_mapping_cfg(stream)  # type: ignore[no-untyped-call]
    found = Catalog()
    for _file, _line, message, _comments, _context in extract_from_dir(WEB, methods, options):
        found.add(message)
    for about in _declared():
        found.add(about)
    return found


def _declared() -> Iterator[str]:
    """What declarations say of themselves, shown through the filter `translated`, and what codes mean, through `saying`."""
    yield from (declared.metadata["about"] for declared in fields(Settings))
    yield from (declared.about for declared in environments().values())
    yield from (declared.about for declared in models().values())
    yield from (declared.about for declared in workflows().values())
    yield from chain.from_iterable(meanings().values())


def read(path: Path) -> Catalog:
    """Read a language's words."""
    with path.open("rb") as stream:
        return read_po(stream, locale=path.parents[1].name)


def is_translated(message: Message) -> bool:
    """Tell whether each form of a message has a translation that nobody doubts."""
    forms = [message.string] if isinstance(message.string, str) else message.string
    return bool(forms) and all(forms or ()) and not message.fuzzy


def update(path: Path) -> list[Message]:
    """Bring one language up to date and compile it; return the messages that lack a translation."""
    catalog, text, compiled = read(path), BytesIO(), BytesIO()
    # No guessing: the translation of a text that was alike is a wrong one more often than a help.
    catalog.update(words(), no_fuzzy_matching=True, update_creation_date=False)
    write_po(text, catalog, width=120, no_location=True, sort_output=True, ignore_obsolete=True)
    write_mo(compiled, catalog)
    path.write_bytes(text.getvalue())
    path.with_suffix(".mo").write_bytes(compiled.getvalue())
    return [message for message in catalog if message.id and not is_translated(message)]


def main() -> int:
    """Update every language; exit with 1 when a translation is wanting."""
    paths = sorted((WEB / "translations").glob(FILES))
    wanting = {path: update(path) for path in paths}
    for path, messages in wanting.items():
        for message in messages:
            print(f"{path.relative_to(REPOSITORY)}: no translation of {message.id!r}")
    return 1 if any(wanting.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
