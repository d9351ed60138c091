"""What people call the speakers and the persons of a project, as they wrote it into its files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.step6.exports.timeline import plain
from workflow_scripts.stepkit.projects import Project


def read_names(project: Project) -> dict[str, str]:
    """Return names by speaker (`SPEAKER_00`) and by person (`person_1`); whoever has none, and a file that is none, is left out.

    The steps that keep these files say what is wrong with them: an export goes on with labels.
    """
    speakers = _read(project.path / "speakers.json").get("speakers")
    people = _read(project.docs / "people.json").get("people")
    named = {**dict(_speakers(speakers)), **dict(_people(people))}
    return {label: name for label, text in sorted(named.items()) if (name := plain(text))}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _speakers(listed: Any) -> Iterator[tuple[str, str]]:
    for speaker in listed if isinstance(listed, list) else ():
        if isinstance(speaker, dict) and isinstance(speaker.get("name"), str):
            yield str(speaker.get("label")), speaker["name"]


def _people(listed: Any) -> Iterator[tuple[str, str]]:
    for key, person in listed.items() if isinstance(listed, dict) else ():
        if isinstance(person, dict) and isinstance(person.get("name"), str):
            yield key, person["name"]
