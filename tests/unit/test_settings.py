from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from config.settings import REPOSITORY, Settings, SettingsError, example, origins, read_settings


def test_defaults_are_accepted_and_relative_paths_start_at_the_repository() -> None:
    settings = read_settings({})
    assert settings.projects_dir == REPOSITORY / "projets_extraits"
    assert settings.lemonfox_speech_gap_fill_sec == 0.15
    assert settings.fallback_output_dir is None


@pytest.mark.parametrize(
    ("name", "text", "accepted"),
    [
        ("STEP5_ENABLE_GPU", "yes", "true, 1, on, false, 0, off"),
        ("STEP2_CRF", "52", "0 to 51"),
        ("STEP2_CRF", "2.5", "0 to 51"),
        ("STEP3_THRESHOLD", "nan", "0 to 1"),
        ("FINALIZE_MODE", "delete", "copy, move"),
        ("AUDIO_PROFILE", "gpu", "gpu_fp32"),
        ("LEMONFOX_MAX_SPEAKERS", "5", "1 to 4"),
        ("LEMONFOX_TIMESTAMP_GRANULARITIES", "word,letter", "word, segment"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_accepted(name: str, text: str, accepted: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({name: text})
    assert f"{name}={text}" in str(caught.value)
    assert accepted in str(caught.value)


def test_speakers_are_not_the_wrong_way_round() -> None:
    with pytest.raises(SettingsError, match="at most LEMONFOX_MAX_SPEAKERS=2"):
        read_settings({"LEMONFOX_MIN_SPEAKERS": "3", "LEMONFOX_MAX_SPEAKERS": "2"})
    read_settings({"LEMONFOX_MIN_SPEAKERS": "2", "LEMONFOX_MAX_SPEAKERS": "2"})


def test_every_wrong_value_is_listed_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"STEP2_CRF": "x", "FINALIZE_MODE": "y"})
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("variables", "mode", "completeness"),
    [
        ({}, "copy", "strict"),
        ({"FINALIZE_MODE": "move", "FINALIZE_COMPLETENESS": "videos"}, "move", "videos"),
        ({"FINALIZE_MODE": "lenient"}, "move", "lenient"),
        ({"FINALIZE_MODE": "Strict"}, "move", "strict"),
        ({"FINALIZE_MODE": "videos", "FINALIZE_COMPLETENESS": "strict"}, "move", "strict"),
    ],
)
def test_finalize_mode_is_understood_as_it_once_was(variables: dict[str, str], mode: str, completeness: str) -> None:
    settings = read_settings(variables)
    assert (settings.finalize_mode, settings.finalize_completeness) == (mode, completeness)


def test_an_older_name_says_where_both_settings_come_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("FINALIZE_MODE=lenient\n")
    monkeypatch.setenv("DERUSH_ENV_FILE", str(tmp_path / "env"))
    monkeypatch.delenv("FINALIZE_MODE", raising=False)
    assert [origins()[name] for name in ("FINALIZE_MODE", "FINALIZE_COMPLETENESS")] == ["file", "file"]
    monkeypatch.setenv("FINALIZE_MODE", "videos")
    assert [origins()[name] for name in ("FINALIZE_MODE", "FINALIZE_COMPLETENESS")] == ["environment", "environment"]


def test_an_empty_value_is_the_default() -> None:
    assert read_settings({"STEP2_CRF": "", "LEMONFOX_API_KEY": ""}) == read_settings({})


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("1", True), ("on", True), ("Off", False), ("0", False)])
def test_booleans(text: str, value: bool) -> None:
    assert read_settings({"AUDIO_DISABLE_GPU": text}).audio_disable_gpu is value


def test_the_example_file_has_every_setting_and_is_current() -> None:
    written = (REPOSITORY / ".env.example").read_text()
    assert written == example(), "run `envs/env/bin/python -m config.settings > .env.example`"
    for declared in fields(Settings):
        assert f"# {declared.name.upper()}=" in written
