"""Writing files so that a reader sees the old content or the new one, never a part."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, and move it over ``path`` when the block ends without an error.

    The temporary file lies in the folder of ``path``, keeps its suffix, and is flushed to the disk before the
    move. When the block raises (a full disk, an interrupt), the temporary file is removed and an existing
    file at ``path`` stays as it was. A symbolic link is followed, and the permissions of an existing file are
    kept.

    Args:
        path: Where the finished file shall be.

    Yields:
        Path of the temporary file; an empty file exists there and may be overwritten.

    Raises:
        FileNotFoundError: If the folder of ``path`` does not exist.
        IsADirectoryError: If ``path`` is a folder.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_write(folder / "answer.txt") as temporary:
        ...     _ = temporary.write_text("42")
        >>> (folder / "answer.txt").read_text()
        '42'
    """
    target = Path(os.path.realpath(os.fspath(path)))
    if target.is_dir():
        raise IsADirectoryError(f"path: expected a file, got the folder {target}")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"path: the folder {target.parent} does not exist; create it before writing {target.name}"
        )
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        temporary.chmod(_permissions(target))
        yield temporary
        _flush(temporary, os.O_RDWR)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    if os.name == "posix":
        # The move itself is on the disk only after the folder is; some file systems refuse to flush one.
        with suppress(OSError):
            _flush(target.parent, os.O_RDONLY)


def _permissions(target: Path) -> int:
    """Permissions of an existing file, or those that a new file gets here."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _flush(path: Path, flags: int) -> None:
    """Bring a file or folder from the cache of the operating system to the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
