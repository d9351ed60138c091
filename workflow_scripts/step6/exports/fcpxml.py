"""FCPXML 1.9, as Final Cut Pro and DaVinci Resolve read it. Times are exact fractions of a second.

A medium's times begin at its start timecode, and go on past midnight where a timecode would begin anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from workflow_scripts.step6.exports.timeline import Export, Span
from workflow_scripts.step6.exports.xml_text import HEAD, Writer


def fcpxml(export: Export) -> Iterator[str]:
    """Yield the document: one project, its spine the shots, each with the markers that begin inside it."""
    xml, grid, medium = Writer(), export.grid, export.medium
    frame = 1 / grid.rate
    counting = "DF" if grid.start.drop_frame else "NDF"
    start = grid.start.number
    with xml.element("fcpxml", version="1.9"):
        with xml.element("resources"):
            xml.leaf("format", id="r1", frameDuration=_time(frame), width=medium.width, height=medium.height)
            sound = dict(hasAudio=1, audioSources=1, audioChannels=medium.audio_channels, audioRate=medium.audio_rate)
            lasts = _time(medium.frames * frame)
            with xml.element(
                "asset", id="r2", name=medium.name, start=_time(start * frame), duration=lasts, hasVideo=1, format="r1",
                **(sound if medium.has_audio else {}),
            ):  # fmt: skip
                xml.leaf("media-rep", kind="original-media", src=medium.url)
        with xml.element("library"), xml.element("event", name=export.name), xml.element("project", name=export.name):
            length = sum(shot.end - shot.start for shot in export.shots)
            with xml.element(
                "sequence", format="r1", duration=_time(length * frame), tcStart=_time(start * frame), tcFormat=counting
            ), xml.element("spine"):  # fmt: skip
                for shot, inside in zip(export.shots, export.inside, strict=True):
                    with xml.element(
                        "asset-clip", ref="r2", name=shot.name, offset=_time((start + shot.start) * frame),
                        start=_time((start + shot.start) * frame), duration=_time((shot.end - shot.start) * frame),
                        format="r1", tcFormat=counting,
                    ):  # fmt: skip
                        if shot.note:
                            xml.leaf("note", shot.note)
                        for span in (shot, *inside):
                            _marker(xml, span, start, frame)
    yield HEAD + "<!DOCTYPE fcpxml>\n" + xml.take()


def _marker(xml: Writer, span: Span, start: int, frame: Fraction) -> None:
    begins, lasts = _time((start + span.start) * frame), _time((span.end - span.start) * frame)
    value = span.name if span.kind == "shot" else f"{span.kind}: {span.name}"
    xml.leaf("marker", start=begins, duration=lasts, value=value, note=span.note or None)


def _time(seconds: Fraction) -> str:
    """Write a time as FCPXML does: `1001/24000s`, `5s`."""
    fraction = Fraction(seconds)
    return f"{fraction.numerator}{'' if fraction.denominator == 1 else f'/{fraction.denominator}'}s"
