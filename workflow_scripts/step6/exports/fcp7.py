"""Final Cut Pro 7's XML (xmeml 5), as Premiere Pro, Resolve and Avid read it. Times are frames from the medium's first."""

from __future__ import annotations

from collections.abc import Iterator

from workflow_scripts.step6.exports.timeline import Export, Span
from workflow_scripts.step6.exports.xml_text import HEAD, Writer


def fcp7(export: Export) -> Iterator[str]:
    """Yield the document: a sequence with one picture track, and a track for each of at most two channels of sound."""
    xml, medium = Writer(), export.medium
    with xml.element("xmeml", version="5"), xml.element("sequence", id="sequence-1"):
        xml.leaf("name", export.name)
        xml.leaf("duration", medium.frames)
        _rate(xml, export)
        _timecode(xml, export)
        with xml.element("media"):
            with xml.element("video"):
                with xml.element("format"):
                    _picture(xml, export)
                with xml.element("track"):
                    for number, shot in enumerate(export.shots):
                        _clip(xml, export, shot, number, 0)
            if medium.has_audio:
                with xml.element("audio"):
                    for channel in range(1, _channels(export) + 1):
                        with xml.element("track"):
                            for number, shot in enumerate(export.shots):
                                _clip(xml, export, shot, number, channel)
        for span in export.spans:
            _marker(xml, span)
    yield HEAD + "<!DOCTYPE xmeml>\n" + xml.take()


def _channels(export: Export) -> int:
    return min(export.medium.audio_channels, 2)


def _rate(xml: Writer, export: Export) -> None:
    with xml.element("rate"):
        xml.leaf("timebase", export.grid.nominal)
        xml.leaf("ntsc", "TRUE" if export.grid.is_ntsc else "FALSE")


def _timecode(xml: Writer, export: Export) -> None:
    start = export.grid.start
    with xml.element("timecode"):
        _rate(xml, export)
        xml.leaf("string", start)
        xml.leaf("frame", start.number)
        xml.leaf("displayformat", "DF" if start.drop_frame else "NDF")


def _picture(xml: Writer, export: Export) -> None:
    with xml.element("samplecharacteristics"):
        _rate(xml, export)
        xml.leaf("width", export.medium.width)
        xml.leaf("height", export.medium.height)
        xml.leaf("pixelaspectratio", "square")


def _clip(xml: Writer, export: Export, shot: Span, number: int, channel: int) -> None:
    """Add a shot on the picture's track (channel 0) or on that of a channel of sound, linked to its others."""
    with xml.element("clipitem", id=f"clip-{number + 1}-{channel}"):
        xml.leaf("name", shot.name)
        xml.leaf("enabled", "TRUE")
        xml.leaf("duration", export.medium.frames)
        _rate(xml, export)
        for name, position in (("start", shot.start), ("end", shot.end), ("in", shot.start), ("out", shot.end)):
            xml.leaf(name, position)
        if number == 0 and channel == 0:
            _file(xml, export)
        else:
            xml.leaf("file", id="file-1")
        if channel:
            with xml.element("sourcetrack"):
                xml.leaf("mediatype", "audio")
                xml.leaf("trackindex", channel)
        for linked in range(_channels(export) + 1) if export.medium.has_audio else ():
            with xml.element("link"):
                xml.leaf("linkclipref", f"clip-{number + 1}-{linked}")
                xml.leaf("mediatype", "audio" if linked else "video")
                xml.leaf("trackindex", linked or 1)
                xml.leaf("clipindex", number + 1)


def _file(xml: Writer, export: Export) -> None:
    medium = export.medium
    with xml.element("file", id="file-1"):
        xml.leaf("name", medium.name)
        xml.leaf("pathurl", medium.url)
        _rate(xml, export)
        xml.leaf("duration", medium.frames)
        _timecode(xml, export)
        with xml.element("media"):
            with xml.element("video"):
                _picture(xml, export)
            if medium.has_audio:
                with xml.element("audio"):
                    with xml.element("samplecharacteristics"):
                        xml.leaf("depth", 16)
                        xml.leaf("samplerate", medium.audio_rate)
                    xml.leaf("channelcount", medium.audio_channels)


def _marker(xml: Writer, span: Span) -> None:
    with xml.element("marker"):
        xml.leaf("name", span.name if span.kind == "shot" else f"{span.kind}: {span.name}")
        xml.leaf("comment", span.note)
        xml.leaf("in", span.start)
        xml.leaf("out", span.end)
