"""The ways in which programs save a file: the system calls of editors, and real command-line tools."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

Save = Callable[[Path, str], None]


def _write(path: Path, text: str, flags: int = os.O_WRONLY | os.O_CREAT | os.O_TRUNC, pieces: int = 2) -> None:
    """Write in pieces, as a buffered writer does, and sync."""
    descriptor = os.open(path, flags, 0o644)
    data = text.encode()
    step = len(data) // pieces + 1
    for start in range(0, len(data), step):
        os.write(descriptor, data[start : start + step])
    os.fsync(descriptor)
    os.close(descriptor)


def _run(*argv: str | Path, cwd: Path | None = None) -> None:
    subprocess.run(argv, cwd=cwd, check=True, capture_output=True, timeout=60)


def vim_by_renaming(path: Path, text: str) -> None:
    """Vim with `backupcopy=no`, or `auto` where possible: makes a probe file, renames the original to the backup."""
    probe = path.with_name("4913")
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o100644))
    os.chown(probe, os.getuid(), os.getgid())
    probe.unlink()
    backup = path.with_name(path.name + "~")
    path.rename(backup)
    _write(path, text, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    path.chmod(0o644)
    backup.unlink()


def vim_by_copying(path: Path, text: str) -> None:
    """Vim with `backupcopy=yes`: copies the file to the backup, then empties and writes it."""
    backup = path.with_name(path.name + "~")
    backup.write_bytes(path.read_bytes())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, text.encode())
    os.fsync(descriptor)
    os.close(descriptor)
    backup.unlink()


def nano(path: Path, text: str) -> None:
    """nano: writes in place, with a lock file beside it."""
    lock = path.with_name(f".{path.name}.swp")
    lock.write_bytes(b"b0nano")
    _write(path, text, pieces=7)
    lock.unlink()


def nano_with_backup(path: Path, text: str) -> None:
    """nano with `set backup`: first makes a copy with the original's times."""
    shutil.copy2(path, path.with_name(path.name + "~"))
    _write(path, text)


def vscode(path: Path, text: str) -> None:
    """VS Code: empties the file with one call and writes it with others."""
    os.truncate(path, 0)
    _write(path, text, os.O_WRONLY)


def vscode_atomically(path: Path, text: str) -> None:
    """VS Code with `files.experimentalAtomic…`, and JetBrains' safe write: renames a new file over the old one."""
    new = path.with_name(path.name + ".vsctmp")
    _write(new, text)
    new.replace(path)


def emacs(path: Path, text: str) -> None:
    """Emacs' first save: makes a lock (a dangling symlink), renames the original to the backup, writes a new file."""
    lock = path.with_name(".#" + path.name)
    lock.symlink_to("someone@somewhere.1234:5678")
    path.rename(path.with_name(path.name + "~"))
    _write(path, text, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    lock.unlink()


def sed_in_place(path: Path, text: str) -> None:
    """A real `sed -i`: renames a temporary file over the old one."""
    path.with_name("new.txt").write_text(text)
    _run("sed", "-i", "-e", "1r new.txt", "-e", "d", path.name, cwd=path.parent)


def mv_over(path: Path, text: str) -> None:
    """A real `mv` within one file system."""
    path.with_name("new.yaml").write_text(text)
    _run("mv", path.with_name("new.yaml"), path)


def cp_over(path: Path, text: str) -> None:
    """A real `cp`: empties and writes the file."""
    path.with_name("new.yaml").write_text(text)
    _run("cp", path.with_name("new.yaml"), path)


def cp_with_old_times(path: Path, text: str) -> None:
    """A real `cp -p` of a file that has the same times as the replaced one."""
    new = path.with_name("new.yaml")
    new.write_text(text)
    _run("touch", "-r", path, new)
    _run("cp", "-p", new, path)


def mv_with_old_times(path: Path, text: str) -> None:
    """As `rsync -t`: renames a new file with the source's times over the old one."""
    new = path.with_name(f".{path.name}.Xa81Zq")
    new.write_text(text)
    _run("touch", "-r", path, new)
    new.replace(path)


def hard_link(path: Path, text: str) -> None:
    """A real `ln -f`: the name gets another file."""
    path.with_name("new.yaml").write_text(text)
    _run("ln", "-f", path.with_name("new.yaml"), path)


def install(path: Path, text: str) -> None:
    """A real `install`: removes and creates the file."""
    path.with_name("new.yaml").write_text(text)
    _run("install", "-m", "644", path.with_name("new.yaml"), path)


def shell_redirection(path: Path, text: str) -> None:
    """A shell's redirection: `… > rules.yaml`."""
    path.with_name("new.yaml").write_text(text)
    _run("sh", "-c", f"cat new.yaml > {path.name}", cwd=path.parent)


def git_checkout(path: Path, text: str) -> None:
    """A real `git checkout` of another branch: removes and creates the file."""
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    before = path.read_text()
    _run(*git, "init", "-q", "-b", "before", cwd=path.parent)
    _run(*git, "add", path.name, cwd=path.parent)
    _run(*git, "commit", "-qm", "before", cwd=path.parent)
    # The other branch is made in another clone, so that only the checkout changes the file here.
    other = path.parent / "other"
    _run(*git, "worktree", "add", "-q", "-b", "after", other, cwd=path.parent)
    (other / path.name).write_text(text)
    _run(*git, "commit", "-qam", "after", cwd=other)
    _run(*git, "worktree", "remove", other, cwd=path.parent)
    assert path.read_text() == before
    _run(*git, "checkout", "-q", "after", cwd=path.parent)


def deleted_and_restored(path: Path, text: str) -> None:
    """Remove the file and write it again at once."""
    path.unlink()
    path.write_text(text)


WAYS: tuple[Save, ...] = (
    vim_by_renaming,
    vim_by_copying,
    nano,
    nano_with_backup,
    vscode,
    vscode_atomically,
    emacs,
    sed_in_place,
    mv_over,
    cp_over,
    cp_with_old_times,
    mv_with_old_times,
    hard_link,
    install,
    shell_redirection,
    git_checkout,
    deleted_and_restored,
)
