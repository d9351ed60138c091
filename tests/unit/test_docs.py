"""What exists is documented, and what is documented exists, or this fails: settings, steps, commands, statuses, events…"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from config.catalog import environments, models, steps
from config.contract import Exit
from config.settings import Settings, read_settings
from services.cli.app import app_for
from services.planner import workflows
from services.statuses import EVENTS, STATUSES, TRANSITIONS
from tests.conftest import REPOSITORY
from web import create_app

DOCUMENTS = (*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md")))
SETTINGS = {declared.name.upper() for declared in fields(Settings)}


def text(name: str) -> str:
    return (REPOSITORY / name).read_text()


def after(name: str, words: str) -> str:
    """What a document says from these words on, which stand in it once."""
    _, found, rest = text(name).partition(words)
    assert found and words not in rest, words
    return rest


def first_table(said: str) -> list[str]:
    """The first cells of the first table, what is in backticks of them."""
    table = re.search(r"(?:^\|.*\n)+", said, re.MULTILINE)
    assert table
    return re.findall(r"^\| `([^`]+)`", table[0], re.MULTILINE)


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that is not hidden, with its name: `run`, `envs list`."""
    for name, command in get_command(app_for([])).commands.items():  # type: ignore[attr-defined]
        if not command.hidden:
            yield name, command
            yield from ((f"{name} {below}", it) for below, it in getattr(command, "commands", {}).items())


def test_every_setting_stands_in_the_example_file() -> None:
    assert all(f"# {name}=" in text(".env.example") for name in SETTINGS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_setting_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)[`=/]", document.read_text()))
    assert named <= SETTINGS | {"DERUSH_ENV_FILE", "DERUSH_STEPS_FILE", "OMP_WAIT_POLICY"}


def test_every_step_and_its_command_line_stand_in_the_readme() -> None:
    for step_id, spec in steps().items():
        assert f"| {step_id} |" in text("README.md")
        assert f"envs/{spec.environment}/bin/python {spec.script}" in text("README.md")


def test_every_command_stands_in_the_readme() -> None:
    for name, _ in commands():
        command, _, below = name.partition(" ")
        assert re.search(rf"`derush {command}\b[^`]*\b{below}", text("README.md")), name


def test_every_command_and_option_a_document_names_exists() -> None:
    known: dict[str, set[str]] = {}
    for name, command in commands():  # of `models fetch` the options are among those of `models`
        options = {option for it in command.params for option in (*it.opts, *it.secondary_opts)}
        known.setdefault(name.partition(" ")[0], set()).update(options)
    called = [
        (document.name, name or "run", set(re.findall(r"(?<!\S)--[a-z-]+", arguments)))
        for document in DOCUMENTS
        for name, arguments in re.findall(
            r"(?:`|^)(?:derush ([a-z]+)|\./run_all\.sh)([^`\n#]*)", document.read_text(), re.M
        )
    ]
    assert len(called) > 50 and sum(len(options) for *_, options in called) > 20
    assert [call for call in called if call[1] not in known] == []
    assert [call for call in called if not call[2] <= known[call[1]] and call[1] != "step"] == []


def test_every_event_that_stepkit_emits_is_in_the_contract() -> None:
    sources = "".join(path.read_text() for path in (REPOSITORY / "workflow_scripts").rglob("*.py"))
    emitted = set(re.findall(r"events\.emit\(\s*\"(\w+)\"", sources))
    assert len(emitted) >= 9
    assert emitted == set(first_table(after("docs/architecture.md", "**Events of a worker**")))


def test_every_event_of_the_history_is_in_the_architecture() -> None:
    assert first_table(after("docs/architecture.md", "Events of the history:")) == list(EVENTS)


def test_every_status_is_in_the_architecture() -> None:
    assert first_table(after("docs/architecture.md", "## The history of runs")) == list(STATUSES)


@pytest.mark.parametrize(
    ("kinds", "words"),
    [(("run", "step"), "What a run, or a step of it, may become:"), (("task",), "What a task may become;")],
)
def test_the_state_machines_are_those_of_the_code(kinds: tuple[str, ...], words: str) -> None:
    diagram = re.search(r"```mermaid\nstateDiagram-v2\n(.*?)```", after("docs/architecture.md", words), re.DOTALL)
    assert diagram
    arrows = re.findall(r"^  (\S+) --> (\w+)(?: : .+)?$", diagram[1], re.MULTILINE)
    assert len(arrows) == len(diagram[1].splitlines()) == len(set(arrows)), "a line that is no arrow, or one twice"
    for kind in kinds:
        assert set(arrows) == {("[*]", "queued"), *_transitions(TRANSITIONS[kind])}


def _transitions(machine: Mapping[str, frozenset[str]]) -> set[tuple[str, str]]:
    return {(before, later) for before, all_later in machine.items() for later in all_later}


def test_every_workflow_is_in_operations() -> None:
    assert set(first_table(after("docs/operations.md", "## Workflows and plans"))) == set(workflows())


def test_every_module_of_the_control_plane_is_in_the_architecture() -> None:
    said = after("docs/architecture.md", "## Who may import whom").partition("\n## ")[0]
    table = "".join(line for line in said.splitlines(keepends=True) if line.startswith("|"))
    kept = {path.stem for path in (REPOSITORY / "services").glob("*.py")} - {"__init__"}
    assert set(re.findall(r"`(\w+)`", table.partition("| --- |")[2])) == kept | {"cli"}


def test_every_error_code_of_the_night_exists() -> None:
    sources = "".join(
        path.read_text() for folder in ("services", "workflow_scripts") for path in (REPOSITORY / folder).rglob("*.py")
    )
    signs = re.findall(r"^\| (.+?) \|", after("docs/operations.md", "## At 2 a.m."), re.MULTILINE)
    codes = {code for sign in signs for code in re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", sign)}
    assert len(codes) >= 15
    assert [code for code in sorted(codes) if f'"{code}"' not in sources] == []


def test_every_option_of_a_step_is_in_the_contract() -> None:
    script = REPOSITORY / steps()["STEP6"].script
    helped = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True).stdout
    options = set(re.findall(r"^  (--[\w-]+)", helped, re.MULTILINE))
    assert len(options) >= 9
    assert all(f"| `{option}" in text("docs/architecture.md") for option in options)


def test_every_exit_code_is_in_the_contract() -> None:
    said = text("docs/architecture.md").partition("**Exit codes**")[2].partition("\n\n")[0]
    assert {int(number) for number in re.findall(r"(?:: |· |\n)(\d+) ", said)} == {int(code) for code in Exit}


def test_every_route_of_the_panel_is_in_operations(tmp_path: Path) -> None:
    app = create_app(read_settings({"DATA_DIR": str(tmp_path)}))
    routes = {rule.rule for rule in app.url_map.iter_rules() if rule.endpoint != "static"}
    said = text("docs/operations.md")
    assert routes
    assert not [route for route in sorted(routes) if f"`{route}`" not in said]


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
    for document in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
