"""Who may do what: the link that signs in first, the password, API tokens, and the audit log.

A route needs `read` unless it says otherwise: `@public` needs nobody, `@needs("run")` a person or a token that may.
A person who is signed in may do everything. Whatever changes something and comes from a session needs a CSRF token.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    flash,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_babel import gettext as _
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_wtf import CSRFProtect
from werkzeug.wrappers import Response as AnyResponse

from services.accounts import SCOPES, SHORTEST_PASSWORD
from services.errors import ServiceError
from web.mistakes import wants_fragment, wants_json
from web.panel import panel
from web.presentation import LANGUAGES, THEMES

View = TypeVar("View", bound=Callable[..., Any])

blueprint = Blueprint("access", __name__, template_folder="templates")
csrf = CSRFProtect()
limiter = Limiter(get_remote_address, storage_uri="memory://", strategy="moving-window", headers_enabled=True)
_GUESSES = "8 per minute; 60 per hour"
_SESSION = "generation"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Actor:
    """Who asks: the person of a session, or a program with a token; and what they may do."""

    name: str
    scopes: frozenset[str]
    is_session: bool


def public(view: View) -> View:
    """Let anybody ask for a route."""
    view.derush_scope = None  # type: ignore[attr-defined]
    return view


def needs(scope: str) -> Callable[[View], View]:
    """Let only those ask for a route who have a scope."""

    def mark(view: View) -> View:
        view.derush_scope = scope  # type: ignore[attr-defined]
        return view

    return mark


def actor() -> Actor:
    """Return who asks; for routes that are not public."""
    found: Actor = g.actor
    return found


def audit(action: str, target: str = "", outcome: str = "done") -> None:
    """Write down what was done by whom."""
    who = g.actor.name if g.get("actor") else "nobody"
    panel().accounts.record(action, who, request.remote_addr or "", target, outcome)


@contextmanager
def audited(action: str, target: str = "", outcome: str = "done") -> Iterator[None]:
    """Write down what is done meanwhile by whom, or why it was refused."""
    try:
        yield
    except ServiceError as error:
        audit(action, target, f"refused: {error.code}")
        raise
    audit(action, target, outcome)


def guard() -> AnyResponse | None:
    """Before every request: find out who asks, and whether they may."""
    if request.endpoint == "static":
        return None
    g.actor = _find_actor()
    if request.endpoint is None:  # nothing is at this address, or under this name of the server
        return None
    scope = _scope_wanted()
    if scope is None:
        if request.method not in _SAFE:
            csrf.protect()
        return None
    if g.actor is None:
        if wants_json() or request.headers.get("Authorization"):
            abort(401)
        if wants_fragment():
            return Response(status=204, headers={"HX-Redirect": url_for("access.login")})
        return redirect(url_for("access.login", next=request.full_path.rstrip("?")))
    if scope not in g.actor.scopes:
        audit(f"{request.method} {request.path}", scope, "refused: the token lacks the scope")
        abort(403)
    if g.actor.is_session and request.method not in _SAFE:
        csrf.protect()
    return None


def _scope_wanted() -> str | None:
    view = current_app.view_functions[request.endpoint or ""]
    scope: str | None = getattr(view, "derush_scope", "read")
    return scope


def _find_actor() -> Actor | None:
    kind, _space, word = request.headers.get("Authorization", "").partition(" ")
    if kind:
        token = panel().accounts.token_of(word.strip()) if kind.lower() == "bearer" else None
        if token is None:
            return None
        highest = max(SCOPES.index(scope) for scope in token.scopes)
        return Actor(f"token {token.name}", frozenset(SCOPES[: highest + 1]), is_session=False)
    if hmac.compare_digest(str(session.get(_SESSION, "")), panel().accounts.generation):
        return Actor("you", frozenset(SCOPES), is_session=True)
    return None


def _sign_in() -> None:
    """Begin a session that has nothing of the one before."""
    session.clear()
    session[_SESSION] = panel().accounts.generation
    session.permanent = True


@blueprint.get("/login")
@public
def login() -> AnyResponse | str:
    """Show the form that asks for the password."""
    return redirect(url_for("home.index")) if g.actor else _login_page(request.args.get("next", ""))


@blueprint.post("/login")
@public
@limiter.limit(_GUESSES)
def sign_in() -> AnyResponse | tuple[str, int]:
    """Sign in with the password."""
    if not panel().accounts.check_password(request.form.get("password", "")):
        audit("sign in", outcome="refused: wrong password")
        flash(_("That is not the password."), "bad")
        return _login_page(request.form.get("next", "")), 401
    _sign_in()
    g.actor = _find_actor()
    audit("sign in")
    return redirect(local_path(request.form.get("next")) or url_for("home.index"))


@blueprint.get("/link/<word>")
@public
@limiter.limit(_GUESSES)
def link(word: str) -> AnyResponse | tuple[str, int]:
    """Sign in with the link that `derush serve` printed; it works once."""
    if not panel().accounts.use_link(word):
        audit("sign in by link", outcome="refused: not the link, or used already")
        flash(_("This link was used already, or is another one's. Start `derush serve` again for a new one."), "bad")
        return _login_page(), 401
    _sign_in()
    g.actor = _find_actor()
    audit("sign in by link")
    return redirect(url_for("home.index" if panel().accounts.has_password else "access.first_password"))


@blueprint.get("/password")
def first_password() -> str:
    """Show the form that sets or changes the password."""
    return _password_page()


@blueprint.post("/password")
@needs("admin")
@limiter.limit(_GUESSES)
def set_password() -> AnyResponse | tuple[str, int]:
    """Set the password, or change it with the present one. Other sessions are over."""
    accounts = panel().accounts
    problem = None
    if accounts.has_password and not accounts.check_password(request.form.get("present", "")):
        problem = _("That is not the present password.")
    elif request.form.get("password", "") != request.form.get("again", ""):
        problem = _("The two new passwords differ.")
    else:
        try:
            accounts.set_password(request.form.get("password", ""))
        except ServiceError:
            problem = _("A password has %(shortest)d characters or more.", shortest=SHORTEST_PASSWORD)
    if problem:
        audit("set password", outcome=f"refused: {problem}")
        flash(problem, "bad")
        return _password_page(), 400
    audit("set password")
    _sign_in()
    flash(_("The password is set. Other browsers must sign in again."), "good")
    return redirect(url_for("home.index"))


@blueprint.post("/logout")
@public
def logout() -> AnyResponse:
    """End the session."""
    if g.actor:
        audit("sign out")
    session.clear()
    return redirect(url_for("access.login"))


@blueprint.post("/preferences")
@public
def preferences() -> AnyResponse:
    """Remember the language and the theme of this browser, and go back."""
    answer = redirect(local_path(request.form.get("next")) or url_for("home.index"))
    for name, accepted in (("language", LANGUAGES), ("theme", THEMES)):
        if (chosen := request.form.get(name, "")) in accepted:
            answer.set_cookie(name, chosen, max_age=31_536_000, samesite="Lax", httponly=True)
    return answer


def _login_page(next_path: str = "") -> str:
    return render_template("access/login.html", has_password=panel().accounts.has_password, next=next_path)


def _password_page() -> str:
    return render_template(
        "access/password.html", has_password=panel().accounts.has_password, shortest=SHORTEST_PASSWORD
    )


def local_path(text: str | None) -> str | None:
    """Return a path of this server as it was given; None for anything that may lead elsewhere."""
    if not text or not text.startswith("/") or text.startswith(("//", "/\\")) or any(ord(char) < 32 for char in text):
        return None
    return text
