import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from geomlearn._files import atomic_write


def test_replaces_the_file_only_when_the_block_ends(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["data.txt"]


@pytest.mark.parametrize("error", [RuntimeError("bad"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "data.txt"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        raise error

    with pytest.raises(type(error)), atomic_write(path) as temporary:
        fail(temporary)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fills_up_at_the_flush_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "data.txt"
    path.write_text("old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), atomic_write(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_flushes_the_content_before_the_move(tmp_path, monkeypatch):
    path, events = tmp_path / "data.txt", list[str]()
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor):
        events.append("fsync")
        fsync(descriptor)

    def noted_replace(source, target):
        events.append("move")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    assert events[:2] == ["fsync", "move"]


def test_a_killed_process_leaves_the_old_file(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys\nfrom geomlearn._files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as t:\n"
        "    t.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    assert path.read_text() == "old"


def test_follows_links_and_keeps_permissions(tmp_path):
    path, link = tmp_path / "data.txt", tmp_path / "link.txt"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    with atomic_write(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_gets_the_permissions_of_the_process(tmp_path):
    plain, path = tmp_path / "plain", tmp_path / "data.txt"
    plain.write_text("")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    assert path.stat().st_mode == plain.stat().st_mode


def test_says_which_folder_is_missing(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"the folder .*nowhere does not exist"),
        atomic_write(tmp_path / "nowhere" / "data.txt"),
    ):
        pass
    with pytest.raises(IsADirectoryError, match="expected a file"), atomic_write(tmp_path):
        pass
