"""The settings as a person sees them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from config.settings import Settings, load_settings, origins, read_settings
from services.shown_settings import ShownSetting, shown_settings

SECRETS = {
    "LEMONFOX_API_KEY": "key-that-nobody-sees",
    "DATABASE_URL": "postgresql://me:word-that-nobody-sees@db/derush",
}


def by_name(settings: Settings, later: Settings | None = None) -> dict[str, ShownSetting]:
    return {it.name: it for it in shown_settings(settings, later or settings)}


def test_every_setting_is_shown_as_it_would_stand_in_the_file() -> None:
    shown = by_name(read_settings({"STEP5_ENABLE_GPU": "ON", "STEP5_GPU_ENGINES": "a, b", "STEP3_THRESHOLD": "0.50"}))
    assert set(shown) == {declared.name.upper() for declared in fields(Settings)}
    assert shown["STEP5_ENABLE_GPU"].value == "true"
    assert shown["STEP5_GPU_ENGINES"].value == "a,b"
    assert shown["STEP3_THRESHOLD"].value == "0.5"
    assert shown["FFMPEG_BINARY"].value == "" and not shown["FFMPEG_BINARY"].is_set
    values = {name: it.value for name, it in shown.items() if it.is_set}
    assert by_name(read_settings(values)) == shown, "read back, they are the same"


def test_secrets_are_never_shown() -> None:
    """Neither one that is set, nor one that is set anew, nor what an address carries."""
    set_now = read_settings({**SECRETS, "LEMONFOX_BASE_URL": "https://me:word-that-nobody-sees@speech.lan/v1"})
    for shown in (shown_settings(set_now, read_settings({})), shown_settings(read_settings({}), set_now)):
        assert "nobody-sees" not in repr(shown)
    assert by_name(set_now)["LEMONFOX_BASE_URL"].value == "https://***@speech.lan/v1"
    assert by_name(set_now)["DATABASE_URL"].is_set
    assert not by_name(read_settings({}))["DATABASE_URL"].is_set


def test_what_was_changed_since_is_told() -> None:
    shown = by_name(read_settings({"STEP2_CRF": "18"}), read_settings({"STEP2_CRF": "25", **SECRETS}))
    assert (shown["STEP2_CRF"].value, shown["STEP2_CRF"].next_value) == ("18", "25")
    assert shown["DATABASE_URL"].next_value == ""
    assert {name for name, it in shown.items() if it.next_value is not None} == {"STEP2_CRF", *SECRETS}


def test_where_a_value_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment wins over the file, and what is empty is not set: as `load_settings` has it."""
    file = tmp_path / "some.env"
    file.write_text("STEP2_CRF=18\nSTEP2_PRESET=fast\nSTEP6_INDENT=\nSTEP6_PRECISION=3\n")
    monkeypatch.setenv("DERUSH_ENV_FILE", str(file))
    for name in ("STEP2_CRF", "STEP6_INDENT", "STEP3_THRESHOLD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STEP2_PRESET", "slow")
    monkeypatch.setenv("STEP6_PRECISION", "")
    found = origins()
    assert {name: found[name] for name in ("STEP2_CRF", "STEP2_PRESET", "STEP6_INDENT", "STEP6_PRECISION")} == {
        "STEP2_CRF": "file", "STEP2_PRESET": "environment", "STEP6_INDENT": "default", "STEP6_PRECISION": "default",
    }  # fmt: skip
    assert found["STEP3_THRESHOLD"] == "default"
    assert (load_settings().step2_crf, load_settings().step2_preset, load_settings().step6_precision) == (18, "slow", 1)
