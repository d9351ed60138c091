"""Audio analysis: who speaks when, and what is said.

Asks Lemonfox when LEMONFOX_API_KEY is set, and the engines on this machine for what it does not tell or when it fails.
Reads the proxy `<stem>.mp4`, writes `<stem>_audio_raw.json`, which says which engine gave what and why others did not,
the turns as `<stem>_speech.rttm`, and where something was transcribed subtitles: `<stem>_speech.srt` and `.vtt`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder

from config.catalog import models
from config.settings import Settings
from workflow_scripts.step4 import document, engines, rttm, speakers, voices, whisper_models
from workflow_scripts.step4.analysis import smoothed
from workflow_scripts.step4.chain import Outcome, ask_in_turn
from workflow_scripts.step4.joining import Print
from workflow_scripts.step4.paid import Paid
from workflow_scripts.step4.records import Speech, in_order_of_appearance, renamed, speaking_times
from workflow_scripts.step4.sound import Sound, extract_sound
from workflow_scripts.stepkit import ItemError, Step, Task, prerequisites, step_parser, subtitles
from workflow_scripts.stepkit.files import sha256_of
from workflow_scripts.stepkit.media import ffmpeg_binary
from workflow_scripts.stepkit.projects import Video
from workflow_scripts.stepkit.records import Record

VERSION = 3
REQUIRED = (
    prerequisites.module("torch"), prerequisites.module("pyannote"), prerequisites.ffmpeg(),
    *map(prerequisites.model, engines.MODELS), whisper_models.missing,
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Analyse the sound of every video, and return the exit code."""
    with Step("STEP4", step_parser("STEP4", __doc__).parse_args(argv), version=VERSION, require=REQUIRED) as step:
        for item in step.items():
            with step.work_on(item) as task:
                _analyse(step, task)
    return step.exit_code


def _analyse(step: Step, task: Task) -> None:
    video = task.video
    asked = _asked(step.settings)
    names = speakers.names(video.project)
    whisper = whisper_models.chosen(step.settings).model
    used = (*engines.MODELS, *([whisper] if whisper else []))
    if task.is_up_to_date(inputs=[video.proxy], parameters={**asked, "names": names}, models=used):
        return
    made_under = _digest(video, asked, used)
    known = None if task.force else _known(video, made_under)
    if task.force:
        Paid.of(video).forget()
    told, speech = known or _heard(step, task, made_under)
    _write(task, told, speech, names)
    if told["made_under"] is not None:  # else it is done again, and what was paid for serves then
        Paid.of(video).forget()
    task.provisional = told["made_under"] is None
    task.metrics.update(
        engine=told["engine"] or "none", transcript=told["transcript_engine"] or "none",
        speakers=len(told["speakers"]), turns=len(speech.turns),
    )  # fmt: skip


def _asked(settings: Settings) -> dict[str, Any]:
    """Return what decides the result, the keys themselves left out."""
    return {
        **engines.configured(settings),
        "gap_fill_sec": settings.lemonfox_speech_gap_fill_sec,
        "min_on_sec": settings.lemonfox_speech_min_on_sec,
        "speaker_threshold": settings.step4_speaker_threshold,
    }


