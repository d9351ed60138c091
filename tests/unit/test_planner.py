"""What people ask for, and the plan it becomes: the requests below were written before the triggers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from config.contract import Exit
from config.settings import REPOSITORY
from services.errors import ServiceError
from services.planner import choose, chosen_steps, make_plan, trigger_test, workflows
from services.plans import Plan, PlanTask, read_plan
from services.requests import VIDEO_SUFFIXES, Understood, understand
from services.workflows import read_workflow
from workflow_scripts.stepkit import projects

PROJECTS = ["12 Camille", "12 Camille 2", "L'été à Bruxelles", "13_Nuit-blanche", "Archive", "X-Ray"]

REQUESTS = {
    "full": [
        "traite tout",
        "Traite les rushes de ce matin",
        "dérushe tout, s'il te plaît",
        "lance tout le traitement",
        "fais toutes les étapes",
        "je voudrais tout traiter",
        "peux-tu traiter les nouvelles archives ?",
        "il faut dérusher ce dossier",
        "traitement complet",
        "Process everything!",
        "do the rushes",
        "please run the whole pipeline",
        "process the new rushes from yesterday",
        "run all the steps",
        "log my rushes",
        "could you process these archives",
        "traite tout, je suis pressé",
        "fais tout sur ces rushes",
        "take the rushes through everything",
        "take 12 Camille through everything, please",
        "run everything on these files",
    ],
    "convert": [
        "convertis les rushes",
        "convertis ces vidéos en 25 images par seconde",
        "il faut convertir les nouvelles archives",
        "extrais et convertis ~/rushes",
        "juste les proxies",
        "convert the clips",
        "extract and convert",
    ],
    "analyse-only": [
        "analyse seulement",
        "analyser seulement les plans et le son",
        "juste les scènes et l'audio",
        "analyse les rushes sans tracking",
        "détecte les plans",
        "détecter les changements de plan",
        "transcris les dialogues",
        "qui parle dans ces vidéos ?",
        "ANALYSEZ LES VIDÉOS",
        "just the scenes and the audio",
        "analyse only",
        "analyze only, no tracking",
        "find the cuts and transcribe",
        "only detect scenes",
        "who speaks in these files?",
        "transcribe the dialogue",
        "détecte les scènes",
        "détecter les scènes de ce projet",
        "transcris",
        "transcris l'interview",
        "detect the scenes",
    ],
    "track": [
        "détecte les visages",
        "détecte les visages du projet de ce matin",
        "suis les visages",
        "suis",
        "trouve les visages dans les vidéos",
        "fais le suivi",
        "track the faces",
        "detect faces in these videos",
        "find the faces",
    ],
    "retrack": [
        "refais le tracking",
        "relance le suivi des visages",
        "il faudrait refaire le suivi",
        "le tracking est mauvais, recommence-le",
        "relancer le tracking avec le nouveau moteur",
        "retrack",
        "redo the tracking",
        "track the faces again",
        "run the tracking again please",
        "the tracking was bad, try once more",
        "refais la détection des visages",
        "recommence le suivi des visages",
        "detect the faces again",
    ],
    "reduce-and-archive": [
        "réduis et archive",
        "REDUIS PUIS ARCHIVE",
        "réduire et archiver tout",
        "archive ce projet",
        "prépare la livraison",
        "il faut réduire les JSON et livrer",
        "livrez le projet maintenant",
        "finalise et copie dans les archives",
        "reduce and archive",
        "archive it",
        "deliver the project now",
        "make the JSON smaller and deliver",
        "copy everything to the archives",
    ],
    "verify": [
        "vérifie les archives",
        "verifier que tout est intact",
        "contrôle l'intégrité des archives",
        "est-ce que des fichiers sont corrompus ?",
        "vérifie les modèles",
        "une vérification, merci",
        "check",
        "check the archives",
        "verify that nothing is corrupted",
        "is everything still intact?",
        "verifying the models would be nice",
    ],
}


@pytest.mark.parametrize(("name", "request_text"), [(name, text) for name, texts in REQUESTS.items() for text in texts])
def test_a_request_chooses_its_workflow(name: str, request_text: str):
    assert choose(request_text, workflows()).workflow.name == name


@pytest.mark.parametrize("name", list(REQUESTS))
def test_every_trigger_chooses_its_workflow(name: str):
    triggers = workflows()[name].triggers
    assert [each for each in (*triggers.fr, *triggers.en) if choose(each, workflows()).workflow.name != name] == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("vérifie et archive", {"verify", "reduce-and-archive"}),
        ("check, then deliver", {"verify", "reduce-and-archive"}),
        ("analyse and archive", {"analyse-only", "reduce-and-archive"}),
    ],
)
def test_two_that_fit_equally_are_both_named_and_a_choice_is_asked_for(text: str, named: set[str]):
    with pytest.raises(ServiceError) as refused:
        choose(text, workflows())
    assert (refused.value.code, refused.value.exit_code) == ("ambiguous_request", Exit.USAGE)
    assert all(name in refused.value.message and f"--workflow {name}" in refused.value.remedy for name in named)


@pytest.mark.parametrize("text", ["fais le café", "bonjour", "make me a sandwich", "", "???", "le la les", "🎬", "des"])
def test_a_request_that_nothing_fits_is_answered_with_examples(text: str):
    with pytest.raises(ServiceError) as refused:
        choose(text, workflows())
    assert (refused.value.code, refused.value.exit_code) == ("no_workflow_fits", Exit.USAGE)
    assert all(name in refused.value.remedy for name in REQUESTS)


def test_the_reason_names_the_words_of_the_request_and_the_trigger_they_met():
    why = choose("Réduisez, puis ARCHIVEZ tout", workflows()).why
    assert "“Réduisez”" in why and "“ARCHIVEZ”" in why and "“réduis et archive”" in why and "reduce-and-archive" in why


def understood(text: str, projects: list[str] = PROJECTS, paths: tuple[str, ...] = ()) -> Understood:
    return understand(text, projects, trigger_test(workflows()), lambda path: path in paths)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("réduis et archive le projet 12 Camille", ["12 Camille"]),
        ("archive 12 CAMILLE 2", ["12 Camille 2"]),
        ("archive 12 Camille et 12 camille 2", ["12 Camille", "12 Camille 2"]),
        ("refais le tracking de l'ete a bruxelles", ["L'été à Bruxelles"]),
        ("refais le tracking de L’e\u0301te\u0301 à Bruxelles.", ["L'été à Bruxelles"]),
        ("retrack “13 nuit blanche”, please", ["13_Nuit-blanche"]),
        ("deliver projects x-ray and 12 Camille now", ["X-Ray", "12 Camille"]),
        ("archive 112 Camille", []),
        ("archive 12 Camilleri", []),
        ("vérifie les archives", []),
        ("vérifie le projet archive", ["Archive"]),
        ("vérifie 'Archive'", ["Archive"]),
        ("traite le projet", []),
        ("archive le projet et vérifie", []),
        ("archive le projet 12 Camille et préviens-moi", ["12 Camille"]),
        ("deliver the project now, please", []),
    ],
)
def test_projects_are_found_by_whole_words_longest_first(text: str, named: list[str]):
    assert list(understood(text).projects) == named


def test_the_words_of_a_project_s_name_choose_nothing():
    projects = ["Tracking des archives vérifiées", "Analyse du son"]
    left = understood("réduis le projet analyse du son", projects)
    assert (left.projects, choose(left.text, workflows()).workflow.name) == (("Analyse du son",), "reduce-and-archive")
    left = understood('vérifie "tracking des archives verifiees"', projects)
    assert (left.projects, choose(left.text, workflows()).workflow.name) == ((projects[0],), "verify")


@pytest.mark.parametrize(
    ("text", "missing", "nearest"),
    [
        ("réduis et archive le projet 12 Camile", "12 Camile", "12 Camille"),
        ("réduis et archive le projet zorglub", "zorglub", None),
        ("retrack project “Zorglub le Grand”", "Zorglub le Grand", None),
        ("archive les projets 12 Camille et Zorglub", "Zorglub", None),
        ("refais le tracking du projet de Bruxelles", "Bruxelles", "L'été à Bruxelles"),
        ("archive “x-roy”", "x-roy", "X-Ray"),
        ("archive le projet 12 Camille B", "B", None),
    ],
)
def test_a_project_that_is_not_there_is_refused_with_the_nearest(text: str, missing: str, nearest: str | None):
    with pytest.raises(ServiceError) as refused:
        understood(text)
    assert (refused.value.code, refused.value.exit_code) == ("no_such_project", Exit.USAGE)
    assert f"`{missing}`" in refused.value.message
    assert nearest is None or f"`{nearest}`" in refused.value.remedy


def test_two_projects_of_the_same_words_are_told_apart_by_how_they_are_written():
    projects = ["12 Camille", "12 camille"]
    assert understood("archive 12 camille", projects).projects == ("12 camille",)
    with pytest.raises(ServiceError, match="12 Camille or 12 camille"):
        understood("archive 12 CAMILLE", projects)


def test_paths_are_taken_from_quotes_and_by_their_slash():
    there = ("/rushes/A 001", "rushes/b.zip", "c.zip", "/d/e.")
    found = understood("traite “/rushes/A 001”, rushes/b.zip, 'c.zip' et /d/e. merci et/ou rien", paths=there)
    assert found.paths == ("/rushes/A 001", "rushes/b.zip", "c.zip", "/d/e.")
    assert "rushes" not in found.text
    with pytest.raises(ServiceError, match="/nowhere/at/all does not exist"):
        understood("traite /nowhere/at/all")


@pytest.mark.parametrize("text", ["a" * 2001, "/" * 3000])
def test_a_request_of_any_length_is_answered_at_once(text: str):
    with pytest.raises(ServiceError, match="too long"):
        understood(text)


VIDEOS = {
    f"{project}/{name}": f"/p/{project}/docs/{name}"
    for project, name in [
        ("12 Camille", "clip.mp4"), ("12 Camille", "L'été à Bruxelles.mp4"), ("X-Ray", "take_1.mp4"), ("X-Ray", "b.mp4"),
        ("Archive", "b.mp4"), ("Archive", "archive.mp4"), ("X-Ray", "12 Camille.mp4"),
    ]
}  # fmt: skip


def about_videos(text: str, paths: tuple[str, ...] = ()) -> Understood:
    return understand(text, PROJECTS, trigger_test(workflows()), lambda path: path in paths, VIDEOS)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("suis clip.mp4", ["12 Camille/clip.mp4"]),
        ("Suis CLIP.MP4.", ["12 Camille/clip.mp4"]),
        ("suis clip.mov, comme il fut livré", ["12 Camille/clip.mp4"]),
        ("suis les visages de “clip.mp4”", ["12 Camille/clip.mp4"]),
        ("suis l'ete a bruxelles.mp4", ["12 Camille/L'été à Bruxelles.mp4"]),
        ("transcris l'archive.mp4", ["Archive/archive.mp4"]),
        ("track take 1.mp4 and clip.mp4", ["X-Ray/take_1.mp4", "12 Camille/clip.mp4"]),
        ("suis X-Ray/b.mp4", ["X-Ray/b.mp4"]),
        ('suis "archive/b.mp4"', ["Archive/b.mp4"]),
        ("suis b.mp4 du projet X-Ray", ["X-Ray/b.mp4"]),
        ("suis 12 Camille.mp4", ["X-Ray/12 Camille.mp4"]),
        ("convertis les .mov en .mp4", []),
    ],
)
def test_a_video_is_found_by_its_bare_file_name(text: str, named: list[str]):
    found = about_videos(text)
    assert list(found.paths) == [VIDEOS[key] for key in named]
    assert found.projects == (), "a project that says where a video is does not count"
    assert "mp4" not in found.text or not named


def test_a_video_and_another_project_are_both_named():
    found = about_videos("suis clip.mp4 et le projet X-Ray")
    assert (found.paths, found.projects) == ((VIDEOS["12 Camille/clip.mp4"],), ("X-Ray",))


def test_a_file_that_is_here_goes_before_a_video_of_its_name():
    assert about_videos("suis clip.mp4", paths=("clip.mp4",)).paths == ("clip.mp4",)
    assert about_videos("traite l'archive.zip.", paths=("archive.zip",)).paths == ("archive.zip",)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("suis b.mp4", "ambiguous_video", "`X-Ray/b.mp4` or `Archive/b.mp4`"),
        ("suis klip.mp4", "no_input", "`klip.mp4`"),
        ("suis a-clip.mp4", "no_input", "`a-clip.mp4`"),
        ("suis autre/clip.mp4", "no_input", "autre/clip.mp4"),
        ("traite les rushes de jeudi.zip", "no_input", "`jeudi.zip`"),
    ],
)
def test_a_file_that_is_not_there_or_may_be_several_is_refused(text: str, code: str, said: str):
    with pytest.raises(ServiceError) as refused:
        about_videos(text)
    assert (refused.value.code, refused.value.exit_code) == (code, Exit.USAGE)
    assert said in refused.value.message
    assert "clip" not in text or "`12 Camille/clip.mp4`" in refused.value.remedy


def test_the_endings_of_videos_are_those_that_steps_take():
    assert {f".{suffix}" for suffix in VIDEO_SUFFIXES} == projects.VIDEO_SUFFIXES


def arrows(plan: Plan) -> dict[str, list[str]]:
    return {task.id: list(task.depends) for task in plan.tasks}


def test_the_full_plan_is_the_seven_steps():
    plan = make_plan(workflows()["full"], objective="tout", files=["/rushes"])
    assert arrows(plan) == {
        "step1": [], "step2": ["step1"], "step3": ["step2"], "step4": ["step2"], "step5": ["step3", "step4"],
        "step6": ["step5"], "step7": ["step6"],
    }  # fmt: skip
    assert [task.id for task in plan.parallel_tasks] == ["step3", "step4"]
    assert {task.id: task.files for task in plan.tasks if task.files} == {"step1": ("/rushes",)}
    assert plan.validation == (("derush", "verify", "--quick", "{projects}"),)
    assert plan.tasks[0].test == ()
    assert plan.tasks[4].test == ("derush", "verify", "--quick", "--step", "STEP5", "{projects}")
    assert plan.tasks[4].name == "Tracking"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("analyse-only", {"step1": [], "step2": ["step1"], "step3": ["step2"], "step4": ["step2"]}),
        ("convert", {"step1": [], "step2": ["step1"]}),
        ("track", {"step5": [], "step6": ["step5"]}),
        ("retrack", {"step5": [], "step6": ["step5"]}),
        ("reduce-and-archive", {"step6": [], "step7": ["step6"]}),
        ("verify", {"check-of-the-projects": [], "check-of-the-models": ["check-of-the-projects"]}),
    ],
)
def test_the_other_plans(name: str, expected: dict[str, list[str]]):
    assert arrows(make_plan(workflows()[name], objective="", files=[])) == expected


def test_what_is_asked_for_again_is_done_again():
    forced = {
        name: [task.force for task in make_plan(workflow, objective="", files=[]).tasks if task.step]
        for name, workflow in workflows().items()
    }
    assert forced.pop("retrack") == [True, True]
    assert not any(any(each) for each in forced.values())


def test_what_is_left_out_is_looked_through():
    plan = make_plan(workflows()["full"], objective="", files=["/p"], steps=["STEP2", "STEP3", "STEP6", "STEP7"])
    assert arrows(plan) == {"step2": [], "step3": ["step2"], "step6": ["step3"], "step7": ["step6"]}
    assert (plan.parallel_tasks, plan.validation) == ((), ())
    apart = make_plan(workflows()["full"], objective="", files=["/p"], steps=["STEP3", "STEP4"])
    assert [task.files for task in apart.parallel_tasks] == [("/p",), ("/p",)]


def test_a_step_that_a_workflow_does_not_have_is_refused():
    with pytest.raises(ServiceError, match="retrack has no STEP1"):
        make_plan(workflows()["retrack"], objective="", files=[], steps=["STEP1", "STEP5"])


def test_a_name_that_no_text_can_hold_is_refused():
    with pytest.raises(ServiceError) as refused:
        make_plan(workflows()["retrack"], objective="", files=["/rushes/\udce9t\udce9"])
    assert refused.value.code == "wrong_name"
    assert refused.value.message.isprintable()


def test_tasks_come_after_what_they_depend_on_and_as_declared_otherwise():
    declared = [("d", ["b"]), ("a", []), ("b", ["a"]), ("c", []), ("e", ["c", "d", "c"])]
    tasks = [PlanTask(id=name, name=name, command=("x",), depends=tuple(depends)) for name, depends in declared]
    plan = Plan(workflow="w", objective="", parallel_tasks=tuple(tasks[:2]), sequential_tasks=tuple(tasks[2:]))
    assert [task.id for task in plan.tasks] == ["a", "b", "d", "c", "e"]
    chain = [PlanTask(id=f"t{n}", name="t", command=("x",), depends=(f"t{n - 1}",) if n else ()) for n in range(500)]
    ordered = [task.id for task in Plan(workflow="w", objective="", sequential_tasks=tuple(reversed(chain))).tasks]
    assert all(int(first[1:]) + 1 == int(second[1:]) for first, second in pairwise(ordered))


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, [1, 2, 3]), ("2", [2]), ("1-2", [1, 2]), ("STEP3,step1", [1, 3]), ("1-2,2-3", [1, 2, 3])],
)
def test_a_choice_of_steps(text: str | None, expected: list[int]):
    assert chosen_steps(text, ["STEP1", "STEP2", "STEP3"]) == [f"STEP{number}" for number in expected]


@pytest.mark.parametrize("text", ["", "0", "4", "3-1", "1-4", "x", "1,,2", "-1", "1-", "1.5"])
def test_a_wrong_choice_of_steps_says_what_is_accepted(text: str):
    with pytest.raises(ValueError, match=r"1 to 3|1-3"):
        chosen_steps(text, ["STEP1", "STEP2", "STEP3"])


WORKFLOW = """\
schema: derush.workflow/1
name: mine
about: An example
triggers:
  fr: [essaie]
  en: [try]
