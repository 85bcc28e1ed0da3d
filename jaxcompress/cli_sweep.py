"""The commands of sweeps: parse, call, print. Nothing is computed here."""

import argparse
import concurrent.futures
import contextlib
import json
import multiprocessing
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxcompress.cli_cache import add_cache_options, keep_as_asked, leave_troubles_to_parent

_PLAN = """\
Do the runs of a plan and store them. A plan is a TOML file:

  activation = ["erf", "relu"]      # of students and targets
  n = [2, 3]                        # widths of the student
  k = [4, 6]                        # widths of the target
  d = ["k+1"]                       # input dimensions
  where = ["n < k"]                 # cells to keep
  runs = 1024                       # a cell
  key = 0                           # seed of everything

and, where the defaults do not serve: target, start, inputs, freeze, solver, risk, networks, block,
precision (jaxcompress.sweep.Plan). What it will cost is printed first. Interrupted or killed, go on
with: jaxcompress resume DIR
"""


def add_commands(commands: Any, epilog: str) -> None:
    """Add `sweep`, `resume`, `show` and `replay` to the command line."""
    form = argparse.RawDescriptionHelpFormatter
    one = commands.add_parser(
        "sweep",
        help="a plan in, a store of its runs out",
        description=_PLAN,
        epilog=epilog,
        formatter_class=form,
    )
    one.add_argument("plan", type=Path, metavar="PLAN.toml", help="the plan")
    one.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a new folder for the store"
    )
    one.add_argument(
        "--dry-run", action="store_true", help="check the plan, print what it will cost, and stop"
    )
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
        description="Print what a sweep has found so far, a row a cell, with the lowest risks, "
        "the number of "
        "a run that ended there (see replay) and their names, and draw it: risk against width, "
        "where runs ended, and "
        "the phase diagram. It may be running meanwhile.",
        epilog=epilog,
        formatter_class=form,
    )
    three.add_argument("directory", type=Path, metavar="DIR", help="the folder of the sweep")
    three.add_argument(
        "--levels", type=int, default=3, metavar="L", help="lowest risks a cell to name (default 3)"
    )
    three.add_argument(
        "--json",
        action="store_true",
        help="print JSON instead of a table (and draw only with --plot)",
    )
    three.add_argument(
        "--plot", type=Path, metavar="FILE", help="where to draw it (default: figure.png in DIR)"
    )
    add_cache_options(three)
    three.set_defaults(run=_show)
    four = commands.add_parser(
        "replay",
        help="one run of a sweep again, with its trajectory",
        description="Do one run of a sweep again, from its number alone, and say where it ends "
        "and where it ended.",
        epilog=epilog,
        formatter_class=form,
    )
    four.add_argument("directory", type=Path, metavar="DIR", help="the folder of the sweep")
    four.add_argument(
        "number",
        type=int,
        metavar="RUN",
        help="number of the run: first_run of its cell, plus seed",
    )
    four.add_argument(
        "--out", type=Path, metavar="FOLDER", help="store the trajectory, for xarray.open_zarr"
    )
    four.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw risk and order parameters against time"
    )
    add_cache_options(four)
    four.set_defaults(run=_replay)


def _add_work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="P",
        help="processes on this machine (default 1)",
    )
    add_cache_options(parser)


def _sweep(options: argparse.Namespace) -> int:
    from jaxcompress import sweep

    plan = sweep.Plan.from_toml(options.plan)
    print(sweep.estimate(plan), flush=True)
    if options.dry_run:
        return 0
    return _work(options, options.out, lambda **how: sweep.run(plan, options.out, **how))


def _resume(options: argparse.Namespace) -> int:
    from jaxcompress import sweep

    return _work(options, options.directory, lambda **how: sweep.resume(options.directory, **how))


def _work(options: argparse.Namespace, directory: Path, call: Callable[..., Any]) -> int:
    from jaxcompress import sweep

    if options.processes < 1:
        raise ValueError(
            f"given --processes {options.processes}; expected at least 1; leave it out for one"
        )
    programs = keep_as_asked(options)
    try:
        with _executor(options.processes) as executor, _progress_bar() as progress:
            state = call(executor=executor, programs=programs, progress=progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"what was done is stored; go on with: jaxcompress resume {directory}"
        ) from None
    print(
        f"{state.done_here} runs done in {state.seconds:.1f} s; {state.done} of {state.runs} in "
        "all",
        end="",
    )
    print(f", {_share(state):.1%} converged")
    spent = sweep.costs(directory)
    if spent["seconds"]:
        parts = {name: spent[f"{name}_seconds"] / spent["seconds"] for name in ("compile", "store")}
        print(
            f"of the time of all blocks, {parts['compile']:.0%} was compiling and "
            f"{parts['store']:.1%} storing"
        )
    print(f"stored in {directory}")
    return 0


@contextlib.contextmanager
def _executor(processes: int) -> Iterator[concurrent.futures.Executor | None]:
    """So many processes, each of which starts afresh: a fork would inherit JAX's threads as locks
    that nobody opens.
    """
    if processes == 1:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(processes, context, initializer=_leave_to_parent)
    try:
        yield pool
    except KeyboardInterrupt:
        for worker in multiprocessing.active_children():
            worker.kill()  # stores survive that
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_to_parent() -> None:
    """A terminal interrupts the whole group: workers leave it to their parent, who does not wait
    for their blocks.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave_troubles_to_parent()


@contextlib.contextmanager
def _progress_bar() -> Iterator[Callable[[Any], None]]:
    """A bar on the error stream, gone when it is done; where that is no terminal, a line a
    minute.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _line_teller()
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("compiling", total=None)

        def tell(state: Any) -> None:
            bar.update(task, completed=state.done, total=state.runs, description=_standing(state))

        yield tell


