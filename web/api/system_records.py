"""What the API takes and tells of the system."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from services.models import HIGHEST_BIG_INTEGER, HIGHEST_INTEGER
from web.api.common import Body, Input, OptionalBody, Output, Text

Scope = Literal["read", "run", "admin"]


class Me(Output):
    """Who asks, and what he may do."""

    name: str
    scopes: list[Scope]


class Gpu(Output):
    """An NVIDIA GPU; null what it does not tell. Memory is in bytes, temperature in °C."""

    name: str
    utilisation: int | None
    memory_used: int | None
    memory_total: int | None
    temperature: int | None


class Disk(Output):
    """A disk that holds places of the settings, in bytes. `is_low`: less is free than DISK_WARNING_GB."""

    places: list[str]
    path: str
    free: int
    total: int
    is_low: bool
    is_missing: bool


class MachineOut(Output):
    """The machine a moment ago. `load` is the length of the run queue over 1, 5 and 15 minutes."""

    at: str
    cores: int
    cpu_percent: float
    load: list[float]
    memory_used: int
    memory_total: int
    gpus: list[Gpu]
    disks: list[Disk]


class JobOut(Output):
    """The last job on an environment, or on the models. `log` is its path below LOGS_DIR, without the folder `system`."""

    subject: str
    command: str
    status: str
    started_at: str
    ended_at: str | None
    exit_code: int | None
    log: str


class Package(Output):
    """A package that an environment is wanted for; `version` is null when it is not there."""

    name: str
    version: str | None


class EnvironmentOut(Output):
    """A virtual environment: built, outdated or missing; the steps that run under it; its bytes, null until added up."""

    name: str
    about: str
    root: str
    state: str
    python: str | None
    steps: list[str]
    packages: list[Package]
    size: int | None
    is_home: bool
    job: JobOut | None


class Environments(Output):
    """The environments."""

    environments: list[EnvironmentOut]


class ModelOut(Output):
    """A model file: good, missing or damaged."""

    name: str
    about: str
    step: str
    licence: str
    path: str
    bytes: int
    sha256: str
    state: str
    problem: str | None


class Models(Output):
    """The models, and the last job on them."""

    models: list[ModelOut]
    job: JobOut | None


class CheckOut(Output):
    """One thing that was looked at: good, warning or missing; what was found, and what to do about it."""

    what: str
    state: str
    found: str
    remedy: str


class Doctor(Output):
    """What `derush doctor` found when it was asked last. `error` says why it found nothing, if so."""

    checks: list[CheckOut]
    at: str | None
    is_working: bool
    error: str | None


class TokenOut(Output):
    """A token, without the word itself. Times are UTC, ISO 8601 with offset."""

    id: int
    name: str
    scopes: list[str]
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None


class Tokens(Output):
    """The tokens, newest first."""

    tokens: list[TokenOut]


class NewToken(Body):
    """A token to make: who will use it, what it may do, until when (null: for good)."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00]*\S[^\x00]*$")]
    scope: Scope
    expires_at: Annotated[AwareDatetime, Field(strict=False)] | None = None


class MadeToken(Output):
    """A token that was made. This answer is the only one that ever tells it."""

    token: str


class AuditQuery(Input):
    """Which entries: with `text` in any word, older than the entry `before`."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    before: Annotated[int, Field(ge=1, le=HIGHEST_BIG_INTEGER)] | None = None
    text: Text | None = None


class AuditOut(Output):
    """Who did what, from where, to what, and how it ended."""

    id: int
    at: str
    who: str
    address: str
    action: str
    target: str
    outcome: str


class Audit(Output):
    """Entries of the audit log, newest first. `next` is the `before` of the next page; null where nothing is left."""

    entries: list[AuditOut]
    next: int | None


class EnvironmentPath(Input):
    """The name of an environment."""

    name: Text


class FetchBody(OptionalBody):
    """The model to fetch; null: all that are missing or damaged."""

    name: Text | None = None


class TokenPath(Input):
    """The number of a token."""

    token_id: Annotated[int, Field(ge=1, le=HIGHEST_INTEGER)]
