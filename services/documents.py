"""YAML files that people write: read strictly, held against a model, every mistake named with line and remedy."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from config.contract import Exit
from services.errors import ServiceError
from services.yaml_nodes import Location, WrongYaml, compose, line_of, plain

LARGEST = 1_000_000
"""Bytes a document may have."""
_MOST_NAMES = 20
_LONGEST_MESSAGE = 300
_WANTED = {
    "string_type": "text", "bool_type": "true or false", "int_type": "a whole number",
    "int_from_float": "a whole number", "float_type": "a number", "finite_number": "a number",
    "tuple_type": "a list", "model_type": "keys with values",
    "dict_type": "keys with values",
}  # fmt: skip
Found = TypeVar("Found", bound=BaseModel)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a document: where (keys and numbers from its top), in words, and what mends it."""

    at: Location
    message: str
    remedy: str

    def error(self) -> PydanticCustomError:
        """Return it as a model's validator raises it."""
        context = {"message": self.message, "at": self.at, "remedy": self.remedy}
        return PydanticCustomError("problem", "{message}", context)


class Strict(BaseModel):
    """A part of a document: nothing in it is guessed, converted or ignored."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _knows_its_keys(cls, data: Any) -> Any:
        accepted = [field.alias or name for name, field in cls.model_fields.items()]
        for key in data if isinstance(data, dict) else ():
            if key not in accepted:
                raise Problem((key,), f"unknown key `{key}`", did_you_mean(key, accepted, "Accepted here")).error()
        return data


def did_you_mean(text: str, known: Iterable[str], lead: str) -> str:
    """Return a remedy that names what is known, and first what was probably meant."""
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(text.casefold()[:100], by_folded, 1)
    meant = f"Did you mean `{by_folded[near[0]]}`? " if near else ""
    listed = ", ".join([*by_folded.values()][:_MOST_NAMES]) + (", …" if len(by_folded) > _MOST_NAMES else "")
    return f"{meant}{lead}: {listed}."


def read_document(path: Path, model: type[Found], schema: str, check: Callable[[Found], Problem | None]) -> Found:
    """Read a YAML file into a model, then look at it with `check`.

    Raises ServiceError, with the file, the line and a remedy, for whatever is wrong with it.
    """
    try:
        node = compose(_text(path), f"Begin it with `schema: {schema}`.")
        data = plain(node)
        problem: Problem | None = _schema_problem(data, schema)
        if not problem:
            found = model.model_validate(data)
            problem = check(found)
    except WrongYaml as wrong:
        raise _refused(f"{path}:{wrong.line}", wrong.message, wrong.remedy) from None
    except ValidationError as error:
        problems = [_problem(details) for details in error.errors()]
        problem = min(problems, key=lambda each: line_of(node, each.at))
    if problem:
        raise _refused(f"{path}:{line_of(node, problem.at)}", problem.message, problem.remedy)
    return found


def check_data(data: object, model: type[Found], schema: str, check: Callable[[Found], Problem | None]) -> Found:
    """Make a model of what came as JSON, then look at it with `check`. Raises ServiceError with the place and a remedy."""
    problem: Problem | None = _schema_problem(data, schema)
    try:
        if not problem:
            found = model.model_validate(data)
            problem = check(found)
    except ValidationError as error:
        problem = _problem(error.errors()[0])
    if problem:
        raise _refused(".".join(map(str, problem.at)) or schema, problem.message, problem.remedy)
    return found


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise _refused(str(path), f"it cannot be read ({error.strerror})", "Check the path.") from None
    if len(content) > LARGEST:
        remedy = "Split it, or name folders instead of their files."
        raise _refused(f"{path}:1", f"the file is larger than {LARGEST / 1e6:.0f} MB", remedy)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _refused(f"{path}:{line}", "this is not UTF-8 text", "Save it as UTF-8.") from None


def _schema_problem(data: Any, schema: str) -> Problem | None:
    remedy = f"A {schema.partition('/')[0]} file begins with `schema: {schema}`."
    if not isinstance(data, dict):
        return Problem((), "keys with values are wanted", remedy)
    if "schema" not in data:
        return Problem((), "`schema` is missing", remedy)
    if data["schema"] != schema:
        return Problem(("schema",), f"`schema` is {_shown(data['schema'])}, not {schema}", remedy)
    return None


def _problem(details: ErrorDetails) -> Problem:
    """Return what a model says of a document in our words."""
    at, kind, context = details["loc"], details["type"], details.get("ctx", {})
    key = next((f"`{part}`" for part in reversed(at) if isinstance(part, str)), "this")
    if kind == "problem":
        return Problem((*at, *context["at"]), context["message"], context["remedy"])
    if kind == "missing":
        return Problem(at, f"{key} is missing", f"Add {key}.")
    if wanted := _WANTED.get(kind):
        remedy = "Put it in quotes." if wanted == "text" else f"Give {wanted}."
        return Problem(at, f"{key} should be {wanted}, not {_shown(details['input'])}", remedy)
    said = details["msg"].partition(" should ")[2]
    return Problem(at, f"{key} is {_shown(details['input'])}", f"It should {said}.")


def _shown(value: Any) -> str:
    """Return a value as a person would have written it, in few words."""
    if isinstance(value, Mapping):
        return "keys with values"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    return repr(value)[:60]


def _refused(where: str, message: str, remedy: str) -> ServiceError:
    shown = "".join(sign if sign.isprintable() else "�" for sign in message[:_LONGEST_MESSAGE])
    return ServiceError("wrong_document", f"{where}: {shown}.", remedy, Exit.USAGE)
