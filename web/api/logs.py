"""The logs: which there are, any stretch of one, a search in one, and one as it grows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Annotated, Literal

from flask import Response, request
from pydantic import Field

from services.log_file import LogFile, Page
from services.log_following import follow as follow_log
from services.log_search import LONGEST_WORDS, Hit, words_of
from services.logs import logs_below
from services.run_request import PathText
from web import sse
from web.api.common import Input, Output, Position, answer, section, stream_of
from web.logs.files import given, path_of
from web.logs.searching import MOST_HITS, Wanted, gathered
from web.panel import panel

blueprint = section(
    "logs", "Every log of every step and run, by its path below LOGS_DIR. Places in it are byte offsets."
)
_SEARCH_SECONDS = 5.0
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class LogOut(Output):
    """A log: its path below LOGS_DIR, its bytes, when it was written to last (UTC, ISO 8601)."""

    name: str
    size: int
    modified_at: str


class Logs(Output):
    """The logs, the one that was written to last first."""

    logs: list[LogOut]
    total: int


class LogsQuery(Input):
    """Which logs: those of a folder below LOGS_DIR (`step3`, `runs`), or all."""

    folder: PathText | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class LogQuery(Input):
    """A log, by its path below LOGS_DIR."""

    name: PathText


class LinesQuery(LogQuery):
    """Where to read: from `after` on, back from `before`, or around `at`; without any of them, the end.

    `level` leaves out lines that matter less.
    """

    after: Position | None = None
    before: Position | None = None
    at: Position | None = None
    level: Level = "DEBUG"


class LineOut(Output):
    """A line, or a piece of a very long one, with the codes for colours that are in it."""

    start: int
    level: str
    text: str


class Lines(Output):
    """A stretch of a log, from `start` to `end`, where to read on. `identity` changes when the file is another one."""

    start: int
    end: int
    size: int
    is_last: bool
    identity: str
    lines: list[LineOut]


class SearchQuery(LogQuery):
    """What to look for, without regard to case, and from where: earlier lines or later ones."""

    q: Annotated[str, Field(min_length=1, max_length=LONGEST_WORDS)]
    start: Position | None = None
    way: Literal["earlier", "later"] = "earlier"
    level: Level = "DEBUG"
    limit: Annotated[int, Field(ge=1, le=MOST_HITS)] = 100


class HitOut(Output):
    """A line with the words: where it begins, and what stands around them."""

    start: int
    before: str
    words: str
    after: str


class Hits(Output):
    """The lines that were found. `next` is where to look further; null when all was looked through."""

    hits: list[HitOut]
    next: int | None


class FollowQuery(LogQuery):
    """Where to begin (`Last-Event-ID` wins)."""

    after: Position = 0
    level: Level = "DEBUG"


@blueprint.get("/logs", responses={200: Logs})
def list_logs(query: LogsQuery) -> Response:
    """List the logs."""
    found = [log for log in logs_below(panel().settings.logs_dir) if query.folder in (None, log.folder)]
    shown = [LogOut(name=log.name, size=log.size, modified_at=_moment(log.modified)) for log in found[: query.limit]]
    return answer(Logs(logs=shown, total=len(found)))


@blueprint.get("/logs/lines", responses={200: Lines})
def lines(query: LinesQuery) -> Response:
    """Read a stretch of a log, of any size."""
    with LogFile(path_of(query.name)) as log:
        if query.at is not None:
            page = log.page_around(query.at, query.level)
        elif query.after is not None:
            page = log.page_after(query.after, query.level)
        else:
            page = log.page_before(log.size if query.before is None else query.before, query.level)
    return answer(_lines(page))


@blueprint.get("/logs/search", responses={200: Hits})
def search(query: SearchQuery) -> Response:
    """Search in a log for some seconds; `next` says where to go on."""
    with LogFile(path_of(query.name)) as log:
        start = min(log.size, log.size if query.start is None else query.start)
        backwards = query.way == "earlier"
        wanted = Wanted(words_of(query.q), start, backwards, query.level, query.limit, _SEARCH_SECONDS)
        hits, following = gathered(log, wanted)
    return answer(Hits(hits=[_hit(hit) for hit in hits], next=following))


_FILE = {"description": "The file.", "content": {"text/plain": {"schema": {"type": "string"}}}}
_PART = {"description": "The part that `Range` asks for.", "content": {"text/plain": {"schema": {"type": "string"}}}}


@blueprint.get("/logs/file", responses={200: _FILE, 206: _PART})
def download(query: LogQuery) -> Response:
    """Give a log itself, or the part of it that `Range` asks for."""
    return given(query.name)


_STREAM = stream_of("Server-sent events; `data` is JSON, as `/logs/lines` tells it. An id is where to go on.", "lines")


@blueprint.get("/logs/follow", responses={200: _STREAM})
def follow(query: FollowQuery) -> Response:
    """Stream what is written to a log."""
    path = path_of(query.name)
    after = sse.last_event_id(request.headers.get("Last-Event-ID"), query.after)
    return sse.stream(_events(follow_log(path, after, query.level)))


def _events(pages: Iterator[Page | None]) -> Iterator[bytes]:
    for page in pages:
        yield sse.event("lines", _lines(page).model_dump(), page.end) if page else sse.HEARTBEAT


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


def _hit(hit: Hit) -> HitOut:
    before, words, after = (part.decode("utf-8", "replace") for part in (hit.before, hit.words, hit.after))
    return HitOut(start=hit.line, before=before, words=words, after=after)


def _lines(page: Page) -> Lines:
    shown = [
        LineOut(start=line.start, level=line.level, text=line.raw.decode("utf-8", "replace").rstrip("\r\n"))
        for line in page.lines
    ]
    return Lines(
        start=page.start, end=page.end, size=page.size, is_last=page.is_last, identity=page.identity, lines=shown
    )
