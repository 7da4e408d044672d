"""The process's standard streams: opened when they are closed, dropped when nothing reads them."""

import errno
import os
import sys

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)  #: such as a full disk


def open_standard_streams() -> None:
    """Open closed streams on the null device; otherwise the next file or socket would get their number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)  # noqa: FBT003 - so that programs started by this one have it too
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115 - open until the process ends


def drop_output() -> None:
    """Send the rest of standard output to the null device, so that nothing fails at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_output_error(error: OSError) -> bool:
    """Whether standard output can't be written, such as to a full disk."""
    return error.errno in _UNWRITABLE and error.filename is None
