"""Finds other users who can change a file, by the file, a folder above it, or a symlink in its path."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.domain.files import trust as file_trust
from router.domain.files.trust import exposure, readable_by_all

SOMEBODY = 12345
AS_ROOT = os.geteuid() == 0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file two levels below a folder that other users can't write."""
    path = tmp_path / "a" / "b" / "rules.yaml"
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o755)
    path.parent.parent.chmod(0o755)
    path.write_text("")
    path.chmod(0o644)
    return path


def _told(path: Path) -> str:
    found = exposure(path)
    return found.sentence("run commands") if found else ""


def _give_away(path: Path, uid: int = -1, gid: int = -1) -> None:
    os.chown(path, uid, gid, follow_symlinks=False)


def test_a_file_that_only_its_user_and_root_can_write_is_trusted(file: Path) -> None:
    assert exposure(file) is None
    file.chmod(0o400)
    assert exposure(file) is None


@pytest.mark.parametrize("mode", [0o646, 0o666, 0o777, 0o602])
def test_a_file_that_everybody_can_write_is_exposed(file: Path, mode: int) -> None:
    file.chmod(mode)

    assert _told(file) == f"every user of this machine can write this file, and so run commands; chmod o-w {file}"


@pytest.mark.parametrize("depth", [0, 1])
def test_a_file_below_a_folder_that_everybody_can_write_is_exposed(file: Path, depth: int) -> None:
    folder = file.parents[depth]
    folder.chmod(0o777)

    assert _told(file) == (
        f"every user of this machine can replace files in the folder {folder}, and so run commands; chmod o-w {folder}"
    )


def test_a_sticky_folder_above_a_file_exposes_nothing(file: Path) -> None:
    file.parent.chmod(0o1777)
    file.parents[1].chmod(0o1777)

    assert exposure(file) is None


if AS_ROOT:

    def test_in_a_sticky_folder_only_the_owner_can_replace_a_file(file: Path) -> None:
        file.parent.chmod(0o1777)
        _give_away(file, SOMEBODY)

        assert f"the folder {file.parent}" in _told(file)

    @pytest.mark.parametrize("mode", [0o664, 0o660])
    def test_a_file_that_a_foreign_group_can_write_is_exposed(file: Path, mode: int) -> None:
        _give_away(file, gid=SOMEBODY)
        assert exposure(file) is None
        file.chmod(mode)

        assert _told(file).startswith("the group 12345 can write this file")
        assert _told(file).endswith(f"chmod g-w {file}")

    @pytest.mark.parametrize("depth", [0, 1])
    def test_a_folder_that_a_foreign_group_can_write_is_exposed(file: Path, depth: int) -> None:
        _give_away(file.parents[depth], gid=SOMEBODY)
        file.parents[depth].chmod(0o775)

        assert "the group 12345 can replace files" in _told(file)

    @pytest.mark.parametrize("depth", [-1, 0, 1])
    def test_a_file_of_another_user_is_exposed(file: Path, depth: int) -> None:
        _give_away(file if depth < 0 else file.parents[depth], SOMEBODY)

        assert "its owner, the user 12345," in _told(file)
        assert "chown it to root, or run the daemon as that user (in a container: --user 12345)" in _told(file)

    def test_files_of_root_are_trusted_by_every_daemon(file: Path) -> None:
        for folder in file.parents[:2]:
            folder.chmod(0o755)
        os.seteuid(SOMEBODY)
        try:
            assert file_trust._of_file(str(file), os.lstat("/")) is None
        finally:
            os.seteuid(0)

    def test_a_symlink_of_another_user_in_a_sticky_folder_is_exposed(file: Path, tmp_path: Path) -> None:
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared").chmod(0o1777)
        link = tmp_path / "shared" / "rules.yaml"
        link.symlink_to(file)
        assert exposure(link) is None
        _give_away(link, SOMEBODY)

        assert f"the folder {link.parent}" in _told(link)


