"""Subtitles and speaker turns: SRT, WebVTT, ASS, RTTM. Times may overlap, and pass 99 hours where the format lets them.

Cues and their rules are those of STEP4 (`stepkit/subtitles.py`). pysubs2 ends ASS at 9:59:59.99 without a word, so its
few lines are written here.
"""

from __future__ import annotations

from collections.abc import Iterator

from workflow_scripts.step6.exports.timeline import Export, plain
from workflow_scripts.stepkit import subtitles
from workflow_scripts.stepkit.subtitles import Cue, Word


def _cues(export: Export) -> list[Cue]:
    return subtitles.cues((), (Word(it.start, it.end, plain(it.text), it.speaker) for it in export.lines))


def srt(export: Export) -> Iterator[str]:
    """Yield SubRip: numbered cues; a speaker stands before the words, as most players show no other way."""
    return subtitles.srt(_cues(export), {})


def vtt(export: Export) -> Iterator[str]:
    """Yield WebVTT, speakers as voices (`<v Anna>`)."""
    return subtitles.vtt(_cues(export), {})


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
    for cue in _cues(export):
        # A comma ends the field of the name, a brace begins a command, and nothing escapes them.
        actor = (cue.speaker or "").replace(",", " ")
        said = "\\N".join(line.translate(_ASS_SIGNS) for line in cue.lines)
        yield f"Dialogue: 0,{_hundredths(cue.start_ms)},{_hundredths(cue.end_ms)},Default,{actor},0,0,0,,{said}\n"


_ASS_SIGNS = str.maketrans({"{": "(", "}": ")", "\\": "/"})


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
