"""Every setting of Derush: declared once, read once, checked strictly.

A setting comes from the environment, else from the `.env` file at the repository's root, else from its default.
An empty value counts as not set. A relative path is taken from the repository's root.
This module is the only reader of `os.environ`. `python -m config.settings` prints `.env.example`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from config.readers import boolean, choice, integer, number, number_or_off, pattern, some_of, words

REPOSITORY = Path(__file__).resolve().parents[1]

EXPORT_FORMATS = (
    "otio", "edl", "fcp7", "fcpxml", "ae-json", "mgjson", "jsx", "srt", "vtt", "ass", "rttm", "mot", "coco", "cvat", "csv", "parquet",
)  # fmt: skip
"""What `derush export` writes."""
AUDIO_FIELDS = ("is_speech_present", "num_distinct_speakers_audio", "active_speaker_labels", "timecode_sec")
"""What STEP6 may tell of a frame's sound."""
DEFAULT_TRACKING_FIELDS = (
    "centroid_x", "source", "label", "confidence", "active_speakers", "bbox_width", "bbox_height",
)  # fmt: skip
TRACKING_FIELDS = (*DEFAULT_TRACKING_FIELDS, "centroid_y", "person", "is_speaking")
"""What STEP6 may tell of a tracked object."""

COMPLETENESS = ("strict", "lenient", "videos")
"""What FINALIZE_COMPLETENESS accepts."""


class SettingsError(ValueError):
    """One or more settings hold a value that is not accepted; the message names each, and what is accepted."""


def path(text: str) -> Path:
    """Read a path; a relative one starts at the repository's root, `~` is the home folder."""
    return REPOSITORY / Path(text).expanduser()


def setting(read: Callable[[str], Any], default: str | None, about: str, *, secret: bool = False) -> Any:
    """Declare a setting: how its text is read, its default as text (None: not set), what it is for."""
    return field(metadata={"read": read, "default": default, "about": about, "secret": secret})


