"""Many clients at the same moment, and the workers of a directory as the kernel shows them meanwhile."""

import os
import subprocess
import threading
import time

import harness


class Crowd:
    """Starts every command at once: each waits at a gate, in a process of its own, until all are there.

    Results are (exit code, stdout, stderr), in the commands' order.
    """

    def __init__(self, case, commands, env=None, delays=None):
        self.case = case
        self.folder = case.dir / f"crowd-{time.monotonic_ns()}"
        self.folder.mkdir()
        gate, self.opener = os.pipe()
        # The gate opens by the end of its input. Sleeping is the shell's: Python could not keep 200 appointments.
        script = 'read _; exec 0</dev/null; [ "$1" = 0 ] || sleep "$1"; shift; exec "$@"'
        self.processes = []
        for i, command in enumerate(commands):
            delay = str(delays[i]) if delays else "0"
            with open(self.folder / f"{i}.out", "wb") as out, open(self.folder / f"{i}.err", "wb") as err:
                self.processes.append(subprocess.Popen(["/bin/sh", "-c", script, "sh", delay, *map(str, command)], stdin=gate, stdout=out, stderr=err, env=env or case.env()))
        os.close(gate)
        case.addCleanup(self.end)

    def go(self):
        if self.opener is not None:
            os.close(self.opener)
            self.opener = None
        return self

    def results(self, hang=harness.HANG):
        self.go()
        end = time.monotonic() + hang
        found = []
        for i, process in enumerate(self.processes):
            code = process.wait(max(0.1, end - time.monotonic()))
            found.append((code, (self.folder / f"{i}.out").read_text(), (self.folder / f"{i}.err").read_text()))
        return found

    def end(self):
        self.go()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


class Watch:
    """Every process id that was ever seen as a worker of the case's directory while the `with` block ran."""

    def __init__(self, case):
        self.case = case
        self.seen = set()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def look(self):
        while not self.ended.is_set():
            self.seen.update(self.case.worker_pids())
            time.sleep(0.005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.seen.update(self.case.worker_pids())
