"""What the worker owes to those who share it: leases, order, timers, its socket and its lock."""

import fcntl
import json
import os
import signal
import subprocess
import time

import harness

SHIM = harness.BUILD / "tests/libstep1x_fault_shim.so"


class Rules(harness.Case):
    def setUp(self):
        super().setUp()
        self.run_step1x("worker", "start", check=0)

    def talk(self):
        connection = self.connect()
        self.addCleanup(connection.close)
        return connection

    def done(self, connection, identity):
        """Waits for the end of this job, and gives what ended it."""
        while True:
            event = connection.until("done", "error")
            if event is None or event["id"] == identity:
                return event


class Leases(Rules):
    def test_its_holder_may_ask_for_another_model_and_others_wait(self):
        holder, other = self.talk(), self.talk()
        holder.send({"op": "lease", "id": 1, "model": "fake:load=1ms"})
        self.assertEqual(holder.until("leased", "error")["event"], "leased")
        other.edit(id=2, fake="load=2ms")
        holder.edit(id=3, fake="load=3ms")
        self.assertEqual(self.done(holder, 3)["event"], "done")
        self.assertEqual(self.status()["queue"]["waiting"], 1)
        holder.close()
        self.assertEqual(self.done(other, 2)["event"], "done")

    def test_force_ends_them(self):
        for op in ("offload", "release"):
            holder, other = self.talk(), self.talk()
            holder.send({"op": "lease", "id": 1, "model": "fake:"})
            holder.until("leased")
            other.send({"op": op, "id": 2})
            refused = other.until("ok", "error")
            self.assertEqual((refused["code"], refused["position"]), ("busy", 0))
            other.send({"op": op, "id": 3, "mode": "force"})
            self.assertEqual(other.until("ok", "error")["event"], "ok")
            self.assertEqual(self.status()["queue"]["leases"], 0)
            holder.close()
            other.close()

    def test_who_is_refused_learns_how_many_jobs_are_before_him(self):
        worker, other = self.talk(), self.talk()
        for identity in (1, 2, 3):
            worker.edit(id=identity, fake="step=10m")
        harness.eventually(lambda: self.status()["queue"]["waiting"] == 2, what="three jobs are there")
        other.send({"op": "offload", "id": 4})
        refused = other.until("error")
        self.assertEqual((refused["position"], refused["retryable"]), (3, True))


class Waiting(Rules):
    def test_what_waits_for_the_end_of_the_jobs_is_given_up_when_who_asked_for_it_has_gone(self):
        worker, other = self.talk(), self.talk()
        worker.edit(id=1, fake="step=100ms")
        worker.until("loading", "step")
        other.send({"op": "release", "id": 2, "mode": "wait"})
        other.send({"op": "ping", "id": 3})
        other.until("pong")
        other.close()
        self.assertEqual(self.done(worker, 1)["event"], "done")
        worker.edit(id=4, fake="step=100ms")
        self.assertEqual(self.done(worker, 4)["event"], "done")
        self.assertEqual(self.status()["statistics"]["total_loads"], 1)


class Order(Rules):
    def test_a_job_whose_engine_died_is_the_next_again(self):
        connection = self.talk()
        for identity in (1, 2, 3):
            connection.edit(id=identity, fake="step=100ms", steps=4)
        connection.until("step")
        os.kill(self.engine_pids()[0], signal.SIGKILL)
        self.assertEqual([connection.until("done", "error")["id"] for _ in range(3)], [1, 2, 3])


class Timers(Rules):
    def test_the_idle_clock_starts_anew_with_the_end_of_a_job_and_of_a_lease(self):
        connection = self.talk()
        time.sleep(1.5)
        self.assertGreater(self.status()["idle_time"], 1.4)
        connection.edit(id=1, steps=1)
        self.done(connection, 1)
        self.assertLess(self.status()["idle_time"], 1.4)
        time.sleep(1.5)
        connection.send({"op": "lease", "id": 2})
        connection.until("leased")
        self.assertEqual(self.status()["idle_time"], 0)
        connection.close()
        harness.eventually(lambda: self.status()["queue"]["leases"] == 0, what="the lease has ended")
        self.assertLess(self.status()["idle_time"], 1.4)

    def test_looking_at_it_starts_no_clock(self):
        self.talk().send({"op": "ping", "id": 1})
        time.sleep(1.5)
        for _ in range(3):
            self.assertGreater(self.status()["idle_time"], 1.4)

    def test_a_job_that_is_refused_sets_none(self):
        before = self.status()["timers"]
        connection = self.talk()
        for wrong in ({"steps": 0}, {"prompt": 1}, {"timers": {"idle_timeout": "x"}}):
            connection.edit(**{"id": 1, "timers": {"idle_timeout": 4711}, **wrong})
            refused = connection.until("done", "error")
            self.assertEqual((refused["event"], refused["code"], refused["retryable"]), ("error", "usage", False))
        self.assertEqual(self.status()["timers"], before)
        connection.edit(id=2, timers={"idle_timeout": 4711}, steps=1)
        self.done(connection, 2)
        self.assertEqual(self.status()["timers"]["idle_timeout"], 4.711)


class Socket(Rules):
    def test_another_file_in_the_sockets_place_is_left_there(self):
        place = self.runtime / "worker.sock"
        place.rename(self.runtime / "old.sock")
        place.write_text("somebody else's")
        worker = self.worker_pids()[0]
        os.kill(worker, signal.SIGTERM)
        harness.eventually(lambda: not harness.alive(worker), what="the worker has left")
        self.assertEqual(place.read_text(), "somebody else's")

    def test_its_name_is_gone_before_its_lock_is_free(self):
        self.run_step1x("worker", "stop", check=0)
        environment = {"PATH": os.environ["PATH"], "LD_PRELOAD": str(SHIM), "STEP1X_TEST_FAULT": "unlink:1:PAUSE:forever", "STEP1X_TEST_FAULT_UNDER": str(self.runtime)}
        worker = subprocess.Popen([harness.STEP1XD, "--directory", self.runtime], env=environment, stderr=subprocess.DEVNULL)
        harness.eventually((self.runtime / "worker.sock").exists, what="it listens")
        worker.terminate()
        with open(self.runtime / "worker.lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertFalse((self.runtime / "worker.sock").exists())
        worker.wait(harness.HANG)

    def test_one_malformed_frame_leaves_a_line_and_no_more_in_the_log(self):
        connection = self.talk()
        connection.send({"op": "x" * 500_000, "id": 1})
        self.assertEqual(connection.until("error")["code"], "usage")
        raw = self.connect(hello=False)
        self.addCleanup(raw.close)
        raw.raw(harness.struct.pack("<I", 500_002) + b'"' + b"\x1b[2J" * 125_000 + b'"')
        raw.receive()
        log = (self.runtime / "worker.log").read_bytes()
        self.assertLess(max(map(len, log.splitlines())), 3000)
        self.assertNotIn(b"\x1b", log)
        self.assertTrue(json.dumps(self.status()))


if __name__ == "__main__":
    harness.main()
