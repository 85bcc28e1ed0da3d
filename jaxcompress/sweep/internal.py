"""What other subpackages may use of `sweep` beside its public names."""

from jaxcompress.sweep._solving import run_block

__all__ = [
    "run_block",
]
