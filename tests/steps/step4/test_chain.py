"""The chain: order, reasons, and that nothing that was told is thrown away."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from workflow_scripts.step4.alignment import with_speakers, with_transcript, with_turns
from workflow_scripts.step4.chain import Attempt, Link, LinkFailed, ask_in_turn
from workflow_scripts.step4.records import Passage, Speech, Turn

TURNS = (Turn(0, 1000, "A"), Turn(1000, 2000, "B"))
WORDS = (Passage(100, 400, "Hello", None), Passage(900, 1600, "you", None), Passage(9000, 9100, "far", None))
TRANSCRIPT = Speech(turns=(Turn(100, 1600, None),), words=WORDS, segments=WORDS, language="en", text="Hello you far")


def link(engine: str, adds: Callable[[Speech | None], Speech], *, due: bool = True, skip: str | None = None) -> Link:
    return Link(engine, adds, lambda _known: due, skip)


def fails(_known: Speech | None) -> Speech:
    raise LinkFailed("it is down")


def test_a_transcript_stays_when_diarization_fails() -> None:
    outcome = ask_in_turn([link("words", lambda _: TRANSCRIPT), link("voices", fails)])
    assert outcome.speech == TRANSCRIPT
    assert outcome.attempts == (
        Attempt("words", "used", gave=("turns", "transcript")),
        Attempt("voices", "failed", "it is down"),
    )
    assert (outcome.engine, outcome.transcript_engine) == ("words", "words")


def test_turns_stay_when_transcription_fails() -> None:
    known = Speech(turns=TURNS)
    outcome = ask_in_turn([link("first", fails), link("voices", lambda _: known), link("words", fails)])
    assert outcome.speech == known
    assert [attempt.outcome for attempt in outcome.attempts] == ["failed", "used", "failed"]
    assert (outcome.engine, outcome.transcript_engine) == ("voices", None)


def test_a_link_that_is_not_due_is_not_named_and_a_skipped_one_says_why() -> None:
    links = [link("never", fails, due=False), link("off", fails, skip="it is off"), link("voices", lambda _: Speech())]
    outcome = ask_in_turn(links)
    assert outcome.attempts == (Attempt("off", "skipped", "it is off"), Attempt("voices", "used", gave=("turns",)))


def test_no_link_that_answers_is_no_speech() -> None:
    outcome = ask_in_turn([link("one", fails), link("two", fails)])
    assert outcome.speech is None and outcome.engine is None and len(outcome.failures()) == 2


def test_a_transcript_without_speakers_takes_those_of_the_turns() -> None:
    speech = with_turns(TRANSCRIPT, TURNS)
    assert [word.speaker for word in speech.words] == ["A", "B", None]
    assert speech.turns == (*TURNS, Turn(9000, 9100, None))
    assert (speech.text, speech.language) == (TRANSCRIPT.text, "en")


def test_turns_take_a_transcript() -> None:
    speech = with_transcript(Speech(turns=TURNS), TRANSCRIPT)
    assert speech.turns == TURNS and [word.speaker for word in speech.words] == ["A", "B", None]


@pytest.mark.parametrize(
    ("word", "expected"),
    [((0, 900), "A"), ((600, 1100), "A"), ((950, 1900), "B"), ((2400, 2500), "B"), ((2600, 2700), None), ((0, 0), "A")],
)
def test_a_word_is_its_who_speaks_most_of_it_or_nearest(word: tuple[int, int], expected: str | None) -> None:
    (found,) = with_speakers([Passage(*word, "x", None)], TURNS)
    assert found.speaker == expected


def test_words_keep_their_order_and_the_speaker_they_had() -> None:
    words = [Passage(1500, 1600, "b", None), Passage(0, 100, "a", "Z")]
    assert [(word.text, word.speaker) for word in with_speakers(words, TURNS)] == [("b", "B"), ("a", "Z")]
