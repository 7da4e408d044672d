"""A process without free file descriptors."""

import contextlib
import os
import resource
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def no_descriptors(above: int) -> Iterator[None]:
    """Use up all of this process within the block; `above` is its highest one, and open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (above + 20, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(os.dup(above))
        yield
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
