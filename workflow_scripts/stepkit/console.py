"""Progress for a person who runs a step by hand in a terminal."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field


@dataclass
class ProgressLine:
    """One line at the bottom of the terminal: how far, how fast, how long still. Silent where there is no terminal."""

    subject: str
    started: float = field(default_factory=time.monotonic)
    shown: bool = False

    def show(self, done: float, total: float, unit: str) -> None:
        """Draw the line anew."""
        if sys.stderr.isatty() and total > 0:
            sys.stderr.write(f"\r\x1b[K{self.subject}  {self.text(done, total, unit, time.monotonic() - self.started)}")
            sys.stderr.flush()
            self.shown = True

    @staticmethod
    def text(done: float, total: float, unit: str, seconds: float) -> str:
        """Return e.g. `45 %  1125/2500 frames  82/s  0:17 left`."""
        rate = done / seconds if seconds > 0 else 0.0
        left = (total - done) / rate if rate > 0 else 0.0
        ending = f"  {int(left) // 60}:{int(left) % 60:02d} left" if rate > 0 else ""
        return f"{done / total:.0%}  {done:.0f}/{total:.0f} {unit}  {rate:.0f}/s{ending}"

    def clear(self) -> None:
        """Remove the line, so that what follows begins on a clean one."""
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
