"""Files that runs left: shown, as far as a page can, and given away; nothing in one ever runs in the panel's name."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import PurePosixPath
from urllib.parse import quote

from flask import Blueprint, Response, render_template, request
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.wsgi import wrap_file

from services.kept_files import Kept, open_kept, places, preview
from web.panel import panel

blueprint = Blueprint("artefacts", __name__, template_folder="templates")
_SANDBOX = "sandbox; default-src 'none'; media-src 'self'; img-src 'self'; frame-ancestors 'none'"


@blueprint.get("/artefacts/<place>/<path:path>")
def show(place: str, path: str) -> str:
    """Show the beginning of a file, or play it."""
    file, settings = Kept(place, path), panel().settings
    with open_kept(place, path, settings) as stream:
        about = os.fstat(stream.fileno())
        shown = preview(file, stream)
    changed = datetime.fromtimestamp(about.st_mtime, timezone.utc).isoformat(timespec="seconds")
    parts = PurePosixPath(path).parts
    project = parts[0] if place in {"projects", "output", "fallback"} and len(parts) > 1 else None
    return render_template(
        "artefacts/show.html", file=file, shown=shown, size=about.st_size, changed=changed, project=project,
        where=str(places(settings)[place] / path),
    )  # fmt: skip


@blueprint.get("/artefacts/file/<place>/<path:path>")
def raw(place: str, path: str) -> Response:
    """Give a file, or a range of it: as an attachment, but for what a browser only plays or draws."""
    file = Kept(place, path)
    stream = open_kept(place, path, panel().settings)
    about = os.fstat(stream.fileno())
    is_played = file.played_as is not None and "download" not in request.args
    response = Response(wrap_file(request.environ, stream), direct_passthrough=True)
    response.mimetype = (is_played and file.played_as) or "application/octet-stream"
    response.headers.set("Content-Disposition", "inline" if is_played else "attachment", **_named(file.name))
    response.headers["Content-Security-Policy"] = _SANDBOX
    response.headers["Cache-Control"] = "private, no-cache"
    response.content_length = about.st_size
    response.last_modified = datetime.fromtimestamp(about.st_mtime, timezone.utc)
    response.set_etag(f"{about.st_mtime_ns:x}-{about.st_size:x}")
    try:
        response.make_conditional(request.environ, accept_ranges=True, complete_length=about.st_size)
    except RequestedRangeNotSatisfiable:
        stream.close()
        raise
    return response


def _named(name: str) -> dict[str, str]:
    """Return a file's name as the header of a download carries it."""
    plain = "".join(sign if sign.isascii() and sign.isprintable() and sign not in '"\\' else "_" for sign in name)
    return {"filename": plain} if plain == name else {"filename": plain, "filename*": f"UTF-8''{quote(name, safe='')}"}
