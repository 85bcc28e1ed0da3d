"""The commands that do sweeps: parse, call, print. Nothing is computed here."""

import argparse
import concurrent.futures
import contextlib
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxcompress._internal.progress import ProgressBar, progress_bar
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
    """Add `sweep` and `resume` to the command line."""
    form = argparse.RawDescriptionHelpFormatter
    sweep = commands.add_parser(
        "sweep",
        help="a plan in, a store of its runs out",
        description=_PLAN,
        epilog=epilog,
        formatter_class=form,
    )
    sweep.add_argument("plan", type=Path, metavar="PLAN.toml", help="the plan")
    out = "a new folder for the store"
    sweep.add_argument("--out", type=Path, required=True, metavar="DIR", help=out)
    dry = "check the plan, print what it will cost, and stop"
    sweep.add_argument("--dry-run", action="store_true", help=dry)
    _add_work(sweep)
    sweep.set_defaults(run=_sweep)
    resume = commands.add_parser(
        "resume",
        help="do what is missing of a sweep",
        description="Do the blocks of a sweep that were not done, and those that were damaged.",
        epilog=epilog,
        formatter_class=form,
    )
    resume.add_argument("directory", type=Path, metavar="DIR", help="the folder of the sweep")
    _add_work(resume)
    resume.set_defaults(run=_resume)


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
        with _executor(options.processes) as executor, progress_bar("compiling") as bar:
            tell = _line_teller() if bar is None else _bar_teller(bar)
            state = call(executor=executor, programs=programs, progress=tell)
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


def _bar_teller(bar: ProgressBar) -> Callable[[Any], None]:
    """For terminals: how the sweep stands, after every block."""
    return lambda state: bar.update("runs", state.done, state.runs, _standing(state))


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
