"""Nobody waits for the worker who only waited for the client, and the worker holds what it needs and no more."""

import os
import re
import subprocess
import sys
import time

import harness

# What a caller may wait beyond the end of the client, on a machine that is busy with something else. A held descriptor
# costs the whole life of the worker.
PROMPT = 20


class Held(harness.Case):
    """Each way to call, with no worker running, so that this call starts it."""

    def returns(self, command, **kwargs):
        begin = time.monotonic()
        done = subprocess.run(command, env=self.env(STEP1X=harness.STEP1X), capture_output=True, text=True, timeout=PROMPT, check=False, **kwargs)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        pid, = self.worker_pids()
        self.assertIn(str(pid), done.stdout.split())
        print(f"  returned after {time.monotonic() - begin:.3f} s", file=sys.stderr)

    def test_command_substitution(self):
        self.returns(["sh", "-c", 'x=$("$STEP1X" worker start); echo "$x"'])

    def test_command_substitution_of_standard_error_too(self):
        self.returns(["sh", "-c", 'x=$("$STEP1X" worker start 2>&1); echo "$x"'])

    def test_a_pipe_to_cat(self):
        self.returns(["sh", "-c", '"$STEP1X" worker start | cat'])

    def test_a_pipe_to_cat_with_errors(self):
        self.returns(["bash", "-c", '"$STEP1X" worker start |& cat'])

    def test_process_substitution(self):
        self.returns(["bash", "-c", 'cat < <("$STEP1X" worker start)'])

    def test_check_output(self):
        script = "import os, subprocess; print(subprocess.check_output([os.environ['STEP1X'], 'worker', 'start'], text=True, stderr=subprocess.STDOUT))"
        self.returns([sys.executable, "-c", script])

    def test_descriptors_3_to_20_are_pipes(self):
        """The readers see the end of every pipe when the client has ended: nobody else has its other end."""
        readers = []
        writers = {}
        for target in range(3, 21):
            reader, writer = os.pipe()
            readers.append(reader)
            writers[target] = writer
        # Through descriptors far above, so that none is overwritten before it is used.
        high = {target: os.dup2(writer, 200 + target) for target, writer in writers.items()}
        moves = " ".join(f"{target}>&{source} {source}>&-" for target, source in high.items())
        script = f'exec {moves}; exec "$STEP1X" worker start'
        child = subprocess.Popen(["bash", "-c", script], env=self.env(STEP1X=harness.STEP1X), pass_fds=list(high.values()), stdout=subprocess.PIPE, text=True)
        for fd in [*writers.values(), *high.values()]:
            os.close(fd)
        out, _ = child.communicate(timeout=PROMPT)
        self.assertEqual(self.worker_pids(), [int(out)])
        for reader in readers:
            os.set_blocking(reader, False)
            self.assertEqual(os.read(reader, 1), b"", "the other end is still open")
            os.close(reader)

    def test_an_edit_in_a_substitution(self):
        out = self.dir / "a.png"
        words = " ".join(f"'{word}'" for word in self.edit_arguments(out))
        done = subprocess.run(["sh", "-c", f'x=$("$STEP1X" {words}); echo "$x"'], env=self.env(STEP1X=harness.STEP1X), capture_output=True, text=True, timeout=PROMPT, check=True)
        self.assertEqual(done.stdout, f"{out}\n")
        self.assertEqual((len(self.worker_pids()), len(self.engine_pids())), (1, 1))

    def test_no_lock_of_the_caller_lives_on_in_the_worker(self):
        """A script that runs alone: a worker that kept the descriptor of its lock would keep the lock."""
        lock = self.dir / "lock"
        self.returns(["bash", "-c", f'exec 9>"{lock}"; flock 9; "$STEP1X" worker start'])
        subprocess.run(["flock", "-n", lock, "true"], check=True)


class Open(harness.Case):
    """/proc/PID/fd against what each process may have, by kind of target."""

    def targets(self, pid):
        """{descriptor: target}, numbers of sockets and pipes left out."""
        found = {}
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                found[int(name)] = re.sub(r":\[\d+\]$", "", os.readlink(f"/proc/{pid}/fd/{name}"))
            except FileNotFoundError:
                pass
        return found

    def start(self):
        """A worker whose first client had all kinds of things open."""
        pairs = [os.pipe() for _ in range(8)] + [(os.open(harness.PHOTO, os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY))]
        fds = [fd for pair in pairs for fd in pair]
        done = self.run_step1x("worker", "start", check=0, pass_fds=fds)
        for fd in fds:
            os.close(fd)
        return int(done.stdout)

    def expect(self, pid, standard, counts):
        def difference():
            targets = self.targets(pid)
            rest = [target for fd, target in targets.items() if fd > 2]
            have = {kind: rest.count(kind) for kind in set(rest)}
            return [] if ([targets.get(fd) for fd in (0, 1, 2)], have) == (standard, counts) else [targets]

        try:
            harness.eventually(lambda: not difference(), seconds=20, what="the allowed descriptors and no others")
        except AssertionError:
            self.fail(f"process {pid} has {difference()}, not {standard} and {counts}")

    def test_of_a_worker_with_and_without_an_engine_and_of_the_engine(self):
        run = str(self.runtime)
        worker_standard = ["/dev/null", "/dev/null", f"{run}/worker.log"]
        # The loop (epoll, its wake-up, and the timer of the library), signals (a pair of sockets or pipes), the worker's
        # own timer, the watch on the directory, the directory, the lock, the listener.
        idle = {"anon_inode:[eventpoll]": 1, "anon_inode:[eventfd]": 1, "anon_inode:[timerfd]": 2, "pipe": 2, "anon_inode:inotify": 1, run: 1, f"{run}/worker.lock": 1, "socket": 1}
        pid = self.start()
        self.expect(pid, worker_standard, idle)
        self.assertEqual([fd for fd, target in self.targets(pid).items() if target.endswith("worker.lock") and fd >= 1000], [max(self.targets(pid))], "the lock closes last")

        self.run_step1x(*self.edit_arguments(self.dir / "a.png"), check=0)
        engine, = self.engine_pids()
        # An engine: its life line, its log, its process.
        with_engine = {**idle, "socket": 2, "pipe": 3, "anon_inode:[pidfd]": 1}
        self.expect(pid, worker_standard, with_engine)
        self.expect(engine, ["/dev/null", "/dev/null", "pipe"], {"socket": 1})

        with self.connect() as other:
            self.expect(pid, worker_standard, {**with_engine, "socket": 3})
            # A job: its picture, while it runs; and nothing of it afterwards.
            other.edit(fake="step=300ms")
            other.until("step")
            self.assertIn("/memfd:picture (deleted)", self.targets(pid).values())
            self.assertIsNotNone(other.until("done"))
            other.close()
        self.expect(pid, worker_standard, with_engine)
        self.run_step1x("gpu", "release", check=0)
        self.expect(pid, worker_standard, idle)

    def test_forty_edits_leave_none_behind(self):
        pid = self.start()
        self.run_step1x(*self.edit_arguments(self.dir / "a.png", steps=1), check=0)
        before = self.targets(pid)
        for _ in range(harness.count(40, 1000)):
            self.run_step1x(*self.edit_arguments(self.dir / "a.png", steps=1), check=0)
        harness.eventually(lambda: sorted(self.targets(pid).values()) == sorted(before.values()), what=f"{before} again, not {self.targets(pid)}")


if __name__ == "__main__":
    harness.main()
