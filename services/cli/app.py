"""The commands of `derush`, and the one place where errors become a sentence and an exit code."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from config.catalog import models as declared_models
from config.catalog import steps as declared_steps
from config.contract import Exit
from config.settings import REPOSITORY, Settings, SettingsError, load_settings
from services import doctor as doctors
from services import logs as log_files
from services.cli.console import COLOURS, RunView, Silence, print_summary, summary
from services.environments import Environment, build_all, environments
from services.errors import ServiceError
from services.model_files import fetch, model_path, problem_of
from services.preparation import DEMO_ARCHIVE, prepare, require_prerequisites
from services.supervisor import Options, Supervisor, chosen_steps
from services.worker import step_command

EXIT_CODES = (
    "[bold]Exit codes[/]  0 all done or up to date · 1 some items failed, the rest are done · 2 wrong usage · "
    "3 a prerequisite is missing · 70 a bug · 130 interrupted"
)
app = typer.Typer(
    name="derush", no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False, add_completion=False,
    help="Take archives of video rushes through seven steps: extraction, 25 fps proxies, scenes, audio, tracking, "
    "reduction, delivery.",
    epilog=EXIT_CODES,
)  # fmt: skip
envs_app = typer.Typer(no_args_is_help=True, help="The four virtual environments that steps run under.")
models_app = typer.Typer(no_args_is_help=True, help="The model files that steps load.")
app.add_typer(envs_app, name="envs")
app.add_typer(models_app, name="models")

console = Console()
to_person = Console(stderr=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead, for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing when there is nothing to do.")]


@app.command(epilog=EXIT_CODES)
def run(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders, archives or videos to take in; or projects that are there already."),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Take the demo footage that comes with Derush.")] = False,
    steps: Annotated[str | None, typer.Option("--steps", metavar="1-3,6", help="Only these steps.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Do again what is up to date.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast/--keep-going", help="Stop at the first failure, or go on with the rest.")
    ] = False,
    engine: Annotated[str | None, typer.Option("--engine", help="Tracking engine of STEP5.")] = None,
    device: Annotated[str, typer.Option("--device", help="Where models run: auto, cpu or cuda.")] = "auto",
    show_log: Annotated[bool, typer.Option("--log/--no-log", help="Show the steps' logs while they work.")] = True,
    as_json: AsJson = False,
) -> int:
    """Take material through the steps: what is done already and unchanged is left as it is.

    [bold]Ctrl-C[/] stops the run and leaves nothing half done; a second time, at once. Run it again to go on.
    """
    settings = load_settings()
    try:
        chosen = chosen_steps(steps, list(declared_steps()))
    except ValueError as error:
        raise ServiceError("wrong_steps", f"{error}.", "See `derush run --help`.", Exit.USAGE) from None
    require_prerequisites(chosen, settings)
    flow = prepare([*(inputs or []), *([DEMO_ARCHIVE] if demo else [])], chosen, settings)
    options = Options(force, dry_run, fail_fast, device, engine)
    silent = Silence()
    view = RunView(Console(), show_log=show_log)
    supervisor = Supervisor(flow, environments(settings), options, silent if as_json else view)
    _stop_on_signals(supervisor)
    if as_json:
        result = supervisor.run()
    else:
        with view:
            result = supervisor.run()
    told = summary(result, settings)
    if as_json:
        print(json.dumps(told, indent=1))
    else:
        print_summary(console, told, settings)
    return result.exit_code


def _stop_on_signals(supervisor: Supervisor) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        supervisor.interrupt()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []})
def step(
    context: typer.Context, step_id: Annotated[str, typer.Argument(metavar="STEP", help="STEP1 to STEP7.")]
) -> int:
    """Run one step's script under its own environment's interpreter, with the arguments that follow."""
    settings = load_settings()
    if step_id in {"--help", "-h"}:
        console.print("derush step STEP1…STEP7 ARGUMENT…   (`derush step STEP3 --help` shows the step's own options)")
        return Exit.OK
    spec = declared_steps().get(_step_id(step_id))
    if spec is None:
        raise ServiceError(
            "no_such_step", f"There is no {step_id}.", f"Steps: {', '.join(declared_steps())}.", Exit.USAGE
        )
    environment = environments(settings)[spec.environment]
    if not environment.is_built():
        raise ServiceError("environment_missing", f"The environment {environment.name} is not built.",
                           f"Run `derush envs build {environment.name}`.")  # fmt: skip
    for name, value in environment.variables.items():
        os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
    command = step_command(spec, environment, *context.args)
    os.execv(command[0], command)


def _step_id(text: str) -> str:
    return text.upper() if text.upper().startswith("STEP") else f"STEP{text}"


@app.command()
def logs(
    step_id: Annotated[
        str | None, typer.Argument(metavar="STEP", help="STEP1 to STEP7; none lists what there is.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines from the end.")] = 40,
) -> int:
    """Show the newest log of a step."""
    settings = load_settings()
    if step_id is None:
        return _list_logs(settings)
    if _step_id(step_id) not in declared_steps():
        raise ServiceError(
            "no_such_step", f"There is no {step_id}.", f"Steps: {', '.join(declared_steps())}.", Exit.USAGE
        )
    folder = settings.logs_dir / declared_steps()[_step_id(step_id)].log_folder
    path = log_files.newest_log(folder)
    if path is None:
        raise ServiceError("no_log", f"{_step_id(step_id)} has no log in {folder}.", "Run the step first.", Exit.USAGE)
    to_person.print(f"[dim]{path}[/]", soft_wrap=True)
    tail = log_files.last_lines(path, lines)
    sys.stdout.write(tail.text)
    while follow:
        sys.stdout.flush()
        tail = log_files.read_from(path, tail.next_offset)
        sys.stdout.write(tail.text)
        if not tail.truncated:
            time.sleep(0.2)
    return Exit.OK


def _list_logs(settings: Settings) -> int:
    table = Table(box=None)
    for column in ("Step", "Logs", "Newest"):
        table.add_column(column)
    for step_id, spec in declared_steps().items():
        folder = settings.logs_dir / spec.log_folder
        newest = log_files.newest_log(folder)
        table.add_row(
            f"[{COLOURS[step_id]}]{step_id}[/]", str(len(list(folder.glob("*.log")))), str(newest or "none yet")
        )
    console.print(table, soft_wrap=True)
    return Exit.OK


@app.command()
def doctor(as_json: AsJson = False) -> int:
    """Check everything the steps need: settings, environments, models, tools, disks. Ends with 3 if something is missing."""
    checks = doctors.examine(load_settings())
    if as_json:
        print(json.dumps([check.record() for check in checks], indent=1))
    else:
        _print_checks(checks)
    return Exit.PREREQUISITE if any(check.state == "missing" for check in checks) else Exit.OK


def _print_checks(checks: Sequence[doctors.Check]) -> None:
    marks = {"good": "[green]✓[/]", "warning": "[yellow]![/]", "missing": "[red]✗[/]"}
    table = Table(box=None, padding=(0, 1))
    for column in ("", "What", "Found", "What to do"):
        table.add_column(column, overflow="fold")
    for check in checks:
        table.add_row(marks[check.state], check.what, check.found, check.remedy)
    console.print(table)
    counts = {state: sum(check.state == state for check in checks) for state in marks}
    console.print(f"{counts['good']} good, {counts['warning']} warnings, {counts['missing']} missing")


@app.command()
def serve(
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Another port than PANEL_PORT.")] = None,
) -> int:
    """Open the control panel, on this machine only, until Ctrl-C."""
    settings = load_settings()
    address = f"{settings.panel_host}:{port or settings.panel_port}"
    to_person.print(f"The panel is at [bold]http://{address}/[/]  (Ctrl-C ends it)")
    gunicorn = [sys.executable, "-m", "gunicorn", "--chdir", str(REPOSITORY), "--bind", address, "--threads", "8",
                "--log-level", "warning", "web:create_app()"]  # fmt: skip
    os.execv(sys.executable, gunicorn)


def _chosen_environments(names: list[str] | None) -> list[Environment]:
    known = environments(load_settings())
    if unknown := set(names or []) - set(known):
        raise ServiceError("no_such_environment", f"There is no environment {', '.join(sorted(unknown))}.",
                           f"Environments: {', '.join(known)}.", Exit.USAGE)  # fmt: skip
    return [known[name] for name in names or known]


Names = Annotated[list[str] | None, typer.Argument(help="Which ones; none means all.")]


@envs_app.command("list")
def envs_list(as_json: AsJson = False) -> int:
    """Show the environments, and whether each is built."""
    rows = [
        {"name": e.name, "about": e.spec.about, "root": str(e.root), "built": e.is_built(), **e.marker()}
        for e in _chosen_environments(None)
    ]
    if as_json:
        print(json.dumps(rows, indent=1))
        return Exit.OK
    table = Table(box=None)
    for column in ("Environment", "For", "State", "Where"):
        table.add_column(column)
    for row in rows:
        state = f"[green]built[/] (Python {row['python']})" if row["built"] else "[yellow]not built[/]"
        table.add_row(str(row["name"]), str(row["about"]), state, str(row["root"]))
    console.print(table)
    return Exit.OK


@envs_app.command("build")
def envs_build(
    names: Names = None, dev: Annotated[bool, typer.Option("--dev", help="With what tests need.")] = False
) -> int:
    """Build what is missing. Safe to interrupt and to repeat."""
    build_all(_chosen_environments(names), dev)
    return Exit.OK


@envs_app.command("rebuild")
def envs_rebuild(
    names: Names = None, dev: Annotated[bool, typer.Option("--dev", help="With what tests need.")] = False
) -> int:
    """Build anew from the locks, whatever is there."""
    build_all(_chosen_environments(names), dev, again=True)
    return Exit.OK


@envs_app.command("check")
def envs_check(names: Names = None, as_json: AsJson = False) -> int:
    """Import what the steps need in each environment's own interpreter. Ends with 3 if something is wrong."""
    problems = {environment.name: environment.health() for environment in _chosen_environments(names)}
    if as_json:
        print(json.dumps(problems, indent=1))
    else:
        for name, problem in problems.items():
            console.print(
                f"[red]✗[/] {name}: {problem}. Run `derush envs rebuild {name}`." if problem else f"[green]✓[/] {name}"
            )
    return Exit.PREREQUISITE if any(problems.values()) else Exit.OK


