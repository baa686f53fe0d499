"""Where the model is, and what becomes of it: on the GPU while there is work, in the host arena between jobs and engines, gone when
nobody comes. The engine is the test one, its arena a real one, whose content every engine that is given it checks."""

import hashlib
import os
import pathlib
import random
import signal
import time

import crowd
import harness
import memory_group

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


class States(Case):
    def test_first_load_offload_reload_and_release_are_counted_and_the_kernel_says_the_same(self):
        _, first = self.edit()
        self.becomes("CPU", total_loads=1, gpu_to_cpu=1, cpu_to_gpu=0, full_releases=0)
        status = self.status()
        [descriptor], _ = arenas_of(self.worker())
        self.assertEqual((status["arena"]["bytes"], status["arena"]["resident_bytes"], status["arena"]["filled"]),
                         (descriptor.st_size, descriptor.st_blocks * 512, True))
        self.assertEqual(descriptor.st_size, ARENA)
        self.assertGreaterEqual(ARENA, status["arena"]["huge_bytes"])
        # Held, never mapped: the worker stays small.
        self.assertEqual(arenas_of(self.worker())[1], [])
        self.assertLess(harness.rss(self.worker()), ARENA)
        _, again = self.edit()
        self.assertEqual(first, again)
        self.becomes("CPU", total_loads=1, gpu_to_cpu=2, cpu_to_gpu=1)
        self.run_step1x("gpu", "release", check=0)
        # Free when release says so, not some time later.
        self.assertEqual(arenas_of(self.worker()), ([], []))
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
            client.edit(fake=FAKE, timers={"offload_delay": 300, "idle_timeout": 600, "host_timeout": 900, "exit_timeout": 3000})
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
        other = FAKE.replace(f"arena={ARENA}", f"arena={ARENA // 2}")
        digests = [self.edit(fake=fake)[1] for fake in (FAKE, other, FAKE, other)]
        self.assertEqual(digests[:2], digests[2:])
        self.becomes("CPU", total_loads=4, full_releases=3)
        [descriptor], _ = arenas_of(self.worker())
        self.assertEqual(descriptor.st_size, ARENA // 2)

    def test_jobs_of_two_models_in_turn_change_the_model_once(self):
        other = FAKE.replace(f"arena={ARENA}", f"arena={ARENA // 2}")
        self.edit()
        with self.connect() as client:
            client.edit(fake=FAKE + ",step=500ms", id=0)  # the others come meanwhile
            for i, fake in enumerate((other, FAKE, other, FAKE, other, FAKE), 1):
                client.edit(fake=fake, id=i)
            order = [client.until("done")["id"] for _ in range(7)]
        # Behind the first, which is of a third model, come those of whichever was next, then all of the other.
        self.assertEqual(order, [0, 1, 3, 5, 2, 4, 6])

    def test_a_lease_binds_to_its_model_and_jobs_of_another_wait_or_give_up(self):
        self.edit()
        other = f"arena={ARENA // 2}"
        with self.connect() as holder:
            holder.send({"op": "lease"})
            self.assertEqual(holder.receive()["event"], "leased")
            done, _ = self.edit(fake=other, check=75, more=("--timeout", "1s"))
            self.assertIn("1s (--timeout)", done.stderr)
            waiting = self.start_step1x(*self.edit_arguments(self.out, fake=other))
            harness.eventually(lambda: self.status()["queue"]["waiting"] == 1, what="it waits")
            self.run_step1x(*self.edit_arguments(self.dir / "same.png", fake=FAKE), check=0)  # that of the lease's model does not
            self.assertEqual(self.status()["queue"]["waiting"], 1)
        self.assertEqual(waiting.wait(harness.HANG), 0)
        waiting.communicate()

    def test_a_load_that_nobody_waits_for_any_more_ends_and_leaves_nothing(self):
        slow = f"arena={ARENA},load=60s"
        client = self.start_step1x(*self.edit_arguments(self.out, fake=slow))
        harness.eventually(lambda: (self.status().get("arena") or {}).get("filled") is False, what="the arena is being filled")
        client.kill()
        client.communicate()
        harness.eventually(lambda: self.status()["arena"] is None, what="the arena is given up")
        self.assertEqual(self.where(), ("Unloaded", {"total_loads": 0, "gpu_to_cpu": 0, "cpu_to_gpu": 0, "full_releases": 0}))
        # Freeing it takes a thread of its own.
        harness.eventually(lambda: not arenas_of(self.worker())[0], what="the arena is freed")
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


class Forced(Case):
    """What is forced, or was not refused, waits for the engines alone: what comes meanwhile waits for it."""

    DEVICE = "sim:1g"
    ENDLESS = "step=1h"

    def running(self, client):
        """The pid of an engine that has this client's job and notices nothing."""
        client.edit(fake=self.ENDLESS, device=self.DEVICE)
        client.until("step", "loading")
        [engine] = self.engine_pids()
        self.addCleanup(harness.kill, engine)  # a stopped one would outlive a test that fails
        os.kill(engine, signal.SIGSTOP)
        return engine

    def three(self):
        self.run_step1x("worker", "start", check=0)
        clients = [self.connect() for _ in range(3)]
        for client in clients:
            self.addCleanup(client.close)
        return clients

    def force(self, op, client):
        client.send({"op": op, "mode": "force", "id": 7})
        # An answer to what was sent after it: the worker has read both.
        client.send({"op": "ping", "id": 8})
        self.assertEqual(client.receive(), {"event": "pong", "id": 8}, f"{op} did not wait")
        self.assertEqual(self.status()["queue"]["done"], 0)

    def test_a_job_that_comes_while_the_cancelled_one_still_runs_waits_for_the_action(self):
        for op in ("offload", "release", "shutdown"):
            for device in (self.DEVICE, "sim:2g"):
                with self.subTest(op=op, device=device):
                    self.job_that_comes_meanwhile(op, device)
                self.kill_all()
                harness.eventually(lambda: not self.worker_pids(), what="the worker is gone")

    def job_that_comes_meanwhile(self, op, device):
        victim, forcing, late = self.three()
        engine = self.running(victim)
        self.force(op, forcing)
        late.edit(fake=self.ENDLESS, device=device)
        self.assertEqual(late.receive(), {"event": "queued", "position": 1, "id": 0})
        os.kill(engine, signal.SIGCONT)
        self.assertEqual(victim.until("done", "error")["code"], "cancelled")
        self.assertEqual(forcing.receive(), {"event": "ok", "id": 7})
        self.assertEqual(late.until("loading", "restart")["event"], "restart" if op == "shutdown" else "loading")

    def test_a_lease_that_comes_meanwhile_does_not_keep_it_waiting(self):
        victim, forcing, late = self.three()
        engine = self.running(victim)
        self.force("release", forcing)
        late.send({"op": "lease"})
        self.assertEqual(late.receive()["event"], "leased")
        os.kill(engine, signal.SIGCONT)
        self.assertEqual(forcing.receive(), {"event": "ok", "id": 7})
        self.assertEqual(self.status()["queue"]["leases"], 1)

    def test_whose_client_has_gone_keeps_nobody_waiting(self):
        victim, forcing, late = self.three()
        self.running(victim)
        self.force("release", forcing)
        late.edit(fake=self.ENDLESS, device="sim:2g")
        self.assertEqual(late.receive(), {"event": "queued", "position": 1, "id": 0})
        forcing.close()
        late.until("loading")

    def test_one_that_waits_for_an_offload_alone_goes_before_a_job_that_comes_after_it(self):
        self.edit(fake="offload=3s")
        with self.connect() as client:
            harness.eventually(lambda: self.status()["state"] == "Offloading", what="the model leaves the GPU by itself")
            client.send({"op": "release", "id": 7})
            client.edit(fake=self.ENDLESS)
            self.assertEqual(client.until("ok", "loading"), {"event": "ok", "id": 7})
            client.until("loading")

    def test_a_release_that_is_under_way_ends_before_the_next_job_starts_an_engine(self):
        self.edit()
        _, releasing, late = self.three()
        [engine] = self.engine_pids()
        self.addCleanup(harness.kill, engine)
        os.kill(engine, signal.SIGSTOP)
        releasing.send({"op": "release", "id": 7})
        late.edit(fake=self.ENDLESS)
        # The stopped engine is killed after five seconds.
        self.assertEqual(releasing.receive(), {"event": "ok", "id": 7})
        late.until("loading")

    def test_a_release_ends_before_the_next_job_starts_an_engine_while_the_arena_is_freed(self):
        self.edit(fake=f"arena={256 << 20}", env=self.env(STEP1X_IDLE_TIMEOUT="100ms"))
        harness.eventually(lambda: not self.engine_pids(), what="the engine has ended")
        self.becomes("CPU")
        with self.connect() as client:
            # Stopped, so that it reads one request after the other: freeing so much takes longer than that.
            os.kill(self.worker(), signal.SIGSTOP)
            client.send({"op": "release", "id": 7})
            client.edit(fake=self.ENDLESS)
            os.kill(self.worker(), signal.SIGCONT)
            self.assertEqual(client.until("ok", "loading"), {"event": "ok", "id": 7})
            client.until("loading")


class DeviceCase(Case):
    """Two devices by name: one queue, one arena, an engine each while both have work."""

    DEVICES = ("sim:1g", "sim:2g")
    ROUNDS = (6, 50)

    def start(self, device, output, fake=FAKE, model_too="", **kwargs):
        return self.start_step1x(*self.edit_arguments(self.dir / output, fake=fake + model_too, **kwargs), "--device", device)

    def digest(self, process, output):
        _, stderr = process.communicate(timeout=harness.HANG)
        self.assertEqual(process.returncode, 0, stderr)
        return hashlib.sha256((self.dir / output).read_bytes()).hexdigest()

    def running(self, count):
        harness.eventually(lambda: self.status()["queue"]["running"] == count, what=f"{count} running: {self.status()}")


class TwoDevices(DeviceCase):
    def test_two_engines_serve_two_devices_from_one_arena(self):
        # Long enough for the second to ask for the arena while the first fills it.
        fake = f"arena={ARENA},load=2s,step=100ms"
        first = self.start(self.DEVICES[0], "1.png", fake, steps=40)
        self.running(1)
        second = self.start(self.DEVICES[1], "2.png", fake, steps=40)
        self.running(2)
        harness.eventually(lambda: len(self.engine_pids()) == 2, what="two engines")
        engines = self.engine_pids()
        status = self.status()
        self.assertEqual([(device["device"], device["pid"] in engines) for device in status["devices"]], [(device, True) for device in self.DEVICES], f"{engines} {status}")
        harness.eventually(lambda: all(arenas_of(pid)[1] and "r--s" in arenas_of(pid)[1][0] for pid in engines), what="both read the arena")
        [arena] = {descriptor.st_ino for pid in [self.worker()] for descriptor in arenas_of(pid)[0]}
        for pid in engines:
            self.assertEqual({int(line.split()[4]) for line in arenas_of(pid)[1]}, {arena})
        self.assertEqual(self.digest(first, "1.png"), self.digest(second, "2.png"))
        self.becomes("CPU", total_loads=1, cpu_to_gpu=1, gpu_to_cpu=2)
        status = self.status()
        self.assertEqual((status["queue"]["done"], status["gpu_memory_allocated_gb"]), (2, 0))
        # Whose work is done in turn is one engine's.
        self.run_step1x("gpu", "release", check=0)
        harness.eventually(lambda: len(self.status()["devices"]) == 1, what="one is left")
        for device in self.DEVICES:
            self.edit(more=("--device", device))
        self.assertEqual(len(self.engine_pids()), 1)

    def test_engines_that_are_killed_at_any_moment_cost_nobody_a_picture(self):
        fake = f"arena={ARENA},load=100ms,step=10ms"
        _, expected = self.edit(fake=fake)
        for _ in range(harness.count(*self.ROUNDS)):
            processes = [self.start(device, f"{i}.png", fake) for i, device in enumerate(self.DEVICES, 1)]
            time.sleep(random.uniform(0, 0.3))
            killed = self.engine_pids()[:1]
            harness.kill(*killed)
            for i, process in enumerate(processes, 1):
                self.assertEqual(self.digest(process, f"{i}.png"), expected)
            self.noticed(*killed)
        self.becomes("CPU")


class Devices(DeviceCase):
    def test_an_engine_that_is_offloading_gets_the_job_of_another_device(self):
        fake = FAKE + ",offload=500ms"
        self.edit(fake=fake, more=("--device", "sim:1g"))
        engines = self.engine_pids()
        self.edit(fake=fake, more=("--device", "sim:2g"))
        self.assertEqual(self.engine_pids(), engines)

    def half_filled(self, fake):
        """An edit whose engine is stopped while it fills the arena: (its client, the engine)."""
        client = self.start("sim:1g", "1.png", fake)
        harness.eventually(lambda: self.status()["arena"], what="the first fills")
        [filler] = self.engine_pids()
        self.addCleanup(harness.kill, filler)  # a stopped one would outlive a test that fails
        os.kill(filler, signal.SIGSTOP)
        self.assertFalse(self.status()["arena"]["filled"])
        return client, filler

    def second(self, fake):
        """Another edit, which has its engine."""
        client = self.start("sim:2g", "2.png", fake)
        harness.eventually(lambda: [device["state"] for device in self.status()["devices"]] == ["Loading", "Loading"], what="the second has its engine")
        return client

    def cancel_while_another_fills(self, fake, after):
        first, filler = self.half_filled(fake)
        second = self.second(fake)
        time.sleep(after)
        second.send_signal(signal.SIGINT)
        second.communicate(timeout=harness.HANG)
        self.assertEqual(second.returncode, 130)
        self.running(1)
        status = self.status()
        self.assertEqual((status["arena"]["filled"], status["queue"]["engine_deaths"]), (False, 0))
        os.kill(filler, signal.SIGCONT)
        self.digest(first, "1.png")
        self.edit(fake=fake, more=("--device", "sim:2g"))
        self.assertEqual(self.status()["statistics"]["total_loads"], 1)

    def test_a_filler_that_dies_leaves_the_filling_to_the_one_that_waits(self):
        fake = f"arena={ARENA},load=4s,step=5ms"
        first, filler = self.half_filled(fake)
        second = self.second(fake)
        harness.kill(filler)
        self.assertEqual(self.digest(first, "1.png"), self.digest(second, "2.png"))
        self.assertEqual(self.status()["queue"]["engine_deaths"], 1)

    def test_who_waits_for_the_arena_can_be_cancelled(self):
        self.cancel_while_another_fills(f"arena={ARENA},load=4s,step=5ms", after=0.3)

    def test_who_is_cancelled_before_it_asks_for_the_arena_does_not_wait_for_it(self):
        self.cancel_while_another_fills(f"arena={ARENA},open=3s,load=4s,step=5ms", after=0)

    def test_auto_is_one_device_and_another_model_waits_for_all(self):
        slow = f"arena={ARENA},step=50ms"
        first = self.start("sim:1g", "1.png", slow, steps=120)
        self.running(1)
        auto = self.start("auto", "2.png", slow)
        other = self.start("sim:2g", "3.png", slow, model_too=",load=1ms")
        harness.eventually(lambda: self.status()["queue"]["waiting"] == 2, what="both wait")
        self.assertEqual(len(self.engine_pids()), 1)
        for process, output in ((first, "1.png"), (auto, "2.png"), (other, "3.png")):
            self.digest(process, output)
        self.becomes("CPU", total_loads=2, full_releases=1)


class NoRoom(Case):
    def test_a_model_that_does_not_fit_in_ram_stays_on_the_gpu_and_status_says_why(self):
        try:
            group = memory_group.Group(300 << 20)  # less than what must stay free
        except OSError as problem:
            self.skipTest(f"no memory control group can be made here: {problem}")
        self._cleanups.insert(0, (group.remove, (), {}))
        self.run_step1x(*self.edit_arguments(self.out, fake=FAKE), preexec_fn=group.enter, check=0)
        status = self.status()
        self.assertEqual((status["model_location"], status["arena"], status["next"]["transition"]), ("GPU", None, "engine_exit"))
        self.assertRegex(status["arena_refused"], r"the model takes 32\.0 MiB of RAM and [0-9.]+ MiB are free")
        self.assertEqual(arenas_of(self.worker())[0], [])
        self.edit(env=self.env(STEP1X_IDLE_TIMEOUT="100ms"))
        harness.eventually(lambda: not self.engine_pids(), what="idle_timeout")
        self.becomes("Unloaded", total_loads=1, gpu_to_cpu=0, full_releases=1)


class Faults(Case):
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
            client = self.start_step1x(*self.edit_arguments(self.out, fake=FAKE), env=env)
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
            self.assertLessEqual(len(arenas_of(worker)[0]), 1)
        self.assertEqual(self.worker(), worker)
        print(f"slowest status: {slowest * 1000:.0f} ms", flush=True)
        counted = self.status()["statistics"]
        self.assertGreaterEqual(counted["total_loads"], counted["full_releases"])

    def test_killed_while_it_fills_the_next_engine_fills_anew(self):
        _, expected = self.edit()
        self.run_step1x("gpu", "release", check=0)
        client = self.start_step1x(*self.edit_arguments(self.out, fake=f"arena={ARENA},load=2s,die@load"), stderr=None)
        client.communicate(timeout=harness.HANG)
        self.assertEqual(client.returncode, 1)  # both engines die at half of it
        self.assertIsNone(self.status()["arena"])
        self.assertEqual(self.edit()[1], expected)

    def test_worker_killed_takes_engine_and_arena_along_and_the_crowd_gets_one_new_worker(self):
        self.edit()
        old, engines = self.worker(), self.engine_pids()
        commands = [[harness.STEP1X, *self.edit_arguments(self.dir / f"{i}.png", fake=FAKE)] for i in range(harness.count(20, 200))]
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
        self.edit(fake=FAKE + ",die@offload")
        harness.eventually(lambda: not self.engine_pids(), what="the engine has died")
        self.becomes("CPU", total_loads=1, gpu_to_cpu=0)
        self.edit(fake=FAKE)


if __name__ == "__main__":
    harness.main()
