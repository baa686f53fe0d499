"""Where the model is when somebody forces it to move, and when several devices share it."""

import hashlib
import os
import random
import signal
import time

import harness
import residency_case


class Forced(residency_case.Case):
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


class DeviceCase(residency_case.Case):
    """Two devices by name: one queue, one arena, an engine each while both have work."""

    DEVICES = ("sim:1g", "sim:2g")
    ROUNDS = (6, 50)

    def start(self, device, output, fake=residency_case.FAKE, model_too="", **kwargs):
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
        fake = f"arena={residency_case.ARENA},load=2s,step=100ms"
        first = self.start(self.DEVICES[0], "1.png", fake, steps=40)
        self.running(1)
        second = self.start(self.DEVICES[1], "2.png", fake, steps=40)
        self.running(2)
        harness.eventually(lambda: len(self.engine_pids()) == 2, what="two engines")
        # Where an engine is started by a script, its program changes before it is the engine.
        harness.eventually(lambda: [(device["device"], device["pid"] in self.engine_pids()) for device in self.status()["devices"]] == [(device, True) for device in self.DEVICES], what=f"each device has one: {self.status()}")
        engines = self.engine_pids()
        harness.eventually(lambda: all(residency_case.arenas_of(pid)[1] and "r--s" in residency_case.arenas_of(pid)[1][0] for pid in engines), what="both read the arena")
        [arena] = {descriptor.st_ino for pid in [self.worker()] for descriptor in residency_case.arenas_of(pid)[0]}
        for pid in engines:
            self.assertEqual({int(line.split()[4]) for line in residency_case.arenas_of(pid)[1]}, {arena})
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
        fake = f"arena={residency_case.ARENA},load=100ms,step=10ms"
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
        fake = residency_case.FAKE + ",offload=500ms"
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
        fake = f"arena={residency_case.ARENA},load=4s,step=5ms"
        first, filler = self.half_filled(fake)
        second = self.second(fake)
        harness.kill(filler)
        self.assertEqual(self.digest(first, "1.png"), self.digest(second, "2.png"))
        self.assertEqual(self.status()["queue"]["engine_deaths"], 1)

    def test_who_waits_for_the_arena_can_be_cancelled(self):
        self.cancel_while_another_fills(f"arena={residency_case.ARENA},load=4s,step=5ms", after=0.3)

    def test_who_is_cancelled_before_it_asks_for_the_arena_does_not_wait_for_it(self):
        self.cancel_while_another_fills(f"arena={residency_case.ARENA},open=3s,load=4s,step=5ms", after=0)

    def test_auto_is_one_device_and_another_model_waits_for_all(self):
        slow = f"arena={residency_case.ARENA},step=50ms"
        first = self.start("sim:1g", "1.png", slow, steps=120)
        self.running(1)
        auto = self.start("auto", "2.png", slow)
        other = self.start("sim:2g", "3.png", slow, model_too=",load=1ms")
        harness.eventually(lambda: self.status()["queue"]["waiting"] == 2, what="both wait")
        self.assertEqual(len(self.engine_pids()), 1)
        for process, output in ((first, "1.png"), (auto, "2.png"), (other, "3.png")):
            self.digest(process, output)
        self.becomes("CPU", total_loads=2, full_releases=1)


if __name__ == "__main__":
    harness.main()