_EVERY = 60.0  # seconds between two lines in a log


def _line_teller() -> Callable[[Any], None]:
    """For logs: how the sweep stands, after the first block and then once a minute."""
    told = float("-inf")

    def tell(state: Any) -> None:
        nonlocal told
        if state.seconds - told >= _EVERY and state.done < state.runs:
            told = state.seconds
            print(
                f"{state.done} of {state.runs} runs, {_standing(state)}",
                file=sys.stderr,
                flush=True,
            )

    return tell


def _standing(state: Any) -> str:
    return (
        f"{state.rate:.0f} runs/s, {_duration(state.remaining)} left, {_share(state):.1%} converged"
    )


def _share(state: Any) -> float:
    return state.converged / state.done if state.done else 0.0


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(min(seconds, 1e9)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _show(options: argparse.Namespace) -> int:
    from jaxcompress import sweep

    if options.plot is not None:
        _check_drawing(options.plot)
    keep_as_asked(options)  # names are found by programs too
    rows = sweep.table(options.directory, levels=options.levels)
    if options.json:
        print(json.dumps([row.to_dict() for row in rows], indent=2))
    else:
        _print_table(rows)
        if any(row.done < row.runs for row in rows):
            print(f"unfinished; go on with: jaxcompress resume {options.directory}")
    if options.plot is not None or not options.json:
        _draw(rows, options.plot, options.directory / "figure.png")
    return 0


def _draw(rows: list[Any], asked: Path | None, usual: Path) -> None:
    """The figure, where it was asked for or where it usually is; that no table depends on."""
    try:
        from jaxcompress import plotting

        plotting.save_sweep_figure([row.to_dict() for row in rows], asked or usual)
    except (ImportError, OSError) as error:
        if asked is not None:
            raise
        print(f"not drawn: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
    else:
        if asked is None:
            print(f"drawn in {usual}")


def _check_drawing(path: Path) -> None:
    """Raise `ValueError` unless a figure could be put there."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ValueError(
            "--plot needs matplotlib; install it with pip install 'jaxcompress[plot]'"
        ) from None
    from jaxcompress.plotting.internal import check_format

    check_format(path)


def _replay(options: argparse.Namespace) -> int:
    from jaxcompress import sweep

    if options.plot is not None:
        _check_drawing(options.plot)
    if options.out is not None and options.out.exists():
        raise ValueError(
            f"{options.out}: given a place where something is; expected a new folder; choose "
            "another"
        )
    keep_as_asked(options)
    way = sweep.trajectory(options.directory, options.number)
    about = way.attrs
    print(
        f"run {about['run']}: {about['activation']} n={about['n']} k={about['k']} d={about['d']} "
        f"{about['target']}"
    )
    print(f"risk     {float(way.risk[0]):.8g} at the start, {about['end_risk']:.10g} at the end")
    stored = sweep.stored_run(options.directory, options.number)
    if stored is None:
        print("stored   nothing yet")
    else:
        print(f"stored   {stored['risk']:.10g}, {stored['result']}")
    if abs(about["trajectory_gap"]) > 1e-6 * max(1.0, about["end_risk"]):
        gap = f"{about['trajectory_gap']:+.2g}"
        print(
            f"the flow at tight tolerances ends {gap} from there: the loose steps of the sweep "
            "left its basin"
        )
    if options.out is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "Consolidated metadata", module="zarr"
            )  # readers need not know it
            way.to_zarr(options.out)
    if options.plot is not None:
        from jaxcompress import plotting

        plotting.save_trajectory_figure(way, options.plot)
    return 0


def _print_table(rows: list[Any]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    ends: dict[str, int] = {}
    for row in rows:
        for name, count in row.results.items():
            ends[name] = ends.get(name, 0) + count
    said = ", ".join(f"{count} {name}" for name, count in ends.items())
    title = f"{sum(row.done for row in rows)} of {sum(row.runs for row in rows)} runs" + (
        f": {said}" if said else ""
    )
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False, padding=(0, 1))
    table.add_column("cell", overflow="fold")
    for name in ("done", "converged", "10 %", "median", "90 %", "lowest risks", "share", "run"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("name", overflow="fold")
    for row in rows:
        cell = row.cell
        target = "" if cell.target.label == "orthonormal" else f" {cell.target.label}"
        first = [f"{cell.activation} n={cell.n} k={cell.k} d={cell.d}{target}", str(row.done)]
        first.append(f"{row.converged / row.done:.1%}" if row.done else "–")
        first += [f"{risk:.4g}" if row.converged else "–" for risk in row.risk[1:4]]
        for level in row.levels:
            table.add_row(
                *first,
                f"{level.risk:.8g}",
                f"{level.count / row.converged:.1%}",
                str(level.run),
                level.name,
            )
            first = [""] * len(first)
        if not row.levels:
            table.add_row(*first, "–", "–", "–", "")
    console = Console()
    console.width = console.width if console.is_terminal else 200  # a file has no edge
    console.print(table)
