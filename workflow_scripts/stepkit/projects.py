"""Where everything of a project lives: originals, proxies, artefacts, records.

<work dir>/<project>/                   one folder per archive, the delivered files as they came
<work dir>/<project>/sources/           delivered videos, once their proxy is verified
<work dir>/<project>/docs/<stem>.mp4    proxies, and beside them their artefacts
<work dir>/<project>/.derush/           records and temporary files
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.stepkit.errors import ItemError

VIDEO_SUFFIXES = frozenset(
    [
        ".3gp",
        ".avi",
        ".dv",
        ".flv",
        ".m2ts",
        ".m2v",
        ".m4v",
        ".mjpeg",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    ]
)
INTERNAL = ".derush"
LONGEST_STEM = 230
"""Bytes: a file name may have 255, and the longest artefact adds `_tracking_raw.jsonl`."""


@dataclass(frozen=True)
class SourceFacts:
    """What `<stem>_source.json` says that later steps need. Sizes are in pixels of the proxy, frames of the proxy."""

    frames: int
    width: int
    height: int
    has_audio: bool
    original_sha256: str


@dataclass(frozen=True)
class Video:
    """One clip of a project, named by its proxy's stem."""

    project: Project
    stem: str

    @property
    def proxy(self) -> Path:
        """The 25 fps proxy."""
        return self.project.docs / f"{self.stem}.mp4"

    def artefact(self, suffix: str) -> Path:
        """Return the path of an artefact, e.g. `artefact("_scenes.csv")`."""
        return self.project.docs / f"{self.stem}{suffix}"

    def facts(self) -> SourceFacts:
        """Read what STEP2 found out. Raises ItemError when STEP2 has not finished with this video."""
        path = self.artefact("_source.json")
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            proxy = known["proxy"]
            facts = SourceFacts(
                int(proxy["frames"]), int(proxy["width"]), int(proxy["height"]), bool(proxy["has_audio"]),
                str(known["original"]["sha256"]),
            )  # fmt: skip
            if min(facts.frames, facts.width, facts.height) < 1:
                raise ValueError("a proxy without frames, or without a size")
            return facts
        except (OSError, ValueError, OverflowError, RecursionError, KeyError, TypeError) as error:
            raise ItemError(
                "no_source_facts", f"{path.name} is missing or damaged ({error!r}).", "Run STEP2 on this project first."
            ) from error


@dataclass(frozen=True)
class Project:
    """A folder below the work directory, made from one archive."""

    path: Path

    @property
    def name(self) -> str:
        """The project's name: its folder's."""
        return self.path.name

    @property
    def internal(self) -> Path:
        """Records and temporary files, nothing a person needs to open."""
        return self.path / INTERNAL

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold one of the project's locks: processes that change one of its files take turns."""
        self.internal.mkdir(parents=True, exist_ok=True)
        with (self.internal / name).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @property
    def docs(self) -> Path:
        """Proxies and artefacts."""
        return self.path / "docs"

    @property
    def sources(self) -> Path:
        """Delivered videos whose proxy is verified."""
        return self.path / "sources"

    @property
    def archive_record(self) -> Path:
        """What STEP1 extracted, and from which archive. In a folder of its own: a video may be called `archive`."""
        return self.internal / "project" / "archive.json"

    def videos(self) -> list[Video]:
        """Return the videos that have a proxy, by name."""
        return [Video(self, path.stem) for path in sorted(self.docs.glob("*.mp4")) if self.is_proxy(path)]

    def is_proxy(self, path: Path) -> bool:
        """Tell a proxy from a delivered video of the same name: a proxy has its facts beside it."""
        return path.parent == self.docs and path.suffix == ".mp4" and (self.docs / f"{path.stem}_source.json").is_file()

    def originals(self) -> list[Path]:
        """Return the delivered videos, those in `sources/` included, by their name as delivered."""
        found = (path for path in self._files() if path.suffix.lower() in VIDEO_SUFFIXES and not self.is_proxy(path))
        return sorted(found, key=self.delivered_name)

    def _files(self) -> Iterator[Path]:
        for path in self.path.rglob("*"):
            if INTERNAL not in path.relative_to(self.path).parts and path.is_file() and not path.is_symlink():
                yield path

    def delivered_name(self, original: Path) -> Path:
        """Return an original's path below the project as it was delivered, wherever it stands now."""
        below = original.relative_to(self.path)
        return below.relative_to("sources") if below.parts[0] == "sources" else below

    def proxy_for(self, original: Path) -> Video:
        """Return the video that an original becomes.

        Its stem is the file's own. Where two originals would meet (`A/clip.mov` and `B/clip.mov`, or `clip.mov` and
        `clip.mp4`) the folders and the suffix tell them apart, the same way on every run.
        """
        name = self.delivered_name(original)
        if name not in _delivered_names.get(self.path, ()):
            _delivered_names[self.path] = [self.delivered_name(path) for path in self.originals()]
        names = _delivered_names[self.path]
        for way in (_by_stem, _by_folder, _by_suffix):
            taken = Counter(_folded(way(other)) for other in names)
            if taken[_folded(way(name))] <= 1:
                return Video(self, _shortened(way(name)))
        return Video(self, _shortened(f"{_by_suffix(name)}~{_digest(str(name))}"))


_delivered_names: dict[Path, list[Path]] = {}
"""What was delivered to each project, looked up once: it stays the same while originals move to `sources/`."""


def _by_stem(name: Path) -> str:
    return name.stem


def _by_folder(name: Path) -> str:
    return "_".join((*name.parent.parts, name.stem))


def _by_suffix(name: Path) -> str:
    return f"{_by_folder(name)}_{name.suffix[1:]}"


def _folded(text: str) -> str:
    """Fold what some file systems hold to be the same name."""
    return unicodedata.normalize("NFC", text).casefold()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _shortened(stem: str) -> str:
    encoded = stem.encode("utf-8", "surrogateescape")
    if len(encoded) <= LONGEST_STEM:
        return stem
    return encoded[: LONGEST_STEM - 9].decode("utf-8", "ignore") + "~" + _digest(stem)


def video_of(proxy: Path) -> Video:
    """Return the video of a proxy's path, `<project>/docs/<stem>.mp4`.

    Raises ItemError for a path of another form.
    """
    if proxy.parent.name != "docs" or proxy.suffix != ".mp4":
        raise ItemError(
            "not_a_proxy",
            f"{proxy} is not a proxy.",
            "Give paths of the form <project>/docs/<name>.mp4, as STEP2 makes them.",
        )
    return Video(Project(proxy.parent.parent), proxy.stem)


def projects_below(work_dir: Path) -> list[Project]:
    """Return the projects below the work directory, by name."""
    if not work_dir.is_dir():
        return []
    folders = (path for path in work_dir.iterdir() if path.is_dir() and not path.is_symlink() and path.name != INTERNAL)
    return [Project(path) for path in sorted(folders)]
