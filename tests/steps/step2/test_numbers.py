"""The proof of the frame map: for every proxy frame the number in its picture is the one that the map says.

Every clip of the matrix is converted in one run of the step's script; each test looks at what became of it.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import pytest

from tests.steps.step2.clips import number_in, numbers_in, switches_in, times_at, write_clip
from tests.steps.step2.conftest import facts_of, run_step2
from workflow_scripts.stepkit.frame_map import FrameMap
from workflow_scripts.stepkit.original import read_original

F = Fraction
RATES = {
    "23.976": F(24000, 1001), "24": F(24), "25": F(25), "29.97": F(30000, 1001), "30": F(30), "48": F(48), "50": F(50),
    "59.94": F(60000, 1001), "60": F(60), "odd": F(87169000, 2905633), "slow": F(10),
}  # fmt: skip
NOTHING, MPEG = F(0), F(1, 90_000)
SECONDS = 2
TONE = (F(1, 2), F(1), F(6, 5), F(7, 4))
"""When the tone is switched, in seconds after the first frame."""


@dataclass(frozen=True)
class Clip:
    """A clip to be made: its frames' times, the time base they are given in, and when its sound starts."""

    times: list[Fraction]
    time_base: Fraction
    sound_from: Fraction
    rate: Fraction | None = None
    """None where it varies."""
    cut: Fraction | None = None
    """Seconds that an edit list takes away from the beginning."""
    timecode: str | None = None


def regular(
    rate: Fraction, start: Fraction = NOTHING, time_base: Fraction = MPEG, lead: Fraction = NOTHING, **more: Any
) -> Clip:
    """A constant rate; the sound starts `lead` before the picture."""
    times = times_at(rate, round(SECONDS * rate) + 1, start)
    return Clip(times, time_base, start - lead, rate, **more)


def begin_cut(rate: Fraction) -> Clip:
    """A third of a second is cut away, at a frame."""
    return regular(rate, cut=round(rate / 3) / rate)


def irregular(seed: int, start: Fraction) -> Clip:
    """A phone's: 30 a second by and large, with jitter, lost frames and one long hole."""
    chance = random.Random(seed)
    times, time = [], start
    while time < start + SECONDS:
        times.append(time)
        time += F(chance.choice((33, 33, 34, 17, 66, 5, 400 if len(times) == 20 else 33)), 1000)
    return Clip(times, F(1, 1000), start)


def two_paces(start: Fraction) -> Clip:
    film = times_at(F(24), 24, start)
    return Clip([*film, *times_at(F(60), 60, start + 1)], F(1, 1000), start)


CLIPS = {
    **{f"{name} own.mp4": regular(rate, time_base=1 / rate if name != "odd" else MPEG) for name, rate in RATES.items()},
    **{f"{name} late.mkv": regular(rate, F(3, 2), F(1, 1000)) for name, rate in RATES.items()},
    **{f"{name} transport.ts": regular(rate, F(7, 3), lead=F(1, 5)) for name, rate in RATES.items()},
    **{f"{name} delayed.mov": regular(rate, F(1, 5), lead=F(1, 5)) for name, rate in RATES.items()},
    **{f"{name} cut.mp4": begin_cut(rate) for name, rate in RATES.items()},
    "29.97 drop.mov": regular(RATES["29.97"], time_base=F(1, 30_000), timecode="00:00:59;20"),
    "29.97 whole.mov": regular(RATES["29.97"], time_base=F(1, 30_000), timecode="00:00:59:20"),
    "59.94 drop.mov": regular(RATES["59.94"], time_base=F(1, 60_000), timecode="23:59:58;30"),
    **{
        f"phone {suffix}.{suffix}": irregular(seed, F(seed, 5))
        for seed, suffix in enumerate(("mp4", "mkv", "mov", "ts"))
    },
    **{f"paces {suffix}.{suffix}": two_paces(F(seed, 5)) for seed, suffix in enumerate(("mp4", "mkv", "mov", "ts"))},
}
FILM = [f"{rate} {rest}" for rate in ("23.976", "24") for rest in ("own.mp4", "late.mkv", "delayed.mov")]


