"""Build samples/demo_rushes.zip, the demo archive, out of public packages; or check the one kept here.

Four clips in one folder, as a cutting room would deliver them: a composite interview (two speakers, 25 fps),
an untouched delivery at 12 fps, a silent montage at 30000/1001 fps, and street rushes with a sound track
in which nobody speaks. samples/truth.json states what they hold (in the composites the cuts are exact, for
this script places them), samples/ATTRIBUTION.md whose they are. The same packages and the same ffmpeg give
the same bytes.

    envs/env/bin/python scripts/make_sample.py --check      compare the archive kept here with truth.json
    envs/env/bin/python scripts/make_sample.py              build it again (downloads about 75 MB once)
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import ceil
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
ARCHIVE = SAMPLES / "demo_rushes.zip"
TRUTH = SAMPLES / "truth.json"
CACHE = Path(tempfile.gettempdir(), "derush-sample-packages")
FOLDER = "demo_rushes"
PROXY_RATE = Fraction(25)
WIDTH, HEIGHT = 640, 360
ZIP_DATE = (2026, 1, 1, 0, 0, 0)  # a fixed date: the same clips give the same bytes


class SampleError(Exception):
    """Something the person can act on, in one sentence."""


@dataclass(frozen=True)
class Crop:
    """A rectangle of a source frame, in source pixels (even numbers, for 4:2:0)."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Shot:
    """`frames` output frames out of `source`, from its frame `first` (0-based), each shown `hold` times."""

    source: str
    first: int
    frames: int
    crop: Crop
    hold: int = 1


# Every range lies inside one shot of its source: no cut but those between two Shots.
WHOLE = Crop(0, 0, 640, 360)
BUNNY = Crop(0, 0, 1280, 720)
STREET = Crop(78, 0, 484, 272)  # 16:9 out of the middle of 640x272
STAGE = Crop(0, 0, 320, 180)  # above the caption that slides in
PRESIDENT = Crop(112, 4, 192, 108)
LISTENER = Crop(14, 34, 142, 80)

INTERVIEW = (
    Shot("bikes.mp4", 137, 50, STREET),
    Shot("bikes.mp4", 187, 50, STREET),
    Shot("WolfgangLanger_Pexels.mp4", 0, 60, WHOLE),
    Shot("obama_speech.mp4", 0, 45, PRESIDENT, hold=2),
    Shot("WolfgangLanger_Pexels.mp4", 232, 60, WHOLE),
    Shot("obama_speech.mp4", 23, 97, STAGE, hold=2),
    Shot("WolfgangLanger_Pexels.mp4", 292, 88, WHOLE),
    Shot("obama_speech.mp4", 50, 90, PRESIDENT, hold=2),
    Shot("WolfgangLanger_Pexels.mp4", 380, 60, WHOLE),
    Shot("obama_speech.mp4", 72, 45, LISTENER, hold=2),
    Shot("WolfgangLanger_Pexels.mp4", 172, 51, WHOLE),
    Shot("obama_speech.mp4", 76, 54, STAGE, hold=2),
)
# The lengths put every cut c where c * 1001/1200 (its time in 25 fps frames) lies just below a whole number,
# so that rounding to the nearest and rounding up name the same proxy frame.
MONTAGE = (
    Shot("trailer_bbb.mp4", 620, 61, BUNNY),
    Shot("WolfgangLanger_Pexels.mp4", 240, 60, WHOLE),
    Shot("trailer_bbb.mp4", 988, 60, BUNNY),
    Shot("WolfgangLanger_Pexels.mp4", 400, 61, WHOLE),
    Shot("trailer_bbb.mp4", 915, 60, BUNNY),
    Shot("obama_speech.mp4", 0, 60, STAGE, hold=2),
    Shot("bikes.mp4", 137, 61, STREET, hold=2),
    Shot("WolfgangLanger_Pexels.mp4", 300, 60, WHOLE),
    Shot("trailer_bbb.mp4", 1049, 60, BUNNY, hold=2),
)
MONTAGE_RATE = Fraction(30000, 1001)
COMPOSITES = {"interview.mp4": (INTERVIEW, PROXY_RATE), "montage.mov": (MONTAGE, MONTAGE_RATE)}

X264 = ["-c:v", "libx264", "-preset", "slow", "-crf", "23", "-pix_fmt", "yuv420p", "-threads", "1"]
UNIFORM = str.maketrans("-.", "__")  # wheels and source distributions write a package's name differently
AAC = ["-c:a", "aac", "-b:a", "96k"]
CLEAN = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]


