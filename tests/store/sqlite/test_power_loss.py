"""Committed results survive a power cut at any moment, whatever part of the unsynced bytes was written."""

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.sqlite.power_loss_run import History, problems, run_workload
from tests.store.sqlite.simulated_disk import Marker, Note, Sync, SyncNames, Write, images

MOMENTS = 60
KEPT = (0.0, 0.5, 1.0)  #: probabilities that an unsynced sector was written


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory if possible, since a hundred stores are opened."""
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=parent) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def history(memory: Path) -> History:
    """The recorded history of a store."""
    folder = memory / "recorded"
    folder.mkdir()
    return run_workload(folder, rounds=36, seed=1)


def test_the_recorded_history_has_checkpoints_syncs_and_reports(history: History) -> None:
    assert history.folds() >= 3  # the log was started over
    assert sum(isinstance(note, Marker) for note in history.notes) > 300
    assert sum(isinstance(note, Sync) for note in history.notes) > 60


def test_a_power_cut_loses_no_acknowledged_event(history: History, memory: Path) -> None:
    chance = random.Random(1)
    moments = _first_marks(history) + chance.sample(range(len(history.notes)), MOMENTS)
    for number, image in enumerate(images(history.notes, moments, KEPT, chance)):
        found = problems(image, history, memory / str(number))
        assert not found, f"after {image.at} of {len(history.notes)} notes: {found}"


def _first_marks(history: History) -> list[int]:
    """The moments after the first answer, when the names of the files are new too, and after the last one."""
    marks = [number for number, note in enumerate(history.notes) if isinstance(note, Marker)]
    return [marks[0] + 1, marks[-1] + 1]


def test_the_power_loss_check_notices_a_disk_that_ignores_fsync(history: History, memory: Path) -> None:
    log = max(note.file for note in history.notes if isinstance(note, Write))
    lying = [note for note in history.notes if not (isinstance(note, Sync) and note.file == log)]

    [image] = images(lying, [len(lying) - 8], [0.0], random.Random(1))

    assert problems(image, history, memory / "lied to")


def test_the_power_loss_check_notices_a_folder_that_is_never_synced(history: History, memory: Path) -> None:
    lying: list[Note] = [note for note in history.notes if not isinstance(note, SyncNames)]

    [image] = images(lying, [_first_marks(history)[0]], [0.0], random.Random(1))

    assert image.files == {}
    assert problems(image, history, memory / "forgotten")
