"""The logs: which there are, and a viewer that reads any stretch of one, follows it and searches in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from flask import (
    Blueprint,
    Response,
    jsonify,
    redirect,
    render_template,
    request,
    stream_with_context,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from markupsafe import Markup

from config.catalog import steps
from services.errors import ServiceError
from services.filesystem_service import is_local, open_folder
from services.log_file import LogFile, Page
from services.log_following import follow as follow_log
from services.log_lines import LEVELS
from services.log_search import words_of
from services.logs import Log, log_path, logs_below
from web import sse
from web.access import audit
from web.logs.files import given, path_of
from web.logs.lines import hit_to_html, to_html
from web.logs.searching import MOST_HITS, Wanted, answer, gathered
from web.mistakes import done
from web.panel import panel

blueprint = Blueprint("logs", __name__, template_folder="templates")
_MOST_OF_A_FOLDER = 8
_MOST_OF_A_PAGE = 200
_PATIENCE_SECONDS = 3.0
"""How long a page without scripts waits for what a search finds."""


@blueprint.get("/logs")
def index() -> ResponseReturnValue:
    """List the folders with their newest logs, or one folder with all of them."""
    folder, first = request.args.get("folder"), max(0, request.args.get("from", 0, int))
    found = logs_below(panel().settings.logs_dir)
    if folder is None:
        folders: dict[str, list[Log]] = {}
        for log in found:
            folders.setdefault(log.folder, []).append(log)
        return render_template("logs/index.html", folders=folders, most=_MOST_OF_A_FOLDER)
    logs = [log for log in found if log.folder == folder]
    return render_template("logs/folder.html", folder=folder, logs=logs, first=first, most=_MOST_OF_A_PAGE)


@blueprint.get("/logs/<path:name>")
def viewer(name: str) -> ResponseReturnValue:
    """Show a log: its end, or the place that was asked for."""
    path = log_path(panel().settings.logs_dir, name)
    if path.is_dir():
        return redirect(url_for(".index", folder=name.rstrip("/")))
    level = _level()
    with LogFile(path) as log:
        page = _page(log, level)
        hits, earlier_hits = _hits(log)
    return render_template(
        "logs/viewer.html", name=name, page=page, html=to_html(page.lines), level=level, levels=LEVELS, path=path,
        hits=hits, earlier_hits=earlier_hits, is_local=is_local(request.remote_addr, request.host),
        run_id=path.stem if name.startswith("runs/") else None,
    )  # fmt: skip


@blueprint.get("/log/lines/<path:name>")
def lines(name: str) -> Response:
    """Give a stretch of a log: `at` an offset and around it, `after` or `before` one, or the end."""
    with LogFile(path_of(name)) as log:
        return jsonify(_record(_page(log, _level())))


@blueprint.get("/log/follow/<path:name>")
def follow(name: str) -> Response:
    """Stream what is written to a log, from the offset `from` on, or from where the browser was."""
    path, start = path_of(name), request.args.get("after", request.args.get("from"))
    start_at = sse.last_event_id(request.headers.get("Last-Event-ID"), sse.last_event_id(start))
    return sse.stream(_events(follow_log(path, start_at, _level()), start_at))


@blueprint.get("/log/search/<path:name>")
def search(name: str) -> Response:
    """Stream the lines that have the words `q`, from the offset `from` on, `earlier` ones or `later` ones."""
    path, words = path_of(name), words_of(request.args.get("q", ""))
    most = min(MOST_HITS, max(1, request.args.get("most", MOST_HITS, int)))
    backwards = request.args.get("way") != "later"
    wanted = Wanted(words, _start(path.stat().st_size), backwards, _level(), most)
    found = stream_with_context(answer(path, wanted))
    return Response(found, mimetype="application/x-ndjson", headers={"Cache-Control": "no-store"})


@blueprint.get("/log/file/<path:name>")
def download(name: str) -> Response:
    """Give the file itself; a part of it where a range is asked for."""
    return given(name)


@blueprint.post("/log/folder/<path:name>")
def show_folder(name: str) -> ResponseReturnValue:
    """Open a log's folder on the screen of this machine, when the person sits at it."""
    folder = path_of(name).parent
    if not is_local(request.remote_addr, request.host):
        message = "The folder is on another machine than this browser."
        raise ServiceError("not_local", message, f"Copy the path: {folder}")
    open_folder(folder)
    audit("open folder", str(folder))
    return done(_("The folder is open on this machine's screen."), url_for(".viewer", name=name))


@blueprint.app_template_global()
def folder_title(folder: str) -> str:
    """Say what a folder of logs is of."""
    return next((step.id for step in steps().values() if step.log_folder == folder), "") or {
        "": _("Mistakes in Derush itself"), "runs": _("Runs without a terminal"), "commands": _("Commands of plans"),
        "panel": _("Control panel"), "system": _("Environments and models"),
    }.get(folder, folder)  # fmt: skip


@blueprint.app_template_filter()
def written(log: Log) -> str:
    """Return when a log was written to last, as the filter `moment` takes it."""
    return datetime.fromtimestamp(log.modified, timezone.utc).isoformat(timespec="seconds")


def _level() -> str:
    asked = request.args.get("level", LEVELS[0])
    return asked if asked in LEVELS else LEVELS[0]


def _start(size: int) -> int:
    return min(size, max(0, request.args.get("from", size, int)))


def _page(log: LogFile, level: str) -> Page:
    """Read the stretch that a request asks for."""
    if (at := request.args.get("at", type=int)) is not None:
        return log.page_around(at, level)
    if (after := request.args.get("after", type=int)) is not None:
        return log.page_after(after, level)
    return log.page_before(request.args.get("before", log.size, int), level)


def _record(page: Page) -> dict[str, Any]:
    """Return a page as scripts read it."""
    return {
        "start": page.start, "end": page.end, "is_last": page.is_last, "size": page.size, "identity": page.identity,
        "html": to_html(page.lines),
    }  # fmt: skip


def _events(pages: Iterator[Page | None], start: int) -> Iterator[bytes]:
    """Write pages as events; `anew` says that the file is another one, or was truncated. An id is where to go on."""
    identity = None
    for page in pages:
        if page is None:
            yield sse.HEARTBEAT
            continue
        is_anew = page.start < start or identity not in {None, page.identity}
        yield sse.event("lines", {**_record(page), "anew": is_anew}, page.end)
        start, identity = page.end, page.identity


def _hits(log: LogFile) -> tuple[list[tuple[int, Markup]], int | None]:
    """Search for a page without scripts: the lines found, and where a search for earlier ones begins."""
    if not (text := request.args.get("q")):
        return [], None
    wanted = Wanted(words_of(text), _start(log.size), True, _level(), seconds=_PATIENCE_SECONDS)
    hits, following = gathered(log, wanted)
    return [(hit.line, hit_to_html(hit)) for hit in hits], following
