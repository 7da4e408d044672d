"""The queue of a writer gathers the writes that arrive within a short time."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

from router.store.write_queue import WriteQueue
from tests.conftest import PATIENCE_SECONDS


@dataclass
class Job:
    """A write job."""

    name: str
    weight: int = 1
    is_append: ClassVar[bool] = True


def test_the_writer_waits_for_further_jobs() -> None:
    queue: WriteQueue[Job] = WriteQueue()
    queue.put(Job("first"), stalled=False)

    with ThreadPoolExecutor(1) as pool:
        gathered = pool.submit(queue.gather, 2, PATIENCE_SECONDS)
        queue.put(Job("second"), stalled=False)
        # The writer may begin after the second job. Then it waits for two more jobs.
        while not gathered.done():
            queue.put(Job("further"), stalled=False)
            time.sleep(0.001)
        assert gathered.result()

    batch = queue.take(0)
    assert batch is not None
    assert len(batch) >= 3


def test_the_writer_waits_only_a_limited_time() -> None:
    queue: WriteQueue[Job] = WriteQueue()

    assert not queue.gather(1, 0.001)


def test_closing_the_queue_ends_the_wait_of_the_writer() -> None:
    queue: WriteQueue[Job] = WriteQueue()
    queue.close()

    assert queue.gather(1, PATIENCE_SECONDS)
