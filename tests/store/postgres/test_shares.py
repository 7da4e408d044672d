"""The shares of all nodes never exceed a target's limit together, in any order of joins, leaves and renewals."""

from hypothesis import given
from hypothesis import strategies as st

from router.store.fleet import Limits, Share
from router.store.postgres.shares import WHOLE, Division, Row
from tests.conftest import examples

_STEPS = st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["looks", "leaves"]), st.integers(0, 4)), max_size=60)


@examples(200)
@given(_STEPS, st.integers(1, 7), st.booleans())
def test_shares_never_exceed_the_limit_and_finally_use_all_of_it(
    steps: list[tuple[int, str, int]], concurrency: int, alone: bool
) -> None:
    division = Division(Limits(concurrency, 10.0, alone))
    for node, what, running in steps:
        others = [row for row in division.rows if row.node != node]
        if what == "looks":
            row = division.mine(node, running)
            others.append(row)
        division.rows = others
        assert sum(row.slots for row in division.rows) <= concurrency
        assert sum(row.parts for row in division.rows) <= WHOLE
        share = division.share(node)
        assert share.rate or not share.slots

    nodes = [row.node for row in division.rows]
    for node in nodes * 3:
        row = division.mine(node, 0)
        division.rows = [*(one for one in division.rows if one.node != node), row]
    assert sum(row.slots for row in division.rows) == (concurrency if nodes else 0)
    assert len([node for node in nodes if division.goal(node)[1]]) == bool(nodes)


def test_slots_in_use_are_not_given_to_another_node() -> None:
    division = Division(Limits(4), [Row(1, 4, WHOLE), Row(2, 0, 0)])

    assert division.mine(1, held=3) == Row(1, 3, WHOLE)
    assert division.goal(1)[0] == Row(1, 2, WHOLE // 2)
    assert division.mine(1, held=0).slots == 2


def test_a_node_gets_no_slots_while_others_keep_the_whole_rate() -> None:
    division = Division(Limits(4, 10.0), [Row(1, 3, WHOLE), Row(2, 0, 0)])

    assert division.share(2) == Share(0, 0.0, tests=False)
    division.rows[0] = Row(1, 2, WHOLE // 2)
    assert division.share(2) == Share(2, 5.0, tests=False)


def test_a_lost_node_keeps_its_slots_until_another_node_takes_over() -> None:
    division = Division(Limits(1), [Row(1, 1, WHOLE, lives=False)])

    assert division.mine(2, 0).slots == 0
