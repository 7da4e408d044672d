"""What a message about a wrong template proposes."""

import re
from collections.abc import Collection

import jinja2

from router.domain.errors import TemplateError
from router.domain.nearest_word import did_you_mean, nearest
from router.templates.values import NAMES


def header_cure(text: str) -> str:
    """The cure for `headers.X-Name`, which Jinja reads as a subtraction."""
    return "; write headers['X-Name']" if re.search(r"headers\.\w+-", text) else ""


def suggestion(word: str, known: Collection[str]) -> str:
    """The most similar known word, or all known words."""
    return did_you_mean(word, known, most=100)


def unknown_name(name: str, text: str) -> str:
    """The message for an unknown name, with a cure."""
    dashed = re.search(rf"\b([\w.]+)\.(\w+-{re.escape(name)})\b", text)
    if dashed:
        return f"{dashed.group()} is a subtraction; write {dashed[1]}['{dashed[2]}']"
    if name in ("env", "environ"):
        return "templates can't read the environment; declare it under secrets: and write secrets.name"
    found = nearest(name, NAMES)
    cure = f'did you mean "{found}"?' if found else f'a field of the payload is "payload.{name}"'
    return f'unknown name "{name}"; {cure}{header_cure(text)}'


def syntax_error(error: jinja2.TemplateError, text: str) -> TemplateError:
    """The error for a text that Jinja can't parse."""
    return TemplateError(f"not a template: {error.message or 'it can not be read'}{header_cure(text)}")
