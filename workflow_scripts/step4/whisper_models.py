"""Which Whisper transcribes, by STEP4_TRANSCRIBE and by what is there. No model is loaded to find out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from config.catalog import models
from config.settings import Settings
from workflow_scripts.step4.languages import language_code
from workflow_scripts.stepkit import PrerequisiteMissing

MODELS = {"base": "whisper-base", "tiny.en": "whisper-tiny.en"}
FILES = ("model.bin", "config.json", "tokenizer.json")
"""What the folder of a Whisper for CTranslate2 must hold: what is missing would be looked for on a hub."""


@dataclass(frozen=True)
class Choice:
    """A model of models.toml, or a folder of a person's own, or why there is none."""

    model: str | None = None
    folder: Path | None = None
    skip: str | None = None

    @property
    def name(self) -> str | None:
        """The name under which results are kept; None where nothing is transcribed."""
        return self.model or (str(self.folder) if self.folder else None)


def chosen(settings: Settings) -> Choice:
    """Return what transcribes. What is named is taken as being there: `missing` says whether it is."""
    wanted = settings.step4_transcribe
    if wanted == "off":
        return Choice(skip="STEP4_TRANSCRIBE is off")
    if wanted in MODELS:
        return Choice(model=MODELS[wanted])
    if wanted != "auto":
        return Choice(folder=Path(wanted).expanduser().absolute())
    if _is_fetched(settings, "base"):
        return Choice(model=MODELS["base"])
    if _is_fetched(settings, "tiny.en") and language_code(settings.lemonfox_default_language) == "en":
        return Choice(model=MODELS["tiny.en"])
    return Choice(skip="no Whisper for any language is here: `derush models fetch whisper-base` brings one (148 MB)")


def missing(settings: Settings) -> PrerequisiteMissing | None:
    """Return the error for a Whisper that was asked for by name and is not there."""
    choice = chosen(settings)
    if choice.model is not None:
        files = [settings.models_dir / file.file for file in models()[choice.model].files]
        remedy = f"Run `derush models fetch {choice.model}`, or set STEP4_TRANSCRIBE=auto."
    else:
        files = [choice.folder / name for name in FILES] if choice.folder else []
        remedy = f"Set STEP4_TRANSCRIBE to auto, off, {', '.join(MODELS)} or the folder of a Whisper for CTranslate2."
    if all(file.is_file() for file in files):
        return None
    sentence = f"STEP4_TRANSCRIBE={settings.step4_transcribe} is not there or not whole."
    return PrerequisiteMissing("transcriber_missing", sentence, remedy)


def _is_fetched(settings: Settings, name: str) -> bool:
    return all((settings.models_dir / file.file).is_file() for file in models()[MODELS[name]].files)
