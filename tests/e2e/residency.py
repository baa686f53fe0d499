"""Where the model is, and what becomes of it: on the GPU while there is work, in the host arena between jobs and engines, gone when
nobody comes."""

import hashlib
import os
import random
import signal
import time

import crowd
import harness
import memory_group
import residency_case


class States(residency_case.Case):
    def test_first_load_offload_reload_and_release_are_counted_and_the_kernel_says_the_same(self):
        _, first = self.edit()
        self.becomes("CPU", total_loads=1, gpu_to_cpu=1, cpu_to_gpu=0, full_releases=0)
        status = self.status()
        [descriptor], _ = residency_case.arenas_of(self.worker())
        self.assertEqual((status["arena"]["bytes"], status["arena"]["resident_bytes"], status["arena"]["filled"]),
                         (descriptor.st_size, descriptor.st_blocks * 512, True))
        self.assertEqual(descriptor.st_size, residency_case.ARENA)
        self.assertGreaterEqual(residency_case.ARENA, status["arena"]["huge_bytes"])
        # Held, never mapped: the worker stays small.
        self.assertEqual(residency_case.arenas_of(self.worker())[1], [])
        self.assertLess(harness.rss(self.worker()), residency_case.ARENA)
        _, again = self.edit()
        self.assertEqual(first, again)
        self.becomes("CPU", total_loads=1, gpu_to_cpu=2, cpu_to_gpu=1)
        self.run_step1x("gpu", "release", check=0)
        # Free when release says so, not some time later.
        self.assertEqual(residency_case.arenas_of(self.worker()), ([], []))
        self.assertEqual(self.engine_pids(), [])
        status = self.status()
        self.assertEqual((status["model_location"], status["arena"], status["statistics"]["full_releases"]), ("Unloaded", None, 1))
        self.edit()
        self.becomes("CPU", total_loads=2)

    def test_the_arena_outlives_its_engine_and_the_next_engine_reads_no_file(self):
        env = self.env(STEP1X_IDLE_TIMEOUT="100ms")
        self.edit(env=env)
        harness.eventually(lambda: not self.engine_pids(), what="the engine has ended")
        self.becomes("CPU", total_loads=1, full_releases=0)
        status = self.status()
        self.assertEqual((status["next"]["transition"], status["devices"][0]["pid"]), ("release", None))
        self.edit(env=env)
        self.becomes("CPU", total_loads=1, cpu_to_gpu=1)

    def test_each_timer_takes_it_one_step_further_until_nothing_is_left(self):
        worker = int(self.run_step1x("worker", "start", check=0).stdout)
        # By hand: a client that writes its picture to a slow disk could end when all of it is over.
        with self.connect() as client:
            client.edit(fake=residency_case.FAKE, timers={"offload_delay": 300, "idle_timeout": 600, "host_timeout": 900, "exit_timeout": 3000})
            self.assertEqual(client.until("done", "error")["event"], "done")
        seen = []

        def watch():
            if not harness.alive(worker):
                return True
            status = self.status()
            now = (status["model_location"], bool(status["devices"]) and status["devices"][0]["pid"] is not None)
            if status["worker"] and (not seen or seen[-1] != now):
                seen.append(now)
            return False
        harness.eventually(watch, what="the worker has ended")
        order = [("GPU", True), ("CPU", True), ("CPU", False), ("Unloaded", False)]
        # On a busy machine one may come and go between two looks, but never in another order.
        self.assertEqual(seen, [state for state in order if state in seen])
        self.assertIn(("Unloaded", False), seen)

    def test_another_model_takes_the_place_and_comes_back(self):
        other = residency_case.FAKE.replace(f"arena={residency_case.ARENA}", f"arena={residency_case.ARENA // 2}")
        digests = [self.edit(fake=fake)[1] for fake in (residency_case.FAKE, other, residency_case.FAKE, other)]
        self.assertEqual(digests[:2], digests[2:])
        self.becomes("CPU", total_loads=4, full_releases=3)
        [descriptor], _ = residency_case.arenas_of(self.worker())
        self.assertEqual(descriptor.st_size, residency_case.ARENA // 2)

    def test_jobs_of_two_models_in_turn_change_the_model_once(self):
        other = residency_case.FAKE.replace(f"arena={residency_case.ARENA}", f"arena={residency_case.ARENA // 2}")
        self.edit()
        with self.connect() as client:
            client.edit(fake=residency_case.FAKE + ",step=500ms", id=0)  # the others come meanwhile
            for i, fake in enumerate((other, residency_case.FAKE, other, residency_case.FAKE, other, residency_case.FAKE), 1):
                client.edit(fake=fake, id=i)
            order = [client.until("done")["id"] for _ in range(7)]
        # Behind the first, which is of a third model, come those of whichever was next, then all of the other.
        self.assertEqual(order, [0, 1, 3, 5, 2, 4, 6])

    def test_a_lease_binds_to_its_model_and_jobs_of_another_wait_or_give_up(self):
        self.edit()
        other = f"arena={residency_case.ARENA // 2}"
        with self.connect() as holder:
            holder.send({"op": "lease"})
            self.assertEqual(holder.receive()["event"], "leased")
            done, _ = self.edit(fake=other, check=75, more=("--timeout", "1s"))
            self.assertIn("1s (--timeout)", done.stderr)
            waiting = self.start_step1x(*self.edit_arguments(self.out, fake=other))
            harness.eventually(lambda: self.status()["queue"]["waiting"] == 1, what="it waits")
            self.run_step1x(*self.edit_arguments(self.dir / "same.png", fake=residency_case.FAKE), check=0)  # that of the lease's model does not
            self.assertEqual(self.status()["queue"]["waiting"], 1)
        self.assertEqual(waiting.wait(harness.HANG), 0)
        waiting.communicate()

    def test_a_load_that_nobody_waits_for_any_more_ends_and_leaves_nothing(self):
        slow = f"arena={residency_case.ARENA},load=60s"
        client = self.start_step1x(*self.edit_arguments(self.out, fake=slow))
        harness.eventually(lambda: (self.status().get("arena") or {}).get("filled") is False, what="the arena is being filled")
        client.kill()
        client.communicate()
        harness.eventually(lambda: self.status()["arena"] is None, what="the arena is given up")
        self.assertEqual(self.where(), ("Unloaded", {"total_loads": 0, "gpu_to_cpu": 0, "cpu_to_gpu": 0, "full_releases": 0}))
        # Freeing it takes a thread of its own.
        harness.eventually(lambda: not residency_case.arenas_of(self.worker())[0], what="the arena is freed")
        self.edit()
        self.becomes("CPU", total_loads=1)

    def test_a_lease_keeps_it_on_the_gpu_and_its_end_by_any_cause_lets_it_go(self):
        for end in ("its command ends", "killed"):
            with self.subTest(end):
                holder = self.start_step1x("gpu", "hold", "--", "sh", "-c", "echo $$; exec sleep 1000")
                sleeper = int(holder.stdout.readline())
                self.addCleanup(harness.kill, sleeper)
                harness.eventually(lambda: self.status()["queue"]["leases"] == 1, what="the lease")
                self.edit()
                self.edit()
                self.assertEqual(self.status()["model_location"], "GPU")
                harness.kill(holder.pid if end == "killed" else sleeper)
                self.becomes("CPU")
                harness.kill(sleeper)
                holder.communicate()


class NoRoom(residency_case.Case):
    def test_a_model_that_does_not_fit_in_ram_stays_on_the_gpu_and_status_says_why(self):
        try:
            group = memory_group.Group(300 << 20)  # less than what must stay free
        except OSError as problem:
            self.skipTest(f"no memory control group can be made here: {problem}")
        self._cleanups.insert(0, (group.remove, (), {}))
        self.run_step1x(*self.edit_arguments(self.out, fake=residency_case.FAKE), preexec_fn=group.enter, check=0)
        status = self.status()
        self.assertEqual((status["model_location"], status["arena"], status["next"]["transition"]), ("GPU", None, "engine_exit"))
        self.assertRegex(status["arena_refused"], r"the model takes 32\.0 MiB of RAM and [0-9.]+ MiB are free")
        self.assertEqual(residency_case.arenas_of(self.worker())[0], [])
        self.edit(env=self.env(STEP1X_IDLE_TIMEOUT="100ms"))
        harness.eventually(lambda: not self.engine_pids(), what="idle_timeout")
        self.becomes("Unloaded", total_loads=1, gpu_to_cpu=0, full_releases=1)


class Faults(residency_case.Case):
    ROUNDS = (12, 200)

    def test_an_engine_killed_at_any_moment_costs_a_retry_and_never_the_arena_of_others(self):
        """Loading, computing, offloading, idle: the job gets its picture, `status` answers, no half-filled arena is used."""
        chance = random.Random(int(os.environ.get("STEP1X_SEED", "1")))
        env = self.env(STEP1X_OFFLOAD_DELAY="30ms")
        start = time.monotonic()
        _, expected = self.edit(env=env)
        whole = time.monotonic() - start
        worker = self.worker()
        slowest = 0
        for _ in range(harness.count(*self.ROUNDS)):
            if chance.random() < 0.5:
                self.run_step1x("gpu", "release", check=0)
            client = self.start_step1x(*self.edit_arguments(self.out, fake=residency_case.FAKE), env=env)
            time.sleep(chance.uniform(0, 1.2 * whole))
            killed = self.engine_pids()
            harness.kill(*killed)
            begin = time.monotonic()
            arena = self.status().get("arena")
            slowest = max(slowest, time.monotonic() - begin)
            client.communicate(timeout=harness.HANG)
            self.assertEqual(client.returncode, 0)
            self.assertEqual(hashlib.sha256(self.out.read_bytes()).hexdigest(), expected)
            self.out.unlink()
            self.noticed(*killed)
            if arena and arena["filled"]:
                self.assertIsNotNone(self.status()["arena"], "a whole arena was thrown away")
            # One arena at most, whatever happened.
            self.assertLessEqual(len(residency_case.arenas_of(worker)[0]), 1)
        self.assertEqual(self.worker(), worker)
        print(f"slowest status: {slowest * 1000:.0f} ms", flush=True)
        counted = self.status()["statistics"]
        self.assertGreaterEqual(counted["total_loads"], counted["full_releases"])

    def test_killed_while_it_fills_the_next_engine_fills_anew(self):
        _, expected = self.edit()
        self.run_step1x("gpu", "release", check=0)
        client = self.start_step1x(*self.edit_arguments(self.out, fake=f"arena={residency_case.ARENA},load=2s,die@load"), stderr=None)
        client.communicate(timeout=harness.HANG)
        self.assertEqual(client.returncode, 1)  # both engines die at half of it
        self.assertIsNone(self.status()["arena"])
        self.assertEqual(self.edit()[1], expected)

    def test_worker_killed_takes_engine_and_arena_along_and_the_crowd_gets_one_new_worker(self):
        self.edit()
        old, engines = self.worker(), self.engine_pids()
        commands = [[harness.STEP1X, *self.edit_arguments(self.dir / f"{i}.png", fake=residency_case.FAKE)] for i in range(harness.count(20, 200))]
        crowded = crowd.Crowd(self, commands)
        os.kill(old, signal.SIGKILL)
        for code, _, error in crowded.results():
            self.assertEqual(code, 0, error)
        [new] = self.worker_pids()
        self.assertNotEqual(new, old)
        for engine in engines:
            harness.eventually(lambda pid=engine: not harness.alive(pid), what="the old engine has ended")
        held = [pid for pid in harness.processes("step1x-engine") + harness.processes("step1xd") if pid in engines + [old]]
        self.assertEqual(held, [])
        self.assertEqual(self.status()["statistics"]["total_loads"], 1)

    def test_the_idle_timer_and_a_request_at_the_same_moment(self):
        """The engine leaves 50 ms after the last job; each request comes within a tenth of that."""
        chance = random.Random(2)
        fake = f"arena={1 << 20}"
        timers = {"offload_delay": 0, "idle_timeout": 50}
        with_engine = 0
        self.edit(fake=fake)
        with self.connect() as client:
            for i in range(harness.count(30, 2000)):
                client.edit(fake=fake, id=i, steps=1, timers=timers)
                answer = client.until("done", "error")
                self.assertEqual(answer["event"], "done", answer)
                client.close_fds()
                time.sleep(0.05 * chance.uniform(0.9, 1.1))
                with_engine += bool(self.engine_pids()) if i % 10 == 0 else 0
        self.assertEqual(self.status()["queue"]["engine_deaths"], 0)
        print(f"the engine was still there {with_engine} times of {i // 10 + 1} looks", flush=True)

    def test_an_offload_that_dies_is_no_loss(self):
        self.edit(fake=residency_case.FAKE + ",die@offload")
        harness.eventually(lambda: not self.engine_pids(), what="the engine has died")
        self.becomes("CPU", total_loads=1, gpu_to_cpu=0)
        self.edit(fake=residency_case.FAKE)


if __name__ == "__main__":
    harness.main()
