"""A step that does nothing to its items: what is left is the step contract itself. It is called as what it is linked as."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from workflow_scripts.stepkit import Step, step_parser


def main() -> int:
    """Take every item and do nothing with it."""
    step_id = Path(sys.argv[0]).stem
    with Step(step_id, step_parser(step_id, __doc__).parse_args()) as step:
        for item in step.items():
            with step.work_on(item):
                pass
    return step.exit_code


if __name__ == "__main__":
    sys.exit(main())
