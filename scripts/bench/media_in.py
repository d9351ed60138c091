"""What the first two steps cost beside the plain tools a person would call instead of them.

    extract_over_fastest   STEP1 over a folder of mixed archives, with every check on / the sum over the archives of the
                           fastest of `unzip`, `bsdtar` and `7z` that is installed and reads it
    extract_over_checked   the same / the fastest of them and `sha256sum` of the archive and of what came out: who wants to
                           know later whether a file still is what was delivered does that by hand
    convert_over_ffmpeg    STEP2 on one long clip at 29.97 fps / ffmpeg alone with the same encoder settings
    untouched_speedup      ffmpeg encoding a clip that is a proxy already / STEP2 on many such clips, a clip
    clips_over_parallel    GNU parallel over ffmpeg on many short clips / STEP2 by the runner; without GNU parallel, xargs -P

All ways are timed as whole processes, in turns; the medians are compared. Everything is read from the disk's cache. The
processor time beside each says what is to be made of the figures where other work goes on.

    envs/env/bin/python scripts/bench/media_in.py [--quick] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import py7zr
from backports import zstd

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[0] = str(REPOSITORY)

from config.settings import Settings, load_settings
from workflow_scripts.stepkit.media import ffmpeg_binary

_PYTHON = sys.executable
_STEP1 = REPOSITORY / "workflow_scripts/step1/extract_archives.py"
_STEP2 = REPOSITORY / "workflow_scripts/step2/convert_videos.py"
_RATE = "30000/1001"


@dataclass(frozen=True)
class Sizes:
    """How much is measured: megabytes of footage in archives, seconds of clips, and how many clips."""

    megabytes: int
    long_clip: int
    untouched: int
    untouched_seconds: int
    short: int
    short_seconds: int


FULL = Sizes(megabytes=2000, long_clip=120, untouched=12, untouched_seconds=60, short=24, short_seconds=6)
QUICK = Sizes(megabytes=200, long_clip=20, untouched=6, untouched_seconds=30, short=8, short_seconds=2)


def main() -> int:
    """Measure, say what was measured, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less footage and one round, in under 50 s")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is timed (default: 3)")
    parser.add_argument("--only", choices=("extract", "convert", "untouched", "clips"), help="one of the comparisons")
    arguments = parser.parse_args()
    sizes, rounds = (QUICK, 1) if arguments.quick else (FULL, arguments.rounds)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="derush-media-in-") as folder:
        bench = Bench(Path(folder), load_settings(), rounds)
        for name, compare in COMPARISONS.items():
            if arguments.only in (None, name):
                figures |= compare(bench, sizes)
    print(json.dumps(figures))
    return 0


@dataclass(frozen=True)
class Bench:
    """A folder to work in, the installation's settings, and how often each way is timed."""

    folder: Path
    settings: Settings
    rounds: int

    @property
    def ffmpeg(self) -> str:
        """The ffmpeg that every way uses."""
        return str(ffmpeg_binary(self.settings))

    def fresh(self, name: str) -> Path:
        """Return a new, empty folder."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def variables(self, root: Path) -> dict[str, str]:
        """Return an environment in which Derush keeps all it writes below `root`."""
        places = ("DATA_DIR", "PROJECTS_DIR", "OUTPUT_DIR", "ARCHIVES_DIR", "LOGS_DIR")
        own = {place: str(root / place.lower()) for place in places}
        apart = {"CACHE_ROOT_DIR": "", "DERUSH_ENV_FILE": str(root / "no.env"), "STEP1_MIN_SIZE_MB": "0"}
        ffmpeg = {"FFMPEG_BINARY": self.ffmpeg, "STEP2_ENCODER": "libx264"}
        return {**os.environ, **own, **apart, **ffmpeg}

    def timed(self, ways: dict[str, Callable[[], float]]) -> dict[str, float]:
        """Time several ways in turns; returns the median seconds of each."""
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        worked: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(self.rounds):
            for name, way in ways.items():
                before = processor_seconds()
                seconds[name].append(way())
                worked[name].append(processor_seconds() - before)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        for name, value in medians.items():
            print(f"{name:42} {value:8.2f} s {statistics.median(worked[name]):8.2f} s of processor time", flush=True)
        return medians


def run(command: list[str], cwd: Path = REPOSITORY, variables: dict[str, str] | None = None) -> float:
    """Run a command to its end and return the seconds it took."""
    os.sync()  # what was prepared is on the disk: who flushes its own files does not wait for it
    started = time.perf_counter()
    ended = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, stdin=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    if ended.returncode != 0:
        raise SystemExit(
            f"{command[:3]} ended with {ended.returncode}: {ended.stderr[-2000:].decode(errors='replace')}"
        )
    return seconds


def processor_seconds() -> float:
    """Return the processor time of all commands that have ended, and of what they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- extraction

_CHECKED = ", and sha256sum"


