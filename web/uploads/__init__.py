"""Uploads by tus 1.0.0 (https://tus.io/protocols/resumable-upload), for browsers and for programs with a token.

Core, creation, creation-with-upload, expiration, checksum, termination. Once a file is whole, `Derush-Input` says what
to give to a run: the path of the file or of the folder that was dropped, percent-encoded UTF-8.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, abort, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import ClientDisconnected
from werkzeug.http import http_date

from config.contract import Exit
from services.errors import ServiceError
from services.upload_places import CHECKSUMS
from services.uploads import Upload, Uploads
from web import mistakes
from web.access import audit, needs
from web.panel import panel
from web.sse import is_closing
from web.uploads import headers

blueprint = Blueprint("uploads", __name__, template_folder="templates")
VERSION = "1.0.0"
EXTENSIONS = ("creation", "creation-with-upload", "expiration", "checksum", "termination")
MEDIA_TYPE = "application/offset+octet-stream"
SILENCE_SECONDS = 60.0
"""A client that sends nothing for so long is taken for gone; it may go on with another request."""
_BLOCK = 1 << 20
_DISCARDED_BLOCKS = 64
"""How much of a piece that is refused is read all the same: a browser hears the reason only once it has sent it."""
_STATUS = {
    "no_such_upload": 404, "upload_expired": 410, "wrong_tus_version": 412, "upload_too_large": 413,
    "wrong_media_type": 415, "upload_busy": 423, "wrong_checksum": 460, "disk_full": 507, "uploads_not_writable": 507,
}  # fmt: skip


@blueprint.url_value_preprocessor
def _take_large_bodies(_endpoint: str | None, _values: dict[str, Any] | None) -> None:
    # Before anything looks at the request: what reads its form, as the CSRF check does, would refuse a body this large.
    request.max_content_length = sys.maxsize


@blueprint.before_request
def _require_version() -> None:
    if request.method != "OPTIONS" and request.headers.get("Tus-Resumable") != VERSION:
        remedy = f"Send the header Tus-Resumable: {VERSION}."
        raise ServiceError("wrong_tus_version", f"Uploads are taken by tus {VERSION}.", remedy, Exit.USAGE)


@blueprint.after_request
def _say_version(response: Response) -> Response:
    response.headers["Tus-Resumable"] = response.headers["Tus-Version"] = VERSION
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.errorhandler(ServiceError)
def _refuse(error: ServiceError) -> Response:
    for _block in islice(_blocks(), _DISCARDED_BLOCKS):
        pass
    status = _STATUS.get(error.code, mistakes.status_of(error))
    return mistakes.answer(status, error.code, error.message, error.remedy)


@blueprint.route("/uploads", methods=["OPTIONS"], provide_automatic_options=False)
@blueprint.route("/uploads/<upload_id>", methods=["OPTIONS"], provide_automatic_options=False)
def offer(**_upload: str) -> ResponseReturnValue:
    """Say what this server can do."""
    offered = {
        "Tus-Extension": ",".join(EXTENSIONS),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
        "Tus-Max-Size": str(_uploads().largest),
    }
    return "", 204, offered


@blueprint.post("/uploads", provide_automatic_options=False)
@needs("run")
def create() -> ResponseReturnValue:
    """Begin an upload, with its first bytes where the request brings some."""
    announced = headers.announced(request.headers, f"{datetime.now(timezone.utc):%Y-%m-%d}")
    brings_bytes = bool(request.content_length) or "Transfer-Encoding" in request.headers
    if brings_bytes:
        _require_media_type()
    upload = _uploads().create(announced)
    if brings_bytes:
        try:
            upload = _append(upload.id, 0)
        except ServiceError:
            _uploads().remove(upload.id)  # whoever is refused does not learn where it is
            raise
    elif upload.path:
        audit("upload", str(upload.path))
    response = _state(upload, 201)
    response.headers["Location"] = url_for("uploads.look", upload_id=upload.id)
    return response


@blueprint.route("/uploads/<upload_id>", methods=["HEAD"], provide_automatic_options=False)
@needs("run")
def look(upload_id: str) -> ResponseReturnValue:
    """Say how much of an upload has arrived."""
    upload = _uploads().look(upload_id)
    response = _state(upload, 200)
    response.headers["Upload-Length"] = str(upload.announced.length)
    if upload.announced.metadata:
        response.headers["Upload-Metadata"] = upload.announced.metadata
    return response


@blueprint.patch("/uploads/<upload_id>", provide_automatic_options=False)
@needs("run")
def append(upload_id: str) -> ResponseReturnValue:
    """Take a piece of an upload."""
    _require_media_type()
    return _state(_append(upload_id, headers.whole_number(request.headers, "Upload-Offset")), 204)


@blueprint.delete("/uploads/<upload_id>", provide_automatic_options=False)
@needs("run")
def remove(upload_id: str) -> ResponseReturnValue:
    """Take an upload back, whole or not."""
    upload = _uploads().remove(upload_id)
    audit("take upload back", str(upload.path or upload.announced.name))
    return "", 204


@blueprint.post("/uploads/<upload_id>", provide_automatic_options=False)
@needs("run")
def override(upload_id: str) -> ResponseReturnValue:
    """Stand in for the methods that some programs cannot send, by X-HTTP-Method-Override."""
    meant = {"HEAD": look, "PATCH": append, "DELETE": remove}.get(request.headers.get("X-HTTP-Method-Override", ""))
    return meant(upload_id) if meant else abort(405)


def _uploads() -> Uploads:
    return Uploads(panel().settings)


def _append(upload_id: str, offset: int) -> Upload:
    checksum = headers.checksum(request.headers)
    upload = _uploads().append(upload_id, offset, _blocks(), request.content_length, checksum)
    if upload.path and offset < upload.offset:
        audit("upload", str(upload.path))
    return upload


def _require_media_type() -> None:
    if request.content_type != MEDIA_TYPE:
        message = "The bytes of an upload have a type of their own."
        raise ServiceError("wrong_media_type", message, f"Send them with Content-Type: {MEDIA_TYPE}.", Exit.USAGE)


def _blocks() -> Iterator[bytes]:
    """Yield the body block by block: to its end, or until the client is gone or silent, or this server closes."""
    connection = request.environ.get("gunicorn.socket")
    if connection:
        connection.settimeout(SILENCE_SECONDS)
    try:
        while not is_closing() and (block := request.stream.read(_BLOCK)):
            yield block
    except (OSError, ClientDisconnected):
        return
    finally:
        if connection:
            connection.settimeout(None)


def _state(upload: Upload, status: int) -> Response:
    response = Response(status=status)
    response.headers["Upload-Offset"] = str(upload.offset)
    if upload.expires:
        response.headers["Upload-Expires"] = http_date(upload.expires)
    if upload.input_path:
        response.headers["Derush-Input"] = quote(str(upload.input_path))
    return response
