"""How a run is done, as a person chose it and as the store keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Options:
    """How a run is done."""

    force: bool = False
    fail_fast: bool = False
    device: str = "auto"
    engine: str | None = None
    if_busy: str = "wait"
    """What to do while another run works on the same material: wait, or refuse."""
    kind: str = "all"
    """Which delivered files are taken in: all, archives or videos."""
    min_size_mb: float | None = None
    """Delivered files smaller than this, in MB, are left out; None: as STEP1_MIN_SIZE_MB says."""
    keywords: tuple[str, ...] = ()
    """Only delivered files are taken in that have one of these in their name, or in that of a folder they lie in."""

    def arguments(self, step_id: str) -> list[str]:
        """Return the options as a step's script takes them."""
        # Which engine tracks on a GPU has settings of its own: asking the others for it must not refuse STEP5.
        chosen = ["--device", "auto" if step_id == "STEP5" and self.device == "cuda" else self.device]
        chosen += ["--tracking-engine", self.engine] if self.engine and step_id == "STEP5" else []
        chosen += self.filters() if step_id == "STEP1" else []
        return chosen

    def filters(self) -> list[str]:
        """Return which delivered files are taken in, as STEP1's script takes it."""
        chosen = ["--kind", self.kind] if self.kind != "all" else []
        chosen += [f"--keyword={word}" for word in self.keywords]  # a word may begin with a dash
        return chosen + (["--min-size", str(self.min_size_mb)] if self.min_size_mb is not None else [])

    def record(self) -> dict[str, Any]:
        """Return the options as the store keeps them, which is JSON."""
        return {**asdict(self), "keywords": list(self.keywords)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Options:
        """Read the options back; what an older Derush did not know has its default."""
        known = {field.name for field in fields(cls)}
        kept = {name: value for name, value in record.items() if name in known}
        return cls(**{**kept, "keywords": tuple(kept.get("keywords", ()))})
