"""What a compression cost, and what the simple ways would have cost at the same width."""

import dataclasses
from typing import Any

import numpy as np

from jaxcompress._internal.deprecation import renamed_attribute


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """Numbers of one compression; risks are `E‖f_small − f_target‖²`, summed over outputs.

    `second_moment = E‖f_target‖²` is what relative risks are relative to. `pruned_risk`: the
    neurons of largest `‖w‖·‖a‖` kept as they are (magnitude pruning); `refitted_risk`: the same
    with the readout refitted exactly. `risk_floor`: what rounding may have done to the risk.
    `gradient_norm`, `converged`, `result`, `smallest_eigenvalue`, `index`: the certificate of the
    point, in the coordinates of the descent (the last two are `None` when it was not polished).
    `best_start`: what the winner started from, all of it for a crossing. `start_risks`: the
    relative risk that each start reached by itself, in the order of the starts; a crossing may be
    below all of them. `seconds`: wall clock by stage, compilation included.
    Example: `jc.compress(target, 16, key=key).report`.
    """

    target_width: int
    width: int
    risk: float
    relative_risk: float
    risk_floor: float
    second_moment: float
    pruned_risk: float
    refitted_risk: float
    gradient_norm: float
    converged: bool
    result: str
    smallest_eigenvalue: float | None
    index: int | None
    best_start: str
    start_risks: tuple[float, ...]
    seconds: dict[str, float]

    energy = renamed_attribute("energy", "second_moment")

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries, ready for JSON; no entry is NaN or
        infinite.
        """
        plain = dataclasses.asdict(self)
        plain["start_risks"] = [risk if np.isfinite(risk) else None for risk in self.start_risks]
        plain["pruned_relative_risk"] = (
            self.pruned_risk / self.second_moment if self.second_moment else 0.0
        )
        plain["refitted_relative_risk"] = (
            self.refitted_risk / self.second_moment if self.second_moment else 0.0
        )
        return plain
