"""What other programs ask a server: is it alive, can it work, and its figures for Prometheus."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from flask import Blueprint, Flask, Response, current_app, g, jsonify, request
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from services.errors import ServiceError
from services.statuses import ACTIVE, STATUSES
from services.system_monitor import Machine, machine
from web.access import public
from web.panel import Panel, panel

blueprint = Blueprint("health", __name__)
_REGISTRY = "derush-metrics"


def init_app(app: Flask, opened: Panel) -> None:
    """Measure every answer of the app, and gather what /metrics tells."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    seconds = Histogram(
        "derush_http_seconds", "How long an answer took.", ["endpoint", "status"], registry=registry,
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    )  # fmt: skip
    registry.register(_Figures(opened))
    app.extensions[_REGISTRY] = registry

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def measure(response: Response) -> Response:
        if response.mimetype != "text/event-stream" and "began" in g:
            labels = (request.endpoint or "none", str(response.status_code))
            seconds.labels(*labels).observe(time.perf_counter() - g.began)
        return response


class _Figures(Collector):
    """The runs and the machine, looked at when somebody asks."""

    def __init__(self, opened: Panel) -> None:
        self._panel = opened

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the figures of this moment."""
        yield from self._runs()
        yield from _machine_figures(machine(self._panel.settings))

    def _runs(self) -> Iterator[GaugeMetricFamily]:
        runs = GaugeMetricFamily("derush_runs", "Runs that have not ended, by status.", labels=["status"])
        tasks = GaugeMetricFamily("derush_tasks", "Tasks of those runs, by status.", labels=["status"])
        active = self._panel.store.active_runs()
        of_runs = Counter(run.status for run in active)
        of_tasks = Counter[str]()
        for run in active:
            for part in self._panel.store.figures(run.id):
                of_tasks[part.status] += part.count
        for status in sorted(ACTIVE):
            runs.add_metric([status], of_runs[status])
        for status in STATUSES:
            tasks.add_metric([status], of_tasks[status])
        yield from (runs, tasks)


def _machine_figures(seen: Machine) -> Iterator[GaugeMetricFamily]:
    yield GaugeMetricFamily("derush_cpu_busy_ratio", "How busy the cores are, 0 to 1.", seen.cpu_percent / 100)
    yield GaugeMetricFamily("derush_memory_used_bytes", "Memory that is not available.", seen.memory_used)
    yield GaugeMetricFamily("derush_memory_bytes", "Memory in all.", seen.memory_total)
    busy = GaugeMetricFamily("derush_gpu_busy_ratio", "How busy a GPU is, 0 to 1.", labels=["gpu", "name"])
    used = GaugeMetricFamily("derush_gpu_memory_used_bytes", "Memory of a GPU in use.", labels=["gpu", "name"])
    for gpu in seen.gpus:
        labels = [str(gpu.index), gpu.name]
        if gpu.utilisation is not None:
            busy.add_metric(labels, gpu.utilisation / 100)
        if gpu.memory_used is not None:
            used.add_metric(labels, gpu.memory_used)
    free = GaugeMetricFamily("derush_disk_free_bytes", "Free space on the disk of a place.", labels=["place"])
    size = GaugeMetricFamily("derush_disk_bytes", "Size of the disk of a place.", labels=["place"])
    for disk in seen.disks:
        for place in () if disk.is_missing else disk.places:
            free.add_metric([place], disk.free)
            size.add_metric([place], disk.total)
    yield from (busy, used, free, size)


@blueprint.get("/healthz")
@public
def healthz() -> ResponseReturnValue:
    """Say that the server answers."""
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
@public
def readyz() -> ResponseReturnValue:
    """Say whether the server can work: whether the history of runs can be read."""
    try:
        panel().store.newest_event_id()
    except ServiceError as error:
        return jsonify({"status": "not ready", "code": error.code}), 503
    return jsonify({"status": "ready"})


@blueprint.get("/metrics")
def metrics() -> Response:
    """Tell figures in Prometheus's text form; a scraper signs in with a token."""
    text = generate_latest(current_app.extensions[_REGISTRY])
    return Response(text, content_type=CONTENT_TYPE_LATEST)
