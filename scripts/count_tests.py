"""Add up the counts of several JUnit reports into one closing line: `N passed, N failed, N skipped`."""

from __future__ import annotations

import sys
from collections import Counter
from xml.etree import ElementTree


def counts(path: str) -> Counter[str]:
    """Return how many tests of a report passed, failed and were skipped."""
    suite = ElementTree.parse(path).getroot().find("testsuite")
    assert suite is not None, f"{path} is no JUnit report"
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    skipped = int(suite.get("skipped", 0))
    return Counter(passed=int(suite.get("tests", 0)) - failed - skipped, failed=failed, skipped=skipped)


if __name__ == "__main__":
    total = sum((counts(path) for path in sys.argv[1:]), Counter[str]())
    print(", ".join(f"{total[name]} {name}" for name in ("passed", "failed", "skipped")))
