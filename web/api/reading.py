"""An OpenAPI document made readable: routes by section, schemas as lists of fields, commands to try them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")
_DEEPEST = 4
_EXAMPLES: Mapping[str, Any] = {"string": "…", "integer": 1, "number": 1.0, "boolean": False, "object": {}, "array": []}


@dataclass(frozen=True)
class Field:
    """A field of what is sent or answered; `depth` is how far it stands inside others."""

    name: str
    type: str
    about: str
    is_required: bool
    depth: int = 0


@dataclass(frozen=True)
class Operation:
    """A route with a method: the scope it asks for, what it takes, what it gives, and a command that asks for it."""

    id: str
    method: str
    path: str
    scope: str
    summary: str
    about: str
    parameters: tuple[Field, ...]
    body_about: str
    body: tuple[Field, ...]
    answers: tuple[tuple[str, str, tuple[Field, ...]], ...]
    command: str


@dataclass(frozen=True)
class Section:
    """Routes that belong together."""

    name: str
    about: str
    operations: tuple[Operation, ...]


def sections(document: Mapping[str, Any], origin: str) -> list[Section]:
    """Return what a document says, in its order; commands go to `origin`."""
    reader = _Reader(document.get("components", {}).get("schemas", {}), origin)
    found = [
        (operation["tags"][0], reader.operation(method, path, operation))
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in _METHODS
    ]
    return [
        Section(tag["name"], tag.get("description", ""), tuple(each for name, each in found if name == tag["name"]))
        for tag in document.get("tags", [])
    ]


class _Reader:
    """Reads operations, looking their schemas up."""

    def __init__(self, schemas: Mapping[str, Any], origin: str) -> None:
        self._schemas = schemas
        self._origin = origin

    def operation(self, method: str, path: str, said: Mapping[str, Any]) -> Operation:
        parameters = said.get("parameters", [])
        body = said.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        return Operation(
            id=said["operationId"],
            method=method.upper(),
            path=path,
            scope=said["security"][0]["token"][0],
            summary=said.get("summary", ""),
            about=said.get("description", "").replace("<br/>", " ").strip(),
            parameters=tuple(map(self._parameter, parameters)),
            body_about=self._resolved(body).get("description", "") if body else "",
            body=tuple(self._fields(body)) if body else (),
            answers=tuple(self._answers(said.get("responses", {}))),
            command=self._command(method, path, parameters, body),
        )

    def _parameter(self, said: Mapping[str, Any]) -> Field:
        where = {"path": "in the address", "query": "?…=", "header": "header"}[said["in"]]
        about = said.get("description") or self._resolved(said["schema"]).get("description", "")
        return Field(said["name"], f"{self._type(said['schema'])}, {where}", about, bool(said.get("required")))

    def _answers(self, responses: Mapping[str, Any]) -> Iterator[tuple[str, str, tuple[Field, ...]]]:
        for status, said in responses.items():
            if status.startswith("2"):
                kind, content = next(iter(said.get("content", {"": {}}).items()))
                schema = content.get("schema", {})
                about = self._resolved(schema).get("description", "") or said.get("description", "")
                yield status, about, tuple(self._fields(schema)) if kind == "application/json" else ()

    def _fields(self, schema: Mapping[str, Any], depth: int = 0) -> Iterator[Field]:
        resolved = self._resolved(schema)
        if resolved.get("type") == "array":
            resolved = self._resolved(resolved.get("items", {}))
        required = resolved.get("required", [])
        for name, said in resolved.get("properties", {}).items():
            yield Field(name, self._type(said), said.get("description", ""), name in required, depth)
            inner: Mapping[str, Any] = next((it for it in said.get("anyOf", [said]) if it.get("type") != "null"), {})
            if depth < _DEEPEST and self._resolved(inner).get("type") in {"array", "object"}:
                yield from self._fields(inner, depth + 1)

    def _type(self, schema: Mapping[str, Any]) -> str:
        if "anyOf" in schema:
            return " or ".join(self._type(each) for each in schema["anyOf"])
        if "enum" in schema:
            return " | ".join(map(str, schema["enum"]))
        if "const" in schema:
            return str(schema["const"])
        resolved = self._resolved(schema)
        if resolved.get("type") == "array":
            return f"list of {self._type(resolved.get('items', {}))}"
        bounds = [f"{sign} {resolved[key]:g}" for key, sign in (("minimum", "≥"), ("maximum", "≤")) if key in resolved]
        return " ".join([resolved.get("type", "anything"), *bounds])

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        name = schema.get("$ref", "").rpartition("/")[2]
        found: Mapping[str, Any] = self._schemas.get(name, {}) if name else schema
        return found

    def _command(self, method: str, path: str, parameters: list[Mapping[str, Any]], body: Any) -> str:
        """Write how curl asks for it, with what must be there."""
        for each in parameters:
            if each["in"] == "path":
                path = path.replace("{" + each["name"] + "}", each["name"].upper())
        wanted = [each["name"] for each in parameters if each["in"] == "query" and each.get("required")]
        address = self._origin + path + ("?" + "&".join(f"{name}=…" for name in wanted) if wanted else "")
        words = ["curl", "-H", "Authorization: Bearer $TOKEN"]
        words += ["-X", method.upper()] if method != "get" else []
        if body:
            words += ["-H", "Content-Type: application/json", "-d", json.dumps(self._example(body), ensure_ascii=False)]
        return " ".join(_quoted(word) for word in [*words, address])

    def _example(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        resolved = self._resolved(schema)
        if "example" in resolved:
            return dict(resolved["example"])
        required = resolved.get("required", [])
        said = {name: each for name, each in resolved.get("properties", {}).items() if name in required}
        return {name: each.get("enum", [_EXAMPLES.get(each.get("type", ""), "…")])[0] for name, each in said.items()}


def _quoted(word: str) -> str:
    """Quote a word for a shell; a variable in it is to be filled in."""
    return f'"{word}"' if "$" in word else shlex.quote(word)
