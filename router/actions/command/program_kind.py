"""What a program may be given of a sender's text."""

import re
from enum import Enum

STANDARD_INPUT = re.compile(r"/dev/stdin|/dev/fd/0+|/proc/(?:self|thread-self|\$\$|\d+)/fd/0+|/dev/tty")


class ProgramKind(Enum):
    """What a program may be given of a sender's text."""

    PLAIN = "arguments and input"
    READER = "input"
    OTHER = "nothing"
