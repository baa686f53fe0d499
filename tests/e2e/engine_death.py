"""An engine or a worker that dies, hangs or talks nonsense: the client gets its picture, or one line that says what happened."""

import hashlib
import json
import os
import random
import signal
import sys
import time

import harness

FAKE = "step=20ms,load=60ms"
STEPS = 10


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.out = self.dir / "out.png"

    def digest(self):
        return hashlib.sha256(self.out.read_bytes()).hexdigest()

    def edit(self, *more, fake=FAKE, **kwargs):
        """The client, started; with its events as lines of JSON on standard error."""
        return self.start_step1x(*self.edit_arguments(self.out, fake=fake, steps=STEPS), "--progress-json", *more, **kwargs)

    def finish(self, client):
        """(exit code, names of its events, its lines for people)"""
        _, error = client.communicate(timeout=harness.HANG)
        events = []
        lines = []
        for line in error.splitlines():
            if line.startswith("{"):
                events.append(json.loads(line)["event"])
            else:
                lines.append(line)
        return client.returncode, events, lines

    def undisturbed(self):
        self.run_step1x(*self.edit_arguments(self.out, fake=FAKE, steps=STEPS), check=0)
        digest = self.digest()
        self.out.unlink()
        return digest

    def undisturbed_and_its_time(self):
        """The time is that of an edit whose worker and engine are there already."""
        self.undisturbed()
        start = time.monotonic()
        return self.undisturbed(), time.monotonic() - start