def compare_extraction(bench: Bench, sizes: Sizes) -> dict[str, float]:
    """Extract the same archives by STEP1 and by each tool that reads them."""
    archives = make_archives(bench.fresh("archives"), sizes.megabytes)
    ways: dict[str, Callable[[], float]] = {
        "STEP1 over all archives": lambda: extract_by_step(bench, archives[0].parent)
    }
    by_hand: dict[Path, list[str]] = {}
    for archive in archives:
        for tool, command in tools_for(archive).items():
            if shutil.which(command[0]):
                name = f"{tool} {archive.name}"
                by_hand.setdefault(archive, []).append(name)
                ways[name] = partial(extract_by_hand, bench, command)
                ways[f"{name}{_CHECKED}"] = partial(extract_by_hand, bench, command, hashed=archive)
    if len(by_hand) != len(archives):
        raise SystemExit("Install unzip and bsdtar (libarchive-tools) to have something to compare with.")
    seconds = bench.timed(ways)
    ours = seconds["STEP1 over all archives"]
    fastest = sum(min(seconds[name] for name in names) for names in by_hand.values())
    checked = sum(min(seconds[f"{name}{_CHECKED}"] for name in names) for names in by_hand.values())
    return {"extract_over_fastest": round(ours / fastest, 2), "extract_over_checked": round(ours / checked, 2)}


def extract_by_step(bench: Bench, folder: Path) -> float:
    """Run STEP1 over a folder into a new work directory."""
    variables = bench.variables(bench.fresh("step1"))
    return run([_PYTHON, str(_STEP1), "--source-dir", str(folder)], variables=variables)


def extract_by_hand(bench: Bench, command: list[str], hashed: Path | None = None) -> float:
    """Run a tool in a new folder, and `sha256sum` over the archive that is `hashed` and what came out of it.

    What is left to be written to the disk must not be waited for by the next way.
    """
    folder = bench.fresh("by-hand")
    seconds = run(command, folder)
    if hashed:
        seconds += run(["find", str(hashed), str(folder), "-type", "f", "-exec", "sha256sum", "{}", "+"])
    shutil.rmtree(folder)
    return seconds


def tools_for(archive: Path) -> dict[str, list[str]]:
    """Return the commands that extract an archive into the working directory."""
    path = str(archive)
    tools = {"bsdtar": ["bsdtar", "-xf", path]}
    if archive.suffix == ".zip":
        tools["unzip"] = ["unzip", "-q", path]
    if archive.suffix in (".zip", ".7z", ".tar"):
        tools["7z"] = ["7z", "x", "-y", "-bd", path]
    return tools


