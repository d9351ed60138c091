"""The passwords that a person knows, and for which archives. They are kept out of arguments, logs, events and records.

They come as lines of text, from the file STEP1_PASSWORDS_FILE and from the variable STEP1_PASSWORDS alike:

    a password                      is tried on every archive
    12_Camille*.zip<TAB>a password  is tried on the archives of that name (`*`, `?` as in file names, case counts for
                                    nothing), before the others; of one in parts: of the first, or `12_Camille.7z`

Spaces belong to a password; empty lines are nothing.
"""

from __future__ import annotations

import getpass
import sys
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from fnmatch import fnmatchcase

from config.settings import Settings
from workflow_scripts.step1.volumes import whole_name
from workflow_scripts.stepkit.errors import ItemError, PrerequisiteMissing

_ANY = "*"


class Passwords:
    """Passwords in the order they are tried, each behind the names of the archives it is for."""

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        self._lines = list(lines)

    def learn(self, password: str) -> None:
        """Try a password from now on, on every archive and before all others."""
        self._lines.insert(0, (_ANY, password))

    def of(self, archive: str) -> tuple[str, ...]:
        """Return the passwords to try on an archive of this file name: those for its name first, each once."""
        fitting = [(pattern, password) for pattern, password in self._lines if _fits(archive, pattern)]
        named_first = sorted(fitting, key=lambda line: line[0] == _ANY)
        return tuple(dict.fromkeys(password for _pattern, password in named_first))


def parsed(text: str) -> list[tuple[str, str]]:
    """Read the lines described above, each as the names it is for and the password."""
    lines = (line.rstrip("\r") for line in text.removeprefix("\ufeff").split("\n"))
    parted = (line.rpartition("\t") for line in lines if line.strip())
    return [(name or _ANY, password) for name, _tab, password in parted]


def known(settings: Settings) -> Passwords:
    """Return the passwords of the settings. Raises PrerequisiteMissing for a file that cannot be read."""
    path = settings.step1_passwords_file
    try:
        listed = path.read_text(encoding="utf-8") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise PrerequisiteMissing(
            "no_passwords_file", f"The passwords in {path} cannot be read: {reason}.",
            "Put the file there, as UTF-8 text that the user who runs Derush may read, or correct STEP1_PASSWORDS_FILE.",
        ) from None  # the decoding error has the file's bytes in it  # fmt: skip
    return Passwords(parsed(listed) + parsed(settings.step1_passwords or ""))


def readable(settings: Settings) -> PrerequisiteMissing | None:
    """Require the file of passwords, if one is named."""
    try:
        known(settings)
    except PrerequisiteMissing as missing:
        return missing
    return None


def ask(error: ItemError) -> str | None:
    """Ask a person at a terminal for the password that an archive failed for; it is not shown as it is typed.

    None where nobody is there, where the answer is empty, or where the archive failed for something else.
    """
    if error.code not in ("missing_password", "wrong_password") or sys.stdin is None or not sys.stdin.isatty():
        return None
    with suppress(EOFError):
        return getpass.getpass(f"{error.message}\nIts password (nothing to go on without it): ") or None
    return None


def _fits(archive: str, pattern: str) -> bool:
    wanted = _plain(pattern).replace("[", "[[]")  # no wildcard, but a letter that names have
    return any(fnmatchcase(_plain(name), wanted) for name in (archive, whole_name(archive)))


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
