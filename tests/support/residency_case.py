"""What the tests of where the model is share. The engine is the test one, its arena a real one, whose content every engine that is given it checks."""

import hashlib
import os
import pathlib

import harness

ARENA = 32 << 20
FAKE = f"arena={ARENA},load=100ms,step=5ms"


def arenas_of(pid):
    """Of a process: (descriptors of arenas, mappings of arenas), as the kernel says."""
    try:
        entries = os.listdir(f"/proc/{pid}/fd")
        mappings = [line for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines() if "memfd:step1x-arena" in line]
    except (FileNotFoundError, ProcessLookupError):
        return [], []
    descriptors = []
    for entry in entries:
        try:
            if "memfd:step1x-arena" in os.readlink(f"/proc/{pid}/fd/{entry}"):
                descriptors.append(os.stat(f"/proc/{pid}/fd/{entry}"))
        except (FileNotFoundError, ProcessLookupError):
            pass  # closed meanwhile, as that of a client that has just left
    return descriptors, mappings


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.out = self.dir / "out.png"

    def edit(self, fake=FAKE, check=0, env=None, more=(), **kwargs):
        done = self.run_step1x(*self.edit_arguments(self.out, fake=fake, **kwargs), *more, env=env, check=check)
        digest = hashlib.sha256(self.out.read_bytes()).hexdigest() if check == 0 else None
        self.out.unlink(missing_ok=True)
        return done, digest

    def where(self):
        status = self.status()
        return status["model_location"], status["statistics"]

    def becomes(self, location, **statistics):
        def there():
            now, counted = self.where()
            return now == location and all(counted[key] == value for key, value in statistics.items())
        harness.eventually(there, what=f"{location}, {statistics}: {self.status()}")

    def worker(self):
        [pid] = self.worker_pids()
        return pid