def ffmpeg(arguments: Sequence[str], feed: Iterable[bytes] = ()) -> bytes:
    """Run ffmpeg, give it `feed` on standard input, and return what it wrote to standard output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-y", *arguments]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdin is not None
        try:
            for chunk in feed:
                process.stdin.write(chunk)
        except BrokenPipeError:
            pass  # ffmpeg has ended; its exit code and message below say why
        output, _ = process.communicate()
        if process.returncode:
            errors.seek(0)
            raise SampleError(f"ffmpeg failed: {errors.read().decode(errors='replace')[-1000:]}")
    return output


def shot_frames(shot: Shot, media: Path) -> Iterator[bytes]:
    """Yield the shot's frames, raw yuv420p at WIDTH x HEIGHT."""
    count = ceil(shot.frames / shot.hold)
    crop = shot.crop
    chain = (
        f"select=between(n\\,{shot.first}\\,{shot.first + count - 1}),"
        f"crop={crop.width}:{crop.height}:{crop.x}:{crop.y},scale={WIDTH}:{HEIGHT}:flags=lanczos+bitexact"
    )
    raw = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    data = ffmpeg(["-i", str(media / shot.source), "-vf", chain, *raw])
    size = WIDTH * HEIGHT * 3 // 2
    if len(data) != count * size:
        raise SampleError(f"{shot.source} gave {len(data) / size:g} frames from {shot.first}, not {count}.")
    for index in range(shot.frames):
        start = index // shot.hold * size
        yield data[start : start + size]


def compose(shots: Sequence[Shot], rate: Fraction, media: Path, sound: Path | None, target: Path) -> None:
    """Splice the shots at `rate`, with `sound` (or no audio track at all)."""
    size = ["-video_size", f"{WIDTH}x{HEIGHT}", "-framerate", str(rate)]
    audio = ["-i", str(sound)] if sound else []
    frames = (frame for shot in shots for frame in shot_frames(shot, media))
    encode = [*X264, *(AAC if sound else ["-an"]), *CLEAN, "-movflags", "+faststart", str(target)]
    ffmpeg(["-f", "rawvideo", "-pix_fmt", "yuv420p", *size, "-i", "-", *audio, *encode], frames)


def add_street_noise(video: Path, target: Path) -> None:
    """Copy the video stream bit for bit and put synthetic noise under it."""
    noise = ["-f", "lavfi", "-i", "anoisesrc=color=brown:amplitude=0.2:sample_rate=48000:duration=10:seed=2"]
    copy = ["-map", "0:v", "-map", "1:a", "-c:v", "copy", *AAC, *CLEAN, "-movflags", "+faststart"]
    ffmpeg(["-i", str(video), *noise, *copy, str(target)])


def make_clips(media: Path, folder: Path) -> list[Path]:
    """Write the four clips into `folder`."""
    compose(INTERVIEW, PROXY_RATE, media, media / "sample.wav", folder / "interview.mp4")
    compose(MONTAGE, MONTAGE_RATE, media, None, folder / "montage.mov")
    shutil.copyfile(media / "obama_speech.mp4", folder / "obama_speech.mp4")
    add_street_noise(media / "bikes.mp4", folder / "L'été à Bruxelles.mp4")
    return sorted(folder.iterdir())


def pack(clips: Sequence[Path], notice: str, target: Path) -> None:
    """Write the archive: stored, as the clips do not compress, dated ZIP_DATE, names in UTF-8."""
    contents = [(clip.name, clip.read_bytes()) for clip in clips] + [("ATTRIBUTION.txt", notice.encode())]
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in contents:
            archive.writestr(zipfile.ZipInfo(f"{FOLDER}/{name}", ZIP_DATE), data)


def find_pip() -> list[str]:
    """Return a command that is pip: this interpreter's, or another's (an environment made by uv has none)."""
    for python in (sys.executable, shutil.which("python3"), shutil.which("python")):
        if python and subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0:
            return [python, "-m", "pip"]
    raise SampleError("No pip was found: install it for python3, or fill the cache folder by hand.")


def cached_package(requirement: str, cache: Path) -> Path | None:
    """Return the pinned package's file in `cache`, a wheel or a source distribution, or None."""
    prefix = requirement.replace("==", "-").translate(UNIFORM)
    return next((path for path in cache.iterdir() if path.name.translate(UNIFORM).startswith(prefix)), None)


def find_package(requirement: str, cache: Path) -> Path:
    """Return the pinned package's file, downloading it, without its dependencies, when `cache` has none."""
    if (found := cached_package(requirement, cache)) is not None:
        return found
    # moviepy's wheel has no media; only its source distribution carries them.
    source = ["--no-binary", "moviepy"] if requirement.startswith("moviepy==") else []
    command = [*find_pip(), "download", "--quiet", "--no-deps", *source, "--dest", str(cache), requirement]
    result = subprocess.run(command, capture_output=True, text=True)
    found = cached_package(requirement, cache)
    if result.returncode or found is None:
        raise SampleError(f"{' '.join(command)} failed: {result.stderr[-1000:]}")
    return found


