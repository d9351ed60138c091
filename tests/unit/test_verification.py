"""Verification: projects that steps really made, broken in every way that a disk or a person can break them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings, read_settings
from services.errors import ServiceError
from services.verification import Place, Report, find_places, reports, survey
from tests.conftest import REPOSITORY
from tests.integration.media import make_clip
from tests.steps.step2.conftest import run_step2
from tests.steps.step6.conftest import SEEN, SPOKEN
from tests.steps.step6.conftest import Workplace as Reducible
from tests.steps.step7.conftest import Workplace as Deliverable
from workflow_scripts.stepkit.projects import Project
from workflow_scripts.stepkit.records import Key, Made, Record

AUDIO = "docs/clip_audio.json"


class Bench:
    """A work directory with the project `Projet 1`, and `derush verify` on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.projects_dir = root / "projects"
        self.project = self.projects_dir / "Projet 1"

    @property
    def settings(self) -> Settings:
        return read_settings({"PROJECTS_DIR": str(self.projects_dir), "ARCHIVES_DIR": str(self.root / "archives")})

    def verify(self, *steps: str, quick: bool = False) -> list[Report]:
        looked = survey(
            find_places([], self.settings), self.settings, steps=frozenset(steps) if steps else None, quick=quick
        )
        return list(reports(looked, lambda _count: None))

    def codes(self, *steps: str, quick: bool = False) -> list[str]:
        return [problem.code for report in self.verify(*steps, quick=quick) for problem in report.problems]

    def record(self, name: str, steps: object, **more: object) -> Path:
        path = self.project / ".derush" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"schema": "derush.record/1", "fingerprints": {}, "steps": steps, **more}))
        return path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def reduced(bench: Bench) -> Reducible:
    """The project, reduced by STEP6's own script."""
    place = Reducible(bench.root)
    place.docs.mkdir(parents=True)
    (place.docs / "clip.mp4").write_bytes(b"proxy")
    place.write_source()
    place.write_audio(SPOKEN)
    place.write_tracking(SEEN)
    assert place.run().returncode == 0
    return place


