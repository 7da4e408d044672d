"""A list is searched in steps and in a limited time, and says where the search stopped."""

from dataclasses import dataclass

from router.store.search_back import EMPTY_ROWS, FIRST_ROWS, SECONDS, FoundBack, search_back


@dataclass(frozen=True)
class Rows:
    """A store with rows at these seqs, whose clock advances with each query."""

    seqs: tuple[int, ...]
    newest: int
    seconds: float = 0.0  #: how long a query takes
    oldest: int = 1

    def find(self, limit: int, after: int = 0) -> tuple[FoundBack[int], list[tuple[int, int]]]:
        """The found rows, and the ranges of seqs that were queried."""
        looks: list[tuple[int, int]] = []

        def between(most: int, below: int, above: int) -> list[int]:
            looks.append((above, below))
            return [seq for seq in sorted(self.seqs, reverse=True) if above < seq < below][:most]

        found = search_back(between, limit, after, self.newest, self.oldest, lambda: len(looks) * self.seconds)
        return found, looks


def test_a_full_page_needs_one_query() -> None:
    found, looks = Rows(tuple(range(1, 100_001)), 100_000).find(3)

    assert (list(found.rows), found.searched_to) == ([100_000, 99_999, 99_998], None)
    assert looks == [(100_000 - FIRST_ROWS, 100_001)]


def test_steps_grow_and_skip_no_row() -> None:
    found, looks = Rows((1, 90_000, 95_000, 96_000, 96_001), 100_000).find(50)

    assert list(found.rows) == [96_001, 96_000, 95_000, 90_000, 1]
    assert found.searched_to is None
    assert len(looks) < 8
    assert [above + 1 for above, _ in looks[:-1]] == [below for _, below in looks[1:]]
    assert looks[-1][0] == 0


def test_a_slow_search_stops_and_can_be_continued() -> None:
    rows = Rows((1, 99_999), 100_000, seconds=SECONDS / 2)

    found, looks = rows.find(50)
    assert (list(found.rows), len(looks)) == ([99_999], 3)
    assert found.searched_to == looks[-1][0] + 1

    after: int | None = found.searched_to
    seen = list(found.rows)
    while after is not None:
        more, _ = rows.find(50, after)
        seen += more.rows
        after = more.searched_to
    assert seen == [99_999, 1]


def test_a_search_without_results_takes_several_steps_on_the_slowest_machine() -> None:
    found, looks = Rows((1,), 100_000, seconds=60.0).find(50)

    assert found.rows == []
    assert found.searched_to is not None
    assert 100_001 - found.searched_to >= EMPTY_ROWS
    assert len(looks) > 1


def test_rows_older_than_the_filter_are_not_read() -> None:
    found, looks = Rows((1, 5), 100_000, oldest=90_000).find(50)

    assert (list(found.rows), found.searched_to) == ([], None)
    assert looks[-1][0] == 89_999


def test_an_empty_store_needs_no_query() -> None:
    assert Rows((), 0).find(50) == (FoundBack([]), [])
