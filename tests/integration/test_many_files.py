"""Forty delivered files of every kind, whole, odd and broken: what is good is finished, what is bad is named.

`scripts/bench/soak.py` does the same with a thousand, through all seven steps.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.integration.many_files import command, complaints, surroundings
from tests.integration.material import CLIPS, write_material


def test_all_good_files_finish_and_each_bad_one_is_named(tmp_path: Path) -> None:
    material = write_material(tmp_path / "delivered", 40, seed=3, crashes=3)
    assert len(material.bad) == 11 and len(material.good) > len(CLIPS)
    ended = subprocess.run(
        command(material, "1-3"),
        cwd=REPOSITORY,
        env=surroundings(tmp_path),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert ended.stdout, ended.stderr
    assert complaints(json.loads(ended.stdout), material, tmp_path, ["STEP1", "STEP2", "STEP3"]) == []