def flip(path: Path, *, keep_time: bool) -> None:
    """Change one byte of a file."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    kept = status.st_mtime_ns if keep_time else status.st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(status.st_atime_ns, kept))


def replace_by_link(path: Path) -> None:
    real = path.with_name("elsewhere")
    path.rename(real)
    path.symlink_to(real)


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


BREAKAGES: dict[str, tuple[Callable[[Path], object], list[str], list[str]]] = {
    # what is done to the file, what a quick verification says, what a full one says
    "nothing": (lambda _path: None, [], []),
    "deleted": (Path.unlink, ["missing"], ["missing"]),
    "truncated": (lambda path: os.truncate(path, 5), ["size_differs"], ["size_differs"]),
    "one byte": (lambda path: flip(path, keep_time=False), ["content_differs"], ["content_differs"]),
    "one byte, time kept": (lambda path: flip(path, keep_time=True), [], ["content_differs"]),
    "touched": (lambda path: os.utime(path, (1, 1)), [], []),
    "a link to the same": (replace_by_link, ["not_a_file"], ["not_a_file"]),
    "its folder a link": (lambda path: replace_by_link(path.parent), ["not_a_file"] * 2, ["not_a_file"] * 2),
    "a pipe": (replace_by_pipe, ["not_a_file"], ["not_a_file"]),
    "a folder": (replace_by_folder, ["not_a_file"], ["not_a_file"]),
}


@pytest.mark.usefixtures("reduced")
@pytest.mark.parametrize("name", BREAKAGES)
def test_what_is_not_as_it_was_recorded_is_named(bench: Bench, name: str) -> None:
    break_it, quickly, fully = BREAKAGES[name]
    break_it(bench.project / AUDIO)
    assert bench.codes(quick=True) == quickly
    assert bench.codes() == fully


def test_a_whole_project_is_counted(bench: Bench, reduced: Reducible) -> None:
    [report] = bench.verify()
    made = [reduced.docs / "clip_audio.json", reduced.docs / "clip_tracking.json"]
    assert (report.state, report.files, report.bytes) == ("whole", 2, sum(path.stat().st_size for path in made))


@pytest.mark.parametrize(
    ("name", "first_away"),
    [("deleted", False), ("truncated", False), ("one byte, time kept", True), ("a link to the same", True)],
)
def test_the_remedy_mends_it(bench: Bench, reduced: Reducible, name: str, first_away: bool) -> None:
    BREAKAGES[name][0](bench.project / AUDIO)
    [report] = bench.verify()
    [problem] = report.problems
    assert f"`derush run '{bench.project}' --steps 6`" in problem.remedy
    assert problem.remedy.startswith(f"Move {AUDIO} away, then run" if first_away else "Run `")
    if first_away:
        (bench.project / AUDIO).rename(bench.root / "away")
    assert reduced.run().returncode == 0
    assert bench.codes() == []


def test_the_facts_of_a_proxy_are_made_again_only_without_the_proxy(bench: Bench) -> None:
    docs = bench.project / "docs"
    docs.mkdir(parents=True)
    (docs / "clip.mp4").write_bytes(b"proxy")
    settle(bench, "STEP2", "docs/clip_source.json")
    (docs / "clip_source.json").unlink()
    [report] = bench.verify()
    assert report.problems[0].remedy.startswith("Move docs/clip.mp4 away, then run")


def settle(bench: Bench, step: str, path: str, **parameters: object) -> None:
    """Write a file and record it as the steps do."""
    made = bench.project / path
    made.write_text(path)
    status = made.stat()
    entry = Made("kind", path, status.st_size, status.st_mtime_ns, hashlib.sha256(path.encode()).hexdigest())
    Record(Project(bench.project), "clip").settle(Key(step, 1, parameters, {}, {}), [entry], {})


@pytest.mark.usefixtures("reduced")
def test_only_what_the_named_steps_left_is_looked_at(bench: Bench) -> None:
    settle(bench, "STEP3", "docs/clip_scenes.csv")
    (bench.project / "docs/clip_scenes.csv").unlink()
    assert bench.codes("STEP6") == []
    assert bench.codes("STEP3", "STEP6") == ["missing"]
    assert bench.verify("STEP6")[0].files == 2


def test_a_failure_is_a_problem_of_the_step_that_was_asked_for(bench: Bench, reduced: Reducible) -> None:
    reduced.write_audio(SPOKEN, total_frames=-1)
    assert reduced.run().returncode == 1
    failure = reduced.failure()
    [problem] = bench.verify("STEP6", quick=True)[0].problems
    assert problem.code == "step_failed"
    assert failure["code"] in problem.message and failure["message"] in problem.message
    assert problem.remedy == failure["remedy"]
    assert bench.codes("STEP5") == bench.codes() == []


GOOD = {"kind": "k", "bytes": 6, "mtime_ns": 1, "sha256": hashlib.sha256(b"secret").hexdigest()}


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "../secret"}, {"path": "../../projects/secret"}, {"path": "docs/../../secret"}, {"path": "/etc/passwd"},
        {"path": ""}, {"path": "."}, {"path": "a\0b"}, {"path": "\ud800"}, {"path": 7}, {"path": None}, {},
        {"path": "docs/a", "bytes": -1}, {"path": "docs/a", "bytes": True}, {"path": "docs/a", "bytes": "6"},
        {"path": "docs/a", "sha256": "0"}, {"path": "docs/a", "sha256": None}, {"path": "docs/a", "mtime_ns": 1.5},
    ],
    ids=str,
)  # fmt: skip
def test_an_entry_that_no_step_writes_is_damage_and_is_not_followed(bench: Bench, wrong: dict[str, Any]) -> None:
    bench.projects_dir.mkdir()
    secret = bench.projects_dir / "secret"
    secret.write_bytes(b"secret")
    (bench.project / "docs").mkdir(parents=True)
    shutil.copy(secret, bench.project / "docs/b")
    entries = [{**GOOD, **wrong}, {**GOOD, "path": "docs/b"}]
    bench.record("clip.json", {"STEP3": {"artefacts": entries}})
    [report] = bench.verify()
    assert [problem.code for problem in report.problems] == ["record_damaged"]
    assert report.files == 1, "the entry beside it is verified all the same"
    assert bench.codes("STEP4") == []


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", "[" * 100_000, '{"schema": "derush.record/1"}', '{"schema": "derush.record/9"}',
        '{"schema": [], "steps": {}}', '{"schema": "derush.record/1", "steps": []}',
        '{"schema": "derush.record/1", "steps": {"STEP3": 7}}',
        '{"schema": "derush.record/1", "steps": {"STEP3": {"artefacts": "aaaa"}}}',
        '{"schema": "derush.record/1", "steps": {"--help": {"artefacts": []}}}',
        '{"schema": "derush.archive/1", "members": []}',
        '{"schema": "derush.archive/1", "archive": {"path": ["a"]}, "members": []}',
    ],
    ids=lambda text: text[:60],
)  # fmt: skip
def test_a_damaged_record_is_named_and_takes_no_other_with_it(bench: Bench, content: str) -> None:
    damaged = bench.record("bad.json", {})
    damaged.write_text(content)
    bench.record("clip.json", {"STEP3": {"artefacts": [{**GOOD, "path": "docs/gone"}]}})
    [report] = bench.verify(quick=True)
    assert sorted(problem.code for problem in report.problems) == ["missing", "record_damaged"]
    assert ".derush/bad.json" in [problem.path for problem in report.problems]


def test_a_record_that_is_a_link_is_not_read(bench: Bench) -> None:
    elsewhere = bench.record("clip.json", {})
    (bench.project / ".derush/other.json").symlink_to(elsewhere)
    assert bench.codes() == ["record_damaged"]


@pytest.fixture
def extract(bench: Bench) -> Callable[..., None]:
    """Takes a folder of one clip in by STEP1's own script."""
    rushes = bench.root / "Projet 1"
    rushes.mkdir()
    (rushes / "clip.mov").write_bytes(b"original")

    def run(*arguments: str) -> None:
        script = REPOSITORY / "workflow_scripts/step1/extract_archives.py"
        places = ["--work-dir", str(bench.projects_dir), "--log-dir", str(bench.root / "logs")]
        variables = {**os.environ, "DERUSH_ENV_FILE": os.devnull, "PROJECTS_DIR": str(bench.projects_dir)}
        command = [sys.executable, str(script), "--source-dir", str(rushes), "--min-size", "0", *places, *arguments]
        subprocess.run(command, env=variables, check=True, capture_output=True, timeout=60)

    run()
    return run


