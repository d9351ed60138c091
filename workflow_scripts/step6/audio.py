"""The raw audio analysis, frame by frame, in the reduced form: `derush.audio/1`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec
from msgspec import UNSET, UnsetType

from config.settings import AUDIO_FIELDS
from workflow_scripts.step6.layout import Layout
from workflow_scripts.step6.sources import Source

SCHEMA = "derush.audio/1"


class _Heard(msgspec.Struct, gc=False):
    """What is reduced of a frame: what is said right in it by STEP4, in `audio_info` by older versions."""

    is_speech_present: bool
    active_speaker_labels: list[str]


class _Frame(msgspec.Struct, gc=False):
    frame: int
    is_speech_present: bool | UnsetType = UNSET
    active_speaker_labels: list[str] | UnsetType = UNSET
    audio_info: _Heard | UnsetType = UNSET

    def heard(self) -> _Heard:
        """Return what is known of the frame. Raises ValueError where nothing is."""
        if self.audio_info is not UNSET:
            return self.audio_info
        if self.is_speech_present is UNSET or self.active_speaker_labels is UNSET:
            raise ValueError("it must say is_speech_present and active_speaker_labels")
        return _Heard(self.is_speech_present, self.active_speaker_labels)


_decode = msgspec.json.Decoder(_Frame).decode


@dataclass(frozen=True)
class AudioReduction:
    """What to keep of a frame: fields of `audio_info`. `video_filename` is what an analysis is of that does not say it."""

    video_filename: str
    fields: tuple[str, ...] = AUDIO_FIELDS

    def frame(self, text: bytes, number: int, fps: float) -> dict[str, Any]:
        """Reduce the raw text of frame `number` (1-based); its time is that of the frame's beginning, in seconds.

        Raises ValueError when it is another frame's, or has another form.
        """
        raw = _decode(text)
        if raw.frame != number:
            raise ValueError(f"frame {raw.frame} stands where {number} belongs")
        heard = raw.heard()
        labels = list(dict.fromkeys(heard.active_speaker_labels))
        known = {
            "is_speech_present": heard.is_speech_present,
            "num_distinct_speakers_audio": len(labels),
            "active_speaker_labels": labels,
            "timecode_sec": round((number - 1) / fps, 6),
        }
        return {"frame": number, "audio_info": {name: known[name] for name in AUDIO_FIELDS if name in self.fields}}


def reduce_audio(
    source: Source, stream: BinaryIO, layout: Layout, reduction: AudioReduction, on_frame: Callable[[int], None]
) -> None:
    """Write the reduced form of a raw analysis to `stream`; `on_frame` hears the number of each frame.

    Raises BrokenInput, with the place, when it breaks off, misses a frame or has one of another form.
    """
    fps = int(source.fps) if float(source.fps).is_integer() else source.fps

    def encoded(text: bytes, number: int) -> bytes:
        frame = layout.element(reduction.frame(text, number, fps))
        on_frame(number)
        return frame

    frames: Iterator[bytes] = source.frames(encoded)
    members = {
        "schema": SCHEMA,
        "video_filename": source.video_filename or reduction.video_filename,
        "total_frames": source.total_frames,
        "fps": fps,
        "frames_analysis": frames,
    }
    layout.write(stream, members.items())
