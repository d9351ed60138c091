"""What a person asks for in plain words: the projects, videos and paths it names, and the words that are left.

Pure: which projects and videos there are, which words choose a workflow and which paths exist is passed in.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, takewhile

from config.contract import Exit
from services.errors import ServiceError
from services.words import LINKS, STOP_WORDS, fold, spans, word_set, words

LONGEST = 2000
"""Characters a request may have."""
_QUOTED = r"""["“«]\s*(?P<double>[^"“”«»]+?)\s*["”»]|(?<!\w)['‘](?P<single>[^'‘’]+)['’](?!\w)"""
_PATH = re.compile(rf"{_QUOTED}|(?P<slash>[^\s/]*/\S*)|(?P<bare>[^\s/\"“”«»]+\.[^\W_]+)")
_BEFORE_A_NAME = frozenset(" \t\n\"“«'‘’(,;:")
VIDEO_SUFFIXES = word_set("3gp avi dv flv m2ts m2v m4v mjpeg mkv mov mp4 mpeg mpg mts mxf ogv ts vob webm wmv")
"""Endings of delivered videos, as STEP2 takes them."""
_ARCHIVE_SUFFIXES = word_set("7z bz2 gz rar tar tbz2 tgz txz xz zip zst")
_CUES = {"projet", "projets", "project", "projects"}
_CONNECTORS = {"et", "and"}
_MOST_SHOWN = 3


@dataclass(frozen=True)
class Understood:
    """A request: `text` is what is left of it without names; `projects` and `paths` are what it names, in its order.

    A project that only says where a named video is does not count.
    """

    text: str
    projects: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class _Word:
    """A word of a request: without case and accents, where it is, and the project or videos whose name it belongs to."""

    folded: str
    written: str
    start: int
    end: int
    is_quoted: bool
    is_common: bool
    project: str | None = None
    videos: tuple[str, ...] = ()

    @property
    def is_named(self) -> bool:
        return bool(self.project or self.videos)

    @property
    def may_be_a_name(self) -> bool:
        return not self.is_named and (self.is_quoted or not self.is_common)


def understand(
    request: str,
    projects: Sequence[str],
    is_trigger: Callable[[str], bool],
    exists: Callable[[str], bool],
    videos: Mapping[str, str] | None = None,
) -> Understood:
    """Find what a request names: projects by whole words, longest first; paths; videos of projects by their file names.

    `projects` are the names there are; `is_trigger` tells whether a word is one that chooses a workflow. A name of
    nothing but such words (a project called "Archive") counts in quotes and after the word "project". `videos` gives
    the path of each by `project/name`; a video is named so, or by its file name alone, with the delivered file's suffix
    or its proxy's. A file that is here goes before a video of the same name.
    Raises ServiceError for a project, a path or a video that is named and is not there, or may be several.
    """
    if len(request) > LONGEST:
        raise ServiceError("long_request", "The request is too long.", f"Use {LONGEST} characters at most.", Exit.USAGE)
    rest, paths = _without_paths(request, exists)
    text = unicodedata.normalize("NFC", rest)
    found = _with_videos(_words_of(text, is_trigger), text, videos or {})
    for name_words, names in _by_words(projects):
        found = _marked(found, name_words, names)
    if file := next(_missing_files(found, text), None):
        raise _no_such_file(file, videos or {})
    if missing := next(_missing(found, text), None):
        raise _no_such_project(missing, projects)
    named = dict.fromkeys(word.project for word in found if word.project)
    chosen = [_the_video(keys, named) for keys in dict.fromkeys(word.videos for word in found if word.videos)]
    whole = [project for project in named if project not in {_project_of(key) for key in chosen}]
    return Understood(_blanked(text, found), tuple(whole), (*paths, *((videos or {})[key] for key in chosen)))


def _without_paths(request: str, exists: Callable[[str], bool]) -> tuple[str, list[str]]:
    """Take the paths out of a request."""
    paths: list[str] = []

    def take(match: re.Match[str]) -> str:
        quoted = match["double"] or match["single"]
        text = quoted or match["slash"] or match["bare"]
        # Unquoted, a sign at the end may be the sentence's, and what is before an apostrophe an article.
        candidates = [text] if quoted else [text, text.rstrip(".,;:!?)"), re.split("['’]", text)[-1]]
        path = next((candidate for candidate in candidates if exists(candidate)), None)
        if path is None and text.startswith(("/", "./", "../", "~/")):
            raise ServiceError("no_input", f"{text} does not exist.", "Check the path.", Exit.USAGE)
        if path is None:
            return match[0]
        paths.append(path)
        return " "

    return _PATH.sub(take, request), paths


def _words_of(text: str, is_trigger: Callable[[str], bool]) -> list[_Word]:
    quoted = [match.span() for match in re.finditer(_QUOTED, text)]
    found = []
    for start, end in spans(text):
        written = text[start:end]
        in_quotes = any(begin < start and end < finish for begin, finish in quoted)
        common = fold(written) in STOP_WORDS or is_trigger(written)
        found.append(_Word(fold(written), written, start, end, in_quotes, common))
    return found


def _with_videos(found: Sequence[_Word], text: str, videos: Mapping[str, str]) -> list[_Word]:
    """Return the words with those marked that name a video, the longest names first."""
    keys: dict[tuple[str, ...], list[str]] = {}
    for key in videos:
        for name in (key, key.rpartition("/")[2]):
            keys.setdefault(tuple(fold(word) for word in words(name)), []).append(key)
    marked = list(found)
    said = [_as_proxy(word, text) for word in found]
    for length in sorted({len(key) for key in keys}, reverse=True):
        for start in range(len(found) - length + 1):
            meant = keys.get(tuple(said[start : start + length]), ())
            span, is_whole = marked[start : start + length], _begins_a_name(text, found[start].start)
            if meant and is_whole and not any(word.videos for word in span):
                marked[start : start + length] = [replace(word, videos=tuple(meant)) for word in span]
    return marked


def _as_proxy(word: _Word, text: str) -> str:
    """Return a word as the name of a proxy has it: a person may write the suffix of what was delivered."""
    return "mp4" if _is_suffix(word, text) and word.folded in VIDEO_SUFFIXES else word.folded


def _is_suffix(word: _Word, text: str) -> bool:
    return word.start > 1 and text[word.start - 1] == "." and not text[word.start - 2].isspace()


def _begins_a_name(text: str, start: int) -> bool:
    return start == 0 or text[start - 1] in _BEFORE_A_NAME


def _project_of(key: str) -> str:
    return key.rpartition("/")[0]


def _the_video(keys: Sequence[str], projects: Iterable[str]) -> str:
    """Return the video that is meant where several have the same name: that of a project which is named too."""
    named = set(projects)
    meant = keys if len(keys) == 1 else [key for key in keys if _project_of(key) in named]
    if len(meant) != 1:
        shown = " or ".join(f"`{key}`" for key in (meant or keys)[:_MOST_SHOWN])
        raise ServiceError("ambiguous_video", f"This may be {shown}.", "Name its project too, as here.", Exit.USAGE)
    return meant[0]


def _missing_files(found: Sequence[_Word], text: str) -> Iterator[str]:
    """Yield what is written like a video's or an archive's file name and is neither here nor in a project."""
    for word in found:
        is_file = word.folded in VIDEO_SUFFIXES | _ARCHIVE_SUFFIXES and _is_suffix(word, text)
        if is_file and not word.is_named:
            yield re.split(r"[\s\"“«(]", text[: word.end])[-1]


def _no_such_file(name: str, videos: Mapping[str, str]) -> ServiceError:
    by_folded = {fold(key.rpartition("/")[2]): key for key in videos}
    near = difflib.get_close_matches(fold(name.rpartition("/")[2]), by_folded, _MOST_SHOWN, cutoff=0.5)
    remedy = f"Did you mean {' or '.join(f'`{by_folded[each]}`' for each in near)}?" if near else "Give its path."
    return ServiceError(
        "no_input", f"There is no file `{name}` here, nor such a video in a project.", remedy, Exit.USAGE
    )


def _by_words(projects: Sequence[str]) -> list[tuple[tuple[str, ...], list[str]]]:
    """Return the names by their words, the longest first; several names may have the same words."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name in projects:
        found.setdefault(tuple(fold(word) for word in words(name)), []).append(name)
    return sorted(((key, names) for key, names in found.items() if key), key=lambda pair: (-len(pair[0]), pair[0]))


def _marked(found: list[_Word], name_words: tuple[str, ...], names: Sequence[str]) -> list[_Word]:
    """Return the words with those marked that name a project."""
    marked, length = list(found), len(name_words)
    for start in range(len(found) - length + 1):
        span = marked[start : start + length]
        if tuple(word.folded for word in span) == name_words and not any(word.is_named for word in span):
            is_meant = any(word.may_be_a_name for word in span) or _follows_cue(marked, start)
            if is_meant:
                name = _the_one(names, span)
                marked[start : start + length] = [replace(word, project=name) for word in span]
    return marked


def _follows_cue(found: Sequence[_Word], start: int) -> bool:
    before = next((word for word in reversed(found[:start]) if word.folded not in LINKS), None)
    return before is not None and not before.is_named and before.folded in _CUES


def _the_one(names: Sequence[str], span: Sequence[_Word]) -> str:
    """Return the name that is meant where several have the same words: the one that is written the same."""
    written = [word.written for word in span]
    exact = [name for name in names if words(name) == written]
    if len(names) > 1 and len(exact) != 1:
        remedy = "Name its folder with --file."
        raise ServiceError("ambiguous_project", f"This may be {' or '.join(names)}.", remedy, Exit.USAGE)
    return exact[0] if exact else names[0]


def _missing(found: Sequence[_Word], text: str) -> Iterator[str]:
    """Yield what is named as a project, by quotes or by the word "project" before it, and is none."""
    for number, word in enumerate(found):
        if word.is_quoted and word.may_be_a_name and not word.is_common:
            yield _phrase(found[number:], text)
        elif word.folded in _CUES and not word.is_named:
            yield from _missing_after_cue(found[number + 1 :], text)


def _missing_after_cue(following: Sequence[_Word], text: str) -> Iterator[str]:
    rest = list(dropwhile(lambda word: word.folded in LINKS and not word.is_named and not word.is_quoted, following))
    after_a_name = False
    for number, word in enumerate(rest):
        if word.project:
            after_a_name = True
        elif word.may_be_a_name and (not after_a_name or not word.written[0].islower()):
            yield _phrase(rest[number:], text)
            return
        elif not (after_a_name and word.folded in _CONNECTORS):
            return


def _phrase(found: Sequence[_Word], text: str) -> str:
    name = list(takewhile(lambda word: word.may_be_a_name, found))
    return text[name[0].start : name[-1].end]


def _no_such_project(name: str, projects: Sequence[str]) -> ServiceError:
    by_folded = {fold(project): project for project in projects}
    near = difflib.get_close_matches(fold(name), by_folded, _MOST_SHOWN, cutoff=0.3)
    remedy = f"Did you mean {' or '.join(f'`{by_folded[each]}`' for each in near)}?" if near else _listed(projects)
    return ServiceError("no_such_project", f"There is no project `{name}`.", remedy, Exit.USAGE)


def _listed(projects: Sequence[str]) -> str:
    if not projects:
        return "There is none yet: name a folder or an archive with --file."
    more = f" and {len(projects) - 10} more" if len(projects) > 10 else ""
    return f"There are: {', '.join(projects[:10])}{more}."


def _blanked(text: str, found: Sequence[_Word]) -> str:
    for word in found:
        if word.is_named:
            text = text[: word.start] + " " * (word.end - word.start) + text[word.end :]
    return text