def make(path: Path, clip: Clip) -> None:
    start = clip.times[0]
    tone = (clip.sound_from, *(start + switch for switch in TONE), start + SECONDS)
    sound = {".mov": "pcm_s16le", ".mkv": "pcm_s16le"}.get(path.suffix, "aac")
    whole = path if clip.cut is None and clip.timecode is None else path.with_name(f".whole {path.name}")
    write_clip(
        whole, clip.times, clip.time_base, tone=tone, audio_codec=sound, options={"g": "12"}, rate=clip.rate or F(30)
    )
    if whole != path:
        before = ["-ss", f"{float(clip.cut):.6f}"] if clip.cut is not None else []
        after = ["-timecode", clip.timecode] if clip.timecode else []
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *before, "-i", str(whole), "-c", "copy", *after, str(path)]  # fmt: skip
        subprocess.run(command, check=True, timeout=60)
        whole.unlink()


def convert(folder: Path, names: list[str], **variables: str) -> Path:
    project = folder / "projets_extraits" / "matrix"
    project.mkdir(parents=True)
    for name in names:
        make(project / name, CLIPS[name])
    code, events = run_step2(folder, **variables)
    assert code == 0, [event for event in events if event["event"] == "item_done" and event["error"]]
    return project


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(tmp_path_factory.mktemp("duration"), list(CLIPS))


@pytest.fixture(scope="module")
def sped_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(tmp_path_factory.mktemp("speed"), [*FILM, "25 own.mp4", "29.97 own.mp4", "phone mkv.mkv"], STEP2_RATE_MODE="speed")  # fmt: skip


def stem_of(name: str) -> str:
    return Path(name).stem


def frames_of(original: Path) -> Iterator[tuple[int, int]]:
    """The time stamp and the number of every frame that a file shows, by a decoder and none of the code under test."""
    with av.open(str(original)) as container:
        for frame in container.decode(video=0):
            assert frame.pts is not None
            yield frame.pts, number_in(frame)


def expected_number(times: list[Fraction], numbers: list[int], rate: Fraction, proxy_frame: int) -> int:
    """The rule in other words than the code's: what is on the screen just before the middle of the proxy frame."""
    middle = times[0] + F(2 * proxy_frame + 1) / (2 * rate)
    return max(number for number, time in zip(numbers, times, strict=True) if time < middle or number == numbers[0])


def look(project: Path, name: str) -> tuple[dict[str, Any], FrameMap, list[int]]:
    """Check a clip's map against its pictures; returns its facts, its map and the numbers that its proxy shows."""
    facts = facts_of(project, stem_of(name))
    mapped = FrameMap.from_json(facts["frame_map"])
    shown = dict(frames_of(project / "sources" / name))
    seen = numbers_in(project / "docs" / f"{stem_of(name)}.mp4")
    assert len(seen) == facts["proxy"]["frames"] == mapped.proxy_frames
    assert list(mapped.pts) == sorted(shown)
    assert mapped.zero == min(shown)
    assert [shown[mapped.original_pts(frame)] for frame in range(len(seen))] == seen
    for index, pts in enumerate(mapped.pts):  # and back
        assert {frame for frame, number in enumerate(seen) if number == shown[pts]} == set(mapped.proxy_range(index))
    times = [pts * mapped.time_base for pts in mapped.pts]
    numbers = [shown[pts] for pts in mapped.pts]
    assert seen == [expected_number(times, numbers, mapped.rate, frame) for frame in range(len(seen))]
    return facts, mapped, seen


@pytest.mark.parametrize("name", CLIPS)
def test_every_proxy_frame_shows_what_the_map_says(name: str, converted: Path) -> None:
    _facts, mapped, _seen = look(converted, name)
    assert mapped.rate == 25


