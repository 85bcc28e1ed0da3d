"""The commands of sweeps: parse, call, print. Nothing is computed here."""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_PLAN = """\
Do the runs of a plan and store them. A plan is a TOML file:

  activation = ["erf", "relu"]      # of students and targets
  n = [2, 3]                        # widths of the student
  k = [4, 6]                        # widths of the target
  d = ["k+1"]                       # input dimensions
  where = ["n < k"]                 # cells to keep
  runs = 1024                       # a cell
  key = 0                           # seed of everything

and, where the defaults do not serve: target, start, inputs, freeze, solver, risk, networks, block, precision
(jaxcompress.sweep.Plan). What it will cost is printed first. Interrupted or killed, go on with: jaxcompress resume DIR
"""


def add_commands(commands: Any, epilog: str) -> None:
    """Add `sweep`, `resume` and `show` to the command line."""
    form = argparse.RawDescriptionHelpFormatter
    one = commands.add_parser(
        "sweep", help="a plan in, a store of its runs out", description=_PLAN, epilog=epilog, formatter_class=form
    )
    one.add_argument("plan", type=Path, metavar="PLAN.toml", help="the plan")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for the store")
    one.add_argument("--dry-run", action="store_true", help="check the plan, print what it will cost, and stop")
    _add_work(one)
    one.set_defaults(run=_sweep)
    two = commands.add_parser(
        "resume",
        help="do what is missing of a sweep",
        description="Do the blocks of a sweep that were not done, and those that were damaged.",
        epilog=epilog,
        formatter_class=form,
    )
    two.add_argument("directory", type=Path, metavar="DIR", help="the folder of the sweep")
    _add_work(two)
    two.set_defaults(run=_resume)
    three = commands.add_parser(
        "show",
        help="what a sweep has found so far",
        description="Print what a sweep has found so far: a row a cell, with the lowest risks and their names.",
        epilog=epilog,
        formatter_class=form,
    )
    three.add_argument("directory", type=Path, metavar="DIR", help="the folder of the sweep")
    three.add_argument("--json", action="store_true", help="print JSON instead of a table")
    three.set_defaults(run=_show)


def _add_work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--processes", type=int, default=1, metavar="P", help="processes on this machine (default 1)")
    parser.add_argument(
        "--programs",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "jaxcompress",
        help="where compiled programs are kept for the next time (default: the user's cache)",
    )


def _sweep(options: argparse.Namespace) -> int:
    from jaxcompress import sweep

    plan = sweep.Plan.from_toml(options.plan)
    print(plan, flush=True)
    if options.dry_run:
        return 0
    return _work(options, options.out, lambda **how: sweep.run(plan, options.out, **how))


def _resume(options: argparse.Namespace) -> int:
    from jaxcompress import sweep

    return _work(options, options.directory, lambda **how: sweep.resume(options.directory, **how))


def _work(options: argparse.Namespace, directory: Path, call: Callable[..., Any]) -> int:
    from jaxcompress import sweep

    if options.processes < 1:
        raise ValueError(f"given --processes {options.processes}; expected at least 1; leave it out for one")
    with _executor(options.processes) as executor, _progress_bar() as progress:
        state = call(executor=executor, programs=options.programs, progress=progress)
    print(f"{state.done_here} runs done in {state.seconds:.1f} s; {state.done} of {state.runs} in all", end="")
    print(f", {_share(state):.1%} converged")
    spent = sweep.costs(directory)
    if spent["seconds"]:
        parts = {name: spent[f"{name}_seconds"] / spent["seconds"] for name in ("compile", "store")}
        print(f"of the time of all blocks, {parts['compile']:.0%} was compiling and {parts['store']:.1%} storing")
    print(f"stored in {directory}")
    return 0


@contextlib.contextmanager
def _executor(processes: int) -> Iterator[concurrent.futures.Executor | None]:
    """So many processes, each of which starts afresh: a fork would inherit JAX's threads as locks that nobody opens."""
    if processes == 1:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield pool


@contextlib.contextmanager
def _progress_bar() -> Iterator[Callable[[Any], None] | None]:
    """A bar on the error stream, gone when it is done; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("compiling", total=None)

        def tell(state: Any) -> None:
            words = f"{state.rate:.0f} runs/s, {_duration(state.remaining)} left, {_share(state):.1%} converged"
            bar.update(task, completed=state.done, total=state.runs, description=words)

        yield tell


def _share(state: Any) -> float:
    return state.converged / state.done if state.done else 0.0


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(min(seconds, 1e9)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _show(options: argparse.Namespace) -> int:
    from jaxcompress import sweep

    rows = sweep.table(options.directory)
    if options.json:
        print(json.dumps([_plain(row) for row in rows], indent=2))
    else:
        _print_table(rows)
    return 0


def _plain(row: Any) -> dict[str, Any]:
    risk = row.risk if row.converged else [None] * len(row.risk)  # JSON has no NaN
    return {**dataclasses.asdict(row), "risk": risk, "cell": {**vars(row.cell), "target": row.cell.target.label}}


def _print_table(rows: list[Any]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    title = f"{sum(row.done for row in rows)} of {sum(row.runs for row in rows)} runs"
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False, padding=(0, 1))
    table.add_column("cell", overflow="fold")
    for name in ("done", "converged", "10 %", "median", "90 %", "lowest risks", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("name", overflow="fold")
    for row in rows:
        cell = row.cell
        target = "" if cell.target.label == "orthonormal" else f" {cell.target.label}"
        first = [f"{cell.activation} n={cell.n} k={cell.k} d={cell.d}{target}", str(row.done)]
        first.append(f"{row.converged / row.done:.1%}" if row.done else "–")
        first += [f"{risk:.4g}" if row.converged else "–" for risk in row.risk[1:4]]
        for level in row.levels:
            table.add_row(*first, f"{level.risk:.8g}", f"{level.count / row.converged:.1%}", level.name)
            first = [""] * len(first)
        if not row.levels:
            table.add_row(*first, "–", "–", "")
    console = Console()
    console.width = console.width if console.is_terminal else 200  # a file has no edge
    console.print(table)
