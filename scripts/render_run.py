"""Draw the picture of the README: the summary of a run, as the terminal shows it.

envs/env/bin/derush run --demo --json | envs/env/bin/python scripts/render_run.py docs/images/run.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console

from config.settings import read_settings
from services.cli.console import print_summary


def main() -> int:
    """Read the run's JSON from standard input and write the picture to the path named."""
    told = json.load(sys.stdin)
    console = Console(record=True, width=92, file=sys.stderr)
    console.print("[bold]$ ./run_all.sh --demo[/]\n")
    print_summary(console, told, read_settings({}))
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    # The picture must not name the machine it was drawn on.
    picture = console.export_svg(title="Derush").replace(str(Path(__file__).resolve().parents[1]), "~/derush")
    target.write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
