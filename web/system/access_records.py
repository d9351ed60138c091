"""The tokens that programs sign in with, and the log of what was done by whom."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from config.contract import Exit
from services.accounts import SCOPES
from services.errors import ServiceError
from services.executions import utc_now
from services.models import HIGHEST_BIG_INTEGER, HIGHEST_INTEGER
from web.access import audit, needs
from web.panel import panel
from web.system.base import blueprint

EXPIRIES = (30, 90, 365)
"""Days after which a token ends, as the form offers them."""
NEVER = "never"
AUDIT_PAGE = 100
_LONGEST_TEXT = 200


@blueprint.get("/tokens")
@needs("admin")
def tokens() -> ResponseReturnValue:
    """Show the tokens, and the form that makes one."""
    return _tokens()


@blueprint.post("/tokens")
@needs("admin")
def create_token() -> ResponseReturnValue:
    """Make a token; the answer is the only page that ever shows it."""
    name, scope = request.form.get("name", ""), request.form.get("scope", "")
    word = panel().accounts.create_token(name, [scope], _end(request.form.get("days", "")))
    audit("create token", name.strip())
    return _tokens(word)


@blueprint.post("/tokens/<int:token_id>/revoke")
@needs("admin")
def revoke_token(token_id: int) -> ResponseReturnValue:
    """End a token."""
    token = panel().accounts.revoke_token(min(token_id, HIGHEST_INTEGER))
    audit("revoke token", token.name)
    return redirect(url_for("system.tokens"))


def _end(days: str) -> str | None:
    """Return when a token ends that is made now; None for never. Raises ServiceError for days that were not offered."""
    if days == NEVER:
        return None
    if days not in map(str, EXPIRIES):
        raise ServiceError("bad_token", f"{days!r} is not one of the days offered.", "Choose one.", Exit.USAGE)
    return (datetime.now(timezone.utc) + timedelta(days=int(days))).isoformat()


def _tokens(word: str | None = None) -> str:
    return render_template(
        "system/tokens.html", tokens=panel().accounts.tokens(), word=word, scopes=SCOPES, expiries=(*EXPIRIES, NEVER),
        now=utc_now(),
    )  # fmt: skip


@blueprint.get("/audit")
@needs("admin")
def audit_log() -> ResponseReturnValue:
    """Show a page of the audit log, newest first: with `text` in any word, older than entry `before`."""
    text = request.args.get("text", "").strip()[:_LONGEST_TEXT]
    before = request.args.get("before", type=int)
    if before is not None and not 0 < before <= HIGHEST_BIG_INTEGER:
        before = None
    found = panel().accounts.audit_entries(AUDIT_PAGE + 1, before, text or None)
    older = found[AUDIT_PAGE - 1].id if len(found) > AUDIT_PAGE else None
    return render_template("system/audit.html", entries=found[:AUDIT_PAGE], text=text, before=before, older=older)