def _chosen_models(names: list[str] | None) -> list[Any]:
    known = declared_models()
    if unknown := set(names or []) - set(known):
        raise ServiceError("no_such_model", f"There is no model {', '.join(sorted(unknown))}.",
                           f"Models: {', '.join(known)}.", Exit.USAGE)  # fmt: skip
    return [known[name] for name in names or known]


@models_app.command("list")
def models_list(as_json: AsJson = False) -> int:
    """Show the models: which step needs them, their licence, whether they are there."""
    settings = load_settings()
    rows = [
        {"name": m.name, "step": m.step, "about": m.about, "licence": m.licence, "bytes": m.bytes, "sha256": m.sha256,
         "origin": m.package or m.url, "path": str(model_path(m, settings.models_dir)),
         "present": model_path(m, settings.models_dir).is_file()}
        for m in _chosen_models(None)
    ]  # fmt: skip
    if as_json:
        print(json.dumps(rows, indent=1))
        return Exit.OK
    table = Table(box=None)
    for column in ("Model", "Step", "What it gives", "Licence", "MB", "State"):
        table.add_column(column)
    for row in rows:
        state = "[green]there[/]" if row["present"] else "[yellow]missing[/]"
        size = f"{row['bytes'] / 1e6:.1f}"
        table.add_row(str(row["name"]), str(row["step"]), str(row["about"]), str(row["licence"]), size, state)
    console.print(table)
    return Exit.OK


