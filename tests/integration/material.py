"""Delivered files of known worth, as many as wanted: plain, odd and broken ones, and what has to become of each.

A few dozen clips are made by ffmpeg, the rest are copies that differ in padding, which players pass over. What is expected
is said here, beside the damage done, and nowhere derived from the code under test.
"""

from __future__ import annotations

import random
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration.media import BINARY

SHARE_OF_BAD = 0.05
SHARE_OF_LOOSE = 0.1
"""Of the files, those that come in a folder instead of an archive."""
ARCHIVES = 4


@dataclass(frozen=True)
class Clip:
    """A whole clip: what ffmpeg makes of a test picture and a tone. `options` say how the streams are coded."""

    name: str
    suffix: str
    options: str
    rate: str = "25"
    size: str = "160x90"
    seconds: float = 0.4
    has_sound: bool = True
    rotation: int = 0


@dataclass(frozen=True)
class Damage:
    """What is done to the bytes of a clip, and the code it has to fail with: one of these; without any it is finished.

    `is_salvaged`: finished with a warning that it is damaged.
    """

    name: str
    clip: Clip
    apply: Callable[[bytes], bytes]
    codes: frozenset[str] = frozenset()
    is_salvaged: bool = False


@dataclass(frozen=True)
class Delivered:
    """A file that was delivered, and what is expected of it: no codes means that it has to be finished."""

    name: str
    project: str
    codes: frozenset[str]
    is_salvaged: bool

    @property
    def stem(self) -> str:
        """Its name without suffix: its proxy's."""
        return Path(self.name).stem


@dataclass(frozen=True)
class Material:
    """What is given to a run, and every file that is in it."""

    inputs: list[Path]
    files: list[Delivered]

    @property
    def good(self) -> list[Delivered]:
        """The files that have to be finished."""
        return [file for file in self.files if not file.codes]

    @property
    def bad(self) -> dict[str, Delivered]:
        """The files that have to fail, by name."""
        return {file.name: file for file in self.files if file.codes}


_H264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"
_INDEX_FIRST = Clip("index_first", ".mp4", f"{_H264} -movflags +faststart", seconds=2)
_INDEX_LAST = Clip("index_last", ".mp4", _H264)
_MATROSKA = Clip("matroska", ".mkv", f"{_H264} -g 10", seconds=2)
_NTSC = Clip("ntsc", ".mov", _H264, rate="30000/1001")

CLIPS = (
    _INDEX_FIRST, _INDEX_LAST, _MATROSKA, _NTSC,
    Clip("hevc", ".mov", "-c:v libx265 -preset ultrafast -x265-params log-level=none -tag:v hvc1"),
    Clip("prores", ".mov", "-c:v prores_ks -profile:v 0 -c:a pcm_s16le", rate="24"),
    Clip("motion_jpeg", ".avi", "-c:v mjpeg -pix_fmt yuvj420p -c:a pcm_s16le", rate="15"),
    Clip("mpeg4", ".avi", "-c:v mpeg4 -c:a mp2"),
    Clip("mpeg2", ".ts", "-c:v mpeg2video -c:a mp2"),
    Clip("vp9", ".webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus", rate="30"),
    Clip("mute", ".mp4", _H264, has_sound=False),
    Clip("film", ".mov", _H264, rate="24000/1001"),
    Clip("fast", ".mp4", _H264, rate="60000/1001"),
    Clip("slow", ".mp4", _H264, rate="7", seconds=2),
    Clip("variable", ".mkv", f"{_H264} -vf select=mod(n\\,5) -fps_mode vfr", rate="50"),
    Clip("ten_bit_422", ".mov", "-c:v libx264 -preset ultrafast -pix_fmt yuv422p10le"),
    Clip("prores_422_mute", ".mov", "-c:v prores_ks -profile:v 3 -pix_fmt yuv422p10le", has_sound=False),
    Clip("interlaced", ".ts", "-vf setfield=tff -flags +ilme+ildct -c:v mpeg2video -c:a mp2"),
    Clip("anamorphic", ".mp4", f"{_H264} -vf setsar=4/3"),
    Clip("portrait", ".mp4", _H264, size="90x160"),
    Clip("turned", ".mp4", _H264, rotation=90),
    Clip("one_frame", ".mp4", f"{_H264} -frames:v 1", has_sound=False),
)  # fmt: skip
_SOUND_ONLY = Clip("sound_only", ".mp4", "-vn")


def _within_media(content: bytes, share: float) -> int:
    """Return a place in an mp4's media (`mdat`): after its header and this share of it."""
    start = content.index(b"mdat") + 4
    return start + int(share * (len(content) - start))