@dataclass(frozen=True)
class Settings:
    """Every setting, checked. An attribute's name in upper case is the name of its variable."""

    # Places
    venv_base_dir: Path = setting(path, "envs", "Where the four virtual environments are built.")
    projects_dir: Path = setting(path, "projets_extraits", "The work directory: one folder per project.")
    logs_dir: Path = setting(path, "logs", "Logs, one folder per step.")
    models_dir: Path = setting(path, "models", "Where `derush models fetch` keeps the models.")
    output_dir: Path = setting(path, "output", "STEP7 copies finished projects here.")
    fallback_output_dir: Path | None = setting(path, None, "Used, with a warning, when OUTPUT_DIR cannot be written.")
    archives_dir: Path = setting(path, "archives", "STEP7 archives results here.")
    data_dir: Path = setting(
        path, "data", "Where the history of runs is kept, unless DATABASE_URL names another place."
    )
    cache_root_dir: Path | None = setting(
        path,
        None,
        "The disk of the working data; STEP1 refuses to start when it is not there (default: PROJECTS_DIR's).",
    )
    disk_warning_gb: float = setting(
        number(0, 1e6), "200", "Free space, in GB, under which STEP5 and STEP7 warn on CACHE_ROOT_DIR and ARCHIVES_DIR."
    )

    # Tools
    ffmpeg_binary: str | None = setting(str, None, "An ffmpeg to use instead of the system's or the packaged one.")
    torch_variant: str = setting(
        choice("auto", "cpu", "cuda"),
        "auto",
        "Which build of torch the environments get: auto looks for an NVIDIA GPU.",
    )

    # Runs
    database_url: str | None = setting(
        str, None, "A PostgreSQL for the history of runs (`postgresql://user@host/name`); else SQLite.", secret=True
    )
    max_concurrent_runs: int = setting(integer(1, 100), "1", "Runs at work at the same time; further ones queue.")
    pool_cpu: int | None = setting(integer(1, 1024), None, "Tasks at a time that compute (default: as many as cores).")
    pool_gpu: int | None = setting(integer(0, 64), None, "Tasks at a time on GPUs (default: as many as GPUs).")
    pool_disk: int = setting(integer(1, 64), "2", "Archives and deliveries at a time.")
    pool_api: int = setting(integer(1, 64), "4", "Requests to a speech service at a time.")
    disk_reserve_gb: float = setting(
        number(0, 1e6), "0.5", "A run that met a full disk waits until this much is free, in GB."
    )
    events_keep_days: float = setting(
        number(0, 36_500), "30", "Days after which the events of an ended run are dropped."
    )

    # STEP1
    step1_project_pattern: str = setting(
        pattern,
        r"(?P<project>\d+[ _][^ _]+)(?=[ _]|$)|(?P<whole>.+)",
        "Regular expression on an archive's name without suffix; its first group that matches names the project.",
    )
    step1_min_size_mb: float = setting(
        number(0, 1e6), "1", "Archives and loose clips smaller than this are left out, in MB; 0 takes them all."
    )
    step1_name_encoding: str = setting(
        choice("auto", "utf-8", "cp437", "cp850", "cp1252", "cp932", "gbk"),
        "auto",
        "How names are read that an archive does not say the character set of; auto finds out.",
    )
    step1_passwords_file: Path | None = setting(
        path, None, "A file of archives' passwords, one a line; before one, `archive name<TAB>` says for which archive."
    )
    step1_passwords: str | None = setting(
        str, None, "The same lines, here: a single password is the most common.", secret=True
    )
    step1_settle_sec: float = setting(
        number(0, 86_400), "10", "With --watch, seconds that a folder of clips must stay unchanged to be taken in."
    )
    step1_nested: bool = setting(boolean, "false", "Also unpack archives that lie inside archives.")
    step1_max_total_gb: float = setting(number(0.001, 1e6), "4000", "Most that one archive may hold, in GB.")
    step1_max_file_gb: float = setting(number(0.001, 1e6), "2000", "Largest file that may come out of one, in GB.")
    step1_max_entries: int = setting(integer(1, 10_000_000), "200000", "Most files and folders that one may hold.")
    step1_max_ratio: int = setting(
        integer(1, 1_000_000), "100", "Most bytes unpacked for each packed one, from 256 MB on: more is a bomb."
    )
    step1_memory_gb: float = setting(number(0.25, 1e4), "4", "Memory that unpacking one archive may take, in GB.")
    step1_timeout_sec: float = setting(
        number(1, 604_800), "600", "Seconds that unpacking may take, beside those its size and number of files give it."
    )

    # STEP2
    step2_preset: str = setting(
        choice("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"),
        "veryfast",
        "x264 preset of the proxies.",
    )
    step2_crf: int = setting(integer(0, 51), "20", "x264 quality of the proxies: lower is better and larger.")
    step2_encoder: str = setting(
        choice("auto", "libx264", "h264_nvenc", "h264_qsv", "h264_vaapi", "h264_videotoolbox"),
        "auto",
        "What encodes the proxies; auto takes a GPU's encoder where one works, else libx264.",
    )
    step2_rate_mode: str = setting(
        choice("duration", "speed"),
        "duration",
        "How film becomes 25 fps: duration keeps it; speed plays 23.976 and 24 faster, a frame to a frame, at one pitch.",
    )
    step2_proof: str = setting(
        choice("ends", "full"),
        "ends",
        "What of a proxy is decoded before it counts: keyframes and the end, or every frame (about 12 % more time).",
    )

    # STEP3
    step3_threshold: float = setting(number(0, 1), "0.5", "Probability from which a frame is a transition.")
    step3_min_scene_frames: int = setting(integer(1, 10_000), "2", "Shots shorter than this are joined to a neighbour.")
    step3_contact_sheet: bool = setting(
        boolean,
        "true",
        "Each shot's first, middle and last frame as a picture and a page; the video is decoded again for it.",
    )

    # STEP4
    step4_use_lemonfox: bool = setting(boolean, "true", "Off: never call Lemonfox, even with a key.")
    lemonfox_api_key: str | None = setting(
        str, None, "Key of the Lemonfox API; without it Pyannote is used.", secret=True
    )
    lemonfox_base_url: str | None = setting(
        str, None, "Another address that speaks the same API (a proxy, a test server)."
    )
    lemonfox_timeout_sec: float = setting(number(1, 86_400), "300", "Seconds a request to Lemonfox may take.")
    lemonfox_eu_default: bool = setting(boolean, "false", "Use the address in the European Union.")
    lemonfox_default_language: str | None = setting(
        str, None, "Language spoken, if it is known (`english`, `french`…)."
    )
    lemonfox_default_prompt: str | None = setting(str, None, "Text that guides the transcript: names, spelling.")
    lemonfox_translate: bool = setting(boolean, "false", "Lemonfox writes in English, whatever language is spoken.")
    lemonfox_min_speakers: int | None = setting(
        integer(1, 4), None, "Fewest speakers expected; Lemonfox knows up to 4."
    )
    lemonfox_max_speakers: int | None = setting(integer(1, 4), None, "Most speakers expected; Lemonfox knows up to 4.")
    lemonfox_speaker_labels_default: bool = setting(boolean, "true", "Ask Lemonfox who speaks.")
    lemonfox_timestamp_granularities: tuple[str, ...] = setting(
        some_of("word", "segment"), "word,segment", "Times wanted: word, segment."
    )
    lemonfox_speech_gap_fill_sec: float = setting(number(0, 60), "0.15", "Silences up to this long count as speech.")
    lemonfox_speech_min_on_sec: float = setting(number(0, 60), "0", "Speech shorter than this is dropped.")
    lemonfox_max_upload_mb: float = setting(
        number(0.001, 10_000), "100", "Largest file sent to Lemonfox, in MB; longer sound is sent in parts."
    )
    step4_transcribe: str = setting(
        str,
        "auto",
        "What is said, where Lemonfox did not tell: auto (the best Whisper that was fetched), off, tiny.en, base, or the folder of a Whisper for CTranslate2.",
    )
    step4_speaker_threshold: float = setting(
        number(0, 1), "0.6", "How alike (cosine) two voices of a project must be to be one speaker."
    )
    pyannote_pipeline: str | None = setting(
        str,
        None,
        "A diarization pipeline to ask before the offline one: a local folder, or `pyannote/speaker-diarization-community-1`.",
    )
    pyannote_token: str | None = setting(
        str, None, "Token of a hub's account that accepted the licence of PYANNOTE_PIPELINE.", secret=True
    )
    audio_profile: str = setting(
        choice("gpu_fp32", "gpu_no_amp", "gpu_optimized", "cpu_only"),
        "gpu_fp32",
        "How Pyannote uses the GPU, if there is one.",
    )
    audio_disable_gpu: bool = setting(boolean, "false", "Pyannote on the CPU whatever AUDIO_PROFILE says.")
    audio_enable_amp: bool = setting(boolean, "false", "Mixed precision for Pyannote on a GPU.")

    # STEP5
    step5_tracking_engine: str = setting(
        str, "auto", "Tracking engine: auto, or a name from `--help` of STEP5's script."
    )
    step5_enable_gpu: bool = setting(boolean, "false", "Let engines of STEP5_GPU_ENGINES use the GPU.")
    step5_gpu_engines: tuple[str, ...] = setting(words, None, "Engines that may use the GPU, parted by commas.")
    tracking_disable_gpu: bool = setting(
        boolean, "false", "Tracking on the CPU only; contradicts STEP5_ENABLE_GPU=true."
    )
    tracking_cpu_workers: int | None = setting(
        integer(1, 256), None, "Processes that track one video on the CPU (default: from cores and free memory)."
    )
    step5_object_fallback: bool = setting(
        boolean, "false", "Look for persons and objects in frames where an engine for faces sees none."
    )
    step5_yolo_weights: Path | None = setting(
        path, None, "Weights of the engine yolo (default: yolo11n.pt in MODELS_DIR, if you put it there)."
    )
    step5_insightface_models: Path | None = setting(path, None, "Folder of .onnx models of the engine insightface.")
    step5_openseeface_models: Path | None = setting(path, None, "Folder of .onnx models of the engine openseeface.")
    step5_export_verbose_fields: bool = setting(boolean, "false", "Also write the landmarks of each face.")
    step5_blendshapes_profile: str = setting(
        choice("full", "mouth", "none", "custom"), "mouth", "Which blendshapes are written."
    )
    step5_blendshapes_custom: tuple[str, ...] = setting(
        words, "", "Blendshapes of the profile custom, parted by commas: jawOpen, mouthClose, …"
    )

    # STEP6
    step6_precision: int = setting(integer(0, 6), "1", "Decimals of pixel numbers.")
    step6_min_track_frames: int = setting(integer(1, 10_000), "1", "Tracks shorter than this are left out.")
    step6_min_track_confidence: float = setting(
        number(0, 1), "0", "Tracks seen with less confidence than this on average are left out."
    )
    step6_tracking_fields: tuple[str, ...] = setting(
        some_of(*TRACKING_FIELDS), ",".join(DEFAULT_TRACKING_FIELDS), "What is kept of a tracked object beside its id."
    )
    step6_audio_fields: tuple[str, ...] = setting(
        some_of(*AUDIO_FIELDS), ",".join(AUDIO_FIELDS), "What is kept of a frame's sound."
    )
    step6_keyframes: float | None = setting(
        number_or_off(0.01, 1000), "off", "Also write tracks as keyframes that are at most so many pixels off; or off."
    )
    step6_indent: int = setting(integer(0, 8), "0", "Indentation of the reduced JSON; 0 is compact.")
    step6_compress: str = setting(
        choice("none", "gzip", "zstd"), "none", "Compression of the reduced JSON, under the same names."
    )
    step6_projects: tuple[str, ...] = setting(
        words, "", "Projects that are reduced, by name or pattern (`Rushes*`), parted by commas; all if not set."
    )
    step6_keywords: tuple[str, ...] = setting(
        words, "", "Videos that are reduced: those with one of these words in their name; all if not set."
    )
    exports: tuple[str, ...] = setting(
        some_of(*EXPORT_FORMATS), "", "What STEP6 also exports, against the original: names of `derush export --list`."
    )

    # STEP7
    finalize_mode: str = setting(
        choice("copy", "move"), "copy", "move: remove the working copy once its delivery is verified."
    )
    finalize_completeness: str = setting(
        choice(*COMPLETENESS),
        "strict",
        "What a video must have to be delivered: strict every artefact, lenient its proxy and one analysis, videos only itself.",
    )

    # Panel
    panel_host: str = setting(
        str, "127.0.0.1", "Address the panel listens on; another than loopback needs a password (`derush password`)."
    )
    panel_port: int = setting(integer(1, 65_535), "8770", "Port the panel listens on.")
    panel_hosts: tuple[str, ...] = setting(
        words, None, "Further names the panel is reached by (`derush.studio.lan`), parted by commas."
    )
    panel_audit_keep_days: float = setting(number(1, 36_500), "365", "Days that the panel's audit log is kept.")

    # What a person gives the panel to work on
    uploads_dir: Path = setting(path, "uploads", "Where uploads are kept, a folder per day or drop.")
    upload_max_gb: float = setting(number(0.001, 1e6), "500", "Largest file that may be uploaded, in GB.")
    upload_keep_days: float = setting(
        number(0.001, 36_500), "7", "Days after which an upload that was begun and not continued is removed."
    )
    browse_roots: tuple[str, ...] = setting(
        words,
        "samples,~",
        "Folders below which inputs may be chosen in the panel, parted by commas; UPLOADS_DIR always is one.",
    )

    @property
    def cache_root(self) -> Path:
        """The disk of the working data: CACHE_ROOT_DIR, else the folder that holds PROJECTS_DIR."""
        return self.cache_root_dir or self.projects_dir.parent


