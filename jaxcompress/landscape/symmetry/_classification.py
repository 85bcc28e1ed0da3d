"""What `classify` returns."""

from typing import NamedTuple

import numpy as np

from jaxcompress.networks import TwoLayer


class Classification(NamedTuple):
    """What a network is near to.

    - `kind`: `"target"` (all of it, copied), `"copy-average"`, `"perturbed copy"`, `"perturbed
      copy-average"` (both the critical points of their sectors, found to rounding), `"symmetric"`
      (another isotropy), `"nothing"` (no neuron is left), `"infinite"` (in a channel that ends at
      infinity: a neuron of infinite norm, or a pair that becomes a neuron and its derivative, with
      readouts that grow without bound), or `"unknown"`;
    - `name`: the kind in words, with what happened to neurons that are not counted;
    - `partition`: how many target neurons each neuron stands for, where the kind has one;
    - `isotropy`: the group of the core, as `S5×S3`;
    - `distance` of the network from the named point, in units of the target's largest weights and
      readout, at most `threshold`; from infinity `1/norm`; infinite for `"unknown"`;
    - `threshold`: the distance up to which the name is given;
    - `dead`, `infinite`, `repeated`: how many neurons are at zero (or cancel), at infinity, or
      share the direction of another one; any but the last is the boundary of the landscape;
    - `point`: the named network, neuron by neuron;
    - `core`: the same without neurons that are not counted, or `None` where none is left.

    Example: that of `classify`.
    """

    kind: str
    name: str
    partition: tuple[int, ...] | None
    isotropy: str
    distance: float
    threshold: float
    dead: int
    infinite: int
    repeated: int
    point: TwoLayer | None
    core: TwoLayer | None

    @property
    def boundary(self) -> bool:
        """Whether a neuron is at zero or at infinity."""
        return self.dead + self.infinite > 0


UNNAMED = Classification(
    kind="unknown",
    name="unknown",
    partition=None,
    isotropy="1",
    distance=np.inf,
    threshold=0.0,
    dead=0,
    infinite=0,
    repeated=0,
    point=None,
    core=None,
)
