"""The sources of the admin token, and the tokens and files that are refused."""

import os
import stat
from pathlib import Path

import pytest

from router.admin.auth.token import given_token, kept_token, token_of_file
from router.domain.errors import StartError

GOOD = "0123456789abcdef"


def test_the_first_start_creates_a_token_that_later_starts_use(tmp_path: Path) -> None:
    token, path, made = kept_token(tmp_path / "store.db")

    assert made
    assert path == tmp_path / "store.db.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(token) >= 43  # 256 bits
    assert path.read_bytes() == token + b"\n"
    assert kept_token(tmp_path / "store.db") == (token, path, False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["store.db.token"]


def test_each_store_has_its_own_token(tmp_path: Path) -> None:
    assert kept_token(tmp_path / "a.db")[0] != kept_token(tmp_path / "b.db")[0]


def test_a_symlink_to_the_store_uses_the_same_token(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "store.db").symlink_to(tmp_path / "real" / "store.db")

    assert kept_token(tmp_path / "store.db")[0] == kept_token(tmp_path / "real" / "store.db")[0]


def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    _, path, _ = kept_token(tmp_path / "store.db")
    path.chmod(0o640)

    with pytest.raises(StartError, match="others can read .*remove it: a new token is made"):
        kept_token(tmp_path / "store.db")


def test_a_symlink_in_place_of_the_token_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(GOOD)
    (tmp_path / "elsewhere").chmod(0o600)
    (tmp_path / "store.db.token").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StartError, match="it is a link"):
        kept_token(tmp_path / "store.db")

    (tmp_path / "elsewhere").unlink()  # a dangling symlink is not followed for writing either
    with pytest.raises(StartError, match="it is a link"):
        kept_token(tmp_path / "store.db")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_token_file_of_another_user_is_refused(tmp_path: Path) -> None:
    _, path, _ = kept_token(tmp_path / "store.db")
    os.chown(path, 12345, 12345)

    # This holds for a process of root too.
    with pytest.raises(StartError, match="another user's"):
        kept_token(tmp_path / "store.db")


def test_a_token_path_that_is_not_a_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "store.db.token", 0o600)
    with pytest.raises(StartError, match="not a regular file"):
        kept_token(tmp_path / "store.db")

    (tmp_path / "other.db.token").mkdir()
    with pytest.raises(StartError, match="remove it"):
        kept_token(tmp_path / "other.db")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("short", "shorter than 16 characters"),
        ("0123456789abcde", "shorter than 16 characters"),
        ("0123456789 abcdef", "characters that a header can't carry"),
        ("0123456789abcdef\n\n", "characters that a header can't carry"),
        ("0123456789abcdéf", "characters that a header can't carry"),
        ("0123456789abcdef\x00", "characters that a header can't carry"),
        ("0123456789abcdef" * 300, "too large"),
    ],
)
def test_a_bad_token_in_a_file_is_refused_without_being_shown(tmp_path: Path, text: str, why: str) -> None:
    for path in (tmp_path / "token", tmp_path / "store.db.token"):
        path.write_text(text)
        path.chmod(0o600)

    with pytest.raises(StartError, match=why) as error:
        token_of_file(tmp_path / "token")
    with pytest.raises(StartError, match=why):
        kept_token(tmp_path / "store.db")
    assert "0123456789" not in str(error.value)


def test_an_operators_token_file_may_be_a_readable_symlink_with_any_line_ending(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(GOOD + "\r\n")
    (tmp_path / "secret").chmod(0o444)
    (tmp_path / "token").symlink_to(tmp_path / "secret")

    assert token_of_file(tmp_path / "token") == GOOD.encode()


def test_a_missing_token_file_gets_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="can't be read: No such file"):
        token_of_file(tmp_path / "token")
    with pytest.raises(StartError, match=r"can't be written .*; name a file with one"):
        kept_token(tmp_path / "missing" / "store.db")


def test_a_token_from_the_environment_is_validated_the_same_way() -> None:
    assert given_token(GOOD, "VARIABLE") == GOOD.encode()
    with pytest.raises(StartError, match="VARIABLE is empty"):
        given_token("", "VARIABLE")


def test_a_hard_link_to_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_text(GOOD)
    (tmp_path / "other").chmod(0o600)
    (tmp_path / "store.db.token").hardlink_to(tmp_path / "other")

    with pytest.raises(StartError, match="it has a second name"):
        kept_token(tmp_path / "store.db")


def test_an_operators_token_file_must_be_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(StartError, match="can't be read: it is a named pipe"):
        token_of_file(tmp_path / "pipe")
    with pytest.raises(StartError, match="can't be read: it is a device"):
        token_of_file(Path("/dev/zero"))
