"""In a control group that is too small, the kernel's memory killer takes the engine, never a bystander or the client, and the client
says what happened. Needs a memory controller (version 1 or 2) in which this user may make a group."""

import hashlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import harness
import memory_group

LIMIT = 300 << 20  # bytes
BYSTANDER = "x = bytearray(60 << 20)\nprint('ready', flush=True)\nimport time\nwhile True: time.sleep(0.1)"


class MemoryKiller(harness.Case):
    def setUp(self):
        super().setUp()
        try:
            self.group = memory_group.Group(LIMIT)
        except OSError as problem:
            self.skipTest(f"no memory control group can be made here: {problem}")
        # Cleanups run last in, first out: the processes go before their group.
        self._cleanups.insert(0, (self.group.remove, (), {}))
        self.addCleanup(self.kill_all)
        self.bystander = subprocess.Popen([sys.executable, "-c", BYSTANDER], preexec_fn=self.group.enter, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end_bystander)
        self.assertEqual(self.bystander.stdout.readline(), "ready\n")
        self.out = self.dir / "out.png"

    def end_bystander(self):
        self.bystander.kill()
        self.bystander.communicate()

    def edit(self, fake, check):
        done = self.run_step1x(*self.edit_arguments(self.out, fake=fake), "-v", preexec_fn=self.group.enter, check=check)
        self.assertIsNone(self.bystander.poll(), "the bystander was killed")
        return done

    def test_the_engine_is_taken_and_the_client_says_what_happened(self):
        self.edit("", 0)
        expected = hashlib.sha256(self.out.read_bytes()).hexdigest()
        self.out.unlink()
        [worker] = self.worker_pids()
        self.assertIn(worker, self.group.pids())
        for _ in range(harness.count(3, 10)):
            start = time.monotonic()
            done = self.edit("hog@step=2", 1)
            took = time.monotonic() - start
            lines = done.stderr.splitlines()
            self.assertEqual(len(lines), 2, lines)
            self.assertTrue(lines[0].startswith("step1x: trying once more: the engine was killed by signal 9 (Killed)"), lines)
            self.assertRegex(lines[1], r"\Astep1x: the engine died 2 times in this job, the last time it was killed by signal 9 \(Killed\), "
                                       r"and the kernel's memory killer has been at work: there was too little memory; see: step1x worker log\Z")
            self.assertFalse(self.out.exists())
            # The worker lives on, in the same group, and serves the next job.
            self.assertEqual(self.worker_pids(), [worker])
            self.edit("", 0)
            self.assertEqual(hashlib.sha256(self.out.read_bytes()).hexdigest(), expected)
            self.out.unlink()
        print(f"version {self.group.version}: the killer took both engines of a job within {took:.1f} s", file=sys.stderr)

    def test_a_worker_that_it_takes_is_replaced_once_and_named(self):
        """The worker is smaller than its engine, so the killer takes it last; here its death stands for that."""
        client = self.start_step1x(*self.edit_arguments(self.out, fake="step=300ms"), preexec_fn=self.group.enter)
        harness.eventually(lambda: self.worker_pids() and self.status()["state"] == "Working", what="the job runs")
        [worker], [engine] = self.worker_pids(), self.engine_pids()
        os.kill(engine, signal.SIGSTOP)  # the job waits
        # The killer has somebody to take meanwhile, so that the machine's count of its kills goes up.
        hog = subprocess.Popen([sys.executable, "-c", "x = []\nwhile True: x.append(bytearray(b'x' * (8 << 20)))"],
                               preexec_fn=lambda: (self.group.enter(), pathlib.Path("/proc/self/oom_score_adj").write_text("1000")))
        self.assertEqual(hog.wait(harness.HANG), -signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        os.kill(engine, signal.SIGCONT)
        _, error = client.communicate(timeout=harness.HANG)
        self.assertEqual((client.returncode, error),
                         (0, f"step1x: worker {worker} died in the middle of the job; the kernel's memory killer has been at work: there was too little memory; trying once more\n"))
        self.assertTrue(self.out.exists())
        self.assertIsNone(self.bystander.poll())

    def test_the_killer_is_told_whom_to_take_first(self):
        self.edit("", 0)
        scores = {who: int(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text())
                  for who, pid in (("worker", self.worker_pids()[0]), ("engine", self.engine_pids()[0]))}
        self.assertEqual(scores, {"worker": 800, "engine": 700})


if __name__ == "__main__":
    harness.main()
