"""The tree of a body shows what the rules see, with numbers as they were sent, and has a size limit."""

from typing import Any

import orjson
import pytest

from router.domain.events import Event
from router.domain.ids import uuid7
from router.operate.body_tree import DEEPEST, LARGEST, LONGEST, MOST_CHILDREN, MOST_NODES, TreeNode, body_tree


def tree_of(body: bytes, content_type: str | None = "application/json") -> TreeNode | None:
    headers = (("Content-Type", content_type),) if content_type is not None else ()
    return body_tree(Event(uuid7(0), "hub", "POST", "/", "", headers, body, "192.0.2.1", 0), None)


def plain(node: TreeNode | None) -> Any:
    """The tree as nested lists of the shown texts."""
    assert node is not None
    if node.kind in ("mapping", "list"):
        inner = [plain(child) for child in node.children]
        return (
            dict(zip([child.key for child in node.children], inner, strict=True)) if node.kind == "mapping" else inner
        )
    return node.text + (f" seen as {node.seen}" if node.seen else "")


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("1", "1"),
        ("1.0", "1.0"),
        ("-0", "-0"),
        ("1E5", "1E5"),
        ("9007199254740993", "9007199254740993"),  # rules see integers of 64 bits exactly
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("18446744073709551616", "18446744073709551616"),  # a power of two, which a float holds exactly
        ("18446744073709551617", "18446744073709551617 seen as 1.8446744073709552e+19"),
        ("1.1000000000000000001", "1.1000000000000000001 seen as 1.1"),
        ("0.1", "0.1"),
        ("1e-400", "1e-400 seen as 0.0"),
    ],
)
def test_numbers_are_shown_as_they_were_sent(number: str, shown: str) -> None:
    assert plain(tree_of(f'{{"n": [{number}]}}'.encode())) == {"n": [shown]}


def test_a_repeated_key_is_shown_each_time_and_the_last_one_counts() -> None:
    tree = tree_of(b'{"a": 1, "b": {"a": 2}, "a": 3}')

    assert tree is not None
    assert [(child.key, child.overwritten) for child in tree.children] == [("a", True), ("b", False), ("a", False)]


@pytest.mark.parametrize(
    ("body", "content_type", "shown"),
    [
        (b"a=1&b=x&a=2", "application/x-www-form-urlencoded", {"a": ["1", "2"], "b": "x"}),
        (b"\xef\xbb\xbf{}", "application/json", {}),
        ('{"a": 1.0}'.encode("utf-16"), "application/json", {"a": "1.0"}),
        (b'{"a": "\xe9"}', "application/json; charset=iso-8859-1", {"a": "é"}),
        (b'["\\ud83d"]', "application/json", ["\ud83d"]),
        (b"true", None, "true"),
        (b'"<b>"', "application/json", "<b>"),
    ],
)
def test_the_tree_shows_the_payload_that_the_rules_see(body: bytes, content_type: str | None, shown: Any) -> None:
    assert plain(tree_of(body, content_type)) == shown


@pytest.mark.parametrize(
    ("body", "content_type"), [(b"plain", "text/plain"), (b"", "application/json"), (b"1e400", None)]
)
def test_a_text_body_is_not_shown_as_a_tree(body: bytes, content_type: str | None) -> None:
    assert tree_of(body, content_type) is None


def _nodes(node: TreeNode) -> int:
    return 1 + sum(map(_nodes, node.children))


def _depth(node: TreeNode) -> int:
    return 1 + max(map(_depth, node.children), default=0)


@pytest.mark.parametrize(
    "payload",
    [
        list(range(20_000)),
        {str(number): [number] * 10 for number in range(2_000)},
        [[[[1] * 30] * 30] * 30],
        {"a" * 50_000: "b" * 50_000},
    ],
    ids=["long", "wide", "bushy", "texts"],
)
def test_the_size_of_a_tree_is_limited(payload: Any) -> None:
    tree = tree_of(orjson.dumps(payload))

    assert tree is not None
    assert _nodes(tree) <= MOST_NODES
    assert len(tree.children) <= MOST_CHILDREN
    assert tree.left_out == len(payload) - len(tree.children)
    assert all(len(child.key or "") <= LONGEST and len(child.text) <= LONGEST for child in tree.children)


def test_a_deep_payload_is_cut_with_a_note() -> None:
    tree = tree_of(b"[" * 150 + b"]" * 150)

    assert tree is not None
    assert _depth(tree) == DEEPEST + 1


def test_a_large_part_does_not_hide_the_parts_after_it() -> None:
    tree = tree_of(orjson.dumps({"large": [[0] * 10] * 500, "after": {"x": 1}}))

    assert plain(tree)["after"] == {"x": "1"}


def test_a_large_body_is_not_shown_as_a_tree() -> None:
    assert tree_of(b'["' + b"x" * LARGEST + b'"]') is None