@pytest.mark.parametrize("name", CLIPS)
def test_sound_is_where_its_picture_is(name: str, converted: Path) -> None:
    _pts, first = next(frames_of(converted / "sources" / name))
    clip = CLIPS[name]
    cut_away = clip.times[first] - clip.times[0]
    found = switches_in(converted / "docs" / f"{stem_of(name)}.mp4")
    assert found == pytest.approx([float(switch - cut_away) for switch in TONE], abs=0.010)


@pytest.mark.parametrize("name", [name for name, clip in CLIPS.items() if clip.rate])
def test_a_constant_rate_is_told_exactly_and_keeps_its_duration(name: str, converted: Path) -> None:
    facts = facts_of(converted, stem_of(name))
    rate = CLIPS[name].rate
    assert rate
    assert not facts["original"]["video"]["variable_rate"]
    assert len(facts["frame_map"]["runs"]) == 1
    if "odd" not in name:  # no time base holds that rate: what is stored is a rounding of it
        assert F(facts["original"]["video"]["rate"]) == rate
    assert abs(F(facts["proxy"]["frames"], 25) - facts["original"]["frames"] / rate) <= F(1, 50) + F(1, 1000)


@pytest.mark.parametrize("name", [name for name, clip in CLIPS.items() if not clip.rate])
def test_a_variable_rate_is_named(name: str, converted: Path) -> None:
    assert facts_of(converted, stem_of(name))["original"]["video"]["variable_rate"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("29.97 drop.mov", {0: "00:00:59;20", 9: "00:00:59;29", 10: "00:01:00;02", 11: "00:01:00;03", 41: "00:01:01;03"}),
        ("29.97 whole.mov", {0: "00:00:59:20", 9: "00:00:59:29", 10: "00:01:00:00", 11: "00:01:00:01", 41: "00:01:01:01"}),
        ("59.94 drop.mov", {1: "23:59:58;31", 87: "23:59:59;57", 89: "23:59:59;59", 92: "00:00:00;02"}),
    ],
)  # fmt: skip
def test_a_proxy_frame_has_its_originals_timecode(name: str, expected: dict[int, str], converted: Path) -> None:
    _facts, mapped, seen = look(converted, name)
    original = read_original(converted / "docs" / f"{stem_of(name)}_source.json")
    assert original.start is not None
    told = {number: str(original.timecode(frame)) for frame, number in enumerate(seen)}
    assert {number: text for number, text in told.items() if number in expected}.items() <= expected.items()
    assert len(told.keys() & expected.keys()) >= 3
    for frame in range(mapped.proxy_frames):
        timecode = original.timecode(frame)
        assert timecode is not None
        assert timecode.frames_since(original.start) == seen[frame]  # the number in the picture
        assert frame in original.proxy_range(timecode)
        assert original.seconds(frame) == seen[frame] / original.rate


@pytest.mark.parametrize("name", FILM)
def test_film_that_is_sped_up_has_a_frame_for_each_of_its_own(name: str, sped_up: Path) -> None:
    facts, mapped, seen = look(sped_up, name)
    rate = CLIPS[name].rate
    assert mapped.rate == rate
    assert seen == list(range(len(CLIPS[name].times)))
    assert facts["proxy"]["treatment"] == ["sped_up"]
    found = switches_in(sped_up / "docs" / f"{stem_of(name)}.mp4")
    assert found == pytest.approx([float(switch * rate / 25) for switch in TONE], abs=0.010)


@pytest.mark.parametrize("name", ["25 own.mp4", "29.97 own.mp4", "phone mkv.mkv"])
def test_what_is_no_film_keeps_its_duration(name: str, sped_up: Path) -> None:
    facts, mapped, _seen = look(sped_up, name)
    assert mapped.rate == 25
    assert facts["proxy"]["treatment"] == []
