"""The policy by tables: what is let in, under which name, and what refuses the archive by which code."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from workflow_scripts.step1.archive_policy import Budget, Gate, Limits, Member, safe_parts
from workflow_scripts.step1.layout import renames, settled, single_root
from workflow_scripts.step1.names import free_name, is_called, project_name
from workflow_scripts.step1.portable_names import fitting_name
from workflow_scripts.stepkit.errors import ItemError

PATTERN = r"(?P<project>\d+[ _][^ _]+)(?=[ _]|$)|(?P<whole>.+)"  # the setting's default
LIMITS = Limits(bytes_free=10**12)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.mp4", ("a.mp4",)),
        ("a/b/c.mp4", ("a", "b", "c.mp4")),
        ("./a//b/./c", ("a", "b", "c")),
        ("windows\\made\\it.mp4", ("windows", "made", "it.mp4")),
        ("e\u0301te\u0301.mp4", ("été.mp4",)),
        ("a..b/...", ("a..b", "...")),
        ('🎬 "it\'s" -x.mp4', ('🎬 "it\'s" -x.mp4',)),
        ("ab:c", ("ab:c",)),
        ("", ()),
        ("./", ()),
    ],
)
def test_names_that_are_taken(name, parts):
    assert safe_parts(name) == parts


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("/etc/passwd", "absolute_path"),
        ("//server/share", "absolute_path"),
        ("\\\\server\\share", "absolute_path"),
        ("C:\\Windows\\x", "drive_letter"),
        ("c:x", "drive_letter"),
        ("../x", "parent_path"),
        ("a/../../x", "parent_path"),
        ("a\\..\\..\\x", "parent_path"),
        ("a/..", "parent_path"),
        ("a\0b", "control_character"),
        ("a\nb", "control_character"),
        ("a\x1b[31m", "control_character"),
        ("a\x85b", "control_character"),
        ("a\u2028b", "control_character"),
        ("a Icon\r", "control_character"),
        ("\udce9", "control_character"),
        ("d/" * 41 + "x", "too_deep"),
    ],
)
def test_names_that_refuse_the_archive(name, code):
    with pytest.raises(ItemError) as refused:
        safe_parts(name)
    assert refused.value.code == code
    assert refused.value.message.isprintable()


@pytest.mark.parametrize(
    ("member", "code"),
    [
        (Member("a", "link", None), "link_member"),
        (Member("a", "special", None), "special_member"),
    ],
)
def test_kinds_that_refuse_the_archive(member, code):
    with pytest.raises(ItemError) as refused:
        Gate(LIMITS).admit(member)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "names",
    [
        ("a", "a"),
        ("a", "A"),
        ("a", "./a"),
        ("é", "e\u0301"),
        ("straße", "STRASSE"),
        ("a", "a/b"),
        ("a/b", "a"),
        ("Day1/a", "day1/b"),
        ("x/y/z", "x/Y"),
    ],
)
def test_two_members_that_would_meet(names):
    gate = Gate(LIMITS)
    gate.admit(Member(names[0], "file", 1))
    with pytest.raises(ItemError) as refused:
        gate.admit(Member(names[1], "file", 1))
    assert refused.value.code == "duplicate_member"


def test_folders_may_be_named_often():
    gate = Gate(LIMITS)
    for name in ("a/", "a/", "a/b/", "a/b/c", "a/b/d", "a/"):
        gate.admit(Member(name, "folder" if name.endswith("/") else "file", 0))


@pytest.mark.parametrize(
    ("name", "junk"),
    [
        ("__MACOSX/a/._b.mp4", True), ("a/.DS_Store", True), ("a/._clip.mp4", True), ("Thumbs.db", True),
        ("day/Icon\r", True), ("Icon\r", True), ("@eaDir/a.mp4", True), ("$RECYCLE.BIN/x", True),
        ("a.mp4", False), ("MACOSX/a", False), (".hidden.mp4", False), ("Icon", False),
    ],
)  # fmt: skip
def test_junk_is_left_out_with_a_record(name, junk):
    gate = Gate(LIMITS)
    assert (gate.admit(Member(name, "file", 1)) is None) is junk
    assert [entry["reason"] for entry in gate.skipped] == ["system_junk"] * junk


def test_junk_is_no_way_around_the_policy():
    with pytest.raises(ItemError, match="leads out"):
        Gate(LIMITS).admit(Member("__MACOSX/../../x", "file", 1))
    with pytest.raises(ItemError, match="leads out"):
        Gate(LIMITS).admit(Member("../Icon\r", "file", 1))


def test_entries_are_counted():
    gate = Gate(Limits(bytes_free=1, entries=2))
    gate.admit(Member("a/", "folder", None))
    gate.admit(Member("a/b", "file", 0))
    with pytest.raises(ItemError) as refused:
        gate.admit(Member("a/c", "file", 0))
    assert refused.value.code == "too_many_entries"


@pytest.mark.parametrize(("packed", "free", "code"), [(10, 10**9, "archive_bomb"), (10**6, 500, "disk_full")])
def test_bytes_are_counted_as_they_come(packed, free, code):
    budget = Budget(Limits(bytes_free=free, ratio=100, ratio_applies_from=900), packed)
    budget.of_file()(400)
    with pytest.raises(ItemError) as refused:
        for _ in range(2):
            budget.of_file()(400)
    assert refused.value.code == code


def test_one_file_and_all_files_have_their_limit():
    budget = Budget(Limits(bytes_free=10**9, file=1000, total=1500), 10**6)
    spend = budget.of_file()
    spend(1000)
    with pytest.raises(ItemError) as refused:
        spend(1)
    assert (refused.value.code, "STEP1_MAX_FILE_GB" in refused.value.remedy) == ("member_too_large", True)
    with pytest.raises(ItemError) as refused:
        budget.of_file()(501)
    assert (refused.value.code, "STEP1_MAX_TOTAL_GB" in refused.value.remedy) == ("archive_too_large", True)


def test_what_nobody_stored_makes_no_bomb():
    budget = Budget(Limits(bytes_free=10**9, ratio=100, ratio_applies_from=900), 10)
    budget.of_file(holes=5000)(6000)
    with pytest.raises(ItemError) as refused:
        budget.of_file()(1)
    assert refused.value.code == "archive_bomb"


@pytest.mark.parametrize(
    "name", ["é" * 200 + ".mp4", "x" * 300, "." + "y" * 300, "🎬" * 100 + ".tar.gz", "a." + "s" * 300]
)
def test_long_names_are_shortened_and_stay_apart(name):
    short, other = fitting_name(name, 255), fitting_name(name[:-5] + "z" + name[-4:], 255)
    assert len(short.encode()) <= 255
    assert short != other
    if name.endswith(".mp4"):
        assert short.endswith(".mp4")


@pytest.mark.parametrize(
    ("name", "path", "reasons"),
    [
        ("day 1/clip.mp4", "day 1/clip.mp4", []),
        ("a./b .mp4. ", "a/b .mp4", ["trailing_dot"]),
        ("...", "_", ["trailing_dot"]),
        ('Scene 1: "Go?".mp4', "Scene 1_ _Go__.mp4", ["forbidden_on_windows"]),
        ("<a>|b*", "_a__b_", ["forbidden_on_windows"]),
        ("x\u202e4pm.mov", "x4pm.mov", ["bidirectional_control"]),
        ("\u2066", "_", ["bidirectional_control"]),
        ("e\u0301.mp4", "é.mp4", ["unicode_form"]),
        ("cle\u0301?.", "clé_", ["unicode_form", "forbidden_on_windows", "trailing_dot"]),
        ("🏳️\u200d🌈.mp4", "🏳️\u200d🌈.mp4", []),
        ("nul_.mp4", "nul_.mp4", []),
        ("console.mp4", "console.mp4", []),
        ("com10.mp4", "com10.mp4", []),
        ("my~1st.mp4", "my~1st.mp4", []),
        ("longer name~1.mp4", "longer name~1.mp4", []),
        ("clip~12.jpeg", "clip~12.jpeg", []),
    ],
)  # fmt: skip
def test_awkward_names_are_repaired_with_a_record(name, path, reasons):
    gate = Gate(LIMITS)
    assert str(gate.admit(Member(name, "file", 1))) == path
    assert [(change["path"], change["reason"]) for change in gate.changed] == [(path, reason) for reason in reasons]


def test_a_long_name_is_recorded():
    gate = Gate(LIMITS)
    path = gate.admit(Member("d/" + "n" * 256, "file", 1))
    assert [(change["path"], change["reason"]) for change in gate.changed] == [(str(path), "name_too_long")]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *((name, "reserved_windows_name") for name in ("CON", "nul.txt", "a/Aux/b.mp4", "COM1", "lpt9.mov", "com¹.x", "CONIN$", "PRN .mp4", "nul. .", "AUX\u202e.mp4")),
        *((name, "short_windows_name") for name in ("PROGRA~1", "a/CLIP~12.MOV", "ab~1.mp4", "x~1", "PROGRA~1.\u200e")),
        ("/".join(["d" * 200] * 6), "path_too_long"),
    ],
)  # fmt: skip
def test_names_that_windows_takes_for_something_else_refuse_the_archive(name, code):
    with pytest.raises(ItemError) as refused:
        Gate(LIMITS).admit(Member(name, "file", 1))
    assert refused.value.code == code


def test_names_that_only_the_repair_makes_one_are_kept_apart():
    gate = Gate(LIMITS)
    names = ["day?/a*.mp4", "day?/a?.mp4", "day*/a_.mp4", "day_/a_.mp4", "day?/a_.mp4"]
    paths = [gate.admit(Member(name, "file", 1)) for name in names]
    assert paths[0] == "day_/a_.mp4"
    assert len({path.casefold() for path in paths}) == len(names)
    assert {path.partition("/")[0] for path in (*paths[:2], paths[4])} == {"day_"}, "what lay in one folder still does"
    assert all(path.endswith(".mp4") for path in paths)
    with pytest.raises(ItemError, match="is there twice"):
        gate.admit(Member("day?/A?.mp4", "file", 1))


@pytest.mark.parametrize(
    ("archive", "project"),
    [
        ("12_Camille_x.zip", "12 Camille"),
        ("12_Camille.zip", "12 Camille"),
        ("12 Camille x.tar.gz", "12 Camille"),
        ("demo_rushes.zip", "demo rushes"),
        ("007_Élodie_v2.7z", "007 Élodie"),
        ("2024.zip", "2024"),
        ("E\u0301te\u0301.rar", "Été"),
        ("-rf.zip", "rf"),
        ("...zip", "project"),
        (".hidden.zip", "hidden"),
        ("it's so 🎬.tar.xz", "it's so 🎬"),
        ('12 "Camille": x?.zip', "12 _Camille__"),
        ("take 1. .zip", "take 1"),
        ("CON.zip", "CON project"),
        ("a\u202eb.zip", "ab"),
        ("A001.mov", "A001"),
        ("a.b.c", "a.b.c"),
        ("new\nline.zip", "new line"),
    ],
)
def test_a_project_is_named_after_its_archive(archive, project):
    assert project_name(PurePosixPath(archive), PATTERN) == project


@pytest.mark.parametrize(
    ("folder", "project"),
    [
        ("Jour1/CAM_A/PRIVATE/M4ROOT/CLIP", "CAM A"),
        ("/media/card/DCIM/100GOPRO", "card"),
        ("/rushes/B-Cam/CONTENTS/VIDEO", "B-Cam"),
        ("/rushes/AVCHD/BDMV/STREAM", "rushes"),
        ("/rushes/clip/Clips du jour", "Clips du jour"),
        ("/DCIM", "DCIM"),
    ],
)
def test_a_folder_of_every_card_gives_no_name(folder, project):
    assert project_name(PurePosixPath(folder), PATTERN) == project


def test_a_project_name_has_at_most_150_bytes():
    names = {project_name(PurePosixPath("é" * 100 + end + ".zip"), PATTERN) for end in "ab"}
    assert len(names) == 2
    assert all(len(name.encode()) <= 150 for name in names)


def test_another_pattern_names_by_its_group():
    assert project_name(PurePosixPath("show_s01e02_raw.zip"), r"(?P<show>[a-z]+)_.*") == "show"
    assert project_name(PurePosixPath("Unmatched.zip"), r"(?P<show>[a-z]+)_.*") == "Unmatched"


@pytest.mark.parametrize(
    ("name", "answer"),
    [("12 Camille", True), ("12 Camille (2)", True), ("12 Camille b", False), ("12 Cam", False), ("x (2)", False)],
)
def test_a_numbered_name_is_still_the_one_that_was_wanted(name, answer):
    assert is_called(name, "12 Camille") is answer


def test_a_free_name_is_numbered():
    assert free_name("12 Camille", []) == "12 Camille"
    assert free_name("12 Camille", ["12 camille", "12 Camille (2)"]) == "12 Camille (3)"
    assert len(free_name("x" * 150, ["x" * 150]).encode()) == 150


@pytest.mark.parametrize(
    ("paths", "root"),
    [(["a/b", "a/c/d"], "a"), (["a/b", "c"], None), (["a"], None), (["a/b", "b/b"], None), (["a/b/c"], "a")],
)
def test_a_single_root_is_found(paths, root):
    assert single_root(map(PurePosixPath, paths)) == root


def test_reserved_names_are_set_aside():
    changed = renames(["docs", "Sources", "clips", ".derush", "sources (delivered)"])
    assert changed == {
        "docs": "docs (delivered)",
        "Sources": "Sources (delivered) (2)",
        ".derush": "derush (delivered)",
    }
    assert settled(PurePosixPath("root/docs/a"), "root", changed) == PurePosixPath("docs (delivered)/a")
