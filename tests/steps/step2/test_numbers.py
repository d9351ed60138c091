"""The proof of the frame map: for every proxy frame the number in its picture is the one that the map says."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest

from tests.steps.step2.clips import numbers_in, times_at, write_clip
from tests.steps.step2.conftest import facts_of
from workflow_scripts.step2.frame_map import FrameMap

F = Fraction
UNEVEN = [F(n, 1000) for n in (0, 40, 55, 60, 61, 200, 233, 266, 300, 700, 701, 702, 740, 760, 780, 1500, 1533, 1999)]

CLIPS = {
    "film.mp4": (times_at(F(24000, 1001), 97), F(1, 24000)),
    "film_in_milliseconds.mkv": (times_at(F(24000, 1001), 97), F(1, 1000)),
    "ntsc.mp4": (times_at(F(30000, 1001), 151), F(1, 30000)),
    "ntsc_late.ts": (times_at(F(30000, 1001), 91, F(7, 3)), F(1, 90000)),
    "cinema.mov": (times_at(F(24), 60), F(1, 24)),
    "double.mp4": (times_at(F(50), 121), F(1, 50)),
    "sixty.mkv": (times_at(F(60), 131, F(1, 2)), F(1, 1000)),
    "sixty_drop.mp4": (times_at(F(60000, 1001), 200), F(1, 60000)),
    "odd.mp4": (times_at(F(87169000, 2905633), 100), F(1, 90000)),
    "slow.mp4": (times_at(F(10), 21), F(1, 10)),
    "uneven.mkv": ([time + F(3) for time in UNEVEN], F(1, 1000)),
    "uneven.mp4": ([time + F(1, 5) for time in UNEVEN], F(1, 1000)),
}


def expected_number(times: list[Fraction], proxy_frame: int) -> int:
    """The rule in other words than the code's: what is on the screen just before the middle of the proxy frame."""
    middle = times[0] + F(2 * proxy_frame + 1, 50)
    return max(number for number, time in enumerate(times) if time < middle or number == 0)


@pytest.mark.parametrize("name", CLIPS)
def test_every_proxy_frame_shows_what_the_map_says(name, project, step2):
    times, time_base = CLIPS[name]
    clip = write_clip(project / name, times, time_base)
    with av.open(str(clip)) as container:  # what the container made of the times, read without the code under test
        stream = container.streams.video[0]
        stored = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
        stored_times = [pts * stream.time_base for pts in stored]
    assert len(stored) == len(times)

    assert step2()[0] == 0

    stem = name.rpartition(".")[0]
    facts = facts_of(project, stem)
    mapped = FrameMap.from_json(facts["frame_map"])
    seen = numbers_in(project / "docs" / f"{stem}.mp4")
    assert len(seen) == facts["proxy"]["frames"] == mapped.proxy_frames
    assert mapped.time_base * mapped.zero == stored_times[0]
    assert [mapped.original_pts(frame) for frame in range(len(seen))] == [stored[number] for number in seen]
    assert seen == [expected_number(stored_times, frame) for frame in range(len(seen))]


@pytest.mark.parametrize("name", [name for name in CLIPS if "uneven" not in name])
def test_a_constant_rate_is_told_exactly_and_keeps_its_duration(name, project, step2):
    times, time_base = CLIPS[name]
    write_clip(project / name, times, time_base)

    assert step2()[0] == 0

    facts = facts_of(project, name.rpartition(".")[0])
    rate = 1 / (times[1] - times[0])
    assert not facts["original"]["video"]["variable_rate"]
    assert len(facts["frame_map"]["runs"]) == 1
    if name != "odd.mp4":  # no time base holds that rate: what is stored is a rounding of it
        assert F(facts["original"]["video"]["rate"]) == rate
    assert abs(F(facts["proxy"]["frames"], 25) - len(times) / rate) <= F(1, 50)


@pytest.mark.parametrize("name", ["uneven.mkv", "uneven.mp4"])
def test_a_variable_rate_is_named(name, project, step2):
    write_clip(project / name, *CLIPS[name])

    step2()

    assert facts_of(project, "uneven")["original"]["video"]["variable_rate"]
