"""What every part of the API shares: how it is declared, how bodies are read, how answers and errors are written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from flask import Request, Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from werkzeug.exceptions import UnsupportedMediaType

from config.contract import Exit
from services.errors import ServiceError
from services.models import HIGHEST_BIG_INTEGER
from services.responses import Status
from services.statuses import STATUSES
from web.presentation import readable

PREFIX = "/api/v1"
Row = TypeVar("Row")
Text = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
Position = Annotated[int, Field(ge=0, le=HIGHEST_BIG_INTEGER)]


def _known_status(text: str) -> str:
    if text not in STATUSES:
        raise ValueError(f"there is no status {text!r}")
    return text


KnownStatus = Annotated[Status, AfterValidator(_known_status)]


class Input(BaseModel):
    """What comes in: nothing in it is ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Body(Input):
    """What comes in as JSON: nothing in it is converted, either."""

    model_config = ConfigDict(strict=True)


class OptionalBody(Body):
    """A body that may be left out."""

    model_config = ConfigDict(openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]


class Output(BaseModel):
    """What goes out: made of rows and records, and checked against what is declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True, allow_inf_nan=False)


class Problem(Output):
    """What went wrong, and what to do about it."""

    code: str
    message: str
    remedy: str


class Mistake(Output):
    """The answer to every request that is not carried out."""

    error: Problem


class Nothing(Output):
    """Carried out, and there is nothing to tell."""


ERRORS: dict[str | int, Any] = dict.fromkeys((400, 401, 403, 404, 409, 413, 415, 503), Mistake)


def stream_of(about: str, *names: str) -> dict[str, Any]:
    """Declare an answer that is a stream of server-sent events of these names."""
    fields = {"id": {"type": "string"}, "event": {"type": "string", "enum": list(names)}, "data": {"type": "string"}}
    schema = {"type": "object", "properties": fields}
    return {"description": about, "content": {"text/event-stream": {"schema": schema}}}


def section(name: str, about: str, prefix: str = PREFIX) -> APIBlueprint:
    """Return a part of the API: its routes are declared with every error, and need a session or a token."""
    return APIBlueprint(
        f"api_{name}", __name__, url_prefix=prefix, abp_tags=[Tag(name=name, description=about)],
        abp_responses=ERRORS, abp_security=[{"token": []}, {"session": []}],
    )  # fmt: skip


def answer(model: BaseModel, status: int = 200) -> Response:
    """Answer with a model. A file's name that is no UTF-8 is told as well as it can be: not every program takes the rest."""
    text = json.dumps(model.model_dump(by_alias=True), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(readable(text), status, mimetype="application/json")


def first_of(found: Sequence[Row], most: int) -> tuple[Sequence[Row], Row | None]:
    """Return the first of what was found, and the last of these where there is more: the next page goes on after it."""
    shown = found[:most]
    return shown, shown[-1] if len(found) > len(shown) else None


def as_json(value: Any) -> Any:
    """Return a record as JSON can hold it: paths as text, and null for the numbers that JSON does not have."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: as_json(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


class StrictRequest(Request):
    """A request whose JSON is read as strictly as the API says; no body is an empty object."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Return the body. Raises UnsupportedMediaType and ServiceError bad_json, whatever `silent` says."""
        if not self.path.startswith(f"{PREFIX}/"):
            return super().get_json(force, silent, cache)
        content = self.get_data(cache=cache)
        if not content:
            return {}
        if self.mimetype != "application/json":
            raise UnsupportedMediaType
        try:
            value = json.loads(content, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise _bad_json("The body is not JSON.") from None
        if not isinstance(value, dict):
            raise _bad_json("The body is no JSON object.")
        return value


def _no_number(_name: str) -> None:
    raise ValueError


def _bad_json(message: str) -> ServiceError:
    return ServiceError("bad_json", message, "Send one JSON object in UTF-8, without NaN and Infinity.", Exit.USAGE)
