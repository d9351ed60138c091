"""The settings as a person may see them: what holds now, where it comes from, and never a secret."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from pydantic import BaseModel, ConfigDict

from config.settings import Settings, SettingsError, load_settings, origins

_CREDENTIALS = re.compile(r"(?<=//)[^/@\s]+@")


class ShownSetting(BaseModel):
    """A setting: its value and default as text, empty where it is not set; `origin` is environment, file or default.

    Of a secret `value` is empty and `is_set` tells whether there is one. `next_value` is what a process that begins now
    reads, where that is something else: the `.env` file was changed since.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str
    value: str
    default: str
    origin: str
    is_secret: bool
    is_set: bool
    next_value: str | None


class ShownSettings(BaseModel):
    """The settings in the order they are declared. `problem` says what is wrong with them as they stand now, if anything is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: list[ShownSetting]
    problem: str | None


def settings_now(settings: Settings) -> ShownSettings:
    """Return the settings of this process beside those that a process would read that begins now."""
    problem, later = None, settings
    try:
        later = load_settings()
    except SettingsError as error:
        problem = str(error)
    return ShownSettings(settings=shown_settings(settings, later), problem=problem)


def shown_settings(settings: Settings, later: Settings) -> list[ShownSetting]:
    """Return every setting in the order they are declared; `later` are the settings as a process that begins now reads them."""
    origin = origins()
    shown = []
    for declared in fields(Settings):
        value, next_value = getattr(settings, declared.name), getattr(later, declared.name)
        is_secret = declared.metadata["secret"]
        shown.append(
            ShownSetting(
                name=declared.name.upper(),
                about=declared.metadata["about"],
                value="" if is_secret else as_text(value),
                default=declared.metadata["default"] or "",
                origin=origin[declared.name.upper()],
                is_secret=is_secret,
                is_set=value not in (None, ()),
                next_value=None if value == next_value else "" if is_secret else as_text(next_value),
            )
        )
    return shown


def as_text(value: Any) -> str:
    """Write a value as it stands in a `.env` file, without the credentials that an address may hold."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ",".join(value)
    return _CREDENTIALS.sub("***@", str(value))
