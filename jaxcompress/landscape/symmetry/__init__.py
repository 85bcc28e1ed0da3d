"""Networks modulo the symmetries of the risk: how far two are apart, and what one is called.

In the order in which files use each other: a network as rows on which its own symmetries act
(`_neurons`), the maps that fix a target (`_target_symmetries`), matchings of two networks under
such maps (`_matching`, `_lower_bounds`), `distance`, `align` and `fingerprint` made of them, the
core of a network without neurons that do not count (`_core`), the maps that it keeps (`_isotropy`),
the points of the theory that it may be (`_named_points`), and its name (`_classify`).
"""
