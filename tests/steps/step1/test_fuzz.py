"""The fuzzer sees what it is there to see."""

from __future__ import annotations

import pytest

from tests import fuzz
from workflow_scripts.step1 import archive_policy, intake


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_what_it_begins_with_breaks_nothing(target):
    found = fuzz.seeds(target)
    assert found
    for seed in found:
        fuzz.checks()[target](seed)


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a/./b", "x" * 256, "a\nb", "a.", "a:b", "a\\b"])
def test_a_path_that_may_not_be_is_seen(path):
    with pytest.raises(AssertionError):
        fuzz.check_paths([path])


def test_two_files_that_are_one_are_seen():
    with pytest.raises(AssertionError, match="two members"):
        fuzz.check_paths(["Day/a.mp4", "day/A.mp4"])


def test_a_hole_in_the_policy_is_found(monkeypatch):
    monkeypatch.setattr(archive_policy, "portable", lambda name: (name, ()))
    with pytest.raises(AssertionError):
        fuzz.checks()["policy"](b"ab:c")


def test_a_reader_that_breaks_is_found(monkeypatch):
    def broken(*_arguments: object) -> None:
        raise IndexError("a mistake")

    monkeypatch.setattr(intake.Intake, "open", broken)
    monkeypatch.setattr("workflow_scripts.step1.readers.tar_reader.DAMAGE", ())
    with pytest.raises(IndexError):
        fuzz.checks()["tar"](fuzz.seeds("tar")[0])


def test_what_lies_in_a_folder_and_is_not_recorded_is_seen(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").chmod(0o644)
    fuzz.check_folder(tmp_path, {"a": 1})
    for wrong in ({"a": 2}, {}, {"a": 1, "b": 1}):
        with pytest.raises(AssertionError):
            fuzz.check_folder(tmp_path, wrong)
    (tmp_path / "b").symlink_to("/etc")
    with pytest.raises(AssertionError, match="neither file nor folder"):
        fuzz.check_folder(tmp_path, {"a": 1})
