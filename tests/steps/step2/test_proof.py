"""What a proxy is refused for, and what of a damaged original is counted."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import pytest

from tests.steps.step2.clips import ffmpeg, numbers_in, times_at, write_clip
from tests.steps.step2.conftest import endings, facts_of
from workflow_scripts.step2.h264 import is_well_formed
from workflow_scripts.step2.plan import Colour, Plan
from workflow_scripts.step2.verify import WantedSound, verify
from workflow_scripts.stepkit.errors import ItemError

F = Fraction
Step2 = Callable[..., tuple[int, list[dict[str, Any]]]]
FAST = {"movflags": "+faststart"}
PLAN = Plan("encoded", 50, 128, 64)
SOUND = WantedSound(F(2), F(1024, 48_000))
RUBBISH = random.Random(2).randbytes(99_999)
TONE = (F(0), F(1, 2), F(2))


def clip(folder: Path, times: Sequence[Fraction] = times_at(F(25), 50), **more: Any) -> Path:
    return write_clip(folder / "proxy.mp4", times, F(1, 12_800), container_options=FAST, **{"tone": TONE, **more})


def overwritten(
    path: Path, packets: Sequence[int], stream: int = 0, content: bytes | None = None, begin: float = 1 / 3
) -> Path:
    """Overwrite some packets from a part of each on, for half as much as is left; by default with zeros."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(container.streams[stream]) if packet.size]
    data = bytearray(path.read_bytes())
    for number in packets:
        place, size = places[number]
        first = int(size * begin)
        count = (size - first) // 2
        data[place + first : place + first + count] = (content or bytes(size))[:count]
    path.write_bytes(data)
    return path


def test_a_proxy_as_it_has_to_be_passes(tmp_path: Path) -> None:
    verify(clip(tmp_path), PLAN, SOUND)
    verify(clip(tmp_path, tone=None), PLAN, None)


