"""The list of action types."""

import subprocess
import sys

from router.actions.registry import ACTIONS


def test_the_keys_of_the_list_are_the_names_of_the_types() -> None:
    assert {name: one.name for name, one in ACTIONS.items()} == {name: name for name in ACTIONS}


def test_listing_the_types_loads_no_library_of_their_attempts() -> None:
    heavy = ("aiohttp", "jinja2")
    code = f"import sys, router.actions.registry; print([name for name in {heavy} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "[]\n"
