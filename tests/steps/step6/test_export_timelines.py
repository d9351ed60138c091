"""Cuts of the proxy, written as timelines and read again by somebody else, are the original's frames: at every rate, timecode, length."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.steps.step6.exported import (
    Delivered,
    constant,
    exported,
    write_scenes,
    write_speech,
    write_tracks,
    write_video,
)
from tests.steps.step6.exported import box as seen_box
from tests.steps.step6.timelines import Read, day_number, read_edl, read_fcpxml
from workflow_scripts.step6.exports.edl import reel_name
from workflow_scripts.step6.exports.files import Order, prepare
from workflow_scripts.step6.exports.formats import FORMATS
from workflow_scripts.step6.exports.timeline import Export

F = Fraction
FILM, NTSC, NTSC2 = F(24000, 1001), F(30000, 1001), F(60000, 1001)
HOURS = 3 * 3600 + 7


def _drop(timecode: str) -> str:
    return f"{timecode[:8]};{timecode[9:]}"


def phone(seconds: int, timecode: str) -> Delivered:
    """A telephone's variable rate: 30 fps with a jitter, here and there frames that are left out, a slow stretch."""
    dice = random.Random(5)
    pts, now = [], 900
    while now < 90_000 * seconds:
        pts.append(now + dice.randint(-200, 200))
        now += 3000 * (dice.choice((1, 1, 1, 1, 1, 2)) if now < 45_000 * seconds else 2)
    average = F(90_000 * len(pts), pts[-1] - pts[0])
    return Delivered(pts, F(1, 90_000), average, timecode, F(30), is_variable=True)


def rounded(original: Delivered) -> Delivered:
    """The same in a Matroska: time stamps in whole milliseconds."""
    return replace(original, pts=[round(pts * original.time_base * 1000) for pts in original.pts], time_base=F(1, 1000))


RATES = {
    "23.976": lambda start: constant(FILM, HOURS, start),
    "29.97 drop-frame": lambda start: constant(NTSC, HOURS, _drop(start)),
    "50": lambda start: constant(F(50), HOURS, start),
    "59.94": lambda start: constant(NTSC2, HOURS, start),
    "59.94 drop-frame": lambda start: constant(NTSC2, HOURS, _drop(start)),
    "variable": lambda start: phone(HOURS, start),
}
STARTS = {"": "01:00:00:00", " over midnight": "23:59:50:00"}
MATRIX = {
    f"{rate}{how} from {start}, 3 h": (lambda make=make, start=start: make(start), 400)
    for rate, make in RATES.items() for how, start in STARTS.items()
}  # fmt: skip
CASES: dict[str, tuple[Callable[[], Delivered], int]] = {
    **MATRIX,
    "23.976 in milliseconds": (lambda: rounded(constant(FILM, 600, "01:00:00:00")), 60),
    "50 over midnight, its timecode counts 25": (lambda: constant(F(50), 900, "23:59:50:00", timecode_rate=F(25)), 100),
    "59.94, its timecode is 29.97 drop-frame": (lambda: constant(NTSC2, 700, "00:59:59;28", timecode_rate=NTSC), 60),
    "59.94 without timecode": (lambda: constant(NTSC2, 600), 60),
    "24 played at 25, from 01:00:00:00": (lambda: constant(F(24), 900, "01:00:00:00", speed=F(24)), 100),
}  # fmt: skip
MIDNIGHT = [name for name in CASES if "midnight" in name]


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Gives an original, its proxy's shots, and what is exported of it, once for all formats."""

    @cache
    def made(name: str) -> tuple[Delivered, list[tuple[int, int]], Export]:
        make, count = CASES[name]
        original = make()
        video = write_video(tmp_path_factory.mktemp("project") / "docs", "clip", original)
        dice = random.Random(name)
        shots = write_scenes(video, sorted(dice.sample(range(1, original.proxy_frames), count)))
        return original, shots, exported(video)

    return made


def text_of(export: Export, name: str, folder: Path) -> str:
    path = folder / f"a{FORMATS[name].suffix}"
    FORMATS[name].write(export, path)
    return path.read_bytes().decode()