def test_what_came_out_of_an_archive_is_verified_where_step2_moved_it(
    bench: Bench, extract: Callable[..., None]
) -> None:
    assert bench.codes() == []
    moved = bench.project / "sources/clip.mov"
    moved.parent.mkdir()
    (bench.project / "clip.mov").rename(moved)
    assert bench.codes() == []
    flip(moved, keep_time=True)
    [problem] = bench.verify()[0].problems
    assert (problem.code, problem.path) == ("content_differs", "sources/clip.mov")
    assert problem.remedy.startswith("Move sources/clip.mov away")
    assert bench.codes(quick=True) == []
    moved.unlink()
    [problem] = bench.verify(quick=True)[0].problems
    assert problem.code == "missing"
    assert problem.remedy == f"Run `derush run '{bench.root / 'Projet 1'}' --steps 1 --force`."
    extract("--force")
    assert bench.codes() == []


def convert(bench: Bench) -> None:
    """Let STEP2's own script take in what stands in the project."""
    code, _events = run_step2(bench.root, "--project", str(bench.project), PROJECTS_DIR=str(bench.projects_dir))
    assert code == 0


@pytest.fixture
def replaced(bench: Bench, extract: Callable[..., None]) -> Path:
    """A delivered file that is no film, replaced by one where STEP1 put it, which STEP2 took in."""
    make_clip(bench.project / "clip.mov")
    [problem] = bench.verify()[0].problems
    assert problem.code == "size_differs"
    assert f"leave that there and run `derush run '{bench.project}'`" in problem.remedy
    convert(bench)
    return bench.project / "sources/clip.mov"


@pytest.mark.parametrize("quick", [True, False])
def test_an_original_that_was_replaced_and_taken_in_is_right(bench: Bench, replaced: Path, quick: bool) -> None:
    for steps in ([], ["STEP1"]):
        [report] = bench.verify(*steps, quick=quick)
        assert (report.state, report.problems) == ("whole", ())
        assert [(note.code, note.path) for note in report.notes] == [("replaced_by_hand", "sources/clip.mov")]
    assert bench.verify("STEP2", quick=quick)[0].notes == ()


