"""The graph in Prefect: one flow, tasks submitted to its thread pool with `wait_for`, its own local server."""

from __future__ import annotations

import sys

from measured import Graph, measure
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner


def carry_out(graph: Graph) -> bool:
    """Run the flow. Step by step, not video by video: a submitted task holds its thread while it waits for another."""
    step = task(graph.act, name="step", cache_policy=NO_CACHE)

    def rushes() -> bool:
        done: list[list[PrefectFuture[None]]] = [[] for _ in range(graph.videos)]
        for _ in range(graph.steps):
            done = [[step.submit(wait_for=before)] for before in done]
        for [last] in done:
            last.result()
        return True

    return bool(flow(rushes, task_runner=ThreadPoolTaskRunner(max_workers=graph.workers))())


if __name__ == "__main__":
    sys.exit(measure(carry_out))