def shown_frames(original: Delivered, shots: list[tuple[int, int]]) -> Iterator[int]:
    """The original's frame that each shot begins with: the last that begins before the middle of the proxy's frame."""
    yield 0
    for start, _ in shots[1:]:
        yield max(0, original.begun_before((start + F(1, 2)) / (original.speed or 25)) - 1)


def on_screen(original: Delivered, at: int, rate: Fraction) -> int:
    """The original's frame that is on the screen at a position, as time stamps in milliseconds let one know."""
    return original.begun_before((at + F(1, 7)) / rate) - 1


def check(original: Delivered, shots: list[tuple[int, int]], read: list[tuple[int, int]], rate: Fraction) -> None:
    """Shots that show one original frame more than once have no length there: they are left out."""
    frames = list(shown_frames(original, shots))
    expected = [frame for frame, after in zip(frames, [*frames[1:], len(original.pts)], strict=True) if frame < after]
    if not original.is_variable:
        assert rate == original.rate
        assert [start for start, _ in read] == expected
        assert read[-1][1] == len(original.pts)
    assert [on_screen(original, start, rate) for start, _ in read] == expected
    assert [end for _, end in read[:-1]] == [start for start, _ in read[1:]]


def by_opentimelineio(text: str, adapter: str, **options: Any) -> Any:
    """Read a timeline as somebody else does."""
    library = pytest.importorskip("opentimelineio", reason="OpenTimelineIO has no wheels for this Python")
    return library.adapters.read_from_string(text, adapter, **options)


@pytest.mark.parametrize("case", CASES)
def test_fcpxml_by_a_strict_reader(case: str, cut: Any, tmp_path: Path) -> None:
    original, shots, export = cut(case)
    read = read_fcpxml(text_of(export, "fcpxml", tmp_path))
    assert read.rate is not None
    check(original, shots, read.shots, read.rate)
    assert read.start == first_number(original, read.rate)


@pytest.mark.parametrize("case", CASES)
def test_edl_by_a_strict_reader(case: str, cut: Any, tmp_path: Path) -> None:
    original, shots, export = cut(case)
    read = read_edl(text_of(export, "edl", tmp_path), export.grid.rate)
    check(original, shots, read.shots, export.grid.rate)
    assert read.start == first_number(original, export.grid.rate)


def first_number(original: Delivered, rate: Fraction) -> int:
    """The number, in a timecode that counts `rate`, of the frame that the original's own timecode names first."""
    if original.timecode is None:
        return 0
    assert original.timecode_rate
    nominal, counted = round(rate), round(original.timecode_rate)
    frames = int(original.timecode[-2:]) * nominal // counted
    return day_number(f"{original.timecode[:-2]}{frames:02d}", nominal, is_drop=";" in original.timecode)


@pytest.mark.parametrize("case", [case for case in CASES if case not in MIDNIGHT])
def test_edl_by_opentimelineio(case: str, cut: Any, tmp_path: Path) -> None:
    """Its reader knows no midnight."""
    original, shots, export = cut(case)
    text = text_of(export, "edl", tmp_path)
    timeline = by_opentimelineio(text, "cmx_3600", rate=float(export.grid.rate))
    check(original, shots, ranges(timeline, first_number(original, export.grid.rate)), export.grid.rate)


@pytest.mark.parametrize("name", ["otio", "fcp7"])
@pytest.mark.parametrize("case", CASES)
def test_the_others_by_opentimelineio(case: str, name: str, cut: Any, tmp_path: Path) -> None:
    original, shots, export = cut(case)
    adapter = {"otio": "otio_json", "fcp7": "fcp_xml"}[name]
    timeline = by_opentimelineio(text_of(export, name, tmp_path), adapter)
    clip = next(track for track in timeline.tracks if track.kind == "Video")[0]
    known, start = clip.media_reference.available_range, first_number(original, export.grid.rate)
    assert (known.start_time.value, timeline.global_start_time.value) == (start, start)
    assert known.start_time.rate == pytest.approx(float(export.grid.rate), abs=1e-9)
    check(original, shots, ranges(timeline, start), export.grid.rate)
    assert clip.media_reference.target_url == "../sources/clip.mov"


