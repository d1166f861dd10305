"""Places that can't be written to, only in this process: read-only ones, and full disks."""

import ctypes
import os
import random
import resource
from collections.abc import Callable
from pathlib import Path

NOBODY = 65534
# Flags of unshare(2) and mount(2).
_NEW_MOUNTS, _NEW_USER, _READ_ONLY, _AGAIN, _PRIVATE = 0x20000, 0x10000000, 1, 32, 0x44000

Fill = Callable[[], object]


class NotToBeHadError(Exception):
    """This process may not make such a place."""


def read_only_folder(folder: Path, fill: Fill, draw: random.Random) -> None:
    fill()
    folder.chmod(0o555)
    _be_nobody(folder)


def read_only_files(folder: Path, fill: Fill, draw: random.Random) -> None:
    fill()
    for path in folder.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    _be_nobody(folder)


def all_read_only(folder: Path, fill: Fill, draw: random.Random) -> None:
    fill()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    _be_nobody(folder)


def read_only_disk(folder: Path, fill: Fill, draw: random.Random) -> None:
    _own_disk(folder, 1 << 25)
    fill()
    _mount(folder, _READ_ONLY | _AGAIN, "")


def full_disk(folder: Path, fill: Fill, draw: random.Random) -> None:
    _own_disk(folder, 1 << 20)
    fill()
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    left = int(2 ** draw.uniform(0, 17))
    (folder / "of others").write_bytes(bytes(free - left - 4096 * 4))


def short_files(folder: Path, fill: Fill, draw: random.Random) -> None:
    """Limit the size of files, like a quota."""
    fill()
    most = int(2 ** draw.uniform(0, 13))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


PLACES = {f.__name__: f for f in (read_only_folder, read_only_files, read_only_disk, full_disk, short_files)}
READ_ONLY = {f.__name__: f for f in (all_read_only, read_only_disk)}  # where nothing at all can be written


def _be_nobody(owner_of: Path) -> None:
    """Become another user, who owns this: root may write everywhere, even to read-only files."""
    if os.geteuid() == 0:
        for path in (owner_of, *owner_of.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def _own_disk(folder: Path, size: int) -> None:
    """Mount an empty in-memory disk over a folder: no other process sees it, and it ends with this one."""
    user, group = os.geteuid(), os.getegid()
    if _libc().unshare(_NEW_MOUNTS | (_NEW_USER if user else 0)):
        raise NotToBeHadError("no mounts of its own")
    if user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            Path(f"/proc/self/{name}").write_text(text)
    if _libc().mount(None, b"/", None, _PRIVATE, None):
        raise NotToBeHadError("no mounts of its own")
    _mount(folder, 0, f"size={size},mode=755")


def _mount(folder: Path, flags: int, options: str) -> None:
    if _libc().mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, options.encode() or None):
        raise NotToBeHadError(f"no disk in memory: {os.strerror(ctypes.get_errno())}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
