"""Compiles one text of an action's options."""

from router.domain.errors import TemplateError
from router.plugins.build import Build
from router.templates import Template, compile_template


def compiled_template(text: str, build: Build, *place: str | int) -> Template:
    """The compiled template. A fault goes to the build, and the text then counts as constant."""
    try:
        return compile_template(text, secrets=build.secrets)
    except TemplateError as error:
        build.fault(str(error), *place)
        return Template(text, constant=text)