def test_a_file_that_the_users_own_group_can_write_is_trusted(file: Path) -> None:
    if not file_trust._is_group_of_ours(os.getegid()):  # the users of this machine share a group
        assert not AS_ROOT
        return
    _give_away(file, gid=os.getegid())
    file.chmod(0o664)
    file.parent.chmod(0o775)

    assert exposure(file) is None


@pytest.mark.parametrize("absolute", [True, False])
def test_each_symlink_is_checked_with_its_folder(file: Path, tmp_path: Path, absolute: bool) -> None:
    (tmp_path / "links").mkdir(mode=0o755)
    link = tmp_path / "links" / "rules.yaml"
    link.symlink_to(file if absolute else Path("..", "a", "b", "rules.yaml"))
    assert exposure(link) is None

    link.parent.chmod(0o777)
    assert f"the folder {link.parent}" in _told(link)
    link.parent.chmod(0o755)
    file.parent.chmod(0o777)
    assert f"the folder {file.parent}" in _told(link)


def test_the_symlinks_of_a_configmap_are_trusted(tmp_path: Path) -> None:
    (tmp_path / "..2024").mkdir(mode=0o755)
    (tmp_path / "..2024" / "rules.yaml").write_text("")
    (tmp_path / "..data").symlink_to("..2024")
    (tmp_path / "rules.yaml").symlink_to("..data/rules.yaml")
    assert exposure(tmp_path / "rules.yaml") is None

    (tmp_path / "..2024").chmod(0o777)
    assert exposure(tmp_path / "rules.yaml") is not None


def test_a_folder_before_dots_in_the_path_is_also_checked(file: Path, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open" / "inner").mkdir(mode=0o755)

    assert f"the folder {tmp_path / 'open'}" in _told(tmp_path / "open" / "inner" / ".." / ".." / "a/b/rules.yaml")


def test_a_path_that_cannot_be_examined_has_no_exposure(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")

    assert exposure(tmp_path / "none") is None
    assert exposure(tmp_path / "none" / "file") is None
    assert exposure(tmp_path / "circle") is None
    assert exposure(Path("a\0b")) is None


def _acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


OWNER, GROUP, OTHER = (0x01, 7, 0xFFFFFFFF), (0x04, 5, 0xFFFFFFFF), (0x20, 5, 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("acl", "who"),
    [
        (b"", None),
        (b"\x02\0\0\0\1", None),
        (_acl(OWNER, GROUP, OTHER), None),
        (_acl(OWNER, (0x02, 7, SOMEBODY), GROUP, (0x10, 7, 0), OTHER), "the user 12345 "),
        (_acl(OWNER, GROUP, (0x08, 6, SOMEBODY), (0x10, 7, 0), OTHER), "the group 12345 "),
        (_acl(OWNER, (0x02, 7, SOMEBODY), GROUP, (0x10, 5, 0), OTHER), None),  # the mask removes the right
        (_acl(OWNER, (0x02, 5, SOMEBODY), GROUP, (0x10, 7, 0), OTHER), None),
        (_acl(OWNER, (0x02, 7, 0), GROUP, (0x10, 7, 0), OTHER), None),  # root
    ],
)
def test_access_control_lists_are_read(acl: bytes, who: str | None) -> None:
    found = file_trust._named_writer(acl)

    assert (found is None) == (who is None)
    assert found is None or found.startswith(str(who))


@pytest.fixture
def open_way(tmp_path: Path) -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's folder."""
    folder = Path(os.path.realpath("/tmp")) / f"router-{os.getpid()}-{tmp_path.name}"
    folder.mkdir()
    folder.chmod(0o755)
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_a_file_is_readable_by_all_only_when_its_folders_are_open(open_way: Path) -> None:
    path = open_way / "secret"
    path.write_text("x")
    path.chmod(0o644)
    assert readable_by_all(path)

    path.chmod(0o640)
    assert not readable_by_all(path)
    path.chmod(0o644)
    open_way.chmod(0o750)
    assert not readable_by_all(path)