def _digest(video: Video, asked: dict[str, Any], used: Sequence[str]) -> str:
    """Return as one sha256 what the analysis is made from: all but the names that people gave the speakers."""
    proxy = Record(video.project, video.stem).fingerprint(video.proxy)
    content = [VERSION, asked, {name: models()[name].sha256 for name in used}, proxy]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _known(video: Video, made_under: str) -> tuple[dict[str, Any], Speech] | None:
    """Return the analysis that is there, where it was made from the same: then only names have changed.

    It must be the file that STEP4 wrote, to the byte: what was edited or spoilt is made anew.
    """
    record, path = Record(video.project, video.stem), video.artefact("_audio_raw.json")
    artefacts = record.read()["steps"].get("STEP4", {}).get("artefacts", [])
    written = {made["sha256"] for made in artefacts if made["path"] == record.relative(path)}
    try:
        if sha256_of(path) not in written:
            return None
        told, speech = document.read(path)
        return (told, speech) if told["made_under"] == made_under else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _heard(step: Step, task: Task, made_under: str) -> tuple[dict[str, Any], Speech]:
    """Analyse the sound. Where an engine failed the result is provisional: what it was made under is None."""
    facts = task.video.facts()
    outcome: Outcome | None = None
    speech, matches = Speech(), dict[str, speakers.Match]()
    if facts.has_audio:
        at_work = step.once(lambda: engines.Engines(step))
        sound = extract_sound(ffmpeg_binary(step.settings), task.video.proxy, task.scratch / "sound.flac")
        outcome = _ask(task, at_work, sound)
        speech = _told(outcome.speech or Speech(), step.settings)
        matches = _matches(step, task, at_work, sound, speech)
        speech = renamed(speech, {who: match.label for who, match in matches.items()})
    by_label = {match.label: match for match in matches.values()}
    told = document.head(task.video.proxy.name, facts.frames, outcome, speech, by_label)
    told["made_under"] = None if outcome and outcome.failures() else made_under
    return told, speech


def _ask(task: Task, at_work: engines.Engines, sound: Sound) -> Outcome:
    """Ask the engines in turn. Raises ItemError when none could answer; every failed one is a warning."""
    outcome = ask_in_turn(at_work.links(task, sound))
    for attempt in outcome.failures():
        task.warning("engine_failed", f"{attempt.engine} failed: {attempt.reason}.")
    if outcome.speech is None:
        reasons = "; ".join(f"{attempt.engine}: {attempt.reason}" for attempt in outcome.attempts)
        raise ItemError(
            "no_audio_engine", f"No engine could analyse the sound ({reasons}).", "Mend one of them, run again."
        )
    return outcome


def _told(speech: Speech, settings: Settings) -> Speech:
    """Return the speech as it is told: pauses filled, blips dropped, speakers numbered in order of appearance."""
    gap, shortest = settings.lemonfox_speech_gap_fill_sec, settings.lemonfox_speech_min_on_sec
    turns = smoothed(speech.turns, round(gap * 1000), round(shortest * 1000))
    return in_order_of_appearance(replace(speech, turns=tuple(turns)))


def _matches(
    step: Step, task: Task, at_work: engines.Engines, sound: Sound, speech: Speech
) -> dict[str, speakers.Match]:
    """Find the speakers in the project by their voices, by the names they have in `speech`."""
    times = speaking_times(speech.turns)
    prints = dict[str, Print | None].fromkeys(times)
    try:
        blocks = sound.blocks(ffmpeg_binary(step.settings))
        for (_, who), waveform in voices.heard(blocks, voices.spans([(0, speech)])).items():
            vector = at_work.embed(waveform)
            prints[who] = None if np.isnan(vector).any() else vector
    except (RuntimeError, ValueError, MemoryError) as error:
        task.warning("no_voice_prints", f"Its speakers are not matched with other videos': {error}")
    seconds = {who: milliseconds / 1000 for who, milliseconds in times.items()}
    return speakers.settle(task.project, task.video.stem, prints, seconds, step.settings.step4_speaker_threshold)


def _write(task: Task, told: dict[str, Any], speech: Speech, names: dict[str, str]) -> None:
    """Write the analysis and its other forms; subtitles that nothing is left to say in are removed."""
    video = task.video
    with task.output("audio_raw", video.artefact("_audio_raw.json")) as path:
        document.write(path, told, speech.turns)
    with task.output("speech_rttm", video.artefact("_speech.rttm")) as path:
        path.write_text(rttm.rttm(video.stem, speech.turns, names), encoding="utf-8", errors="replace")
    cues = subtitles.cues(speech.words, speech.segments)
    for suffix, form in (("srt", subtitles.srt), ("vtt", subtitles.vtt)):
        final = video.artefact(f"_speech.{suffix}")
        if not cues:
            final.unlink(missing_ok=True)
            continue
        with task.output(f"speech_{suffix}", final) as path:
            path.write_text("".join(form(cues, names)), encoding="utf-8", errors="replace")


if __name__ == "__main__":
    sys.exit(main())