def ranges(timeline: Any, start: int) -> list[tuple[int, int]]:
    found = []
    for clip in next(track for track in timeline.tracks if track.kind == "Video"):
        first, length = clip.source_range.start_time.value - start, clip.source_range.duration.value
        assert first == int(first) and length == int(length)
        found.append((int(first), int(first + length)))
    return found


def test_a_variable_rate_is_laid_on_one_that_editors_know(cut: Any) -> None:
    export = cut("variable from 01:00:00:00, 3 h")[2]
    assert export.grid.rate in (25, 30, 50, 60)
    assert str(export.grid.start) == "01:00:00:00"


@pytest.mark.parametrize(("apart", "codes"), [(2, ["inexact_cuts"]), (10, [])])
def test_cuts_that_no_rate_can_name_are_said(apart: int, codes: list[str], tmp_path: Path) -> None:
    """A frame 1 ms before the middle of each of the proxy's, and another soon after: at 120 fps, 8 ms are one place."""
    pts = [0, *(40 * k + shift for k in range(100) for shift in (19, 19 + apart))]
    video = write_video(tmp_path / "docs", "clip", Delivered(pts, F(1, 1000), F(50), is_variable=True))
    write_scenes(video, [50])
    warnings = prepare(video, Order(("csv",)), tmp_path).warnings
    assert [warning.code for warning in warnings if "cuts" in warning.code] == codes


@pytest.mark.parametrize(("shots", "codes"), [(999, []), (1000, ["many_events"])])
def test_a_list_of_more_events_than_it_can_number_goes_on_and_is_said(
    shots: int, codes: list[str], tmp_path: Path
) -> None:
    video = write_video(tmp_path / "docs", "clip", constant(F(25), F(shots, 5)))
    expected = write_scenes(video, range(5, 5 * shots, 5))
    prepared = prepare(video, Order(("edl", "otio")), tmp_path)
    assert [warning.code for warning in prepared.warnings if warning.code == "many_events"] == codes
    text = text_of(prepared.export, "edl", tmp_path)
    assert read_edl(text, F(25)).shots == expected
    assert ranges(by_opentimelineio(text, "cmx_3600", rate=25.0), 0) == expected
    without = prepare(video, Order(("otio",)), tmp_path)
    assert "many_events" not in [warning.code for warning in without.warnings]


def test_shots_without_a_frame_of_their_own_are_left_out_and_said(tmp_path: Path) -> None:
    """12.5 fps: each frame is two of the proxy's. Events stay numbered one by one, shots keep their numbers."""
    video = write_video(tmp_path / "docs", "clip", constant(F(25, 2), 8))
    write_scenes(video, [50, 51, 100])
    prepared = prepare(video, Order(("edl",)), tmp_path)
    [said] = [warning for warning in prepared.warnings if warning.code == "empty_shots"]
    assert said.message.startswith("1 shots")
    text = text_of(prepared.export, "edl", tmp_path)
    read = read_edl(text, prepared.export.grid.rate)
    assert [end for _, end in read.shots[:-1]] == [start for start, _ in read.shots[1:]]
    assert all(start < end for start, end in read.shots)
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("* COMMENT: Shot")] == ["1", "3", "4"]


def test_against_the_proxy_everything_is_as_it_was_found(tmp_path: Path) -> None:
    video = write_video(tmp_path / "docs", "clip", constant(NTSC, 20, "23:59:50;00"))
    shots = write_scenes(video, [7, 100, 499])
    export = exported(video, against="proxy")
    assert read_fcpxml(text_of(export, "fcpxml", tmp_path)).shots == shots
    assert read_edl(text_of(export, "edl", tmp_path), F(25)) == Read(None, 0, shots, [])
    assert (export.medium.url, export.medium.width) == ("../docs/clip.mp4", 960)


@pytest.fixture
def spoken(tmp_path: Path) -> Export:
    """Two speakers who overlap, one person who is away for a while, and a track of somebody unknown."""
    video = write_video(tmp_path / "docs", "clip", constant(F(50), 20, "01:00:00:00"))
    write_scenes(video, [100, 250])
    write_speech(video, [(1000, 5000, "Zoé", "oui"), (4500, 6000, "SPEAKER_01", "non")])
    people = {
        frame: [seen_box(1, 0, 0, 10, 20, identity={"person": "person_1"})]
        for frame in (*range(50), *range(20, 90), *range(200, 220))
    }
    write_tracks(video, lambda frame: people.get(frame, []) + ([seen_box(2, 5, 5, 9, 9)] if frame == 300 else []))
    return exported(video)


