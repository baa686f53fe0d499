"""Client, worker and engine of different builds and protocols: work together, or hand over in good order, never kill."""

import json
import pathlib
import re
import signal
import subprocess
import time

import harness
from crowd import Crowd, Watch
from tree import Tree

SKEW = harness.BUILD / "skew"
# Where each build is: this one, another one of the same protocol, one of another protocol.
BUILDS = {"this": harness.BUILD, "build": SKEW / "build", "protocol": SKEW / "protocol"}
PROTOCOL = {"this": 1, "build": 1, "protocol": 2}


def step1x(build):
    return str(BUILDS[build] / "bin/step1x")


class Skew(harness.Case):
    def one(self, build, *arguments, code=0):
        """One client of this build; its standard error, and its standard output."""
        (got, out, err), = Crowd(self, [[step1x(build), *arguments]]).results()
        self.assertEqual(got, code, err)
        return out, err

    def start(self, build):
        return int(self.one(build, "worker", "start")[0])

    def edit(self, build, name="a", **more):
        """An edit that nobody notices anything of; its record."""
        out, err = self.one(build, *self.edit_arguments(self.dir / f"{name}.png", **more), "--json")
        self.assertEqual(err, "")
        self.assertTrue((self.dir / f"{name}.png").read_bytes().startswith(b"\x89PNG"))
        return json.loads(out)

    def build_id(self, build):
        out, _ = self.one(build, "--version")
        return re.search(r"\((.*)\)", out).group(1)

    def left_in_good_order(self, pid):
        harness.eventually(lambda: not harness.alive(pid), what=f"worker {pid} has left")
        self.assertRegex((self.runtime / "worker.log").read_text(), rf" {pid} info ended\n")

    def job(self, build, name, steps=4, step="200ms"):
        """A job that runs while something else is tried."""
        crowd = Crowd(self, [[step1x(build), *self.edit_arguments(self.dir / f"{name}.png", fake=f"step={step}", steps=steps)]]).go()
        harness.eventually(self.engine_pids, what="the job has its engine")
        return crowd

    def finished(self, crowd):
        (code, out, err), = crowd.results()
        self.assertEqual((code, err), (0, ""))
        self.assertTrue(pathlib.Path(out.strip()).exists())


class SameProtocol(Skew):
    def test_the_builds_are_different_ones(self):
        ids = {build: self.build_id(build) for build in BUILDS}
        self.assertEqual(len(set(ids.values())), 3, ids)

    def test_every_client_uses_every_worker_idle_or_busy(self):
        for worker, client in (("this", "build"), ("build", "this")):
            with self.subTest(worker=worker, client=client):
                pid = self.start(worker)
                self.assertEqual(self.start(client), pid)
                record = self.edit(client)["worker"]
                self.assertEqual((record["pid"], record["build"]), (pid, self.build_id(worker)))
                busy = self.job(worker, "busy")
                self.assertEqual(self.edit(client, "second")["worker"]["pid"], pid)
                self.finished(busy)
                self.one(client, "gpu", "release")
                self.assertEqual(self.worker_pids(), [pid])
                self.one(client, "worker", "stop")
                self.assertEqual(self.worker_pids(), [])


