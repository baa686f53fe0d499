"""One worker, always: many clients at once with none running, after its death, with a dying starter, and while one leaves."""

import os
import random
import re
import resource
import signal
import socket
import time

import harness
from crowd import Crowd, Watch
from tree import Tree

SANITIZED = harness.BUILD.name in ("asan", "tsan")
CLIENTS = harness.count(40 if SANITIZED else 200, 200)


class OneWorker(harness.Case):
    def commands(self, number=CLIENTS):
        """Mostly clients that only want the worker; every 20th edits a picture."""
        start = [harness.STEP1X, "worker", "start"]
        edit = lambda i: [harness.STEP1X, *self.edit_arguments(self.dir / f"{i}.png", steps=1)]
        return [edit(i) if i % 20 == 19 else start for i in range(number)]

    def answers(self, crowd):
        """The pid that all clients name; every one has an answer and nothing to complain about."""
        pids = set()
        for i, (code, out, err) in enumerate(crowd.results()):
            self.assertEqual((code, err), (0, ""), f"client {i}: {out!r}")
            if i % 20 == 19:
                self.assertTrue((self.dir / f"{i}.png").read_bytes().startswith(b"\x89PNG"))
            else:
                pids.add(int(out))
        self.assertEqual(len(pids), 1, f"clients name different workers: {pids}")
        return pids.pop()

    def served(self):
        """What the log says of its workers, in order: who served, and who left in good order."""
        text = "".join((self.runtime / name).read_text() for name in ("worker.log.1", "worker.log") if (self.runtime / name).exists())
        return re.findall(r" (\d+) info (?:step1xd .* )?(serves|ended)\b", text)

    def one_round(self):
        with Watch(self) as watch:
            pid = self.answers(Crowd(self, self.commands()))
        self.assertEqual(watch.seen, {pid}, "another worker was there, if only for a moment")
        self.assertEqual(self.status()["worker"]["pid"], pid)
        return pid

    def test_none_is_running(self):
        for _ in range(harness.count(2, 5)):
            pid = self.one_round()
            self.assertEqual([who for who, what in self.served() if what == "serves"][-1], str(pid))
            self.run_step1x("worker", "stop", check=0)
            self.assertEqual(self.worker_pids(), [])

    def test_the_last_one_was_killed_and_left_its_socket_and_lock(self):
        last = self.one_round()
        for _ in range(harness.count(1, 5)):
            os.kill(last, signal.SIGKILL)
            harness.eventually(lambda: not self.worker_pids(), what="the killed worker is gone")
            for name in ("worker.sock", "worker.lock", "spawn.lock"):
                self.assertTrue((self.runtime / name).exists(), name)
            pid = self.one_round()
            self.assertNotEqual(pid, last)
            last = pid

    def test_the_client_that_starts_it_is_killed_at_any_moment(self):
        random.seed(7)
        for _ in range(harness.count(8, 100)):
            first = self.start_step1x("worker", "start")
            time.sleep(random.uniform(0, 0.03))
            others = Crowd(self, [[harness.STEP1X, "worker", "start"]] * 10).go()
            first.kill()
            first.communicate()
            results = others.results()
            self.assertEqual({(code, err) for code, _, err in results}, {(0, "")}, results)
            pids = {int(out) for _, out, _ in results}
            self.assertEqual(len(pids), 1, results)
            harness.eventually(lambda: set(self.worker_pids()) == pids, what=f"only {pids} remains, not {self.worker_pids()}")
            self.kill_all()
            harness.eventually(lambda: not self.worker_pids(), what="gone")

    def test_a_worker_whose_starter_was_killed_comes_too_late(self):
        """The next client has started another one by then."""
        tree = Tree(self.dir / "tree", ["step1x"])
        tree.script("step1xd", f"""#!/bin/sh
            if mkdir {self.dir}/first 2>/dev/null; then while [ -d {self.dir}/first -a ! -e {self.dir}/go ]; do sleep 0.01; done; fi
            exec {harness.STEP1XD} "$@"
            """)
        first, = Crowd(self, [[tree.step1x, "worker", "start"]]).go().processes
        late, = harness.eventually(self.worker_pids, what="the worker that is late")
        harness.eventually((self.dir / "first").exists, what="it is held")
        first.kill()
        first.wait()
        (code, out, err), = Crowd(self, [[tree.step1x, "worker", "start"]]).results()
        self.assertEqual((code, err), (0, ""))
        self.assertNotEqual(int(out), late)
        (self.dir / "go").touch()
        harness.eventually(lambda: self.worker_pids() == [int(out)], what="the late one has left")

    def test_a_worker_turns_out_to_serve_while_the_next_waits_for_its_lock(self):
        """As when its starter was killed between its lock and its socket: the client takes what is there."""
        old = int(self.run_step1x("worker", "start", check=0).stdout)
        os.kill(old, signal.SIGSTOP)
        os.rename(self.runtime / "worker.sock", self.runtime / "aside")
        client = self.start_step1x("worker", "start")
        harness.eventually(lambda: len(self.worker_pids()) == 2, what="a second worker process, which waits")
        os.rename(self.runtime / "aside", self.runtime / "worker.sock")
        os.kill(old, signal.SIGCONT)
        out, err = client.communicate(timeout=harness.HANG)
        self.assertEqual((client.returncode, out, err), (0, f"{old}\n", ""))
        harness.eventually(lambda: self.worker_pids() == [old], what="the waiting one is gone")

    def test_a_worker_that_waits_for_the_lock_does_not_outlive_who_started_it(self):
        old = int(self.run_step1x("worker", "start", check=0).stdout)
        os.kill(old, signal.SIGSTOP)
        os.rename(self.runtime / "worker.sock", self.runtime / "aside")  # so that clients find nobody
        client = self.start_step1x("worker", "start")
        harness.eventually(lambda: len(self.worker_pids()) == 2, what="a second worker process, which waits")
        client.kill()
        client.communicate()
        harness.eventually(lambda: self.worker_pids() == [old], what="the waiting one is gone")

    def test_clients_come_while_the_old_one_leaves(self):
        random.seed(11)
        self.run_step1x("worker", "start", check=0)
        for _ in range(harness.count(5, 50)):
            start = [harness.STEP1X, "worker", "start"]
            crowd = Crowd(self, [[harness.STEP1X, "worker", "stop", "--wait"]] + [start] * 24 + self.commands(20)[-1:] + [[harness.STEP1X, "gpu", "status"]] * 5,
                          delays=[0.01] + [f"{random.uniform(0, 0.05):.3f}" for _ in range(30)])
            for i, (code, out, err) in enumerate(crowd.results()):
                self.assertEqual((code, err), (0, ""), f"client {i}: {out!r}")
        harness.eventually(lambda: len(self.worker_pids()) <= 1, what="one or none")
        self.run_step1x("worker", "stop", check=0)
        # Nobody serves before the one before has left.
        served = self.served()
        for (first, begin), (second, end) in zip(served[::2], served[1::2]):
            self.assertEqual((begin, end, first), ("serves", "ended", second), served)

    def test_clients_meet_a_full_backlog(self):
        """connect() then fails with EAGAIN after a while, or reports a success that is none: the client tries again."""
        pid = int(self.run_step1x("worker", "start", check=0).stdout)
        os.kill(pid, signal.SIGSTOP)
        filling = []
        self.addCleanup(lambda: [one.close() for one in filling])
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        try:
            while True:
                one = socket.socket(socket.AF_UNIX)
                filling.append(one)
                one.setblocking(False)
                one.connect(str(self.runtime / "worker.sock"))
        except BlockingIOError:
            pass
        crowd = Crowd(self, [[harness.STEP1X, "worker", "start"]] * 20).go()
        time.sleep(1.5)  # longer than one connect() waits
        for one in filling:
            one.close()
        os.kill(pid, signal.SIGCONT)
        for code, out, err in crowd.results():
            self.assertEqual((code, out, err), (0, f"{pid}\n", ""))

    def test_a_worker_that_leaves_by_its_timer_is_replaced_without_a_word(self):
        env = self.env(GPU_IDLE_TIMEOUT="0", STEP1X_HOST_TIMEOUT="0", STEP1X_EXIT_TIMEOUT="0")
        for i in range(harness.count(10, 200)):
            out = self.dir / f"{i}.png"
            done = self.run_step1x(*self.edit_arguments(out, steps=1), env=env, check=0)
            self.assertEqual((done.stdout, done.stderr), (f"{out}\n", ""))
        harness.eventually(lambda: not self.worker_pids(), what="the last one has left")


if __name__ == "__main__":
    harness.main()