MARKERS = [
    (0, 180, "person_1"),
    (50, 250, "Zoé"),
    (225, 300, "SPEAKER_01"),
    (400, 440, "person_1"),
    (600, 602, "face 2"),
]


def test_speakers_and_persons_are_markers(spoken: Export, tmp_path: Path) -> None:
    assert [(span.start, span.end, span.name) for span in spoken.markers] == MARKERS
    found = read_edl(text_of(spoken, "edl", tmp_path), F(50)).markers
    assert [(start, name.split(" ", 1)[1].rsplit(" (")[0]) for start, name in found] == [
        (start, name) for start, _, name in MARKERS
    ]
    in_fcpxml = [
        (at, name.split(": ")[1])
        for at, name in read_fcpxml(text_of(spoken, "fcpxml", tmp_path)).markers
        if ": " in name
    ]
    assert in_fcpxml == [(start, name) for start, _, name in MARKERS]
    for name, adapter in (("otio", "otio_json"), ("fcp7", "fcp_xml")):
        timeline = by_opentimelineio(text_of(spoken, name, tmp_path), adapter)
        read = [
            (marker.marked_range.start_time.value, marker.marked_range.end_time_exclusive().value, marker.name.split(": ")[-1])
            for marker in timeline.tracks.markers if "Shot" not in marker.name
        ]  # fmt: skip
        assert read == MARKERS, name


def test_shots_are_markers_too_and_sound_comes_along(spoken: Export, tmp_path: Path) -> None:
    for name, adapter, tracks in (("otio", "otio_json", 2), ("fcp7", "fcp_xml", 3)):
        timeline = by_opentimelineio(text_of(spoken, name, tmp_path), adapter)
        shots = [m.marked_range.start_time.value for m in timeline.tracks.markers if m.name.startswith("Shot")]
        assert shots == [0, 200, 500]
        assert len(timeline.tracks) == tracks
        assert len({tuple(clip.source_range.start_time.value for clip in track) for track in timeline.tracks}) == 1


@pytest.mark.parametrize(
    ("name", "reel"),
    [("clip", "CLIP"), ("A001_C002_0101AB", "A001_C00"), ("L'été à Bruxelles", "LETE_A_B"), ("日本", "AX"), ("..", "AX"), ("a b", "A_B")],
)  # fmt: skip
def test_reel_names(name: str, reel: str) -> None:
    assert reel_name(name) == reel


HOSTILE = 'a"&<b>]]>\x01\n002  X V C\u202egnp.exe\u2028;=1+1\ufffe%20#?'


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    video = write_video(
        tmp_path / "docs", "clip" + HOSTILE[:40].replace("/", ""), constant(F(25), 4), name="b" + HOSTILE
    )
    write_scenes(video, [50])
    write_speech(video, [(0, 1000, HOSTILE, HOSTILE)])
    export = exported(video, "otio", "srt")
    edl = text_of(export, "edl", tmp_path)
    assert len(read_edl(edl, F(25)).shots) == 2
    assert not {"\u202e", "\u2028", "\x01", "\ufffe"} & set(edl)
    assert len(read_fcpxml(text_of(export, "fcpxml", tmp_path)).shots) == 2
    for name, adapter in (("otio", "otio_json"), ("fcp7", "fcp_xml")):
        timeline = by_opentimelineio(text_of(export, name, tmp_path), adapter)
        reference = timeline.tracks[0][0].media_reference
        assert unquote(reference.target_url) == f"../sources/b{HOSTILE}"


def test_absolute_paths_are_urls(tmp_path: Path) -> None:
    video = write_video(tmp_path / "docs", "clip", constant(F(25), 4), name="é 100%.mov")
    url = prepare(video, Order(("otio",), paths="absolute"), tmp_path / "elsewhere").export.medium.url
    assert unquote(urlsplit(url).path) == str(tmp_path / "sources/é 100%.mov")
