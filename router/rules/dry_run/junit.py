"""The results of rule tests as a JUnit report."""

from xml.sax.saxutils import escape, quoteattr

from router.rules.dry_run.cases import Run


def junit(run: Run) -> str:
    """The run as a JUnit report for CI systems."""
    failures = sum(bool(result.differences) for result in run.results)
    head = f'tests="{len(run.results) + len(run.problems)}" failures="{failures}" errors="{len(run.problems)}"'
    lines = ['<?xml version="1.0" encoding="utf-8"?>', f'<testsuites><testsuite name="webhook-router rules" {head}>']
    for result in run.results:
        case = f"<testcase classname={_attribute(result.file)} name={_attribute(result.name)}"
        if result.differences:
            text = _clean("\n".join(result.differences))
            first = _attribute(result.differences[0].splitlines()[0])
            lines.append(f"{case}><failure message={first}>{escape(text)}</failure></testcase>")
        else:
            lines.append(f"{case}/>")
    for problem in run.problems:
        case = f"<testcase classname={_attribute(problem.file)} name={_attribute(f'line {problem.line}')}>"
        lines.append(f"{case}<error message={_attribute(str(problem))}/></testcase>")
    return "\n".join([*lines, "</testsuite></testsuites>", ""])


def _attribute(text: str) -> str:
    return quoteattr(_clean(text))


def _clean(text: str) -> str:
    """The text with U+FFFD for characters that XML can't contain."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