WRONG: dict[str, tuple[Callable[[Path], Path], Plan, WantedSound | None, str]] = {
    "codec": (lambda folder: clip(folder, codec="mpeg4"), PLAN, SOUND, "mpeg4"),
    "chroma": (lambda folder: clip(folder, pixel_format="yuv444p"), PLAN, SOUND, "yuv444p"),
    "size": (clip, replace(PLAN, width=126), SOUND, "126"),
    "colour": (clip, replace(PLAN, colour=Colour(1, 1, 1)), SOUND, "colour"),
    "a frame too few": (clip, replace(PLAN, frames=51), SOUND, "50 frames, not 51"),
    "pace": (lambda folder: clip(folder, [*times_at(F(25), 49), F(99, 50)]), PLAN, SOUND, "1/25 s"),
    "no sound": (lambda folder: clip(folder, tone=None), PLAN, SOUND, "no sound"),
    "sound too short": (clip, PLAN, replace(SOUND, end=F(21, 10)), "sound ends"),
    "sound too late": (lambda folder: clip(folder, tone=(F(1, 10), F(1, 2), F(2))), PLAN, SOUND, "sound begins"),
    "a hole in the picture": (lambda folder: overwritten(clip(folder), [20]), PLAN, SOUND, "is damaged"),
    "a hole at the end": (lambda folder: overwritten(clip(folder), [49]), PLAN, SOUND, "damaged"),
    "rubbish in a keyframe": (lambda folder: overwritten(clip(folder), [0], content=RUBBISH, begin=0.9), PLAN, SOUND, "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_proxy_is_refused_for_what_is_wrong(name: str, tmp_path: Path) -> None:
    make, plan, sound, said = WRONG[name]
    with pytest.raises(ItemError) as error:
        verify(make(tmp_path), plan, sound)
    assert error.value.code == "proxy_wrong"
    assert said in error.value.message


def test_only_a_full_proof_finds_rubbish_between_keyframes(tmp_path: Path) -> None:
    damaged = overwritten(clip(tmp_path, times_at(F(25), 150)), [20], content=RUBBISH, begin=0.9)
    plan, sound = replace(PLAN, frames=150), None
    verify(damaged, plan, sound)

    told: list[int] = []
    with pytest.raises(ItemError, match=r"damaged|can be decoded") as error:
        verify(damaged, plan, sound, told.append)
    assert error.value.code == "proxy_wrong"


def test_a_full_proof_decodes_every_frame_and_tells_of_it(tmp_path: Path, project: Path, step2: Step2) -> None:
    told: list[int] = []
    verify(clip(tmp_path, times_at(F(25), 500), tone=None), replace(PLAN, frames=500), None, told.append)
    assert told == [250, 500]

    clip(project).rename(project / "A001.mp4")
    code, events = step2(STEP2_PROOF="full")
    assert (code, endings(events)) == (0, {"A001.mp4": ("done", None)})


@pytest.mark.parametrize(
    ("packet", "is_whole"),
    [
        (b"\0\0\0\3\x65\x88\x80", True),
        (b"\0\0\0\2\x09\x10\0\0\0\3\x65\x88\x80", True),
        (b"", False),
        (b"\0\0\0\4\x65\x88\x80", False),  # longer than there is
        (b"\0\0\0\3\x65\x88\x80\0", False),  # something left
        (b"\0\0\0\0", False),
        (b"\0\0\0\3\xe5\x88\x80", False),  # the forbidden bit
        (b"\0\0\0\2\x00\x10", False),  # no type
        (b"\0\0\0\x06\x65\x88\0\0\0\1", False),  # what an encoder breaks up
        (b"\0\0\0\x06\x65\x88\0\0\1\1", False),
        (b"\0\0\0\x06\x65\x88\0\0\3\1", True),
    ],
)
def test_the_build_of_h264(packet: bytes, is_whole: bool) -> None:
    assert is_well_formed(packet) is is_whole


def test_a_damaged_file_is_not_its_own_proxy(project: Path, step2: Step2) -> None:
    """It would have been linked: it is 25 fps, H.264, fast start."""
    whole = clip(project.parent)
    whole.rename(project / "A001.mp4")
    overwritten(project / "A001.mp4", [20, 30])

    code, events = step2()

    assert (code, endings(events)) == (0, {"A001.mp4": ("done", None)})
    facts = facts_of(project, "A001")
    assert facts["proxy"]["method"] == "encoded"
    said = [warning["message"] for warning in facts["warnings"]]
    assert [warning["code"] for warning in facts["warnings"]] == ["cannot_stay", "damaged_source"]
    assert "is damaged" in said[0]
    assert any("frames are damaged" in sentence or "frames cannot be decoded" in sentence for sentence in said[1:])
    assert len(numbers_in(project / "docs" / "A001.mp4")) == 50


def test_damaged_frames_are_counted(project: Path, step2: Step2) -> None:
    options = {"x264-params": "bframes=0:keyint=10:scenecut=0"}
    path = write_clip(project / "A001.mov", times_at(F(30), 60), F(1, 30), width=320, height=192, options=options)
    overwritten(path, [10, 40])

    step2()

    (warning,) = facts_of(project, "A001")["warnings"]
    damaged, _of, frames, *_rest = warning["message"].split()
    # Each damaged keyframe takes up to nine frames with it that are built on it.
    assert 2 <= int(damaged) <= 20
    assert frames == "60"
    assert len(numbers_in(project / "docs" / "A001.mp4")) == 50


def test_damaged_sound_is_counted(project: Path, step2: Step2) -> None:
    path = write_clip(project / "A001.mov", times_at(F(30), 60), F(1, 30), tone=TONE, audio_codec="aac")
    overwritten(path, [20, 21, 22], stream=1, content=RUBBISH)

    code, _events = step2()

    assert code == 0
    warnings = facts_of(project, "A001")["warnings"]
    assert [warning["code"] for warning in warnings] == ["damaged_source"]
    assert "ffmpeg complained" in warnings[0]["message"] or "packets of the sound" in warnings[0]["message"]


def test_what_needs_more_than_this_ffmpeg_has_is_said(project: Path, step2: Step2, tmp_path: Path) -> None:
    """An ffmpeg without zscale: HDR is converted all the same, and nobody is left to find out by the colours."""
    poor = tmp_path / "ffmpeg"
    poor.write_text(
        f'#!/bin/sh\ncase "$*" in *-filters*) "{imageio_ffmpeg.get_ffmpeg_exe()}" "$@" | grep -v zscale;; *) exec "{imageio_ffmpeg.get_ffmpeg_exe()}" "$@";; esac\n'
    )
    poor.chmod(0o755)
    tags = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=128x64:r=25:d=0.4", "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-x265-params", f"log-level=none:{tags}", "-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc", str(project / "hdr.mkv"))  # fmt: skip

    code, _events = step2(FFMPEG_BINARY=str(poor))

    facts = facts_of(project, "hdr")
    assert code == 0
    assert facts["proxy"]["treatment"] == []
    assert [warning["code"] for warning in facts["warnings"]] == ["hdr_not_tone_mapped"]
