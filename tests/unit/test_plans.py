"""Plans as files: what is written is read again as it was, and what is wrong is named with its line and a remedy."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from config.contract import Exit
from config.settings import REPOSITORY
from services.commands import can_start
from services.errors import ServiceError
from services.planner import FOLDER, make_plan, workflows
from services.plans import MOST_TASKS, Plan, PlanTask, Retry, plan_text, read_plan

HOSTILE = [
    "-rf", "--force", "- x", "a: b", "# no comment", "a #b", "*alias", "&anchor", "!tag", "{projects}", "[x]", "%y", "@z",
    "two\nlines", "ends with a newline\n", "\n", " spaces ", "tab\t", "'", '"', "''\"", "\\", "\\n", "é", "e\u0301", "🎬",
    "\u2028", "\x85", "\ufeffmark", "\x07bell", "\x7f", "null", "~", "yes", "on", "12", "1_000", "0x1F", "1e3", "12:30:45",
    "2024-01-01", ".nan", "<<", "=", "...", "---", "? x", "| x", "> x", "x" * 5000, "a " * 200, "日本語", "\U0010ffff",
]  # fmt: skip

PLAN = """\
schema: derush.plan/1
workflow: mine
objective: An example
parallel_tasks:
  - id: scenes
    name: Scene detection
    step: STEP3
    depends: [convert]
  - id: audio
    name: Audio analysis
    step: STEP4
    depends: [convert]
sequential_tasks:
  - id: convert
    name: Conversion
    step: STEP2
    files: [/projects/one]
    test: [derush, verify, "{projects}"]
  - id: tell
    name: Message
    command: [python, -c, pass]
    environment: env
    depends: [scenes, audio]
    optional: true
    retry: {max_attempts: 3, backoff: 0.5, codes: [timeout]}
validation:
  - [derush, verify]
