"""`derush archive`: the archives of results below ARCHIVES_DIR, found, checked and brought back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.contract import Exit
from config.settings import load_settings
from services.cli.options import AsJson, console, to_person
from services.cli.reading import reading_progress
from services.cli.style import amount, local_time, plain
from services.errors import ServiceError
from services.results_archiver import METADATA, Entry, Problem, ResultsArchiver
from services.verified_copies import CopyError, sha256_of

app = typer.Typer(no_args_is_help=True, help="The archives of results: found, checked for bit rot, brought back.")

Key = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help="An original (the file itself, wherever it is now), its sha256, a video's name without suffix, or an archive's folder.",
    ),
]
_SAID = {
    "missing": "is missing",
    "size": "has another size than what was archived",
    "checksum": "does not hold what was archived: it rotted, or was changed",
    "unreadable": "cannot be read",
    "unrecorded": "holds no checksums: the archive is older than them, and cannot be checked",
}


@app.command("list")
def list_archives(as_json: AsJson = False) -> int:
    """List every archive, by the name of its folder."""
    return _tell(list(_archiver().list()), as_json)


@app.command()
def find(key: Key, as_json: AsJson = False) -> int:
    """Find the archives of an original, by what it holds, else by a video's name; the newest first."""
    found = _found(key)
    _tell(found, as_json)
    for entry in found if not as_json else ():
        _say(str(entry.folder))
    return Exit.OK


@app.command()
def verify(
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="As for `find`: every archive of it.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every archive there is.")] = False,
    as_json: AsJson = False,
) -> int:
    """Read every file of archives, and name each that is not what was archived. Ends with 1 if there is one."""
    if (key is None) != everything:
        raise ServiceError(
            "which_archives", "Name what to check, or say --all.", "For all: `derush archive verify --all`.", Exit.USAGE
        )
    entries = list(_archiver().list()) if key is None else _found(key)
    screen = to_person if as_json or not console.is_terminal else console
    checked = []
    with reading_progress(sum(entry.bytes for entry in entries), screen) as on_bytes:
        for entry in entries:
            problems = _archiver().verify(entry, on_bytes)
            checked.append((entry, problems))
            if not as_json:
                _print_checked(entry, problems)
    exit_code = Exit.SOME_FAILED if any(problems for _, problems in checked) else Exit.OK
    if as_json:
        records = [
            {**_record(entry), "problems": [vars(problem) for problem in problems]} for entry, problems in checked
        ]
        print(json.dumps({"exit_code": int(exit_code), "archives": records}, indent=1))
    else:
        _say_if_none(entries)
    return exit_code


@app.command()
def restore(
    key: Key,
    to: Annotated[
        Path,
        typer.Option(
            "--to", metavar="FOLDER", help="Where the files go; made if need be. Nothing there is overwritten."
        ),
    ],
    as_json: AsJson = False,
) -> int:
    """Bring back the files of the newest archive of an original, after reading all of them for damage.

    An archive's folder as KEY brings back that one.
    """
    entry, *older = _found(key)
    if any(other.sha256 != entry.sha256 for other in older):
        raise ServiceError(
            "several_originals", f"Different originals are called {plain(key)}.",
            f"`derush archive find {key}` lists them: give the folder of the one you want.", Exit.USAGE,
        )  # fmt: skip
    if older:
        _say(f"Of {len(older) + 1} archives the newest: {entry.folder}", to_person)
    screen = to_person if as_json or not console.is_terminal else console
    try:
        with reading_progress(3 * entry.bytes, screen) as on_bytes:  # checked, copied, and the copy read again
            restored = _archiver().restore(entry, to.absolute(), on_bytes)
    except (CopyError, OSError) as error:
        others = f"`derush archive restore '{older[0].folder}' --to …` takes an older one; " if older else ""
        remedy = f"{others}check the disks of the archive and of {to}."
        raise ServiceError("not_restored", f"{error}.", remedy, Exit.SOME_FAILED) from error
    if as_json:
        print(json.dumps({**_record(entry), "restored": [str(path) for path in restored]}, indent=1))
    for path in restored if not as_json else ():
        _say(str(path))
    return Exit.OK


def _archiver() -> ResultsArchiver:
    return ResultsArchiver(load_settings().archives_dir)


def _found(key: str) -> Sequence[Entry]:
    """Return the archives that a file, a sha256 or a video's name leads to. Raises ServiceError no_such_archive."""
    original, sought = Path(key), key
    if entry := _archiver().at(original):
        return [entry]
    if original.is_file():
        with reading_progress(original.stat().st_size, to_person) as on_bytes:
            sought = sha256_of(original, on_bytes)
    found = _archiver().find(sought)
    if not found:
        remedy = "`derush archive list` shows what there is."
        raise ServiceError("no_such_archive", f"No archive is of {plain(key)}.", remedy, Exit.USAGE)
    return found


def _tell(entries: Sequence[Entry], as_json: bool) -> int:
    if as_json:
        print(json.dumps({"archives": [_record(entry) for entry in entries]}, indent=1))
    else:
        _say_if_none(entries)
        if entries:
            console.print(_table(entries))
            _say(f"Below {load_settings().archives_dir}")
    return Exit.OK


def _say_if_none(entries: Sequence[Entry]) -> None:
    if not entries:
        _say(f"There is no archive in {load_settings().archives_dir}.")


def _table(entries: Iterable[Entry]) -> Table:
    table = Table(box=None)
    for column in ("Video", "Project", "Archived", "Files", "Original"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        name = entry.stem or f"{METADATA} cannot be read"
        size = f"{len(entry.artefacts)}, {entry.bytes / 1e6:.1f} MB{', incomplete' if entry.missing else ''}"
        told = name, str(entry.metadata.get("project", "")), _when(entry), size, entry.sha256[:12]
        table.add_row(*(Text(plain(each)) for each in told))
    return table


def _when(entry: Entry) -> str:
    created = entry.metadata.get("created_at")
    try:
        return local_time(created) if isinstance(created, str) else ""
    except (ValueError, OverflowError):
        return str(created)


def _print_checked(entry: Entry, problems: Sequence[Problem]) -> None:
    told = f"{amount(len(entry.artefacts), 'file')}, {entry.bytes / 1e6:.1f} MB"
    _say(f"{'✗' if problems else '✓'} {entry.folder}: {told}", style="red" if problems else "")
    for problem in problems:
        _say(f"    {problem.name} {_SAID[problem.what]} ({problem.what})")


def _say(text: str, screen: Console = console, style: str = "") -> None:
    """Print a line as it is: names may come from anywhere."""
    screen.print(Text(plain(text), style), soft_wrap=True)


def _record(entry: Entry) -> dict[str, Any]:
    return {
        "folder": str(entry.folder), "project": entry.metadata.get("project"), "video_stem": entry.stem or None,
        "video_hash": entry.sha256, "created_at": entry.metadata.get("created_at"), "bytes": entry.bytes,
        "missing": entry.missing, "artefacts": entry.artefacts,
    }  # fmt: skip
