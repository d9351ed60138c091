"""Subtitles and speaker turns: SRT, WebVTT, ASS, RTTM. Times may overlap, and pass 99 hours where the format lets them.

pysubs2 ends SRT at 99:59:59,999 and ASS at 9:59:59.99 without a word, so these few lines are written here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from workflow_scripts.step6.exports.timeline import Export, plain

_BREAKS = re.compile(r"\r\n?|[\n\v\f\x1c-\x1e\x85\u2028\u2029]")


def srt(export: Export) -> Iterator[str]:
    """Yield SubRip: numbered cues; a speaker stands before the words, as most players show no other way."""
    for number, words in enumerate(export.lines, 1):
        times = f"{_clock(words.start, ',')} --> {_clock(words.end, ',')}"
        said = "\n".join(line.replace("-->", "->") for line in _lines(words.text))
        yield f"{number}\n{times}\n{words.speaker + ': ' if words.speaker else ''}{said}\n\n"


def vtt(export: Export) -> Iterator[str]:
    """Yield WebVTT, speakers as voices (`<v Anna>`)."""
    yield "WEBVTT\n\n"
    for words in export.lines:
        voice = f"<v {_entities(words.speaker)}>" if words.speaker else ""
        said = "\n".join(map(_entities, _lines(words.text)))
        yield f"{_clock(words.start, '.')} --> {_clock(words.end, '.')}\n{voice}{said}\n\n"


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_ASS_HEAD = """[Script Info]
ScriptType: v4.00+
PlayResX: {width}
PlayResY: {height}
WrapStyle: 0
ScaledBorderAndShadow: yes

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,{size},&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,2,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def ass(export: Export) -> Iterator[str]:
    """Yield Advanced SubStation Alpha; speakers are actors. Its times are hundredths of a second."""
    medium = export.medium
    yield _ASS_HEAD.format(width=medium.width, height=medium.height, size=max(10, medium.height // 18))
    for words in export.lines:
        # A comma ends the field of the name, a brace begins a command, and nothing escapes them.
        actor = words.speaker.replace(",", " ")
        said = "\\N".join(line.translate(_ASS_SIGNS) for line in _lines(words.text))
        yield f"Dialogue: 0,{_hundredths(words.start)},{_hundredths(words.end)},Default,{actor},0,0,0,,{said}\n"


_ASS_SIGNS = str.maketrans({"{": "(", "}": ")", "\\": "/"})


def _lines(text: str) -> list[str]:
    """Return the lines of a text that hold something: an empty one would end a cue."""
    return [line for line in map(plain, _BREAKS.split(text)) if line]


def _clock(milliseconds: int, point: str) -> str:
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def _hundredths(milliseconds: int) -> str:
    minutes, rest = divmod((milliseconds + 5) // 10, 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"


def rttm(export: Export) -> Iterator[str]:
    """Yield Rich Transcription Time Marked: a line a turn. Fields are parted by blanks, so those of a name become _."""
    name = _field(export.name)
    for turn in export.turns:
        start, length = _seconds(turn.start), _seconds(turn.end - turn.start)
        yield f"SPEAKER {name} 1 {start} {length} <NA> <NA> {_field(turn.speaker or 'unknown')} <NA> <NA>\n"


def _field(text: str) -> str:
    return "_".join(plain(text).split())


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"
