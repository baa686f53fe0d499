"""A control group for memory, version 1 or 2, whichever this machine has."""

import os
import pathlib

import harness


def own_group(controller):
    """The path of this process's group in the hierarchy that has the controller ("" for version 2), or None."""
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return None


class Group:
    """A memory group of this process's own, gone with remove(). OSError: none can be made here."""

    def __init__(self, limit_bytes=None):
        name = f"step1x-test-{os.getpid()}"
        if own_group("memory") is not None:
            mount = pathlib.Path("/sys/fs/cgroup/memory")
            self.version, limit, swap = 1, "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
        else:
            mount = pathlib.Path("/sys/fs/cgroup")
            self.version, limit, swap = 2, "memory.max", "memory.swap.max"
        own = mount / (own_group("memory") or own_group("") or "/").lstrip("/")
        # In a container the path may be the host's, and this group the root of what is mounted.
        self.path = (own if own.is_dir() else mount) / name
        self.path.mkdir()
        if not (self.path / "memory.stat").exists():
            self.remove()
            raise OSError("no memory controller here")
        if limit_bytes is None:
            return
        try:
            (self.path / limit).write_text(str(limit_bytes))
            if (self.path / swap).exists():
                (self.path / swap).write_text(str(limit_bytes) if self.version == 1 else "0")
        except OSError:
            self.remove()
            raise

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def pids(self):
        return [int(pid) for pid in (self.path / "cgroup.procs").read_text().split()]

    def used(self):
        """Bytes that nothing but its processes need: their own and shared memory, not the page cache."""
        stat = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        return sum(int(stat[key]) for key in (("total_rss", "total_shmem") if self.version == 1 else ("anon", "shmem")))

    def remove(self):
        harness.eventually(self.try_remove, what=f"{self.path} is removed")

    def try_remove(self):
        try:
            self.path.rmdir()
        except OSError:
            return False
        return True
