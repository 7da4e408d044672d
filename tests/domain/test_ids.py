"""UUIDv7s sort by time and never repeat."""

import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from router.domain import ids
from router.domain.ids import uuid7

NOW = 4_000_000_000_000


@pytest.fixture(autouse=True)
def fresh_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start with a new counter. Ids never decrease, so other tests of this process would get ids of the far future."""
    monkeypatch.setattr(ids, "_last", 0)


def test_an_id_is_a_uuid_version_7_with_its_time() -> None:
    made = uuid.UUID(uuid7(NOW))

    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == NOW


def test_ids_increase_within_a_millisecond_and_when_the_clock_steps_back() -> None:
    made = [uuid7(NOW + 10) for _ in range(10_000)] + [uuid7(NOW - 3_600_000) for _ in range(100)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_threads_never_get_the_same_id() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: uuid7(NOW + 50), range(5000)))

    assert len(set(made)) == len(made)


def test_a_forked_process_has_its_own_random_part() -> None:
    script = (
        "import os; from router.domain.ids import uuid7; uuid7(1); child = os.fork();"
        "os.write(1, uuid7(2)[19:].encode() + b'\\n'); child and os.waitpid(child, 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert len(set(done.stdout.split())) == 2
