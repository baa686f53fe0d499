"""Whatever ends an edit early, the engine is idle again soon, nothing half done is left, and the next result is the same as ever."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import harness

STEP = 0.02  # seconds
IDLE_AGAIN = STEP + 0.2  # what is promised; the test waits ten times that, and under a sanitizer ten times that again
GUARD = IDLE_AGAIN * (100 if harness.BUILD.name in ("asan", "tsan") else 10)
FAKE = "step=20ms,load=60ms"
STEPS = 12
LENGTH = 0.06 + STEPS * STEP  # of an edit, in the engine


class Interrupted(harness.Case):
    def setUp(self):
        super().setUp()
        self.random = random.Random(int(os.environ.get("STEP1X_SEED", "1")))
        self.results = self.dir / "results"
        self.results.mkdir()
        self.out = self.results / "out.png"
        self.undisturbed()  # starts worker and engine
        start = time.monotonic()
        self.expected = self.undisturbed()
        self.whole = time.monotonic() - start
        self.watcher = self.connect()
        self.addCleanup(self.watcher.close)
        self.slowest = 0.0

    def arguments(self, output=None, fake=FAKE):
        return self.edit_arguments(output or self.out, fake=fake, steps=STEPS)

    def undisturbed(self):
        self.run_step1x(*self.arguments(), check=0)
        digest = self.digest()
        self.out.unlink()
        return digest

    def digest(self):
        return hashlib.sha256(self.out.read_bytes()).hexdigest()

    def ask(self):
        self.watcher.send({"op": "status"})
        return self.watcher.receive()

    def idle(self):
        status = self.ask()
        return status["state"] == "Idle" and status["queue"]["running"] == status["queue"]["waiting"] == 0

    def working(self):
        return self.ask()["state"] in ("Loading", "Working")

    def wait_idle(self, since):
        harness.eventually(self.idle, seconds=GUARD, what="the engine is idle again")
        self.slowest = max(self.slowest, time.monotonic() - since)

    def nothing_left(self):
        """No hidden or half-written file; the result, if there is one, is whole."""
        left = sorted(file.name for file in self.results.iterdir())
        self.assertIn(left, ([], ["out.png"]))
        if left:
            self.assertEqual(self.digest(), self.expected)
            self.out.unlink()
        names = {file.name for file in self.runtime.iterdir()}
        self.assertEqual(names, {"worker.sock", "worker.lock", "spawn.lock", "worker.log"})
        return bool(left)

    def at_random_moments(self, number, rounds, codes):
        cancelled = self.ask()["queue"]["cancelled"]
        for _ in range(rounds):
            client = self.start_step1x(*self.arguments())
            time.sleep(self.random.uniform(0, self.whole))
            client.send_signal(number)
            since = time.monotonic()
            _, error = client.communicate(timeout=harness.HANG)
            self.wait_idle(since)
            written = self.nothing_left()
            # The signal itself: it came before the program had begun.
            self.assertIn(client.returncode, (*codes, -number, 0))
            if client.returncode == 0:
                self.assertTrue(written)
            # The leak check of a sanitizer build may be at work in the threads that are killed.
            error = re.sub(r"==\d+==Unable to get registers from thread \d+\.\n", "", error)
            self.assertIn(error, ("", "step1x: interrupted\n"))
            self.assertEqual(self.undisturbed(), self.expected)
        cancelled = self.ask()["queue"]["cancelled"] - cancelled
        self.assertGreaterEqual(cancelled, rounds // 8, "too few signals met a job: this test has shown little")
        print(f"{number.name}: {rounds} times, {cancelled} of them in the job; idle again after at most "
              f"{1000 * self.slowest:.0f} ms (promised: {1000 * IDLE_AGAIN:.0f} ms)", file=sys.stderr)

    def test_by_sigint(self):
        self.at_random_moments(signal.SIGINT, harness.count(10, 50), [130])

    def test_by_kill_9(self):
        self.at_random_moments(signal.SIGKILL, harness.count(10, 50), [-9])

    def test_by_sigterm(self):
        self.at_random_moments(signal.SIGTERM, harness.count(5, 50), [130])

    def test_by_sighup(self):
        self.at_random_moments(signal.SIGHUP, harness.count(5, 50), [130])

    def test_under_nohup_a_hangup_changes_nothing(self):
        client = self.start_step1x(*self.arguments(), preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        harness.eventually(self.working, what="the job runs")
        client.send_signal(signal.SIGHUP)
        client.communicate(timeout=harness.HANG)
        self.assertEqual(client.returncode, 0)
        self.assertEqual(self.digest(), self.expected)

    def test_while_it_waits_for_another_job(self):
        first = self.start_step1x(*self.arguments(self.dir / "first.png"))
        harness.eventually(self.working, what="the first job runs")
        second = self.start_step1x(*self.arguments(fake="step=30s"))
        harness.eventually(lambda: self.ask()["queue"]["waiting"] == 1, what="the second job waits")
        second.send_signal(signal.SIGINT)
        second.communicate(timeout=harness.HANG)
        self.assertEqual(second.returncode, 130)
        first.communicate(timeout=harness.HANG)
        self.assertEqual(first.returncode, 0)
        self.wait_idle(time.monotonic())

    def in_a_job_that_hangs(self, *arguments):
        """A client, and its engine, which computes and notices nothing any more."""
        client = self.start_step1x(*arguments)
        harness.eventually(lambda: self.ask()["state"] == "Working", what="the job runs")
        engine = self.ask()["devices"][0]["pid"]
        os.kill(engine, signal.SIGSTOP)
        self.addCleanup(resume, engine)
        return client, engine

    def test_twice_while_the_engine_hangs_it_leaves_at_once(self):
        client, engine = self.in_a_job_that_hangs(*self.arguments(fake="step=30s"))
        client.send_signal(signal.SIGINT)
        # It waits for the engine's word.
        with self.assertRaises(subprocess.TimeoutExpired):
            client.wait(0.5)
        client.send_signal(signal.SIGINT)
        client.communicate(timeout=harness.HANG)
        self.assertEqual(client.returncode, 130)
        resume(engine)
        self.wait_idle(time.monotonic())
        self.nothing_left()
        self.assertEqual(self.undisturbed(), self.expected)

    def test_once_while_worker_or_engine_hangs_it_does_not_wait_for_ever(self):
        for who in ("engine", "worker"):
            with self.subTest(hangs=who):
                client = self.start_step1x(*self.arguments(fake="step=30s"))
                harness.eventually(self.working, what="the job runs")
                hanging = self.ask()["devices"][0]["pid"] if who == "engine" else self.worker_pids()[0]
                os.kill(hanging, signal.SIGSTOP)
                self.addCleanup(resume, hanging)
                client.send_signal(signal.SIGINT)
                _, error = client.communicate(timeout=harness.HANG)
                self.assertEqual((client.returncode, error), (130, "step1x: interrupted\n"))
                resume(hanging)
                self.wait_idle(time.monotonic())
                self.nothing_left()
                self.assertEqual(self.undisturbed(), self.expected)

    def test_an_engine_that_is_silent_after_a_cancel_is_ended_and_the_weights_stay(self):
        short, endless = (self.edit_arguments(self.out, fake="arena=8388608,load=60ms,step=100ms", steps=steps) for steps in (1, 1000))
        self.run_step1x(*short, check=0)
        loads = self.ask()["statistics"]["total_loads"]
        client, engine = self.in_a_job_that_hangs(*endless)
        client.send_signal(signal.SIGINT)
        client.communicate(timeout=harness.HANG)
        harness.eventually(lambda: not harness.alive(engine), what="the engine is ended")
        self.assertIn("does not answer a cancel", self.run_step1x("worker", "log", check=0).stdout)
        self.run_step1x(*short, check=0)
        self.assertEqual(self.ask()["statistics"]["total_loads"], loads)
        self.assertEqual(self.undisturbed(), self.expected)

    def test_an_engine_that_cannot_look_while_it_loads_is_given_longer(self):
        client = self.start_step1x(*self.arguments(fake="open=2500ms"))
        harness.eventually(lambda: self.ask()["state"] == "Loading", what="it loads")
        engine = self.ask()["devices"][0]["pid"]
        client.send_signal(signal.SIGINT)
        client.communicate(timeout=harness.HANG)
        harness.eventually(self.idle, what="the engine is idle again")
        self.assertEqual(self.engine_pids(), [engine])

    def test_a_worker_that_hangs_is_named_and_ended_only_by_force(self):
        self.run_step1x(*self.edit_arguments(self.dir / "first.png"), "--keep", "10m", check=0)
        worker, engine = self.worker_pids()[0], self.engine_pids()[0]
        os.kill(worker, signal.SIGSTOP)
        self.addCleanup(resume, worker)
        commands = (["gpu", "status"], ["gpu", "offload"], ["worker", "stop"])
        waiting = [self.start_step1x(*command) for command in commands]
        for command, client in zip(commands, waiting):
            with self.subTest(command=command):
                _, error = client.communicate(timeout=harness.HANG)
                self.assertEqual(client.returncode, 75)
                self.assertIn(f"worker {worker} takes connections and does not answer (step1x worker stop --force ends it)", error)
        self.assertTrue(harness.alive(worker))
        forced = self.run_step1x("gpu", "release", "--force", check=0)
        self.assertEqual(forced.stderr, f"step1x: worker {worker} has not answered for 10 s, and is ended\n")
        self.assertFalse(harness.alive(worker))
        harness.eventually(lambda: not harness.alive(engine), what="its engine ends with it")
        self.assertEqual(self.undisturbed(), self.expected)

    def test_a_worker_that_hangs_after_its_hello_is_ended_by_force_too(self):
        self.run_step1x("worker", "start", check=0)
        worker = self.worker_pids()[0]
        # It answers the hello, and then waits for the end of an engine that hangs: the worker itself is healthy.
        client = self.start_step1x(*self.arguments(fake="step=30s"))
        harness.eventually(self.working, what="the job runs")
        engine = self.ask()["devices"][0]["pid"]
        os.kill(engine, signal.SIGSTOP)
        self.addCleanup(resume, engine)
        stopped = self.run_step1x("worker", "stop", "--force", check=0)
        self.assertEqual(stopped.stderr, "")
        self.assertFalse(harness.alive(worker))
        self.assertNotEqual(client.wait(timeout=harness.HANG), 0)
        harness.eventually(lambda: not harness.alive(engine), what="the engine is ended")

    def test_restart_gives_another_worker_and_status_is_one_by_both_names(self):
        first = self.run_step1x("worker", "start", check=0).stdout
        second = self.run_step1x("worker", "restart", check=0).stdout
        self.assertNotEqual(first, second)
        self.assertEqual([*map(int, second.split())], self.worker_pids())
        ours = json.loads(self.run_step1x("worker", "status", "--json", check=0).stdout)
        self.assertEqual(ours["worker"]["pid"], int(second))
        self.assertEqual(ours.keys(), self.status().keys())

    def test_when_its_worker_dies_meanwhile_it_does_not_start_over(self):
        client = self.start_step1x(*self.arguments(fake="step=30s"))
        harness.eventually(self.working, what="the job runs")
        worker = self.worker_pids()[0]
        os.kill(worker, signal.SIGSTOP)
        client.send_signal(signal.SIGINT)
        time.sleep(0.3)
        os.kill(worker, signal.SIGKILL)
        _, error = client.communicate(timeout=harness.HANG)
        self.assertEqual((client.returncode, error), (130, "step1x: interrupted\n"))
        self.assertEqual(self.worker_pids(), [])

    def test_by_its_time_limit(self):
        for limit in ("0", "1ms", "100ms", "200ms"):
            with self.subTest(limit=limit):
                done = self.run_step1x(*self.arguments(fake="step=30s,load=10ms"), "--timeout", limit, check=75)
                since = time.monotonic()
                self.assertRegex(done.stderr, r"\Astep1x: [^\n]*\(--timeout\)[^\n]*\n\Z")
                self.wait_idle(since)
                self.assertFalse(self.nothing_left())
                self.assertEqual(self.undisturbed(), self.expected)

    def test_by_its_time_limit_while_the_engine_hangs(self):
        client = self.start_step1x(*self.arguments(fake="step=30s"), "--timeout", "2s")
        harness.eventually(self.working, what="the job runs")
        engine = self.ask()["devices"][0]["pid"]
        os.kill(engine, signal.SIGSTOP)
        self.addCleanup(resume, engine)
        client.communicate(timeout=harness.HANG)
        self.assertEqual(client.returncode, 75)
        resume(engine)
        self.wait_idle(time.monotonic())


class Starting(harness.Case):
    def test_a_client_killed_while_it_starts_a_worker_leaves_no_second_one_and_no_half_one(self):
        chance = random.Random(2)
        for number in (signal.SIGINT, signal.SIGKILL) * harness.count(4, 25):
            client = self.start_step1x("worker", "start")
            time.sleep(chance.uniform(0, 0.05))
            client.send_signal(number)
            client.communicate(timeout=harness.HANG)
            self.run_step1x("worker", "start", check=0)
            harness.eventually(lambda: len(self.worker_pids()) == 1, what="one worker, and no second one that waits for it")
            self.run_step1x("worker", "stop", check=0)
            harness.eventually(lambda: not self.worker_pids(), what="the worker has ended")

    def test_a_private_worker_ends_with_its_killed_client_and_its_directory_goes(self):
        chance = random.Random(3)
        for number in (signal.SIGINT, signal.SIGKILL) * harness.count(3, 25):
            client = self.start_step1x(*self.edit_arguments(self.dir / "out.png", fake="step=30s"), "--isolated")
            harness.eventually(lambda: self.engine_pids(), what="it has an engine")
            time.sleep(chance.uniform(0, 0.05))
            client.send_signal(number)
            client.communicate(timeout=harness.HANG)
            harness.eventually(lambda: not self.worker_pids(), what="the private worker is gone")
            harness.eventually(lambda: not list(self.runtime.glob("isolated-*")), what="its directory is gone")

    def test_directories_of_killed_clients_are_removed_by_the_next_private_worker_and_live_ones_are_not(self):
        old = time.time() - 3600
        for name in ("isolated-dead", "isolated-alive"):
            (self.runtime / name).mkdir(mode=0o700)
            (self.runtime / name / "worker.lock").touch()
            os.utime(self.runtime / name, (old, old))
        (self.runtime / "isolated-young").mkdir(mode=0o700)
        alive = os.open(self.runtime / "isolated-alive", os.O_RDONLY)
        harness.fcntl.flock(alive, harness.fcntl.LOCK_EX)
        self.run_step1x(*self.edit_arguments(self.dir / "out.png"), "--isolated", check=0)
        os.close(alive)
        harness.eventually(lambda: not self.worker_pids(), what="the private worker is gone")
        harness.eventually(lambda: {file.name for file in self.runtime.glob("isolated-*")} == {"isolated-alive", "isolated-young"},
                           what="the abandoned directory and the new one are gone")


class ReaderGone(harness.Case):
    def edit_into_closed_pipe(self, *arguments, stream):
        read, write = os.pipe()
        os.close(read)
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: write}
        client = self.start_step1x(*arguments, **streams)
        os.close(write)
        out, error = client.communicate(timeout=harness.HANG)
        return client.returncode, out, error

    def test_of_the_picture(self):
        code, _, error = self.edit_into_closed_pipe(*self.edit_arguments("-"), stream="stdout")
        self.assertEqual((code, error), (1, "step1x: cannot write to standard output: Broken pipe\n"))

    def test_of_the_path_the_picture_is_there(self):
        code, _, error = self.edit_into_closed_pipe(*self.edit_arguments(self.dir / "o.png"), stream="stdout")
        self.assertEqual((code, error), (1, "step1x: cannot write to standard output: Broken pipe\n"))
        self.assertTrue((self.dir / "o.png").read_bytes().endswith(b"IEND\xaeB`\x82"))

    def test_of_the_progress_the_edit_goes_on(self):
        code, out, _ = self.edit_into_closed_pipe(*self.edit_arguments(self.dir / "o.png", fake="step=5ms"), "--progress-json", stream="stderr")
        self.assertEqual((code, out), (0, f"{self.dir}/o.png\n"))


def resume(pid):
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass


if __name__ == "__main__":
    harness.main()
