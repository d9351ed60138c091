"""Subtitles, speaker turns and tables, read again by other readers; what they cannot hold, and what must not get in."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pysubs2
import pytest

from tests.steps.step6.exported import constant, exported, write_scenes, write_speech, write_video
from workflow_scripts.step6.exports.formats import FORMATS
from workflow_scripts.step6.exports.timeline import Export, Span, Words, plain

F = Fraction
HEBREW, ARABIC = "שלום עולם, 123", "مرحبا بالعالم"
SAID = [
    (0, 1500, "Zoé", "Bonjour à tous"),
    (1000, 4010, "SPEAKER_01", HEBREW),
    (1000, 2000, "SPEAKER_02", f"{ARABIC} deux\nlignes en font une"),
    (5000, 5000, "Zoé", "nothing lasts"),
]
KEPT = sorted(SAID[:3], key=lambda said: said[:2])
HOURS_100 = 100 * 3_600_000


@pytest.fixture
def spoken(tmp_path: Path) -> Export:
    video = write_video(tmp_path / "docs", "clip", constant(F(50), 20, "01:00:00:00"))
    write_speech(video, SAID)
    return exported(video, "srt", "rttm")


def text_of(export: Export, name: str, folder: Path) -> str:
    path = folder / f"a{FORMATS[name].suffix}"
    FORMATS[name].write(export, path)
    return path.read_bytes().decode()


def clock(text: str) -> int:
    """Milliseconds of `HH:MM:SS,mmm`, hours of any length."""
    form = re.fullmatch(r"(\d{2,}):([0-5]\d):([0-5]\d)[,.](\d{3})", text)
    assert form, text
    hours, minutes, seconds, rest = map(int, form.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest


def cues(text: str, *, numbered: bool) -> Iterator[tuple[int, int, list[str]]]:
    """Read SRT or the body of WebVTT strictly: blocks parted by one empty line."""
    assert text.endswith("\n\n")
    for number, block in enumerate(text[:-2].split("\n\n"), 1):
        lines = block.split("\n")
        if numbered:
            assert lines.pop(0) == str(number)
        start, end = lines[0].split(" --> ")
        assert lines[1:] and all(lines[1:])
        yield clock(start), clock(end), lines[1:]


@pytest.mark.parametrize("name", ["srt", "vtt", "ass"])
def test_subtitles_by_another_reader(name: str, spoken: Export, tmp_path: Path) -> None:
    read = pysubs2.SSAFile.from_string(text_of(spoken, name, tmp_path), format_=name)
    assert [(event.start, event.end) for event in read] == [said[:2] for said in KEPT]
    for event, (_, _, speaker, text) in zip(read, KEPT, strict=True):
        assert " ".join(text.split()) in event.plaintext
        assert speaker in (event.name, event.plaintext.partition(": ")[0].lstrip("\u200f")) or name == "vtt"


def test_speakers_are_voices_in_webvtt(spoken: Export, tmp_path: Path) -> None:
    head, _, body = text_of(spoken, "vtt", tmp_path).partition("\n\n")
    read = list(cues(body, numbered=False))
    assert head == "WEBVTT"
    assert [lines[0] for *_, lines in read] == [f"<v {who}>{' '.join(text.split())}" for _, _, who, text in KEPT]


def test_subtitles_pass_99_hours(spoken: Export, tmp_path: Path) -> None:
    late = replace(spoken, lines=(Words(HOURS_100 - 1, HOURS_100 + 61_001, "", "late"),))
    expected = [(HOURS_100 - 1, HOURS_100 + 61_001, ["late"])]
    assert list(cues(text_of(late, "srt", tmp_path), numbered=True)) == expected
    assert list(cues(text_of(late, "vtt", tmp_path).partition("\n\n")[2], numbered=False)) == expected
    assert "Dialogue: 0,100:00:00.00,100:01:01.00,Default,,0,0,0,,late\n" in text_of(late, "ass", tmp_path)


def test_words_cannot_become_cues_or_commands(spoken: Export, tmp_path: Path) -> None:
    hostile = "a\r\n\r\n2\n00:00:00,000 --> 00:00:09,000\n<script> & {\\an8}\u2028\x00x\u202e"
    export = replace(spoken, lines=(Words(0, 1000, "<v X>", hostile),))
    assert len(list(cues(text_of(export, "srt", tmp_path), numbered=True))) == 1
    webvtt = text_of(export, "vtt", tmp_path)
    assert webvtt.count("-->") == 1 and "<script>" not in webvtt and "<v &lt;v X&gt;>" in webvtt
    styled = text_of(export, "ass", tmp_path)
    assert styled.count("Dialogue:") == 1 and "{" not in styled.partition("[Events]")[2]
    assert len(pysubs2.SSAFile.from_string(styled)) == 1


def test_words_of_a_film_that_was_sped_up_lie_on_the_original(tmp_path: Path) -> None:
    video = write_video(tmp_path / "docs", "clip", constant(F(24), 100, speed=F(24)))
    write_speech(video, [(24_000, 48_000, "A", "oui")])
    assert [(words.start, words.end) for words in exported(video, "srt").lines] == [(25_000, 50_000)]
    assert [(words.start, words.end) for words in exported(video, "srt", against="proxy").lines] == [(24_000, 48_000)]


def test_speaker_turns(spoken: Export, tmp_path: Path) -> None:
    named = replace(
        spoken, name="mon clip", turns=(*spoken.turns, Words(HOURS_100, HOURS_100 + 1, "Anne Marie"), Words(1, 2, ""))
    )
    read = [line.split(" ") for line in text_of(named, "rttm", tmp_path).splitlines()]
    assert all(len(fields) == 10 and fields[:3] == ["SPEAKER", "mon_clip", "1"] for fields in read)
    assert [(fields[3], fields[4], fields[7]) for fields in read] == [
        ("0.000", "1.500", "Zoé"), ("1.000", "1.000", "SPEAKER_02"), ("1.000", "3.010", "SPEAKER_01"),
        ("360000.000", "0.001", "Anne_Marie"), ("0.001", "0.001", "unknown"),
    ]  # fmt: skip


def test_the_table_holds_shots_and_speakers(spoken: Export, tmp_path: Path) -> None:
    text = text_of(spoken, "csv", tmp_path)
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    assert text.startswith("\ufeff")
    assert [(row["kind"], row["name"]) for row in rows] == [
        ("shot", "Shot 1"), ("speaker", "Zoé"), ("speaker", "SPEAKER_02"), ("speaker", "SPEAKER_01")
    ]  # fmt: skip
    last = rows[-1]
    assert (last["start_frame"], last["end_frame"]) == ("50", "200")
    assert (last["start_seconds"], last["end_timecode"]) == ("1.000000", "01:00:04:00")


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", ' "=1'])
def test_no_cell_is_a_formula(name: str, spoken: Export, tmp_path: Path) -> None:
    marker = Span("speaker", plain(name), 0, 1, plain(name))
    text = text_of(replace(spoken, markers=(marker,)), "csv", tmp_path).removeprefix("\ufeff")
    for row in csv.reader(io.StringIO(text, newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


def test_a_text_becomes_one_line_without_signs_that_steer() -> None:
    assert plain(f" a\n\tb\x00\x85c\u202e\u2066{HEBREW}\ud800\uffff ") == f"a b c {HEBREW}"


def test_shots_of_a_cut_that_is_seen_twice_are_one(tmp_path: Path) -> None:
    """At 12.5 fps two frames of the proxy show one of the original: a shot between them has no length there."""
    video = write_video(tmp_path / "docs", "clip", constant(F(25, 2), 8))
    write_scenes(video, [9, 10, 100])
    assert json.loads(text_of(exported(video), "otio", tmp_path))["tracks"]["children"][0]["children"]
    starts = [shot.start for shot in exported(video).shots]
    assert starts == sorted(set(starts)) and len(starts) >= 2
