"""Audio analysis: who speaks when, and with Lemonfox what is said.

Asks Lemonfox when LEMONFOX_API_KEY is set, and pyannote on this machine otherwise or when that fails. Reads the proxy
`<stem>.mp4`, writes `<stem>_audio_raw.json`, which says which engine answered and why the others did not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder

from config.settings import Settings
from workflow_scripts.step4 import document, engines
from workflow_scripts.step4.analysis import smoothed
from workflow_scripts.step4.chain import Outcome, first_that_works
from workflow_scripts.step4.records import Speech, in_order_of_appearance
from workflow_scripts.step4.sound import extract_sound
from workflow_scripts.stepkit import ItemError, Step, Task, prerequisites, step_parser
from workflow_scripts.stepkit.media import ffmpeg_binary

REQUIRED = (
    prerequisites.module("torch"), prerequisites.module("pyannote"), prerequisites.ffmpeg(),
    *map(prerequisites.model, engines.MODELS),
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Analyse the sound of every video, and return the exit code."""
    with Step("STEP4", step_parser("STEP4", __doc__).parse_args(argv), require=REQUIRED) as step:
        for item in step.items():
            with step.work_on(item) as task:
                _analyse(step, task)
    return step.exit_code


def _analyse(step: Step, task: Task) -> None:
    video = task.video
    parameters = _parameters(step.settings)
    if task.is_up_to_date(inputs=[video.proxy], parameters=parameters, models=engines.MODELS):
        return
    facts = video.facts()
    outcome = _listen(step, task) if facts.has_audio else None
    speech = _told(outcome.speech if outcome and outcome.speech else Speech(), step.settings)
    told = document.head(video.proxy.name, facts.frames, outcome, speech)
    with task.output("audio_raw", video.artefact("_audio_raw.json")) as path:
        document.write(path, told, speech.turns)
    task.metrics.update(engine=told["engine"] or "none", speakers=len(told["speakers"]), turns=len(speech.turns))


def _parameters(settings: Settings) -> dict[str, Any]:
    """Return what decides the result, the key itself left out."""
    asks_lemonfox = engines.lemonfox_skipped(settings) is None
    return {
        "lemonfox": engines.lemonfox_fields(settings) if asks_lemonfox else None,
        "gap_fill_sec": settings.lemonfox_speech_gap_fill_sec,
        "min_on_sec": settings.lemonfox_speech_min_on_sec,
    }


def _listen(step: Step, task: Task) -> Outcome:
    """Ask the engines in turn. Raises ItemError when none could answer; every failed one is a warning."""
    sound = extract_sound(ffmpeg_binary(step.settings), task.video.proxy, task.scratch / "sound.flac")
    outcome = first_that_works(engines.links(step, task, sound))
    for attempt in outcome.failures():
        task.warning("engine_failed", f"{attempt.engine} failed: {attempt.reason}.")
    if outcome.speech is None:
        reasons = "; ".join(f"{attempt.engine}: {attempt.reason}" for attempt in outcome.attempts)
        raise ItemError(
            "no_audio_engine", f"No engine could analyse the sound ({reasons}).", "Mend one of them, run again."
        )
    return outcome


def _told(speech: Speech, settings: Settings) -> Speech:
    """Return the speech as it is told: pauses filled, blips dropped, speakers named in order of appearance."""
    gap, shortest = settings.lemonfox_speech_gap_fill_sec, settings.lemonfox_speech_min_on_sec
    turns = smoothed(speech.turns, round(gap * 1000), round(shortest * 1000))
    return in_order_of_appearance(replace(speech, turns=tuple(turns)))


if __name__ == "__main__":
    sys.exit(main())