"""


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        read_plan(path)
    assert caught.value.exit_code == Exit.USAGE
    assert caught.value.remedy.strip().endswith((".", "?"))
    return caught.value


def hostile_plan(text: str) -> Plan:
    convert = PlanTask(
        id="a",
        name=text,
        step="STEP2",
        files=(text, "plain", text),
        test=("derush", text),
        retry=Retry(max_attempts=2),
        force=True,
    )
    command = PlanTask(id="b", name="b", command=(text, "", text), depends=("a",), optional=True)
    return Plan(workflow=text, objective=text, sequential_tasks=(convert, command), validation=(("x", text),))


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:30])
def test_what_is_written_is_read_again_as_it_was(tmp_path: Path, text: str):
    plan = hostile_plan(text)
    assert read_plan(written(tmp_path, plan_text(plan))) == plan
    assert Plan.from_record(json.loads(json.dumps(plan.record()))) == plan


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_the_plan_of_every_workflow_is_read_again_as_it_was(tmp_path: Path, name: str):
    plan = make_plan(workflows()[name], objective="réduis\n# x", files=HOSTILE)
    assert read_plan(written(tmp_path, plan_text(plan))) == plan


def test_a_written_plan_says_how_it_is_run_and_leaves_out_what_says_nothing():
    text = plan_text(Plan(workflow="w", objective="o", sequential_tasks=(PlanTask(id="a", name="A", step="STEP5"),)))
    assert text.startswith("# ") and "derush run --plan FILE --dry-run" in text
    assert text.endswith(
        "schema: derush.plan/1\nworkflow: w\nobjective: o\nparallel_tasks: []\nsequential_tasks:\n"
        "  - id: a\n    name: A\n    step: STEP5\n    files: []\n    depends: []\n    test: []\nvalidation: []\n"
    )


def test_a_plan_is_read(tmp_path: Path):
    plan = read_plan(written(tmp_path, "\ufeff" + PLAN.replace("\n", "\r\n")))
    assert [task.id for task in plan.tasks] == ["convert", "scenes", "audio", "tell"]
    assert plan.tasks[3].retry == Retry(max_attempts=3, backoff=0.5, codes=("timeout",))
    assert plan.tasks[0].files == ("/projects/one",)
    assert plan.validation == (("derush", "verify"),)


@pytest.mark.parametrize(
    ("old", "new", "line", "said", "remedy"),
    [
        ("objective:", "objectif:", 3, "unknown key `objectif`", "Did you mean `objective`?"),
        ("    step: STEP3", "    stpe: STEP3", 7, "unknown key `stpe`", "Did you mean `step`?"),
        ("backoff: 0.5", "backof: 0.5", 25, "unknown key `backof`", "Did you mean `backoff`?"),
        ("step: STEP3", "step: STEPS3", 7, "no step `STEPS3`", "Did you mean `STEP3`?"),
        ("step: STEP3", "step: step3", 7, "no step `step3`", "Did you mean `STEP3`?"),
        ("environment: env", "environment: audioenv", 22, "no environment `audioenv`", "`audio_env`"),
        ("[scenes, audio]", "[scenes, odio]", 23, "`odio`, which is no task", "Did you mean `audio`?"),
        ("files: [/projects/one]", "depends: [tell]", 8, "a cycle: scenes → tell → convert → scenes", "`depends`"),
        ("files: [/projects/one]", "depends: [convert]", 17, "convert → convert", "`depends`"),
        ("id: audio", "id: scenes", 9, "two tasks have the id `scenes`", "id of its own"),
        ("id: audio", "id: a b", 9, "`id` is 'a b'", "match pattern"),
        ("    step: STEP4", "    step: STEP4\n    command: [x]", 12, "both `step` and `command`", "Keep one"),
        ("    step: STEP4\n", "", 9, "neither of `step` and `command`", "Give one"),
        ("optional: true", "force: true", 24, "`force` beside a command", "Leave it out"),
        ("optional: true", "force: 1", 24, "`force` should be true or false", "Give true or false"),
        ("step: STEP4", "step: STEP4\n    environment: env", 12, "`environment` beside a step", "of its own"),
        ("command: [python, -c, pass]", "command: []", 21, "`command` is an empty list", "at least 1"),
        ("command: [python, -c, pass]", "command: python -c pass", 21, "`command` should be a list", "Give a list"),
        ("command: [python, -c, pass]", "command: [python, 3]", 21, "should be text, not 3", "quotes"),
        ("files: [/projects/one]", "files: [12:30]", 17, "should be text, not 750", "quotes"),
        ("files: [/projects/one]", "files: [2024-01-01]", 17, "neither text", "quotes"),
        ("files: [/projects/one]", "files: ['']", 17, "`files` is ''", "at least 1 character"),
        ("name: Conversion", "name:", 15, "`name` should be text, not nothing", "quotes"),
        ("    name: Conversion\n", "", 14, "`name` is missing", "Add `name`"),
        ("optional: true", "optional: 1", 24, "true or false, not 1", "Give true or false"),
        ("max_attempts: 3", "max_attempts: 3.5", 25, "a whole number, not 3.5", "whole number"),
        ("max_attempts: 3", "max_attempts: true", 25, "a whole number, not true", "whole number"),
        ("max_attempts: 3", "max_attempts: 21", 25, "`max_attempts` is 21", "less than or equal to 20"),
        ("max_attempts: 3", "max_attempts: " + "9" * 5000, 25, "neither text", "quotes"),
        ("backoff: 0.5", "backoff: .nan", 25, "`backoff`", "number"),
        ("backoff: 0.5", "backoff: -1", 25, "`backoff` is -1", "greater than or equal to 0"),
        ("workflow: mine", "workflow: mine\nworkflow: yours", 3, "`workflow` is there twice", "Keep one"),
        ("name: Message", "name: Message\n    name: M", 21, "`name` is there twice", "Keep one"),
        ("schema: derush.plan/1", "schema: derush.plan/2", 1, "'derush.plan/2', not derush.plan/1", "derush.plan/1"),
        ("schema: derush.plan/1\n", "", 1, "`schema` is missing", "derush.plan/1"),
        ("objective: An example", "objective: &a x", 3, "an anchor or an alias", "Write the value out"),
        ("objective: An example", "objective: *a", 3, "an anchor or an alias", "quotes"),
        ("objective: An example", "objective: !!python/name:os.system x", 3, "neither text", "quotes"),
        ("objective: An example", "objective: !!binary aGk=", 3, "neither text", "quotes"),
        ("objective: An example", "? [objective]\n: x", 3, "a key that is not text", "as a word"),
        ("objective: An example", "<<: {objective: x}", 3, "a key that is not text", "as a word"),
        ("objective: An example", "objective: 'An example", 3, "not YAML", "quotes"),
        ("objective: An example", "objective: An: example", 3, "not YAML", "quotes"),
        ("objective: An example", "objective: \x07", 3, "control character", "escape"),
        ("objective: An example", "objective: " + "[" * 100_000, 3, "nested deeper", "brackets"),
        ("validation:", "---\nvalidation:", 26, "not YAML", ""),
        ("objective:", "x" * 900 + ":", 3, "unknown key `xxx", "Accepted here"),
        ("objective:", '"\\e[31m\\n":', 3, "unknown key `�[31m�`", "Accepted here"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line_and_a_remedy(
    tmp_path, old: str, new: str, line: int, said: str, remedy: str
):
    assert old in PLAN
    error = refused(path := written(tmp_path, PLAN.replace(old, new, 1)))
    assert error.message.startswith(f"{path}:{line}: "), error.message
    assert said in error.message and remedy in error.remedy, (error.message, error.remedy)
    assert len(error.message) < 500


@pytest.mark.parametrize(
    ("old", "line"),
    [("[python, -c, pass]", 21), ('[derush, verify, "{projects}"]', 18), ("- [derush, verify]", 27)],
    ids=["a command", "a test", "a validation"],
)
def test_a_program_that_cannot_be_started_is_named_with_its_line(tmp_path: Path, old: str, line: int):
    content = PLAN.replace(old, old.replace("python", "ffnprobe").replace("derush", "ffnprobe"))
    path = written(tmp_path, content)
    assert read_plan(path).workflow == "mine", "nobody asked whether it is there"
    with pytest.raises(ServiceError) as refused:
        read_plan(path, lambda program: program != "ffnprobe")
    assert refused.value.exit_code == Exit.USAGE
    assert refused.value.message == f"{path}:{line}: there is no program `ffnprobe` that can be started."


def test_derush_and_python_are_always_there(tmp_path: Path):
    assert read_plan(written(tmp_path, PLAN), lambda _program: False).workflow == "mine"


def test_a_program_is_looked_up_as_it_is_started(tmp_path: Path):
    own, text = tmp_path / "tool", tmp_path / "notes"
    own.touch(mode=0o755)
    text.touch(mode=0o644)
    found = [
        name for name in ("sh", "tool", "./tool", str(own), "./notes", "./none", "sh ") if can_start(name, tmp_path)
    ]
    assert found == ["sh", "./tool", str(own)]


def test_relative_files_start_at_the_repository_s_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    names = ["[samples/demo.zip, ./a b, /projects/one, ~/rushes, ~odd]"]
    plan = read_plan(written(tmp_path, PLAN.replace("[/projects/one]", names[0]))).with_absolute_files()
    root = str(REPOSITORY)
    wanted = (f"{root}/samples/demo.zip", f"{root}/a b", "/projects/one", "/home/somebody/rushes", f"{root}/~odd")
    assert plan.tasks[0].files == wanted
    assert plan.tasks[3].retry == Retry(max_attempts=3, backoff=0.5, codes=("timeout",)), "the rest is as it was"


def tasks(*declared: tuple[str, str, list[str], list[str]]) -> str:
    listed = [{"id": name, "name": name, "step": step, "files": f, "depends": d} for name, step, f, d in declared]
    plan = {"schema": "derush.plan/1", "workflow": "w", "objective": "", "sequential_tasks": listed}
    return yaml.safe_dump(plan, sort_keys=False)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ([("a", "STEP5", ["/p"], []), ("b", "STEP3", [], ["a"])], "`a` (STEP5) has to come after `b` (STEP3)"),
        ([("a", "STEP7", ["/p"], []), ("b", "STEP2", [], ["a"])], "`a` (STEP7) has to come after `b` (STEP2)"),
        ([("a", "STEP3", ["/p"], []), ("b", "STEP5", ["/p"], [])], "`b` (STEP5) has to come after `a` (STEP3)"),
        (
            [
                ("a", "STEP2", ["/p"], []),
                ("b", "STEP3", [], ["a"]),
                ("c", "STEP4", [], ["a"]),
                ("d", "STEP5", [], ["b"]),
            ],
            "`d` (STEP5) has to come after `c` (STEP4)",
        ),
    ],
)
def test_a_step_that_does_not_wait_for_what_it_builds_on_is_refused(tmp_path: Path, declared: list, said: str):
    error = refused(written(tmp_path, tasks(*declared)))
    assert said in error.message and "depend on" in error.remedy


def test_steps_on_different_projects_need_not_wait_for_each_other(tmp_path: Path):
    text = tasks(("a", "STEP5", ["/one"], []), ("b", "STEP3", ["/two"], []), ("c", "STEP5", [], ["b"]))
    assert len(read_plan(written(tmp_path, text)).tasks) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ":1: the file is empty"),
        (b"# nothing\n\n", ":1: the file is empty"),
        (b"- a\n- b\n", ":1: keys with values are wanted"),
        (b"just words", ":1: keys with values are wanted"),
        (b"a: b\n\xff\xfe", ":2: this is not UTF-8 text"),
        (b"\x00" * 10, ":1: a control character"),
        (b"#" * 1_000_001, ":1: the file is larger than 1 MB"),
        (b"schema: derush.plan/1\nworkflow: w\nobjective: o\n", ":1: the plan has no task"),
        (b"schema: derush.workflow/1\nname: x\n", ":1: `schema` is 'derush.workflow/1'"),
        (
            b"schema: derush.plan/1\nworkflow: w\nobjective: o\nsequential_tasks: {a: b}\n",
            ":4: `sequential_tasks` should",
        ),
        (b"schema: derush.plan/1\nworkflow: w\nobjective: o\nsequential_tasks: [a]\n", ":4: `sequential_tasks` should"),
    ],
)
def test_a_file_that_is_no_plan(tmp_path: Path, content: bytes, said: str):
    path = written(tmp_path, content)
    assert refused(path).message.startswith(f"{path}{said}")


def test_a_file_that_is_not_there_or_a_folder(tmp_path: Path):
    assert "No such file" in refused(tmp_path / "nothing.yaml").message
    assert "Is a directory" in refused(tmp_path).message


def test_a_plan_has_a_bounded_number_of_tasks(tmp_path: Path):
    many = [(f"t{number}", "STEP3", ["/p"], []) for number in range(MOST_TASKS + 1)]
    assert "more than 500 tasks" in refused(written(tmp_path, tasks(*many))).message
    assert len(read_plan(written(tmp_path, tasks(*many[:-1]))).tasks) == MOST_TASKS


SCHEMAS = {
    kind: jsonschema.Draft202012Validator(json.loads((REPOSITORY / f"docs/schemas/{kind}.json").read_text()))
    for kind in ("plan", "workflow")
}


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:30])
def test_plans_are_what_their_schema_says(text: str):
    SCHEMAS["plan"].validate(hostile_plan(text).record())
    SCHEMAS["plan"].validate(yaml.safe_load(plan_text(hostile_plan(text))))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_workflows_are_what_their_schema_says(path: Path):
    SCHEMAS["workflow"].validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("objective:", "objectif:"), ("    step: STEP3", "    stpe: STEP3"), ("id: audio", "id: a b"),
        ("    step: STEP4", "    step: STEP4\n    command: [x]"), ("    step: STEP4\n", ""),
        ("step: STEP4", "step: STEP4\n    environment: env"), ("[python, -c, pass]", "[]"), ("optional: true", "force: true"), ("[python, -c, pass]", "[3]"),
        ("files: [/projects/one]", "files: ['']"), ("    name: Conversion\n", ""), ("optional: true", "optional: 1"),
        ("max_attempts: 3", "max_attempts: 3.5"), ("max_attempts: 3", "max_attempts: 21"), ("backoff: 0.5", "backoff: -1"),
        ("derush.plan/1", "derush.plan/2"), ("- [derush, verify]", "- derush verify"), ("- [derush, verify]", "- []"),
    ],
)  # fmt: skip
def test_reader_and_schema_refuse_the_same(tmp_path: Path, old: str, new: str):
    assert SCHEMAS["plan"].is_valid(yaml.safe_load(PLAN))
    changed = PLAN.replace(old, new, 1)
    assert not SCHEMAS["plan"].is_valid(yaml.safe_load(changed))
    refused(written(tmp_path, changed))
