"""The graph in Luigi: tasks that `require` each other, each with a file as its target, the local scheduler."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import luigi
from luigi.contrib.external_program import ExternalProgramTask
from measured import Graph, measure


class InProcess(luigi.Task):  # type: ignore[misc]  # luigi lives in an environment of its own
    """A step that is a function."""

    video = luigi.IntParameter()
    step = luigi.IntParameter()
    scratch = luigi.Parameter()

    def requires(self) -> list[luigi.Task]:
        """Name the step before."""
        return [self.clone(step=self.step - 1)] if self.step else []

    def output(self) -> luigi.LocalTarget:
        """Name the file that says that this is done."""
        return luigi.LocalTarget(f"{self.scratch}/{self.video}_{self.step}")

    def run(self) -> None:
        """Do nothing, and say that it is done."""
        with self.output().open("w"):
            pass


class Program(InProcess, ExternalProgramTask):  # type: ignore[misc]
    """A step that is a program."""

    program = luigi.ListParameter()

    def program_args(self) -> list[str]:
        """Give its command line."""
        return list(self.program)

    def run(self) -> None:
        """Run the program, and say that it is done."""
        ExternalProgramTask.run(self)
        InProcess.run(self)


def carry_out(graph: Graph) -> bool:
    """Let Luigi build the last step of every video."""
    return bool(luigi.build(list(_last_steps(graph)), local_scheduler=True, workers=graph.workers, log_level="WARNING"))


def _last_steps(graph: Graph) -> Iterator[luigi.Task]:
    for video in range(graph.videos):
        place = {"video": video, "step": graph.steps - 1, "scratch": str(graph.scratch)}
        yield Program(program=graph.program, **place) if graph.program else InProcess(**place)


if __name__ == "__main__":
    sys.exit(measure(carry_out))
