"""STEP7 forked again and again out of one process that has loaded it, with `faults.c` before the C library.

Takes an order a line on standard input (see `faulty.Order`), and answers each with one line: how the child ended, and how
many calls it made that change a file.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

from workflow_scripts.step7 import finalize_and_copy

FAULTS = ctypes.CDLL(os.environ["LD_PRELOAD"])


def carry_out(order: dict[str, object]) -> int:
    """Run STEP7 in a forked process and return the status that waiting for it gives."""
    if child := os.fork():
        return os.waitpid(child, 0)[1]
    try:
        out = os.open(str(order["output"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ.update(order["variables"])  # type: ignore[call-overload]
        notes = str(order["notes"]).encode() if order["notes"] else None
        FAULTS.faults_arm(
            str(order["below"]).encode(), order["kill_at"], order["fail_from"], order["fail_kinds"], order["fail_with"], notes
        )  # fmt: skip
        code = finalize_and_copy.main(order["arguments"])  # type: ignore[arg-type]
        sys.stdout.flush()
        os._exit(code)
    finally:
        os._exit(99)


for line in iter(sys.stdin.readline, ""):
    status = carry_out(json.loads(line))
    print(json.dumps({"status": os.waitstatus_to_exitcode(status), "calls": FAULTS.faults_count()}), flush=True)
