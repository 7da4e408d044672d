"""The system's limits for the arguments and variables of programs."""

from router.domain.errors import RenderError

MAX_ARGUMENT = 128 * 1024 - 1  #: bytes; Linux takes no longer single argument (MAX_ARG_STRLEN less the final NUL)
_CURE = "; pass long or binary data by stdin"


def encodes(text: str) -> bool:
    """Whether the text can be encoded. Half a surrogate pair can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_text(text: str, what: str) -> None:
    """Raise RenderError when no program could take this text. `what` is its name in the error."""
    if "\0" in text:
        raise RenderError(f"{what} would contain NUL{_CURE}")
    if not encodes(text):
        raise RenderError(f"{what} would contain a character that can't be encoded{_CURE}")
    if len(text.encode()) > MAX_ARGUMENT:
        raise RenderError(f"{what} would be longer than 128 KiB{_CURE}")