phases:
  - name: Tracking
    steps: [STEP5]
    force: true
    retry: {max_attempts: 3, backoff: 2}
  - name: Été !
    optional: true
    command: [python, -c, pass]
    environment: env
"""


def test_a_workflow_of_one_s_own_becomes_a_plan(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(WORKFLOW)
    tracking, ending = make_plan(read_workflow(path), objective="", files=["/p"]).tasks
    assert tracking.retry is not None and (tracking.retry.max_attempts, tracking.retry.backoff) == (3, 2.0)
    assert (tracking.force, ending.force) == (True, False)
    assert (ending.id, ending.name, ending.optional, ending.depends) == ("ete", "Été !", True, ("step5",))
    assert (ending.command, ending.environment, ending.test) == (("python", "-c", "pass"), "env", ())


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("STEP5]", "STEP5, STEP3]", 9, "STEP5 has to come after STEP3"),
        ("STEP5]", "STEP6, STEP5]", 9, "STEP6 has to come after STEP5"),
        ("STEP5]", "STEP9]", 9, "no step `STEP9`"),
        ("STEP5]", "STEP5, STEP5]", 9, "`step5` is there twice"),
        ("STEP5]", "]", 9, "`steps` is an empty list"),
        ("name: mine", "name: yours", 2, "its file `mine`"),
        ("[essaie]", "[le projet]", 5, "no word that says anything"),
        ("[essaie]", "[]", 5, "`fr` is an empty list"),
        ("environment: env", "environment: envv", 15, "no environment `envv`"),
        ("Été !", "'!'", 12, "neither a letter nor a digit"),
        ("optional: true", "optional: perhaps", 13, "`optional` should be true or false"),
        ("optional: true", "steps: [STEP6]", 14, "both `steps` and `command`"),
        ("    command: [python, -c, pass]\n", "", 12, "neither of `steps` and `command`"),
        ("optional: true", "force: true", 13, "`force` beside a command"),
        ("backoff: 2", "backof: 2", 11, "unknown key `backof`"),
        ("max_attempts: 3", "max_attempts: 0", 11, "`max_attempts` is 0"),
    ],
)
def test_what_is_wrong_with_a_workflow_is_named_with_its_line(tmp_path, old: str, new: str, line: int, said: str):
    path = tmp_path / "mine.yaml"
    assert old in WORKFLOW
    path.write_text(WORKFLOW.replace(old, new))
    with pytest.raises(ServiceError) as refused:
        read_workflow(path)
    assert refused.value.exit_code == Exit.USAGE
    assert refused.value.message.startswith(f"{path}:{line}: ") and said in refused.value.message
    assert refused.value.remedy


@pytest.fixture
def derush_plan(tmp_path):
    """Run `derush plan` in a process of its own, with three projects."""
    for name in ("12 Camille", "L'été à Bruxelles", ".derush", "demo rushes"):
        (tmp_path / "projects" / name / "docs").mkdir(parents=True)
    for name in ("clip.mp4", "clip_source.json", "no proxy.mp4"):
        (tmp_path / "projects" / "12 Camille" / "docs" / name).touch()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "services.cli", "plan", *arguments]
        changes = {"PROJECTS_DIR": str(tmp_path / "projects"), "LOGS_DIR": str(tmp_path / "logs"), "COLUMNS": "200"}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, cwd=REPOSITORY, env={**os.environ, **changes}
        )

    return run


def test_the_command_prints_a_plan_and_beside_it_why(derush_plan, tmp_path: Path):
    ended = derush_plan("réduis et archive le projet l'ete a bruxelles")
    assert ended.returncode == Exit.OK
    plan = yaml.safe_load(ended.stdout)
    assert plan["workflow"] == "reduce-and-archive"
    assert plan["sequential_tasks"][0]["files"] == [str(tmp_path / "projects" / "L'été à Bruxelles")]
    assert "“réduis” and “archive”" in ended.stderr


def test_the_command_writes_a_new_file_that_is_read_again(derush_plan, tmp_path: Path):
    output = tmp_path / "plan.yaml"
    ended = derush_plan("--workflow", "full", "--steps", "2-4", "--file", "samples", "--output", str(output))
    assert (ended.returncode, ended.stdout) == (Exit.OK, "")
    assert [(task.id, task.files) for task in read_plan(output).tasks] == [
        ("step2", (str(REPOSITORY / "samples"),)), ("step3", ()), ("step4", ()),
    ]  # fmt: skip
    output.write_text("edited")
    again = derush_plan("--workflow", "full", "--output", str(output))
    assert (again.returncode, output.read_text()) == (Exit.USAGE, "edited")


def test_the_command_for_programs(derush_plan):
    told = json.loads(derush_plan("retrack", "12 camille", "--json").stdout)
    assert told["workflow"] == "retrack" and "“retrack”" in told["why"]
    assert [task.id for task in Plan.from_record(told["plan"]).tasks] == ["step5", "step6"]


def test_what_only_looks_takes_every_project_when_none_is_named(derush_plan, tmp_path: Path):
    plan = yaml.safe_load(derush_plan("--workflow", "verify").stdout)
    assert plan["sequential_tasks"][0]["files"] == [
        str(tmp_path / "projects" / name) for name in ("12 Camille", "L'été à Bruxelles", "demo rushes")
    ]
    assert yaml.safe_load(derush_plan("vérifie le projet 12 Camille").stdout)["sequential_tasks"][0]["files"] == [
        str(tmp_path / "projects" / "12 Camille")
    ]


def test_the_command_finds_a_video_by_its_bare_file_name(derush_plan, tmp_path: Path):
    plan = yaml.safe_load(derush_plan("suis clip.mp4").stdout)
    assert plan["workflow"] == "track"
    assert plan["sequential_tasks"][0]["files"] == [str(tmp_path / "projects" / "12 Camille" / "docs" / "clip.mp4")]


def test_the_plan_in_the_readme_is_the_one_that_is_printed(derush_plan, tmp_path: Path):
    readme = (REPOSITORY / "README.md").read_text()
    asked = re.search(r'^derush plan "(.+)" -o plan\.yaml$', readme, re.MULTILINE)
    shown = re.search(r"```yaml\n(# A plan of Derush\..+?)```", readme, re.DOTALL)
    assert asked and shown
    printed = derush_plan(asked[1]).stdout
    assert printed.replace(str(tmp_path / "projects"), "/srv/derush/projets_extraits") == shown[1]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], "no_request"),
        (["suis zorglub.mp4"], "no_input"),
        (["suis no proxy.mp4"], "no_input"),
        (["vérifie et archive"], "ambiguous_request"),
        (["fais le café"], "no_workflow_fits"),
        (["archive le projet 13 Camille"], "no_such_project"),
        (["--workflow", "fulll"], "no_such_workflow"),
        (["traite", "--file", "/nowhere"], "no_input"),
        (["traite", "--steps", "9"], "wrong_steps"),
        (["retrack", "--steps", "1"], "wrong_steps"),
    ],
)
def test_the_command_refuses_in_one_sentence_with_a_remedy(derush_plan, arguments: list[str], code: str):
    ended = derush_plan(*arguments)
    assert (ended.returncode, ended.stdout) == (Exit.USAGE, "")
    assert f"({code})" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "request_text",
    [
        "traite tout sauf le tracking",
        "archive sans réduire",
        "ne réduis pas, archive",
        "process everything without audio",
        "all except audio",
    ],
)
def test_a_request_that_leaves_something_out_is_refused(request_text: str) -> None:
    with pytest.raises(ServiceError) as refused:
        choose(request_text, workflows())
    assert refused.value.code == "negation_not_understood"