@models_app.command("fetch")
def models_fetch(names: Names = None, quiet: Quiet = False) -> int:
    """Fetch the models that are missing or damaged, and verify them."""
    settings = load_settings()
    fetched = fetch(_chosen_models(names), settings.models_dir, lambda text: to_person.print(text, highlight=False))
    if not quiet or fetched:
        to_person.print(f"{len(fetched)} fetched; all that were asked for are in {settings.models_dir}", soft_wrap=True)
    return Exit.OK


@models_app.command("verify")
def models_verify(names: Names = None, as_json: AsJson = False) -> int:
    """Check each model's size and sha256. Ends with 3 if one is missing or damaged."""
    settings = load_settings()
    problems = {spec.name: problem_of(spec, settings.models_dir) for spec in _chosen_models(names)}
    if as_json:
        print(json.dumps(problems, indent=1))
    else:
        for name, problem in problems.items():
            console.print(
                f"[red]✗[/] {name}: {problem}. Run `derush models fetch {name}`." if problem else f"[green]✓[/] {name}"
            )
    return Exit.PREREQUISITE if any(problems.values()) else Exit.OK


def main() -> int:
    """Run the command line; the one boundary where an error becomes a sentence and an exit code."""
    try:
        return int(app(standalone_mode=False) or 0)
    except SettingsError as error:
        to_person.print(f"[red]Wrong settings:[/]\n{error}\nCorrect them in .env or in the environment.")
        return Exit.USAGE
    except ServiceError as error:
        to_person.print(f"[red]{error.code}:[/] {error.message} [bold]{error.remedy}[/]", soft_wrap=True)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except typer.Exit as ending:
        return ending.exit_code
    except Exception as error:
        return _unexpected(error)


def _unexpected(error: Exception) -> int:
    if hasattr(error, "show") and hasattr(error, "exit_code"):  # what the command-line parser refuses
        error.show()
        return int(error.exit_code)
    path = load_settings().logs_dir / f"derush_{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(traceback.format_exc(), encoding="utf-8")
    to_person.print(f"[red]A mistake in Derush itself:[/] {error!r}. Please report it with {path}", soft_wrap=True)
    return Exit.BUG