class AnotherProtocol(Skew):
    PAIRS = (("this", "protocol"), ("protocol", "this"), ("build", "protocol"))

    def test_an_idle_worker_leaves_and_the_client_gets_its_picture_from_its_own(self):
        for worker, client in self.PAIRS:
            with self.subTest(worker=worker, client=client):
                pid = self.start(worker)
                self.edit(worker, "before")
                record = self.edit(client, "after")["worker"]
                self.assertEqual((record["build"], record["spawned"]), (self.build_id(client), True))
                self.left_in_good_order(pid)
                self.assertEqual(self.worker_pids(), [record["pid"]])
                self.one(client, "worker", "stop")

    def test_a_busy_worker_is_waited_for(self):
        for worker, client in self.PAIRS:
            with self.subTest(worker=worker, client=client):
                pid = self.start(worker)
                busy = self.job(worker, "busy", step="1s")
                out, err = self.one(client, *self.edit_arguments(self.dir / "next.png"), "-v")
                self.assertEqual(out, f"{self.dir}/next.png\n")
                self.assertRegex(err, rf"\Astep1x: waiting for worker {pid} [^\n]*{re.escape(self.build_id(worker))}[^\n]*\n")
                self.finished(busy)
                self.left_in_good_order(pid)
                self.one(client, "worker", "stop")

    def test_a_busy_worker_is_named_after_timeout_and_goes_on(self):
        for worker, client in self.PAIRS:
            with self.subTest(worker=worker, client=client):
                pid = self.start(worker)
                busy = self.job(worker, "busy", steps=30)
                _, err = self.one(client, *self.edit_arguments(self.dir / "next.png"), "--timeout", "1s", "-q", code=75)
                self.assertRegex(err, r"\Astep1x: [^\n]*\n\Z")
                for value in (f"worker {pid} ", self.build_id(worker), self.build_id(client), f"protocol {PROTOCOL[worker]}", f"protocol {PROTOCOL[client]}"):
                    self.assertIn(value, err)
                self.assertEqual(self.worker_pids(), [pid])
                self.finished(busy)
                # Nobody waits any more: it stays.
                self.assertEqual(self.edit(worker)["worker"]["pid"], pid)
                self.one(worker, "worker", "stop")

    def test_an_interrupt_ends_the_wait_for_a_busy_worker(self):
        self.start("this")
        busy = self.job("this", "busy", steps=40)
        for command in (["edit", harness.PHOTO, "-o", self.dir / "next.png"], ["batch", harness.PHOTO, "-o", self.dir / "out"]):
            with self.subTest(command=command[0]):
                client = subprocess.Popen([step1x("protocol"), *map(str, command), "-p", "red", "--model", "fake:", "-v"], env=self.env(), text=True,
                                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.addCleanup(client.kill)
                self.assertIn("waiting for worker", client.stderr.readline())
                client.send_signal(signal.SIGINT)
                client.communicate(timeout=30)
                self.assertEqual(client.returncode, 130)
                self.assertEqual(self.status()["state"], "Working", "the worker was done before: this test has shown nothing")
        self.finished(busy)

    def test_a_lease_is_work_too(self):
        hold = Crowd(self, [[step1x("this"), "gpu", "hold", "--", "sh", "-c", f"touch {self.dir}/held; while [ -e {self.dir}/held -a ! -e {self.dir}/go ]; do sleep 0.01; done"]]).go()
        harness.eventually((self.dir / "held").exists, what="the lease")
        pid, = self.worker_pids()
        _, err = self.one("protocol", *self.edit_arguments(self.dir / "a.png"), "--timeout", "1s", "-q", code=75)
        self.assertIn(f"worker {pid} ", err)
        waiting = Crowd(self, [[step1x("protocol"), *self.edit_arguments(self.dir / "a.png"), "-q"]]).go()
        time.sleep(0.2)
        self.assertEqual(self.worker_pids(), [pid])
        (self.dir / "go").touch()
        self.assertEqual(hold.results()[0][0], 0)
        self.assertEqual(waiting.results()[0][0], 0)
        self.left_in_good_order(pid)

    def test_clients_of_both_come_at_once(self):
        """They take turns; each gets its picture, and no worker of the one meets a worker of the other."""
        for _ in range(harness.count(2, 20)):
            commands = [[step1x("protocol" if i % 2 else "this"), *self.edit_arguments(self.dir / f"{i}.png", steps=1), "-q"] for i in range(8)]
            for code, out, err in Crowd(self, commands).results():
                self.assertEqual((code, err), (0, ""), out)


class Upgrade(Skew):
    """The files of an installation are replaced while its worker runs."""

    def setUp(self):
        super().setUp()
        self.tree = Tree(self.dir / "tree")

    def upgrade(self, build="build"):
        for part in ("step1x-engine", "step1xd", "step1x"):
            self.tree.take(part, BUILDS[build])

    def client(self, name, *more):
        return [self.tree.step1x, *self.edit_arguments(self.dir / f"{name}.png", fake="step=20ms"), *more]

    def test_the_next_engine_is_newer_than_the_worker(self):
        Crowd(self, [self.client("a")]).results()
        old, = self.worker_pids()
        self.upgrade()
        # The engine that runs is of the worker's build: nothing changes yet.
        (code, _, err), = Crowd(self, [self.client("b")]).results()
        self.assertEqual((code, err, self.worker_pids()), (0, "", [old]))
        self.run_step1x("gpu", "release", check=0)
        with Watch(self) as watch:
            (code, out, err), = Crowd(self, [self.client("c", "--json")]).results()
        self.assertEqual((code, err), (0, ""))
        self.assertTrue((self.dir / "c.png").exists())
        worker = json.loads(out)["worker"]
        self.assertEqual(worker["build"], self.build_id("build"))
        self.assertEqual(watch.seen, {old, worker["pid"]})
        self.left_in_good_order(old)

    def test_many_jobs_wait_when_the_newer_engine_is_found(self):
        Crowd(self, [self.client("a")]).results()
        old, = self.worker_pids()
        self.run_step1x("gpu", "release", check=0)
        self.upgrade()
        for code, out, err in Crowd(self, [self.client(str(i)) for i in range(10)]).results():
            self.assertEqual((code, err), (0, ""), out)
            self.assertTrue(pathlib.Path(out.strip()).exists())
        self.left_in_good_order(old)
        self.assertEqual(len(self.worker_pids()), 1)

    def test_the_newer_build_speaks_another_protocol(self):
        Crowd(self, [self.client("a")]).results()
        old, = self.worker_pids()
        self.upgrade("protocol")
        (code, _, err), = Crowd(self, [self.client("b")]).results()
        self.assertEqual((code, err), (0, ""))
        self.left_in_good_order(old)


if __name__ == "__main__":
    harness.main()