_CUT_OFF = frozenset({"damaged_source", "no_frames"})
_DAMAGED = frozenset({"damaged_source"})
SALVAGED = (
    Damage("half", _INDEX_FIRST, lambda content: content[: _within_media(content, 0.5)], is_salvaged=True),
    Damage("half_matroska", _MATROSKA, lambda content: content[: len(content) // 2], is_salvaged=True),
)  # fmt: skip
"""Cut off, yet something can be shown: to be finished, with a warning."""
BROKEN = (
    Damage("empty", _INDEX_LAST, lambda _: b"", frozenset({"empty_file"})),
    Damage("text", _INDEX_LAST, lambda _: b"Rushes follow on Monday.\n", frozenset({"not_a_video"})),
    Damage("noise", _NTSC, lambda content: random.Random(len(content)).randbytes(5000), frozenset({"not_a_video"})),
    Damage("no_moov", _INDEX_LAST, lambda content: content[: content.rindex(b"moov") - 4], _DAMAGED),
    Damage("no_media", _INDEX_FIRST, lambda content: content[: _within_media(content, 0) + 8], _CUT_OFF),
    Damage("zeros", _INDEX_FIRST, lambda content: content[: _within_media(content, 0)].ljust(len(content), b"\0"), _CUT_OFF),
    Damage("sound_only", _SOUND_ONLY, bytes, frozenset({"no_video_stream"})),
)  # fmt: skip
_CRASH = Damage("crash", _NTSC, bytes, frozenset({"worker_died"}))
_HANG = Damage("hang", _NTSC, bytes, frozenset({"stalled"}))
"""Whole clips at which the ffmpeg of tests/integration/many_files.py kills the worker, or never comes to an end."""


def write_material(folder: Path, count: int, seed: int, *, crashes: int = 1) -> Material:
    """Write `count` files: four archives and a folder. One in twenty is bad, at least one of every kind of damage.

    One hangs its step, `crashes` kill it.
    """
    chance = random.Random(seed)
    plain = [Damage(clip.name, clip, bytes) for clip in CLIPS]
    faults = [_HANG, *[_CRASH] * crashes]
    bad = max(len(faults) + len(BROKEN), round(SHARE_OF_BAD * count))
    kinds = [*faults, *_in_turn(BROKEN, bad - len(faults)), *_in_turn((*plain, *SALVAGED), count - bad)]
    chance.shuffle(kinds)
    projects = [f"camera{number}" for number in range(1, ARCHIVES + 1)]
    loose = round(SHARE_OF_LOOSE * count)
    files: list[tuple[Delivered, bytes]] = []
    for number, kind in enumerate(kinds):
        project = "loose" if number < loose else projects[number % ARCHIVES]
        name = f"{number:04}_{kind.name}{kind.clip.suffix}"
        files.append((Delivered(name, project, kind.codes, kind.is_salvaged), _content(kind, number)))
    inputs = [_archive(folder / f"{project}.zip", files) for project in projects]
    return Material([*inputs, _folder(folder / "loose", files)], [file for file, _ in files])


def _in_turn(kinds: tuple[Damage, ...], count: int) -> list[Damage]:
    return [kinds[number % len(kinds)] for number in range(count)]


def _archive(path: Path, files: list[tuple[Delivered, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as packed:
        for file, content in files:
            if file.project == path.stem:
                packed.writestr(f"card {file.name[2]}/{file.name}", content)
    return path


def _folder(path: Path, files: list[tuple[Delivered, bytes]]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for file, content in files:
        if file.project == path.name:
            (path / file.name).write_bytes(content)
    return path


def _content(kind: Damage, number: int) -> bytes:
    """Return a file's bytes: no two are alike, but for empty ones."""
    damaged = kind.apply(_made(kind.clip))
    if damaged.isascii():  # text stays text, and what is empty stays empty
        return damaged and damaged + f"{number}\n".encode()
    return damaged + _padding(kind.clip.suffix, number)


def _padding(suffix: str, number: int) -> bytes:
    """Return eight bytes of text as each container has them passed over."""
    text = f"{number:08}".encode()
    if suffix in (".mkv", ".webm"):
        return b"\xec\x88" + text  # EBML Void, RFC 8794
    if suffix == ".avi":
        return b"JUNK" + (8).to_bytes(4, "little") + text
    if suffix == ".ts":
        return b"\x47\x1f\xff\x10" + text.ljust(184, b"\xff")  # a null packet, ISO/IEC 13818-1
    return (16).to_bytes(4, "big") + b"free" + text  # ISO/IEC 14496-12


@cache
def _made(clip: Clip) -> bytes:
    """Make a clip, once."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"clip{clip.suffix}"
        sources = ["-f", "lavfi", "-i", f"testsrc=size={clip.size}:rate={clip.rate}:duration={clip.seconds}"]
        if clip.has_sound:
            sources += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={clip.seconds}"]
        _ffmpeg(*sources, *clip.options.split(), str(path))
        if clip.rotation:
            turned = path.with_stem("turned")
            _ffmpeg("-display_rotation:v:0", str(clip.rotation), "-i", str(path), "-c", "copy", str(turned))
            path = turned
        return path.read_bytes()


def _ffmpeg(*arguments: str) -> None:
    subprocess.run([BINARY, "-nostdin", "-v", "error", "-y", *arguments], check=True)
