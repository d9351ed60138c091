"""The two looks at a video: frame by frame as they come, then over what they said together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from workflow_scripts.step5.face_prints import FacePrints
from workflow_scripts.step5.people_file import audio_sha256, recognised, remember_voices, voices_elsewhere
from workflow_scripts.step5.scenes import Scene
from workflow_scripts.step5.sightings import Sighting, Sightings
from workflow_scripts.step5.speaking import speaking
from workflow_scripts.step5.tracking_file import Found, FrameWriter
from workflow_scripts.step5.tracks import TrackedFrame
from workflow_scripts.step5.voices import read_turns
from workflow_scripts.stepkit.projects import Video


def first_pass(
    frames: Iterable[TrackedFrame], writer: FrameWriter, sightings: Sightings, spill: TextIO
) -> Iterator[TrackedFrame]:
    """Write each frame to `spill` and show it to `sightings`; then pass it on."""
    for tracked in frames:
        spill.write(writer.spilled(tracked))
        sightings.take(tracked)
        yield tracked


def second_pass(
    video: Video, sightings: Sequence[Sighting], scenes: Sequence[Scene], scratch: Path, prints: FacePrints
) -> Found:
    """Find out who the tracks of a video are and who speaks, and add its people to the project's.

    `scratch` is a folder on the project's file system; `prints` made those of the faces. Raises ItemError when STEP4's file or the people's is damaged.
    """
    audio = audio_sha256(video)  # first: STEP4 may write anew at any time, and then what is found here counts no more
    turns = read_turns(video.artefact("_audio_raw.json"), scenes[-1].end)
    identities = recognised(video.project, video.stem, sightings, scratch, prints.kind, prints.same)
    people = {track: identity.person for track, identity in identities.items()}
    speech = speaking(sightings, people, turns, scenes, voices_elsewhere(video.project, video.stem))
    remember_voices(video.project, video.stem, speech.together, audio)
    return Found(identities, speech)
