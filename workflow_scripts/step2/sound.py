"""Which of a file's sound goes into its proxy."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition

from workflow_scripts.step2.scan import SoundSpan

_GUESSED = (1, 2, 6)
"""Channels that can only be mono, stereo and 5.1."""


@dataclass(frozen=True)
class AudioFacts:
    """The sound that goes into the proxy; times in seconds, `start` on the file's own clock.

    `tracks` are the indices of its streams: one, or two mono tracks that become left and right. `is_discrete`: there are
    more channels than two and nobody says how they belong together (six are held to be 5.1). `packet` is the longest
    duration of a packet.
    """

    tracks: tuple[int, ...]
    codec: str
    rate: int
    channels: int
    layout: str
    is_discrete: bool
    start: Fraction
    duration: Fraction
    packet: Fraction

    @property
    def proxy_channels(self) -> int:
        """Channels of the proxy's sound: one for mono, else two."""
        return 2 if len(self.tracks) > 1 or self.channels > 1 else 1


def choose_sound(container: InputContainer) -> list[AudioStream]:
    """Return the sound of a file: its default track, else its first; of several mono tracks the first two.

    Cameras write each microphone to a mono track of its own, and a proxy has the first left and the second right.
    A track of a codec that is not known here counts as not there.
    """
    known = [stream for stream in container.streams.audio if stream.codec_context and stream.codec_context.sample_rate]
    default = next((stream for stream in known if stream.disposition & Disposition.default), None)
    chosen = default or next(iter(known), None)
    if chosen is None:
        return []
    pair = known[known.index(chosen) :][:2]
    return pair if all(_is_mono(stream) and stream.language == chosen.language for stream in pair) else [chosen]


def _is_mono(stream: AudioStream) -> bool:
    return stream.codec_context.layout.nb_channels == 1


def audio_facts(chosen: list[AudioStream], span: SoundSpan) -> AudioFacts | None:
    """Describe the sound; a track without a packet is none."""
    heard = [stream for stream in chosen if stream.index in span.tracks]
    if not heard or span.start is None:
        return None
    context = heard[0].codec_context
    layout = context.layout
    return AudioFacts(
        tuple(stream.index for stream in heard), context.codec.canonical_name, context.sample_rate, layout.nb_channels, layout.name,
        all(channel.name == "NONE" for channel in layout.channels) and layout.nb_channels not in _GUESSED, span.start, span.end - span.start,
        span.packet,
    )  # fmt: skip
