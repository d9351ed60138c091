"""What exists is documented, or this fails: settings, steps, events, commands, options, routes, schemas, error codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command

from config.catalog import environments, models, steps
from config.contract import Exit
from config.settings import Settings, read_settings
from services.cli.app import app
from tests.conftest import REPOSITORY
from web import create_app


def text(name: str) -> str:
    return (REPOSITORY / name).read_text()


def test_every_setting_stands_in_the_example_file() -> None:
    assert all(f"# {declared.name.upper()}=" in text(".env.example") for declared in fields(Settings))


def test_every_step_and_its_command_line_stand_in_the_readme() -> None:
    for step_id, spec in steps().items():
        assert f"| {step_id} |" in text("README.md")
        assert f"envs/{spec.environment}/bin/python {spec.script}" in text("README.md")


def test_every_command_stands_in_the_readme() -> None:
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f"`derush {name}" in text("README.md"), name
        for below in getattr(command, "commands", {}):
            assert re.search(rf"`derush {name} [^`]*\b{below}\b", text("README.md")), f"{name} {below}"


def test_every_event_that_stepkit_emits_is_in_the_contract() -> None:
    sources = "".join(path.read_text() for path in (REPOSITORY / "workflow_scripts").rglob("*.py"))
    emitted = set(re.findall(r"events\.emit\(\s*\"(\w+)\"", sources))
    assert len(emitted) >= 9
    assert all(f"| `{event}` |" in text("docs/architecture.md") for event in emitted)


def test_every_option_of_a_step_is_in_the_contract() -> None:
    script = REPOSITORY / steps()["STEP6"].script
    helped = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True).stdout
    options = set(re.findall(r"^  (--[\w-]+)", helped, re.MULTILINE))
    assert len(options) >= 9
    assert all(f"| `{option}" in text("docs/architecture.md") for option in options)


def test_every_exit_code_is_in_the_contract() -> None:
    said = text("docs/architecture.md").partition("**Exit codes**")[2].partition("\n\n")[0]
    assert {int(number) for number in re.findall(r"(?:: |· |\n)(\d+) ", said)} == {int(code) for code in Exit}


def test_every_route_of_the_panel_is_in_operations() -> None:
    routes = {rule.rule for rule in create_app(read_settings({})).url_map.iter_rules() if rule.endpoint != "static"}
    assert routes and all(f"`{route}`" in text("docs/operations.md") for route in routes)


@pytest.mark.parametrize("path", sorted((REPOSITORY / "docs" / "schemas").glob("*.json")), ids=lambda path: path.stem)
def test_every_schema_is_described(path: Path) -> None:
    assert f"`{json.loads(path.read_text())['$id']}`" in text("docs/artefacts.md")


def test_every_document_of_a_step_has_a_schema() -> None:
    written = set()
    for path in (REPOSITORY / "workflow_scripts").glob("step*/*.py"):
        written |= set(re.findall(r"derush\.(\w+)/1", path.read_text()))
    kept = {path.stem for path in (REPOSITORY / "docs" / "schemas").glob("*.json")}
    assert {"source", "scenes", "audio_raw", "tracking_raw", "audio", "tracking"} <= kept
    assert all(f"`derush.{kind}/1`" in text("docs/artefacts.md") or kind in kept for kind in written)


def test_every_environment_has_its_spec_and_locks() -> None:
    for name in environments():
        assert all((REPOSITORY / "envs" / f"{name}{suffix}").is_file() for suffix in (".in", ".txt", ".dev.txt"))


def test_models_say_where_they_come_from_and_under_which_licence() -> None:
    assert all(spec.licence and (spec.url or (spec.package and "==" in spec.package)) for spec in models().values())


def test_links_between_the_documents_lead_somewhere() -> None:
    for document in (*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
