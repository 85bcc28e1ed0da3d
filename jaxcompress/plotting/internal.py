"""What other subpackages may use of `plotting` beside its public names."""

from jaxcompress.plotting._figures import check_format

__all__ = [
    "check_format",
]
