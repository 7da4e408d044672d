"""Output is colored at a terminal, and plain in a pipe, with NO_COLOR and at a dumb terminal."""

from collections.abc import Callable

import pytest

from router.cli.printing.colors import color_of
from router.domain.deliveries import PlannedDelivery, State
from tests.cli.conftest import StoreCommands


@pytest.mark.parametrize(
    ("heading", "cell", "color"),
    [
        ("state", "dead   ", "red"),
        ("state", "pending, in 5m", "yellow"),
        ("state", "succeeded", "green"),
        ("deliveries", "1 succeeded, 1 dead", "red"),
        ("deliveries", "3 succeeded", "green"),
        ("dead", "0", None),
        ("dead", "1,200; see …", "red"),
        ("held", "2 of them", "yellow"),
        ("paused", "-", None),
        ("paused", "until resumed", "yellow"),
        ("breaker", "open, for 5m", "red"),
        ("error", "", None),
        ("source", "dead", None),
    ],
)
def test_the_color_of_a_cell_depends_on_its_value(heading: str, cell: str, color: str | None) -> None:
    assert color_of(heading, cell) == color


@pytest.mark.parametrize("columns", [60, 160])
def test_a_table_is_colored_only_on_a_terminal(
    columns: int, store_commands: StoreCommands, plan: Callable[..., PlannedDelivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    store_commands.put(plan())
    store_commands.end(State.DEAD)
    monkeypatch.delenv("NO_COLOR", raising=False)

    colored = store_commands.on_a_terminal("deliveries", "list", columns=columns)[1]
    monkeypatch.setenv("NO_COLOR", "1")
    plain = store_commands.on_a_terminal("deliveries", "list", columns=columns)[1]

    assert "\x1b[31mdead" in colored
    assert "\x1b[" not in plain
    assert "dead" in plain
    assert "\x1b[" not in store_commands.run("deliveries", "list").stdout