def _read_one(name: str, text: str | None, metadata: Mapping[str, Any]) -> Any:
    chosen = text if text else metadata["default"]
    if chosen is None:
        return () if metadata["read"] is words else None
    try:
        return metadata["read"](chosen)
    except ValueError as error:
        shown = "***" if metadata["secret"] else chosen
        raise SettingsError(f"{name}={shown}: {error}") from None


def _with_names_of_now(variables: Mapping[str, str | None]) -> Mapping[str, str | None]:
    """Understand FINALIZE_MODE as it once was: strict, lenient or videos in one with moving, which it always did."""
    older = (variables.get("FINALIZE_MODE") or "").lower()
    if older not in COMPLETENESS:
        return variables
    completeness = variables.get("FINALIZE_COMPLETENESS") or older
    return {**variables, "FINALIZE_MODE": "move", "FINALIZE_COMPLETENESS": completeness}


def read_settings(variables: Mapping[str, str | None]) -> Settings:
    """Check `variables` (names in upper case) and return the settings they make.

    Raises SettingsError that lists every value that is not accepted, a line each.
    """
    variables = _with_names_of_now(variables)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for declared in fields(Settings):
        name = declared.name.upper()
        try:
            values[declared.name] = _read_one(name, variables.get(name), declared.metadata)
        except SettingsError as error:
            problems.append(str(error))
    if problems:
        raise SettingsError("\n".join(problems))
    settings = Settings(**values)
    fewest, most = settings.lemonfox_min_speakers, settings.lemonfox_max_speakers
    if fewest is not None and most is not None and fewest > most:
        raise SettingsError(f"LEMONFOX_MIN_SPEAKERS={fewest}: accepted: at most LEMONFOX_MAX_SPEAKERS={most}")
    return settings


