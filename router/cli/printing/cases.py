"""Prints the results of rule tests."""

import json

import click

from router.cli.printing.text import counted
from router.operate.serialize import problem_json
from router.rules.dry_run.cases import Run


def print_cases(run: Run, *, as_json: bool) -> None:
    """Print each case and its differences."""
    if as_json:
        cases = [{"file": r.file, "line": r.line, "name": r.name, "differences": r.differences} for r in run.results]
        problems = [problem_json(problem) for problem in run.problems]
        click.echo(json.dumps({"cases": cases, "problems": problems}, indent=2, ensure_ascii=False))
    else:
        for result in run.results:
            click.echo(f"{'-' if result.differences else '+'} {result.name}")
            for difference in result.differences:
                position = f"{result.file}:{result.line}: "
                click.echo("    " + (position + difference).replace("\n", "\n    "))
        for problem in run.problems:
            click.echo(str(problem), err=True)
        good = sum(not result.differences for result in run.results)
        click.echo(f"{good} of {counted(len(run.results), 'case')} as expected")