def read_member(package: Path, member: str) -> bytes:
    """Return one file of a wheel or of a source distribution."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel:
            return wheel.read(member)
    with tarfile.open(package) as distribution:
        file = distribution.extractfile(member)
        if file is None:
            raise SampleError(f"{member} in {package.name} is no file.")
        return file.read()


def fetch_media(sources: Sequence[dict[str, str]], cache: Path, folder: Path) -> None:
    """Bring every source file into `folder`, each verified against the sha256 of truth.json."""
    for source in sources:
        data = read_member(find_package(source["package"], cache), source["member"])
        if hashlib.sha256(data).hexdigest() != source["sha256"]:
            raise SampleError(f"{source['member']} of {source['package']} is not what truth.json names.")
        (folder / Path(source["member"]).name).write_bytes(data)


def build(cache: Path, target: Path) -> None:
    """Make the archive at `target`, through a neighbour that is renamed when it is whole."""
    cache.mkdir(parents=True, exist_ok=True)
    notice = (SAMPLES / "ATTRIBUTION.md").read_text("utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        media, folder = Path(scratch, "media"), Path(scratch, "clips")
        media.mkdir()
        folder.mkdir()
        fetch_media(json.loads(TRUTH.read_text("utf-8"))["sources"], cache, media)
        partial = target.with_suffix(".partial")
        pack(make_clips(media, folder), notice, partial)
        partial.replace(target)


def proxy_cuts(shots: Sequence[Shot], rate: Fraction) -> list[int]:
    """Return the first 25 fps frame of each shot but the first, from the shots' lengths."""
    return [ceil(start * PROXY_RATE / rate) for start in accumulate(shot.frames for shot in shots[:-1])]


def probe(clip: Path) -> dict[str, Any]:
    """Return what truth.json states of a clip's container, measured by decoding every frame."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        size = {"width": stream.width, "height": stream.height}
        audio = bool(container.streams.audio)
        frames = sum(1 for _ in container.decode(stream))
        return {"rate": str(stream.average_rate), "frames": frames, **size, "audio": audio}


def differences(truth: dict[str, Any], archive: Path, folder: Path) -> Iterator[str]:
    """Yield a sentence for each way in which the archive, unpacked into `folder`, is not as stated."""
    clips = truth["clips"]
    expected = sorted([clip["file"] for clip in clips] + [f"{FOLDER}/ATTRIBUTION.txt"])
    with zipfile.ZipFile(archive) as opened:
        if sorted(opened.namelist()) != expected:
            yield f"The archive holds {sorted(opened.namelist())}, not {expected}."
            return
        opened.extractall(folder)  # names just compared with a list of ours
    if hashlib.sha256(archive.read_bytes()).hexdigest() != truth["archive"]["sha256"]:
        yield "The archive's sha256 is not the one stated."
    for clip in clips:
        name = Path(clip["file"]).name
        facts = probe(folder / clip["file"])
        yield from (f"{name}: {key} is {facts[key]}, not {clip[key]}." for key in facts if facts[key] != clip[key])
        if name in COMPOSITES and proxy_cuts(*COMPOSITES[name]) != clip["cuts"]:
            yield f"{name}: it is built with cuts at {proxy_cuts(*COMPOSITES[name])}, not {clip['cuts']}."


def check(archive: Path) -> int:
    """Compare the archive with truth.json; print each difference; return an exit code (0 equal, 1 not)."""
    truth = json.loads(TRUTH.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        found = list(differences(truth, archive, Path(folder)))
    print("\n".join(found or [f"{archive.name}: {len(truth['clips'])} clips, all as truth.json says."]))
    return 1 if found else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; exit codes 0 done or equal, 1 different or failed, 2 wrong usage."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    add = parser.add_argument
    add("--check", action="store_true", help="build nothing: compare the archive with truth.json")
    add("--archive", type=Path, default=ARCHIVE, metavar="ZIP", help="default: samples/demo_rushes.zip")
    add("--cache", type=Path, default=CACHE, metavar="FOLDER", help=f"where packages are kept ({CACHE})")
    arguments = parser.parse_args(argv)
    try:
        if arguments.check:
            return check(arguments.archive)
        build(arguments.cache, arguments.archive)
    except (SampleError, OSError) as error:
        print(f"make_sample: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.archive}: {arguments.archive.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
