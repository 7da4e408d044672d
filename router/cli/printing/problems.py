"""Problems of a rules file as annotations of a CI."""

from router.domain.errors import Level, Problem


def annotation(problem: Problem) -> str:
    """A workflow command of GitHub Actions: docs.github.com, "Workflow commands"."""
    level = "notice" if problem.level is Level.NOTE else problem.level.value
    text = f"{problem.path}: {problem.message}" if problem.path else problem.message
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{level} file={problem.file},line={problem.line},col={problem.column}::{text}"
