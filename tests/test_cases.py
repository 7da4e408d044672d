"""A test with `each` fails if one of its cases fails, and names that case."""

from collections.abc import Callable

import pytest

from tests.cases import each


def test_all_cases_are_tried_and_each_failure_names_its_case() -> None:
    tried: list[int] = []

    @each(("number", "word"), [(1, "a"), (2, "b"), (3, "c")], ids=lambda value: f"<{value}>")
    def odd(number: int, word: str) -> None:
        tried.append(number)
        assert number == 2, word

    with pytest.raises(ExceptionGroup) as caught:
        odd()

    assert tried == [1, 2, 3]
    assert [failure.__notes__ for failure in caught.value.exceptions] == [
        ["case 0: ['<1>', '<a>']"],
        ["case 2: ['<3>', '<c>']"],
    ]


def test_a_single_failure_is_raised_unchanged() -> None:
    @each("number", [1, 2])
    def even(number: int) -> None:
        assert number % 2 == 0

    with pytest.raises(AssertionError) as caught:
        even()

    assert caught.value.__notes__ == ["case 0: [1]"]


@pytest.fixture
def double() -> Callable[[int], int]:
    """A fixture for the next test."""
    return lambda number: 2 * number


@each("number", [1, 2])
def test_cases_share_the_fixtures_of_their_test(double: Callable[[int], int], number: int) -> None:
    assert double(number) == number + number