class EngineKilled(Case):
    ROUNDS = (12, 50)

    def test_at_random_moments_the_client_gets_its_picture(self):
        chance = random.Random(int(os.environ.get("STEP1X_SEED", "1")))
        expected, whole = self.undisturbed_and_its_time()
        worker = self.worker_pids()
        retried = 0
        rounds = harness.count(*self.ROUNDS)
        for _ in range(rounds):
            client = self.edit()
            time.sleep(chance.uniform(0, whole))
            killed = self.engine_pids()
            harness.kill(*killed)
            code, events, lines = self.finish(client)
            self.noticed(*killed)
            self.assertEqual((code, lines), (0, []))
            self.assertLessEqual(events.count("retry"), 1)
            self.assertEqual(self.digest(), expected)
            self.out.unlink()
            retried += events.count("retry")
        self.assertGreaterEqual(retried, rounds // 8, "too few deaths met a job: this test has shown little")
        self.assertEqual(self.worker_pids(), worker)
        self.assertEqual(self.status()["queue"]["engine_deaths"], retried)
        print(f"engine killed {rounds} times, {retried} of them in a job", file=sys.stderr)

    def test_twice_in_a_job_the_job_fails_and_the_worker_serves_the_next(self):
        expected = self.undisturbed()
        worker = self.worker_pids()
        client = self.edit("-v", fake="step=200ms")
        seen = set()

        def two_killed():
            for pid in set(self.engine_pids()) - seen:
                harness.eventually(lambda: self.status()["state"] in ("Loading", "Working") and self.status()["devices"][0]["pid"] == pid,
                                   what="the engine has the job")
                harness.kill(pid)
                seen.add(pid)
            return len(seen) >= 2 or client.poll() is not None

        for pid in self.engine_pids():
            harness.kill(pid)
            seen.add(pid)
            harness.eventually(lambda: not harness.alive(pid), what="the first edit's engine is gone")
        seen.clear()
        harness.eventually(two_killed, what="two engines killed")
        code, events, lines = self.finish(client)
        self.assertEqual((code, events.count("retry")), (1, 1))
        self.assertEqual(lines, ["step1x: trying once more: the engine was killed by signal 9 (Killed)",
                                 "step1x: the engine died 2 times in this job, the last time it was killed by signal 9 (Killed); see: step1x worker log"])
        self.assertFalse(self.out.exists())
        self.assertEqual(self.undisturbed(), expected)
        self.assertEqual(self.worker_pids(), worker)

    def test_while_nothing_is_to_do_the_next_job_starts_another(self):
        expected = self.undisturbed()
        for pid in self.engine_pids():
            harness.kill(pid)
        self.assertEqual(self.undisturbed(), expected)
        self.assertEqual(self.status()["queue"]["failed"], 0)

    def test_that_is_ended_for_a_job_of_another_kind_is_no_death_of_that_job(self):
        self.run_step1x(*self.edit_arguments(self.out, fake="offload=5ms"), check=0)
        for fake in ("load=1ms", "load=2ms", "load=3ms") * harness.count(2, 10):
            client = self.edit(fake=fake)
            self.assertEqual(self.finish(client)[0], 0)
        self.assertEqual(self.status()["queue"]["engine_deaths"], 0)


# What a fault at a point of every engine of the job leads to: exit code, and what the one line says. None: a picture.
KILLED = (1, r"the engine died 2 times in this job, the last time it was killed by signal 9 \(Killed\); see: step1x worker log")
EXITED = (1, r"the engine died 2 times in this job, the last time it exited with code 3; see: step1x worker log")
GARBAGE = (1, r"the engine died 2 times in this job, the last time it was ended because of its connection: protocol broken by the other side: a frame of \d+ bytes .*")
HANGING = (75, r"no picture after 1s \(--timeout\): cancelled")
FAULTS = {
    **{f"die@{point}": KILLED for point in ("hello", "load", "step=3", "done")},
    **{f"exit@{point}": EXITED for point in ("hello", "load", "step=3", "done")},
    **{f"garbage@{point}": GARBAGE for point in ("hello", "load", "step=3", "done")},
    **{f"hang@{point}": HANGING for point in ("hello", "load", "step=3", "done")},
    **{f"fail@{point}": (1, f"the fake engine was told to fail at {point} .*") for point in ("hello", "load", "done")},
    "fail@step=3": (1, "the fake engine was told to fail at step 3"),
    **{f"oom@{point}": (5, f"out of memory on the fake device at {point} 1: 42.0 GiB needed, 24.0 GiB there") for point in ("hello", "load", "done")},
    "oom@step=3": (5, "out of memory on the fake device at step 3: 42.0 GiB needed, 24.0 GiB there"),
    "shrink@done": (1, "a picture came without the seals SHRINK, GROW and WRITE"),
    # The job is over by then.
    **{f"{action}@offload": None for action in ("die", "exit", "garbage", "fail", "oom")},
}


class Faults(Case):
    def check(self, fault, expected):
        limit = ["--timeout", "1s"] if fault.startswith("hang") else []
        code, events, lines = self.finish(self.edit(*limit, fake=f"step=1ms,{fault}"))
        if expected is None:
            self.assertEqual((code, lines), (0, []))
            self.out.unlink()
            return
        self.assertEqual((code, len(lines)), (expected[0], 1), lines)
        self.assertRegex(lines[0], rf"\Astep1x: {expected[1]}\Z")
        self.assertFalse(self.out.exists())
        died = expected in (KILLED, EXITED, GARBAGE)
        self.assertEqual(events.count("retry"), 1 if died else 0)

    def test_each_fault_at_each_point_has_its_code_and_its_line_and_the_next_job_is_served(self):
        expected = self.undisturbed()
        worker = self.worker_pids()
        for fault, outcome in FAULTS.items():
            # An engine that hangs in a job is given a minute before it is killed: that has a test of its own.
            if fault.startswith("hang") and fault != "hang@hello":
                continue
            with self.subTest(fault=fault):
                self.check(fault, outcome)
                self.assertEqual(self.undisturbed(), expected)
        self.assertEqual(self.worker_pids(), worker)

    def test_an_engine_that_hangs_in_a_job_fails_it_in_time_and_is_replaced(self):
        for fault in ("hang@load", "hang@step=3", "hang@done"):
            with self.subTest(fault=fault):
                self.check(fault, FAULTS[fault])
                harness.eventually(lambda: not self.engine_pids(), what="the engine is ended")
                self.undisturbed()

    def test_an_engine_that_hangs_goes_with_its_worker(self):
        client = self.start_step1x(*self.edit_arguments(self.out, fake="hang@step=3"))
        engine, = harness.eventually(self.engine_pids, what="it runs")
        # A living client would start the next worker.
        client.kill()
        client.communicate()
        os.kill(self.worker_pids()[0], signal.SIGTERM)
        harness.eventually(lambda: not self.worker_pids() and not harness.alive(engine), what="worker and engine are gone")

    @harness.unittest.skipUnless(harness.LONG, "waits out a minute; scripts/test --long")
    def test_an_engine_that_hangs_in_an_offload_is_killed_after_a_minute_and_the_next_job_is_served(self):
        start = time.monotonic()
        self.run_step1x(*self.edit_arguments(self.out, fake="hang@offload"), check=0)
        self.undisturbed()
        print(f"a hanging engine was replaced within {time.monotonic() - start:.0f} s", file=sys.stderr)

    def test_one_death_is_hidden(self):
        """The fault comes in the second job of an engine, so its retry in a new engine goes well."""
        expected = self.undisturbed()
        for fault in ("die@done=2", "exit@done=2", "garbage@done=2", "die@load=2", "die@offload=1"):
            with self.subTest(fault=fault):
                for retries in (0, 0 if "offload" in fault else 1):
                    code, events, lines = self.finish(self.edit(fake=fault))
                    self.assertEqual((code, lines, events.count("retry")), (0, [], retries))
                    self.assertEqual(self.digest(), expected)
                    # After this the model has to be loaded again.
                    harness.eventually(lambda: self.status()["model_location"] != "GPU", what="offloaded")


class WorkerKilled(Case):
    def test_at_random_moments_the_client_gets_its_picture_from_the_next_and_no_engine_is_left(self):
        chance = random.Random(int(os.environ.get("STEP1X_SEED", "1")))
        expected, whole = self.undisturbed_and_its_time()
        retried = 0
        rounds = harness.count(8, 50)
        for _ in range(rounds):
            client = self.edit()
            time.sleep(chance.uniform(0, whole))
            workers, engines = self.worker_pids(), self.engine_pids()
            for pid in workers:
                harness.kill(pid)
            code, _, lines = self.finish(client)
            self.assertEqual(code, 0, lines)
            self.assertLessEqual(len(lines), 1)
            if lines:
                self.assertRegex(lines[0], r"\Astep1x: worker \d+ died in the middle of the job; trying once more\Z")
            self.assertEqual(self.digest(), expected)
            self.out.unlink()
            retried += len(lines)
            for pid in workers + engines:
                harness.eventually(lambda: not harness.alive(pid), what="the dead worker's processes are gone")
        self.assertGreaterEqual(retried, rounds // 8, "too few deaths met a job: this test has shown little")
        print(f"worker killed {rounds} times, {retried} of them in a job", file=sys.stderr)

    def test_twice_in_a_job_the_client_says_so(self):
        client = self.edit(fake="step=30s")
        killed = []

        def kill_when_at_work():
            for pid in self.worker_pids():
                if pid not in killed and self.engine_pids():
                    harness.kill(pid)
                    killed.append(pid)
            return client.poll() is not None

        harness.eventually(kill_when_at_work, what="the client has given up")
        code, _, lines = self.finish(client)
        self.assertEqual((code, len(killed), len(lines)), (1, 2, 2), lines)
        self.assertEqual(lines[0], f"step1x: worker {killed[0]} died in the middle of the job; trying once more")
        self.assertEqual(lines[1], f"step1x: worker {killed[1]} died in the middle of the job, as the one before")
        self.assertFalse(self.out.exists())

    def test_while_its_engine_starts_the_engine_ends_too(self):
        client = self.edit("--timeout", "60s", fake="hang@hello")
        engines = harness.eventually(self.engine_pids, what="the engine is there")
        harness.kill(client.pid)
        client.communicate()
        harness.kill(self.worker_pids()[0])
        harness.eventually(lambda: not harness.alive(engines[0]), what="the engine is gone")


if __name__ == "__main__":
    harness.main()