def test_a_replaced_original_is_noted_on_the_command_line_and_ends_with_0(
    bench: Bench, replaced: Path, run_derush: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    said = f"sources/{replaced.name} is not the delivered file: it was replaced by hand."
    place = str(bench.projects_dir)
    told = run_derush("verify", PROJECTS_DIR=place)
    assert (told.returncode, told.stdout.splitlines()[1:]) == (0, [f"    {said} (replaced_by_hand)"])
    [project] = json.loads(run_derush("verify", "--json", PROJECTS_DIR=place).stdout)["projects"]
    assert [note["message"] for note in project["notes"]] == [said] and project["problems"] == []


def test_extracting_again_leaves_a_replaced_original_alone(
    bench: Bench, replaced: Path, extract: Callable[..., None]
) -> None:
    content = replaced.read_bytes()
    extract("--force")
    assert replaced.read_bytes() == content and not (bench.project / "clip.mov").exists()
    assert bench.codes() == []


def test_a_replaced_original_that_is_put_back_as_it_was_delivered_is_right(bench: Bench, replaced: Path) -> None:
    shutil.copy(bench.root / "Projet 1/clip.mov", replaced)
    for quick in (True, False):
        [report] = bench.verify("STEP1", quick=quick)
        assert report.problems == report.notes == ()


@pytest.mark.parametrize("breakage", ["deleted", "truncated", "one byte, time kept"])
def test_a_damaged_replacement_is_damaged_and_its_remedy_undoes_no_repair_silently(
    bench: Bench, replaced: Path, breakage: str
) -> None:
    BREAKAGES[breakage][0](replaced)
    [report] = bench.verify("STEP1")
    [problem] = report.problems
    assert (problem.code, report.notes) == (BREAKAGES[breakage][2][0], ())
    assert "That puts back the delivered file. To keep the one that replaced it, put that there again" in problem.remedy


@pytest.mark.parametrize("content", ["", "[]", '{"original": {"path": "../secret", "bytes": 1, "sha256": "0"}}'])
def test_facts_that_no_step_writes_excuse_no_other_original(bench: Bench, replaced: Path, content: str) -> None:
    (bench.project / "docs/clip_source.json").write_text(content)
    assert replaced.is_file()
    assert bench.codes("STEP1") == ["size_differs"]


@pytest.fixture
def delivered(bench: Bench) -> Deliverable:
    """The project, delivered and archived by STEP7's own script, with the record that STEP2 leaves of the original."""
    place = Deliverable(bench.root)
    docs = place.make_video("Projet 1", "clip")
    original = json.loads((docs / "clip_source.json").read_text())["original"]
    settle(bench, "STEP2", "docs/clip.mp4", original=original)
    assert place.run().returncode == 0
    return place


def test_the_archives_of_a_project_are_read_too(bench: Bench, delivered: Deliverable) -> None:
    [report] = bench.verify()
    assert (report.state, report.archives) == ("whole", 1)
    [archived] = delivered.archives.glob("*/*/clip_audio.json")
    flip(archived, keep_time=True)
    [report] = bench.verify("STEP7")
    assert [problem.code for problem in report.problems] == ["archive_damaged"]
    assert "clip_audio.json (checksum)" in report.problems[0].message
    assert bench.codes("STEP2") == bench.codes(quick=True) == []
    (archived.parent / "metadata.json").write_text('{"artefacts": [7]}')
    assert bench.codes() == ["archive_damaged"]


def test_a_moved_project_is_no_problem_as_long_as_its_archives_are_there(bench: Bench, delivered: Deliverable) -> None:
    (bench.project / ".derush/project").mkdir()
    archive = {"path": "/in/a.zip", "bytes": 5, "mtime_ns": 7, "sha256": "c" * 64}
    (bench.project / ".derush/project/archive.json").write_text(json.dumps({"schema": "s", "archive": archive}))
    delivered.variables["FINALIZE_MODE"] = "move"
    assert delivered.run().returncode == 0
    assert not bench.project.exists()
    for names in ([], ["Projet 1"], [str(bench.project)]):
        [place] = find_places(names, bench.settings)
        assert place.moved_to == str(delivered.output / "Projet 1")
    [report] = bench.verify()
    assert (report.state, report.archives) == ("moved", 1)
    [archived] = delivered.archives.glob("*/*/clip_audio.json")
    flip(archived, keep_time=True)
    assert bench.codes() == ["archive_damaged"]
    delivered.archives.rename(bench.root / "unmounted")
    assert bench.codes() == bench.codes(quick=True) == ["archive_missing"]


def test_the_note_of_a_moved_project_leads_nowhere_else(bench: Bench, delivered: Deliverable) -> None:
    elsewhere = bench.root / "secret" / ("d" * 64)
    elsewhere.mkdir(parents=True)
    notes = bench.projects_dir / ".derush/finalized"
    notes.mkdir(parents=True)
    archives = [str(elsewhere), "../..", "/", "", f"../../secret/{'d' * 64}"]
    (notes / "a.json").write_text(json.dumps({"project": "gone", "delivered_to": "/out", "archives": archives}))
    (notes / "b.json").write_text(json.dumps({"project": "../up", "delivered_to": "/out", "archives": []}))
    (notes / "c.json").write_text("[")
    [whole, moved] = bench.verify()
    assert (whole.place.path.name, moved.place.path.name) == ("Projet 1", "gone")
    assert {problem.code for problem in moved.problems} == {"archive_missing"}


def test_a_project_without_records_is_said(bench: Bench) -> None:
    bench.project.mkdir(parents=True)
    (bench.projects_dir / "link").symlink_to(bench.project)
    (bench.projects_dir / ".derush").mkdir()
    assert [(report.place, report.state) for report in bench.verify()] == [(Place(bench.project), "no_records")]


def test_projects_are_found_by_name_and_by_folder_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.project.mkdir(parents=True)
    monkeypatch.chdir(bench.projects_dir)
    named = ["Projet 1", str(bench.project), "./Projet 1"]
    assert find_places(named, bench.settings) == [Place(bench.project)]
    with pytest.raises(ServiceError) as caught:
        find_places(["Projet 2"], bench.settings)
    assert (caught.value.code, caught.value.exit_code) == ("no_such_project", 2)


def test_who_stops_asking_stops_the_reading(bench: Bench) -> None:
    size = 4 << 30
    (bench.project / "docs").mkdir(parents=True)
    with (bench.project / "docs/a").open("wb") as stream:
        stream.truncate(size)  # a hole: it takes no room, and seconds to hash
    bench.record("clip.json", {"STEP3": {"artefacts": [{**GOOD, "path": "docs/a", "bytes": size}]}})
    (bench.projects_dir / "Empty").mkdir()
    heard: list[int] = []
    reading = reports(survey(find_places([], bench.settings), bench.settings), heard.append)
    assert next(reading).state == "no_records"
    reading.close()
    assert sum(heard) < size


@pytest.mark.usefixtures("reduced")
def test_the_command_line_says_it_and_ends_with_it(
    bench: Bench, run_derush: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    places = {"PROJECTS_DIR": str(bench.projects_dir), "ARCHIVES_DIR": str(bench.root / "archives")}
    whole = run_derush("verify", "--quick", **places)
    assert (whole.returncode, whole.stdout) == (0, "✓ Projet 1: 2 files, 0.0 MB\n")
    (bench.project / AUDIO).unlink()
    broken = run_derush("verify", "Projet 1", "--step", "6", **places)
    assert broken.returncode == 1
    assert f"{AUDIO} is not there. Run `derush run '{bench.project}' --steps 6`. (missing)" in broken.stdout
    told = run_derush("verify", "--json", **places)
    document = json.loads(told.stdout)
    assert (told.returncode, document["exit_code"]) == (1, 1)
    [project] = document["projects"]
    assert (project["project"], project["state"]) == ("Projet 1", "damaged")
    assert [problem["code"] for problem in project["problems"]] == ["missing"]
    assert run_derush("verify", "--step", "STEP5", **places).returncode == 0
    assert run_derush("verify", "Projet 2", **places).returncode == 2
    assert run_derush("verify", "--step", "STEP9", **places).returncode == 2


def test_a_record_cannot_command_the_terminal(
    bench: Bench, run_derush: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    path = "docs/\x1b]0;mine\x07[red]x\udc80"
    bench.record("clip.json", {"STEP3": {"artefacts": [{**GOOD, "path": path}]}})
    said = run_derush("verify", PROJECTS_DIR=str(bench.projects_dir))
    assert said.returncode == 1
    assert "docs/�]0;mine�[red]x� is not there." in said.stdout