def make_archives(folder: Path, megabytes: int) -> list[Path]:
    """Pack footage in the ways it is delivered: `megabytes` in all, and a thousand small files in one zip."""
    share = megabytes // 5
    clips = [footage(folder / f"clip{number}.mov", share // 2, number) for number in range(2)]
    with zipfile.ZipFile(folder / "stored.zip", "w", zipfile.ZIP_STORED) as archive:
        add_all(archive, clips)
    with zipfile.ZipFile(folder / "deflated.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        add_all(archive, clips)
        for number in range(1000):
            archive.writestr(f"stills/{number:04}.jpg", clips[0].open("rb").read(20_000))
    with tarfile.open(folder / "plain.tar", "w") as tar:
        for clip in clips:
            tar.add(clip, clip.name)
    with zstd.open(folder / "zstandard.tar.zst", "wb") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for clip in clips:
            tar.add(clip, clip.name)
    # A 7z of rushes is packed at a low level: what does not compress is not worth hours.
    with py7zr.SevenZipFile(folder / "rushes.7z", "w", filters=[{"id": py7zr.FILTER_COPY}]) as seven:
        for clip in clips:
            seven.write(clip, clip.name)
    for clip in clips:
        clip.unlink()
    return sorted(folder.iterdir())


def add_all(archive: zipfile.ZipFile, paths: list[Path]) -> None:
    """Add files below one folder, as people pack them."""
    for path in paths:
        archive.write(path, f"rushes/{path.name}")


def footage(path: Path, megabytes: int, seed: int) -> Path:
    """Write bytes that pack about as little as intermediate codecs do: four fifths noise, one fifth runs."""
    source = random.Random(seed)
    with path.open("wb") as stream:
        for _ in range(megabytes):
            noise = source.randbytes(800_000)
            stream.write(b"".join(noise[at : at + 4000] + bytes(1000) for at in range(0, len(noise), 4000)))
    return path


# --- conversion


def compare_conversion(bench: Bench, sizes: Sizes) -> dict[str, float]:
    """Convert one clip by STEP2 and by ffmpeg alone."""
    clip = make_clip(bench, bench.fresh("clips") / "long.mp4", sizes.long_clip, _RATE, "1280x720")
    seconds = bench.timed(
        {
            "ffmpeg, one clip": lambda: run(encode(bench, clip, bench.fresh("by-hand") / clip.name)),
            "STEP2, one clip": lambda: convert_by_step(bench, [clip]),
        }
    )
    return {"convert_over_ffmpeg": round(seconds["STEP2, one clip"] / seconds["ffmpeg, one clip"], 3)}


def compare_untouched(bench: Bench, sizes: Sizes) -> dict[str, float]:
    """Give STEP2 clips that are what a proxy has to be, and ffmpeg the same to encode."""
    folder = bench.fresh("clips")
    source = make_clip(bench, bench.fresh("source") / "clip.mp4", sizes.untouched_seconds, _RATE, "1280x720")
    first = folder / "0.mp4"
    run(encode(bench, source, first))
    clips = [first, *(folder / f"{number}.mp4" for number in range(1, sizes.untouched))]
    for number, clip in enumerate(clips[1:]):  # another comment makes another file of each
        run([bench.ffmpeg, "-v", "error", "-i", str(first), "-c", "copy", "-metadata", f"comment={number}", "-movflags", "+faststart", str(clip)])  # fmt: skip
    seconds = bench.timed(
        {
            "ffmpeg, one clip that is a proxy": lambda: run(encode(bench, first, bench.fresh("by-hand") / first.name)),
            "STEP2, clips that are proxies": lambda: convert_by_step(bench, clips),
        }
    )
    a_clip = seconds["STEP2, clips that are proxies"] / len(clips)
    return {"untouched_speedup": round(seconds["ffmpeg, one clip that is a proxy"] / a_clip, 1)}


def compare_clips(bench: Bench, sizes: Sizes) -> dict[str, float]:
    """Convert many short clips beside one another: the runner, and a person's `parallel ffmpeg`."""
    folder = bench.fresh("clips")
    first = make_clip(bench, folder / "0.mp4", sizes.short_seconds, _RATE, "1280x720")
    for number in range(1, sizes.short):
        shutil.copyfile(first, folder / f"{number}.mp4")
    clips = sorted(folder.iterdir())
    seconds = bench.timed(
        {
            "parallel ffmpeg, short clips": lambda: convert_in_parallel(bench, clips),
            "derush run, short clips": lambda: convert_by_runner(bench, clips),
        }
    )
    speedup = seconds["parallel ffmpeg, short clips"] / seconds["derush run, short clips"]
    return {"clips_over_parallel": round(speedup, 2)}


def make_clip(bench: Bench, path: Path, seconds: int, rate: str, size: str) -> Path:
    """Write a clip with moving picture and sound, H.264 and AAC in a fast-start mp4."""
    picture, sound = (
        f"testsrc2=size={size}:rate={rate}:duration={seconds}",
        f"sine=duration={seconds}:sample_rate=48000",
    )
    command = [bench.ffmpeg, "-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-vf", "noise=alls=4:allf=t"]  # fmt: skip
    coding = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
        "-movflags",
        "+faststart",
    ]
    run([*command, *coding, str(path)])
    return path


def encode(bench: Bench, clip: Path, target: Path) -> list[str]:
    """Return the plain command with STEP2's encoder settings."""
    preset, crf = bench.settings.step2_preset, bench.settings.step2_crf
    picture = ["-c:v", "libx264", "-preset", preset, "-crf", str(crf), "-g", "50", "-pix_fmt", "yuv420p", "-r", "25"]
    sound = ["-c:a", "aac", "-b:a", "160k", "-ar", "48000"]
    return [bench.ffmpeg, "-nostdin", "-v", "error", "-y", "-i", str(clip), *picture, *sound, "-movflags", "+faststart", str(target)]  # fmt: skip


def project_of(bench: Bench, clips: list[Path]) -> tuple[Path, dict[str, str]]:
    """Return a project that STEP1 would have made of clips, and the environment it lives in."""
    root = bench.fresh("step2")
    project = root / "projects_dir" / "clips"
    project.mkdir(parents=True)
    for clip in clips:
        shutil.copyfile(clip, project / clip.name)
    return project, bench.variables(root)


def convert_by_step(bench: Bench, clips: list[Path]) -> float:
    """Run STEP2's script over clips; what prepares them is not timed."""
    project, variables = project_of(bench, clips)
    return run([_PYTHON, str(_STEP2), "--project", str(project)], cwd=project.parents[1], variables=variables)


def convert_by_runner(bench: Bench, clips: list[Path]) -> float:
    """Run STEP2 by the runner, which works on several clips at a time."""
    project, variables = project_of(bench, clips)
    return run([_PYTHON, "-m", "services.cli", "run", "--steps", "STEP2", str(project)], variables=variables)


def convert_in_parallel(bench: Bench, clips: list[Path]) -> float:
    """Run ffmpeg by GNU parallel, as many at a time as there are cores."""
    folder = bench.fresh("by-hand")
    script = folder / "jobs"
    script.write_text(
        "".join(" ".join(f"'{part}'" for part in encode(bench, clip, folder / clip.name)) + "\n" for clip in clips)
    )
    cores = str(len(os.sched_getaffinity(0)))
    if shutil.which("parallel"):
        return run(["parallel", "--jobs", cores, "--arg-file", str(script)])
    return run(["xargs", "--arg-file", str(script), "-P", cores, "-I", "{}", "sh", "-c", "{}"])


COMPARISONS: dict[str, Callable[[Bench, Sizes], dict[str, float]]] = {
    "extract": compare_extraction,
    "convert": compare_conversion,
    "untouched": compare_untouched,
    "clips": compare_clips,
}

if __name__ == "__main__":
    sys.exit(main())
