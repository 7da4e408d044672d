"""How much of a sender's text a program may get."""

import re
from enum import Enum

STANDARD_INPUT = re.compile(r"/dev/stdin|/dev/fd/0+|/proc/(?:self|thread-self|\$\$|\d+)/fd/0+|/dev/tty")


class ProgramKind(Enum):
    """How much of a sender's text a program may get."""

    PLAIN = "arguments and input"
    READER = "input"
    OTHER = "nothing"
