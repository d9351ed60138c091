"""Lemonfox as a link of the chain: the sound compressed, sent in as few parts as it takes, and the answers joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from config.settings import Settings
from workflow_scripts.step4 import lemonfox, voices
from workflow_scripts.step4.answers import MalformedAnswer, read_answer
from workflow_scripts.step4.chain import LinkFailed
from workflow_scripts.step4.joining import Print, Voice, joined, matched
from workflow_scripts.step4.joining import voices as voices_of
from workflow_scripts.step4.paid import Paid
from workflow_scripts.step4.records import Speech
from workflow_scripts.step4.sound import RATE, SHORTEST_SAMPLES, Sound, Waveform
from workflow_scripts.step4.upload import MEDIA_TYPE, Part, prepare
from workflow_scripts.stepkit import Step, Task, media

Embed = Callable[[Waveform], Print]
"""Makes a voice print of a waveform at 16 kHz: of length 1, or full of NaN when that is too short."""


def skipped(settings: Settings) -> str | None:
    """Return why Lemonfox is not asked at all; None when it is."""
    if not settings.step4_use_lemonfox:
        return "STEP4_USE_LEMONFOX is off"
    return None if settings.lemonfox_api_key else "LEMONFOX_API_KEY is not set"


def fields(settings: Settings) -> dict[str, str | list[str]]:
    """Return what Lemonfox is asked for, beside the sound."""
    return lemonfox.fields_of(
        language=settings.lemonfox_default_language,
        prompt=settings.lemonfox_default_prompt,
        translate=settings.lemonfox_translate,
        speaker_labels=settings.lemonfox_speaker_labels_default,
        speakers=(settings.lemonfox_min_speakers, settings.lemonfox_max_speakers),
        granularities=settings.lemonfox_timestamp_granularities,
    )


def ask(step: Step, task: Task, sound: Sound, embed: Embed) -> Speech:
    """Return what Lemonfox says about a sound. Raises LinkFailed.

    `embed` is called only when the sound was sent in parts, to find each speaker of one again in the others. Where it
    fails, the speakers of each part keep labels of their own, and a warning says so. Answers are kept until they are
    forgotten (`Paid`): where another part fails, or this machine does, they are not paid for again.
    """
    if sound.samples < SHORTEST_SAMPLES:
        return Speech()
    settings = step.settings
    parts = prepare(media.ffmpeg_binary(settings), sound, task.scratch, settings.lemonfox_max_upload_mb)
    asked = fields(settings)
    if len(parts) > 1:
        asked.pop("min_speakers", None)  # it holds for the whole: not all of them need speak in every part
    official = lemonfox.EU_ADDRESS if settings.lemonfox_eu_default else lemonfox.ADDRESS
    request = lemonfox.Request(
        settings.lemonfox_base_url or official, settings.lemonfox_api_key or "", settings.lemonfox_timeout_sec, asked
    )
    task.metrics["uploads"] = len(parts)
    paid = Paid.of(task.video)
    answers = [
        (
            part.start_ms,
            _answer(request, part, paid, partial(_tell, task, sound, part, f"part {number} of {len(parts)}")),
        )
        for number, part in enumerate(parts, 1)
    ]
    if len(answers) == 1:
        return answers[0][1]
    return joined(answers, _names(step, task, sound, answers, embed))


def _answer(request: lemonfox.Request, part: Part, paid: Paid, on_wait: lemonfox.Waiting) -> Speech:
    place = paid.place(part.path, request.fields)
    try:
        return read_answer(place.read_bytes(), part.milliseconds)
    except (FileNotFoundError, MalformedAnswer):  # it was not asked yet, or what was kept is spoilt
        pass
    answer = lemonfox.transcribe(request, part.path, MEDIA_TYPE, on_wait)
    try:
        speech = read_answer(answer, part.milliseconds)
    except MalformedAnswer as error:
        raise LinkFailed(f"its answer cannot be used: {error}") from error
    paid.keep(place, answer)
    return speech


def _tell(task: Task, sound: Sound, part: Part, which: str, sent: int, passed: float) -> None:
    size = part.path.stat().st_size
    doing = f"sending, {sent / 1e6:.1f} of {size / 1e6:.1f} MB" if sent < size else f"waiting for {passed:.0f} s"
    task.progress(part.start_ms / 1000, sound.samples / RATE, "seconds", f"Lemonfox, {which}: {doing}")


def _names(
    step: Step, task: Task, sound: Sound, answers: Sequence[tuple[int, Speech]], embed: Embed
) -> dict[Voice, str]:
    """Return a name for each speaker of each part, after how they sound."""
    prints: dict[Voice, Print | None] = dict.fromkeys(voices_of([speech for _, speech in answers]))
    stretches = voices.heard(sound.blocks(media.ffmpeg_binary(step.settings)), voices.spans(answers))
    try:
        made = {voice: embed(waveform) for voice, waveform in stretches.items()}
    except Exception as error:  # the network's library raises what it likes, and the answers are paid for
        task.warning(
            "speakers_not_matched",
            f"The sound was sent in {len(answers)} parts, and each part has speakers of its own: {error}",
        )
        return matched(prints, None)
    prints.update({voice: vector for voice, vector in made.items() if not np.isnan(vector).any()})
    return matched(prints, step.settings.lemonfox_max_speakers)
