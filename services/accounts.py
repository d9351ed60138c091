"""Who may use the panel: one person with a password, programs with tokens; and the audit log of what they did."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta, timezone

from sqlalchemy import Text, delete, insert, or_, select, type_coerce, update
from sqlalchemy.orm import Session
from werkzeug.security import check_password_hash, generate_password_hash

from config.contract import Exit
from services.database import Database
from services.errors import ServiceError
from services.executions import utc_now
from services.models import Account, AuditEntry, Token, storable

SCOPES = ("read", "run", "admin")
"""What a token may do: look; start, stop and steer runs and bring files; change the system. Each holds those before it."""
SHORTEST_PASSWORD = 10
_LONGEST_PASSWORD = 1024
_TOKEN_PREFIX = "derush_"
_USE_NOTED_AFTER = timedelta(minutes=1)
_ACCOUNT = 1


class Accounts:
    """The account, tokens and audit log in a database. Every method raises as `Database.begin` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def has_password(self) -> bool:
        """Whether a password was set."""
        return self._account().password_hash is not None

    @property
    def generation(self) -> str:
        """What a session must carry to be one of the present password."""
        return self._account().generation

    def set_password(self, password: str) -> None:
        """Set the password; sessions of the one before are over. Raises ServiceError bad_password."""
        if not SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD:
            raise ServiceError(
                "bad_password", f"A password has {SHORTEST_PASSWORD} characters or more.",
                "Take a longer one: a few words are easy to keep in mind.", Exit.USAGE,
            )  # fmt: skip
        self._change(password_hash=generate_password_hash(password), generation=secrets.token_hex(16), link_digest=None)

    def check_password(self, password: str) -> bool:
        """Tell whether this is the password; takes as long where none is set."""
        known = self._account().password_hash
        is_right = check_password_hash(known or _NO_PASSWORD, password[:_LONGEST_PASSWORD])
        return is_right and known is not None

    def new_link(self) -> str:
        """Return a word that signs in once; the one before is worth nothing any more."""
        word = secrets.token_urlsafe(24)
        self._change(link_digest=_digest(word))
        return word

    def use_link(self, word: str) -> bool:
        """Use up the word of `new_link`; tell whether it was right."""
        self._account()
        right = update(Account).where(Account.id == _ACCOUNT, Account.link_digest == _digest(word))
        with self._database.begin() as connection:
            return bool(connection.execute(right.values(link_digest=None)).rowcount)

    def create_token(self, name: str, scopes: Collection[str], expires_at: str | None = None) -> str:
        """Make a token and return it: it is kept as a hash and shown this once.

        `expires_at` is ISO 8601 with offset; None never. Raises ServiceError bad_token.
        """
        name = name.strip()
        if not 1 <= len(name) <= 100:
            raise _bad_token("A token has a name of 1 to 100 characters.", "Say who will use it.")
        if not scopes or not set(scopes) <= set(SCOPES):
            raise _bad_token("A token has at least one scope.", f"Choose among {', '.join(SCOPES)}.")
        expires = _utc(expires_at) if expires_at else None
        if expires and expires <= utc_now():
            raise _bad_token("That time is over already.", "Give a time to come.")
        word = _TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = {"name": name, "scopes": [scope for scope in SCOPES if scope in scopes], "digest": _digest(word),
               "created_at": utc_now(), "expires_at": expires}  # fmt: skip
        with self._database.begin() as connection:
            connection.execute(insert(Token), row)
        return word

    def revoke_token(self, token_id: int) -> Token:
        """End a token. Raises ServiceError no_such_token."""
        with self._database.begin() as connection:
            live = update(Token).where(Token.id == token_id, Token.revoked_at.is_(None))
            connection.execute(live.values(revoked_at=utc_now()))
        for token in self.tokens():
            if token.id == token_id:
                return token
        raise ServiceError("no_such_token", f"There is no token {token_id}.", "Reload the list of tokens.", Exit.USAGE)

    def tokens(self) -> list[Token]:
        """Return every token, newest first."""
        with self._database.reading() as connection, Session(connection) as session:
            return list(session.scalars(select(Token).order_by(Token.id.desc())))

    def token_of(self, word: str) -> Token | None:
        """Return the live token that a word is, and note its use; None for any other word."""
        now = utc_now()
        with self._database.reading() as connection, Session(connection) as session:
            found = session.scalars(select(Token).where(Token.digest == _digest(word))).first()
        if found is None or found.revoked_at or (found.expires_at and found.expires_at <= now):
            return None
        noted_before = (datetime.now(timezone.utc) - _USE_NOTED_AFTER).isoformat(timespec="microseconds")
        if (found.last_used_at or "") < noted_before:
            with self._database.begin() as connection:
                connection.execute(update(Token).where(Token.id == found.id).values(last_used_at=now))
        return found

    def record(self, action: str, who: str, address: str, target: str = "", outcome: str = "done") -> None:
        """Add to the audit log."""
        row = {"at": utc_now(), "who": who, "address": address, "action": action, "target": target, "outcome": outcome}
        with self._database.begin() as connection:
            connection.execute(insert(AuditEntry), row)

    def audit_entries(self, limit: int = 100, before: int | None = None, text: str | None = None) -> list[AuditEntry]:
        """Return entries of the audit log, newest first: those older than `before`, and with `text` in any word."""
        statement = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
        if before is not None:
            statement = statement.where(AuditEntry.id < before)
        if text:
            words = (AuditEntry.who, AuditEntry.address, AuditEntry.action, AuditEntry.target, AuditEntry.outcome)
            wanted = [type_coerce(column, Text).icontains(storable(text), autoescape=True) for column in words]
            statement = statement.where(or_(*wanted))
        with self._database.reading() as connection, Session(connection) as session:
            return list(session.scalars(statement))

    def forget_audit(self, before: str) -> int:
        """Drop the entries of the audit log that are older than a time; return how many."""
        with self._database.begin() as connection:
            return int(connection.execute(delete(AuditEntry).where(AuditEntry.at < before)).rowcount)

    def _account(self) -> Account:
        with self._database.reading() as connection, Session(connection) as session:
            found = session.get(Account, _ACCOUNT)
        return found or self._first()

    def _first(self) -> Account:
        """Make the account's row, unless another process just did."""
        with self._database.begin() as connection, Session(connection) as session:
            found = session.get(Account, _ACCOUNT)
            if found is None:
                found = Account(id=_ACCOUNT, generation=secrets.token_hex(16))
                row = {"id": found.id, "generation": found.generation}
                connection.execute(insert(Account), row)
            return found

    def _change(self, **values: str | None) -> None:
        self._account()
        with self._database.begin() as connection:
            connection.execute(update(Account).where(Account.id == _ACCOUNT).values(**values))


_NO_PASSWORD = generate_password_hash(secrets.token_hex(16))


def _digest(word: str) -> str:
    return hashlib.sha256(word.encode("utf-8", "surrogatepass")).hexdigest()


def _bad_token(message: str, remedy: str) -> ServiceError:
    return ServiceError("bad_token", message, remedy, Exit.USAGE)


def _utc(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        raise _bad_token(f"{text!r} is not a time.", "Write it like 2027-01-31T12:00:00+01:00.") from None
