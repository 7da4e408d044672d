"""Runs many small cases in one test, since pytest needs more time for a test than such a case takes."""

import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any

Test = Callable[..., None]


def each(
    names: str | Iterable[str], cases: Collection[Any], *, ids: Iterable[str] | Callable[[Any], object] | None = None
) -> Callable[[Test], Test]:
    """Like `pytest.mark.parametrize`, but in one test. All cases are tried, and each failure names its case.

    The cases share the test's fixtures, so they must not change them.
    """
    given = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    assert cases, "no cases"

    def decorate(test: Test) -> Test:
        parameters = inspect.signature(test).parameters
        assert set(given) <= set(parameters), "the test has no such argument"

        def all_cases(**fixtures: Any) -> None:
            failures: list[Exception] = []
            for number, case in enumerate(cases):
                values = [case] if len(given) == 1 else case
                try:
                    test(**dict(zip(given, values, strict=True)), **fixtures)
                except Exception as failure:  # noqa: BLE001 - raised after the last case
                    named = [ids(value) for value in values] if callable(ids) else [*ids][number] if ids else values
                    failure.add_note(f"case {number}: {named}")
                    failures.append(failure)
            if failures:
                raise failures[0] if len(failures) == 1 else ExceptionGroup("several cases fail", failures)

        all_cases.__name__, all_cases.__qualname__ = test.__name__, test.__qualname__
        all_cases.__doc__, all_cases.__module__ = test.__doc__, test.__module__
        fixtures = [parameter for name, parameter in parameters.items() if name not in given]
        all_cases.__signature__ = inspect.Signature(fixtures)  # type: ignore[attr-defined]
        return all_cases

    return decorate
