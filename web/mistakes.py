"""What a person is told: that something was done, or what went wrong (on a page, or as JSON) and what to do next."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, current_app, flash, jsonify, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, SecurityError

from config.contract import Exit
from services.errors import ServiceError
from web.sayings import saying


def init_app(app: Flask) -> None:
    """Answer errors in this panel's own way."""
    app.register_error_handler(ServiceError, _service_error)
    app.register_error_handler(CSRFError, _csrf_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _bug)


def status_of(error: ServiceError) -> int:
    """Return the HTTP status that fits an error."""
    if error.code.startswith("no_such_"):
        return 404
    if error.code in {"database_locked", "no_database", "disk_full"}:
        return 503
    return 400 if error.exit_code == Exit.USAGE else 409


def answer(status: int, code: str, message: str, remedy: str) -> Response:
    """Say what went wrong in the form that was asked for."""
    said = {"code": code, "message": message, "remedy": remedy}
    if wants_json():
        response = jsonify({"error": said if request.path.startswith("/api/") else _in_words(said)})
    elif wants_fragment():
        response = make_response(render_template("_message.html", said=saying(said)))
        response.headers["HX-Retarget"] = "#messages"
        response.headers["HX-Reswap"] = "beforeend"
    else:
        response = make_response(render_template("mistake.html", status=status, said=saying(said)))
    response.status_code = status
    return response


def _in_words(error: Mapping[str, str]) -> dict[str, str]:
    """Return an error as the panel's own scripts show it: in the reader's language, with the original as `detail`."""
    said = saying(error)
    words = {"code": said.code, "message": said.message, "remedy": said.remedy}
    return {**words, "detail": said.original} if said.original else words


def done(said: str, url: str) -> ResponseReturnValue:
    """Say that something was done: on the page that asked, or without scripts on the one at `url`."""
    if wants_fragment():
        return render_template("_said.html", said=said)
    flash(said, "good")
    return redirect(url, 303)


def wants_json() -> bool:
    """Tell whether whoever asks reads JSON rather than pages."""
    if request.path.startswith("/api/") or request.path.startswith("/uploads"):
        return True
    best = request.accept_mimetypes.best_match(["text/html", "application/json"], "text/html")
    return best == "application/json"


def wants_fragment() -> bool:
    """Tell whether a script asks, which puts a part of a page in its place."""
    return "HX-Request" in request.headers


def _service_error(error: ServiceError) -> Response:
    return answer(status_of(error), error.code, error.message, error.remedy)


def _csrf_error(_error: CSRFError) -> Response:
    message = "The page was not one of this session's, so nothing was done."
    return answer(400, "csrf", message, "Reload the page and try again.")


def _http_error(error: HTTPException) -> Any:
    if isinstance(error, SecurityError):  # not even the address of a page can be written under a name that is not ours
        said = "This server is not reached by that name: add it to PANEL_HOSTS.\n"
        return Response(said, status=400, mimetype="text/plain")
    status = error.code or 500
    if status < 400:
        return error
    code, message = _messages().get(status, ("http_error", str(error.description)))
    made = answer(status, code, message, _remedies().get(status, ""))
    kept = {name: value for name, value in error.get_headers() if name.lower() in {"allow", "retry-after"}}
    made.headers.extend(kept)
    if status == 401:
        made.headers["WWW-Authenticate"] = 'Bearer realm="derush"'
    return made


def _messages() -> dict[int, tuple[str, str]]:
    return {
        400: ("bad_request", _("The request was not understood.")),
        401: ("not_signed_in", _("Sign in first, or send a token that is not over: `Authorization: Bearer …`.")),
        403: ("not_allowed", _("The token may not do this.")),
        404: ("not_found", _("There is nothing at this address.")),
        405: ("not_allowed_here", _("This address does not take that method.")),
        413: ("too_large", _("That was too large for a form.")),
        415: ("not_json", _("What was sent is not declared as JSON.")),
        429: ("too_many_tries", _("Too many tries.")),
    }


def _remedies() -> dict[int, str]:
    return {
        400: _("Go back, reload the page and try again."),
        401: _("Sign in, or make a token on the System page."),
        403: _("Use a token with a wider scope: they are made on the System page."),
        404: _("Begin anew on the first page."),
        405: _("The header `Allow` says which it takes; /api/v1/docs shows what there is."),
        413: _("Send less at once. Files are uploaded on the page Workflow, or at /uploads."),
        415: _("Send the header `Content-Type: application/json`."),
        429: _("Wait a minute, then try again."),
    }


def _bug(error: Exception) -> Response:
    number = secrets.token_hex(4)
    current_app.logger.error("mistake %s at %s %s", number, request.method, request.path, exc_info=error)
    message = f"A mistake in Derush itself, number {number}. Runs are not affected."
    return answer(500, "bug", message, "Please report it with the panel's log, which holds that number.")
