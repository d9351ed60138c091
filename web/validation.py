"""What is wrong with what was sent, in one sentence."""

from __future__ import annotations

from pydantic import ValidationError

from config.contract import Exit
from services.errors import ServiceError

_MOST = 5
_LONGEST = 500


def wrong_input(error: ValidationError) -> ServiceError:
    """Return what a model says of wrong input as an error that a person can do something about."""
    said = [f"{_place(each['loc'])}{each['msg']}" for each in error.errors(include_input=False, include_url=False)]
    more = f"; and {len(said) - _MOST} more" if len(said) > _MOST else ""
    message = f"{'; '.join(said[:_MOST])}{more}."
    shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in message[:_LONGEST])
    return ServiceError("wrong_input", shown, "Correct it: /api/v1/docs says what is accepted.", Exit.USAGE)


def _place(location: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, location))}: " if location else ""
