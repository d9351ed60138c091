"""The graph in doit: `task_dep` chains, `doit run -n 2`, its database in a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain
from measured import Graph, measure


def carry_out(graph: Graph) -> bool:
    """Run doit on the graph. A command is a list, which doit runs without a shell."""

    def task_step() -> Iterator[dict[str, Any]]:
        for video in range(graph.videos):
            for step in range(graph.steps):
                yield {
                    "name": f"{video}_{step}",
                    "actions": [graph.program or (graph.act,)],
                    "task_dep": [f"step:{video}_{step - 1}"] if step else [],
                }

    pool = "process" if graph.program else "thread"  # which of its two is the faster one
    options = ["-n", str(graph.workers), "-P", pool, "-r", "error-only", "--db-file", str(graph.scratch / "db")]
    return bool(DoitMain(ModuleTaskLoader({"task_step": task_step})).run(["run", *options]) == 0)


if __name__ == "__main__":
    sys.exit(measure(carry_out))
