"""Draw the picture of the README: the summary of a run, as the terminal shows it.

envs/env/bin/derush run --demo --json | envs/env/bin/python scripts/render_run.py docs/images/run.svg
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console

from config.settings import REPOSITORY, read_settings
from services.cli.summary import print_summary


def main() -> int:
    """Read the run's JSON from standard input and write the picture to the path named."""
    told = json.load(sys.stdin)
    # The picture must not name the machine it was drawn on.
    home, places = Path("~/derush"), ("venv_base_dir", "projects_dir", "output_dir", "archives_dir", "logs_dir")
    defaults = read_settings({})
    moved = {name: home / getattr(defaults, name).relative_to(REPOSITORY) for name in places}
    console = Console(record=True, width=92, file=sys.stderr)
    console.print("[bold]$ ./run_all.sh --demo[/]\n", highlight=False)
    print_summary(console, told, replace(defaults, **moved))
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(console.export_svg(title="Derush"), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