def env_file() -> Path:
    """Return the path of the `.env` file; DERUSH_ENV_FILE names another one."""
    return Path(os.environ.get("DERUSH_ENV_FILE") or REPOSITORY / ".env")


def steps_file() -> Path:
    """Return the path of the declaration of steps and environments; DERUSH_STEPS_FILE names another one."""
    return Path(os.environ.get("DERUSH_STEPS_FILE") or REPOSITORY / "config" / "steps.toml")


def unknown_settings() -> list[str]:
    """Return the names in the `.env` file that no setting has: most often a typing error."""
    known = {declared.name.upper() for declared in fields(Settings)}
    return sorted(name for name in dotenv_values(env_file()) if name not in known)


def load_settings() -> Settings:
    """Read the settings of this process: the environment wins over the `.env` file."""
    return read_settings({**dotenv_values(env_file()), **os.environ})


def origins() -> dict[str, str]:
    """Return by name where the value of each setting comes from in this process: `environment`, `file` or `default`."""
    here, both = _with_names_of_now(os.environ), _with_names_of_now({**dotenv_values(env_file()), **os.environ})
    return {
        name: ("environment" if name in here else "file") if both.get(name) else "default"
        for name in (declared.name.upper() for declared in fields(Settings))
    }


def inherited_environment() -> dict[str, str]:
    """Return a copy of this process's environment, for a child to start from."""
    return dict(os.environ)


def example() -> str:
    """Render `.env.example`: every setting with what it is for and its default."""
    lines = [
        "# Settings of Derush. Copy to .env and uncomment what you change; the environment wins over .env.",
        "# Relative paths start at the repository's root. An empty value means the default.",
        "# A switch is true, 1 or on; or false, 0 or off.",
    ]
    for declared in fields(Settings):
        metadata = declared.metadata
        lines += ["", f"# {metadata['about']}", f"# {declared.name.upper()}={metadata['default'] or ''}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(example(), end="")
