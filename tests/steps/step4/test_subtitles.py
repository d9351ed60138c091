"""Subtitles and RTTM: what is written can be read, stands long enough, and names who speaks."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from workflow_scripts.step4.records import Passage, Turn
from workflow_scripts.step4.rttm import rttm
from workflow_scripts.stepkit.subtitles import LINE, LONGEST_MS, SHORTEST_MS, Cue, cues, srt, vtt

HOUR = 3_600_000


def spoken(text: str, speaker: str | None = "SPEAKER_00", start: int = 0, each: int = 300) -> list[Passage]:
    words = text.split()
    return [Passage(start + n * each, start + (n + 1) * each, word, speaker) for n, word in enumerate(words)]


def test_cues_end_with_sentences_speakers_and_pauses() -> None:
    words = [
        *spoken("This is a first whole sentence. And this is another one."),
        *spoken("Who asks?", "SPEAKER_01", 4000),
        *spoken("Me", "SPEAKER_01", 6000),
    ]
    told = [(cue.lines, cue.speaker) for cue in cues(words, [])]
    assert told == [
        (("This is a first whole sentence.",), "SPEAKER_00"),
        (("And this is another one.",), "SPEAKER_00"),
        (("Who asks?",), "SPEAKER_01"),
        (("Me",), "SPEAKER_01"),
    ]


@pytest.mark.parametrize("seed", range(20))
def test_every_word_is_shown_once_within_the_rules(seed: int) -> None:
    chance, at, words = random.Random(seed), 0, []
    for number in range(300):
        at += chance.choice([0, 0, 50, 400, 2000])
        end = at + chance.randint(50, 900)
        text = f"w{number}" + "x" * chance.randint(0, 12) + chance.choice(["", "", "", ".", "?"])
        words.append(Passage(at, end, text, chance.choice(["A", "B", None])))
        at = end
    found = cues(words, [])
    assert " ".join(" ".join(cue.lines) for cue in found) == " ".join(word.text for word in words)
    assert all(len(cue.lines) <= 2 and all(len(line) <= LINE for line in cue.lines) for cue in found)
    assert all(0 < cue.end_ms - cue.start_ms <= LONGEST_MS for cue in found)
    assert all(cue.end_ms <= later.start_ms for cue, later in pairwise(found))


def test_segments_without_words_share_out_their_time() -> None:
    (cue,) = cues([], [Passage(1000, 3000, "Hello   there", None)])
    assert cue == Cue(1000, 3000, ("Hello there",), None)
    long = Passage(0, 60_000, "word " * 100, "A")
    assert all(cue.end_ms - cue.start_ms <= LONGEST_MS for cue in cues([], [long]))


def test_lines_are_broken_in_the_middle() -> None:
    (cue,) = cues(spoken("one two three four five six seven eight nine ten eleven twelve", each=200), [])
    assert cue.lines == ("one two three four five six seven", "eight nine ten eleven twelve")


def test_speakers_who_speak_at_once_keep_their_sentences() -> None:
    words = [*spoken("I say this all the time.", "A", 0, 400), *spoken("And I say that.", "B", 500, 400)]
    told = [(cue.start_ms, cue.end_ms, cue.lines, cue.speaker) for cue in cues(words, [])]
    assert told == [(0, 2400, ("I say this all the time.",), "A"), (500, 2100, ("And I say that.",), "B")]


def test_short_words_stay_as_long_as_nothing_follows() -> None:
    ends = [cue.end_ms for cue in cues([Passage(0, 100, "No", "A"), Passage(500, 600, "Yes", "B")], [])]
    assert ends == [500, 500 + SHORTEST_MS]


def test_a_name_before_right_to_left_words_does_not_turn_them() -> None:
    found = cues([Passage(0, 1000, "שלום, Paul", "Zoé"), Passage(2000, 3000, "1984 مرحبا", "Ada")], [])
    assert [block.split("\n")[2] for block in srt(found, {})] == ["\u200fZoé: שלום, Paul", "\u200fAda: 1984 مرحبا"]
    assert "<v Zoé>שלום, Paul\n" in "".join(vtt(found, {}))


def test_srt_names_the_speaker_once_a_turn_and_knows_long_days() -> None:
    found = [
        Cue(0, 1500, ("Hello.",), "SPEAKER_00"),
        Cue(2000, 3000, ("I am", "Paul."), "SPEAKER_00"),
        Cue(100 * HOUR + 61_001, 100 * HOUR + 62_000, ("Late.",), None),
    ]
    assert "".join(srt(found, {"SPEAKER_00": "Paul D."})) == (
        "1\n00:00:00,000 --> 00:00:01,500\nPaul D.: Hello.\n\n"
        "2\n00:00:02,000 --> 00:00:03,000\nI am\nPaul.\n\n"
        "3\n100:01:01,001 --> 100:01:02,000\nLate.\n\n"
    )


def test_vtt_has_voice_tags_and_escapes() -> None:
    found = [Cue(0, 1500, ("a < b & c", "-->"), "SPEAKER_00"), Cue(1500, 2000, ("d",), None)]
    assert "".join(vtt(found, {"SPEAKER_00": "<Paul>"})) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n<v &lt;Paul&gt;>a &lt; b &amp; c\n--&gt;\n\n00:00:01.500 --> 00:00:02.000\nd\n\n"
    )


def test_rttm_is_what_pyannote_reads(tmp_path: Path) -> None:
    from pyannote.database.util import load_rttm

    path = tmp_path / "clip.rttm"
    turns = [Turn(1500, 2250, "SPEAKER_01"), Turn(0, 1000, "SPEAKER_00"), Turn(3000, 3001, None)]
    path.write_text(rttm("my clip", turns, {"SPEAKER_00": "Paul D."}))
    annotation = load_rttm(path)["my_clip"]
    told = [(track.start, round(track.end, 3), who) for track, _, who in annotation.itertracks(yield_label=True)]
    assert told == [(0.0, 1.0, "Paul_D."), (1.5, 2.25, "SPEAKER_01"), (3.0, 3.001, "UNKNOWN")]
