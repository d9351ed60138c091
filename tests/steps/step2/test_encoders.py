"""Which encoder is used: found out with a real ffmpeg, most of whose hardware encoders really fail on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import jsonschema
import pytest

from config.settings import load_settings
from services.doctor import encoder
from tests.conftest import REPOSITORY, environment_below
from tests.steps.step2.clips import numbers_in, times_at, write_clip
from tests.steps.step2.conftest import SCRIPT, endings, facts_of
from workflow_scripts.step2.conversion import Way, convert
from workflow_scripts.step2.encoders import HARDWARE, SOFTWARE, Choice, choose, coding, why_not
from workflow_scripts.step2.probe import probe

F = Fraction
BINARY = Path(imageio_ffmpeg.get_ffmpeg_exe())
Step2 = Callable[..., tuple[int, list[dict[str, Any]]]]
APPLES = "h264_videotoolbox"
"""Not built into an ffmpeg for Linux, and needing a Mac: it works on no machine that has this ffmpeg."""


def test_x264_works_and_what_is_not_there_says_why() -> None:
    assert why_not(BINARY, SOFTWARE) == ""
    assert APPLES in why_not(BINARY, APPLES) or "Encoder not found" in why_not(BINARY, APPLES)
    assert "No such file" in why_not(Path("/nowhere/ffmpeg"), SOFTWARE)


def test_without_a_wish_the_first_that_works_is_taken(tmp_path: Path) -> None:
    found = choose(BINARY, "auto", tmp_path)
    works = [name for name in HARDWARE if not why_not(BINARY, name)]
    assert found.name == (works or [SOFTWARE])[0]
    assert list(found.refused) == [*HARDWARE[: HARDWARE.index(found.name) if works else None]]
    assert all(found.refused.values())


def test_what_was_found_out_is_kept_for_this_ffmpeg(tmp_path: Path) -> None:
    first = choose(BINARY, APPLES, tmp_path)
    kept = json.loads((tmp_path / "encoders.json").read_text())
    jsonschema.validate(kept, json.loads((REPOSITORY / "docs/schemas/encoders.json").read_text()))
    (machine,) = kept["machines"]
    assert kept["machines"][machine] == {APPLES: first.refused[APPLES]}

    kept["machines"][machine][APPLES] = ""  # a driver was mended, as far as the file says
    (tmp_path / "encoders.json").write_text(json.dumps(kept))
    assert choose(BINARY, APPLES, tmp_path) == Choice(APPLES)

    other = tmp_path / "ffmpeg"
    other.symlink_to(BINARY)
    copy = tmp_path / "copy"
    copy.write_text(f'#!/bin/sh\nexec "{BINARY}" "$@"\n')
    copy.chmod(0o755)
    assert choose(other, APPLES, tmp_path).name == APPLES  # the same ffmpeg under another name
    assert choose(copy, APPLES, tmp_path).name == SOFTWARE  # another one is asked itself


@pytest.mark.parametrize("damage", ["", "[]", '{"schema": "derush.encoders/1", "machines": {"a": 1}}'])
def test_a_damaged_note_is_made_anew(damage: str, tmp_path: Path) -> None:
    (tmp_path / "encoders.json").write_text(damage)
    assert choose(BINARY, APPLES, tmp_path).name == SOFTWARE
    assert json.loads((tmp_path / "encoders.json").read_text())["schema"] == "derush.encoders/1"


def test_where_nothing_can_be_kept_it_is_found_out_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert choose(BINARY, APPLES, tmp_path / "file" / "below").name == SOFTWARE


@pytest.mark.parametrize("name", [SOFTWARE, *HARDWARE])
def test_every_encoder_is_told_quality_and_keyframes(name: str) -> None:
    options = coding(name, "fast", 23).options
    assert options["c:v"] == name
    assert options["g"] == 50
    assert {23, 54} & set(options.values())


def test_an_encoder_that_is_forced_and_does_not_work_is_replaced_with_a_warning(project: Path, step2: Step2) -> None:
    for name in ("a.mov", "b.mov"):
        write_clip(project / name, times_at(F(24), 12), F(1, 24))

    code, events = step2(STEP2_ENCODER=APPLES)

    assert (code, set(endings(events).values())) == (0, {("done", None)})
    warnings = [event for event in events if event["event"] == "warning"]
    assert [event["code"] for event in warnings] == ["encoder_not_here"] * 2
    assert all(APPLES in event["message"] and SOFTWARE in event["message"] for event in warnings)
    assert facts_of(project, "a")["proxy"]["encoder"] == SOFTWARE
    assert facts_of(project, "a")["warnings"] == []  # nothing is wrong with the original


def test_an_encoder_that_fails_on_a_video_is_replaced_for_it(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mov", times_at(F(24), 12), F(1, 24))
    way = Way(BINARY, "veryfast", 20, False, lambda: Choice(APPLES))

    made = convert(clip, "", probe(clip), tmp_path, way, lambda *_: None)

    assert made.made.encoder == SOFTWARE
    assert [code for code, _message in made.notes] == ["encoder_failed"]
    assert len(numbers_in(made.made.path)) == made.plan.frames


@pytest.mark.parametrize(("item", "limits"), [({}, 0), ({"cores": 1}, 2)])
def test_decoder_and_encoder_keep_to_the_items_share_of_cores(
    project: Path, step2: Step2, tmp_path: Path, item: dict[str, int], limits: int
) -> None:
    clip = write_clip(project / "a.mov", times_at(F(24), 12), F(1, 24))
    told = tmp_path / "told"
    listening = tmp_path / "ffmpeg"
    listening.write_text(f'#!/bin/sh\necho "$*" >> "{told}"\nexec "{BINARY}" "$@"\n')
    listening.chmod(0o755)

    line = json.dumps({"path": str(clip), "project": str(project), **item})
    code, events = step2("--videos", "-", input=line, FFMPEG_BINARY=str(listening))

    assert (code, endings(events)) == (0, {"a.mov": ("done", None)})
    (encoding,) = [line for line in told.read_text().splitlines() if "libx264" in line]
    assert encoding.count("-threads 1 ") == limits


def test_another_encoder_makes_nothing_anew(project: Path, step2: Step2) -> None:
    write_clip(project / "a.mov", times_at(F(24), 12), F(1, 24))
    step2()

    _code, events = step2(STEP2_ENCODER="auto")

    assert endings(events) == {"a.mov": ("up_to_date", None)}


def test_check_says_which_encoder_works(places: dict[str, str]) -> None:
    said = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"],
        env={**places, "STEP2_ENCODER": APPLES},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0
    assert json.loads(said.stdout)["encoder"] == SOFTWARE
    assert list(json.loads(said.stdout)["refused"]) == [APPLES]


def test_the_doctor_says_which_encoder_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**environment_below(tmp_path), "STEP2_ENCODER": APPLES}.items():
        monkeypatch.setenv(name, value)
    (found,) = encoder(load_settings())
    assert found.state == "warning"
    assert SOFTWARE in found.found and APPLES in found.found
    assert "STEP2_ENCODER" in found.remedy
