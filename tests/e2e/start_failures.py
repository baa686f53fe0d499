"""When no worker can be started, every client says why, in one line, with the right exit code, and at once.

At once: no client is given a --timeout, so one that waited for anything but the cause would hang."""

import os
import signal
import time

import harness
import person
from crowd import Crowd
from tree import Tree

CLIENTS = harness.count(20, 200)


class Case(harness.Case):
    def all_fail(self, *causes, step1x=harness.STEP1X, env=None, prefix=(), clients=CLIENTS, code=1):
        """Every client of a crowd, and one that edits, fails; the one line names each of the causes."""
        commands = [[*prefix, step1x, "worker", "start"]] * (clients - 1) + [[*prefix, step1x, *self.edit_arguments(self.dir / "a.png")]]
        for got, out, err in Crowd(self, commands, env=env).results():
            self.assertEqual((got, out), (code, ""), err)
            self.assertRegex(err, r"\Astep1x: [^\n]+\n\Z")
            for cause in causes:
                self.assertIn(str(cause), err)
        self.assertFalse((self.dir / "a.png").exists())
        harness.eventually(lambda: not self.worker_pids(), what="no worker is left over")

    def works(self, step1x=harness.STEP1X, env=None, prefix=()):
        for code, out, err in Crowd(self, [[*prefix, step1x, "worker", "start"]] * 5, env=env).results():
            self.assertEqual((code, err), (0, ""), out)


class Installation(Case):
    def test_the_engine_is_missing(self):
        tree = Tree(self.dir / "tree", ["step1x", "step1xd"])
        self.all_fail("cannot run the engine", tree.file("step1x-engine"), "No such file", "installed completely", step1x=tree.step1x)
        tree.take("step1x-engine")
        self.works(tree.step1x)

    def test_the_engine_cannot_be_run(self):
        tree = Tree(self.dir / "tree")
        tree.file("step1x-engine").chmod(0o644)
        self.all_fail("cannot run the engine", tree.file("step1x-engine"), "Permission denied", step1x=tree.step1x)

    def test_the_worker_is_missing(self):
        tree = Tree(self.dir / "tree", ["step1x", "step1x-engine"])
        self.all_fail("cannot start the worker", tree.file("step1xd"), "No such file", "installed completely", step1x=tree.step1x)
        tree.take("step1xd")
        self.works(tree.step1x)

    def test_the_worker_cannot_be_run(self):
        tree = Tree(self.dir / "tree")
        tree.file("step1xd").chmod(0o644)
        self.all_fail("cannot start the worker", tree.file("step1xd"), "Permission denied", step1x=tree.step1x)

    def test_the_worker_ends_at_once_with_words_on_its_log(self):
        tree = Tree(self.dir / "tree")
        tree.script("step1xd", "#!/bin/sh\necho 'libsomething.so.1: cannot open shared object file' >&2\nexit 127\n")
        self.all_fail("exited with code 127", "libsomething.so.1", self.runtime / "worker.log", step1x=tree.step1x)

    def test_the_worker_is_killed_while_it_starts(self):
        tree = Tree(self.dir / "tree")
        tree.script("step1xd", "#!/bin/sh\nkill -SEGV $$\n")
        self.all_fail("killed by signal 11", step1x=tree.step1x)

    def test_every_worker_ends_right_after_it_was_ready(self):
        tree = Tree(self.dir / "tree")
        tree.script("step1xd", "#!/bin/sh\necho ready >&3\n")
        self.all_fail("workers in a row have ended", self.runtime / "worker.log", step1x=tree.step1x, clients=5)

    def test_no_engine_ever_is_of_the_workers_build(self):
        """An upgrade that was left half done: the client gives up after a few workers, and says what to look for."""
        tree = Tree(self.dir / "tree")
        engine = tree.file("step1x-engine")
        tree.file("step1x-engine").rename(engine.with_name("real"))
        tree.script("step1x-engine", f'''#!/usr/bin/env python3
import json, socket, struct, time
line = socket.socket(fileno=3)
hello = json.dumps({{"event": "hello", "magic": "step1x", "protocol": 1, "version": "9.9.9", "build": "another", "pid": 1}}).encode()
line.sendall(struct.pack("<I", len(hello)) + hello)
line.recv(1)
''')
        done = self.run_other(tree.step1x, *self.edit_arguments(self.dir / "a.png"))
        self.assertEqual(done.returncode, 75)
        self.assertRegex(done.stderr, r"\Astep1x: [^\n]*one build[^\n]*\n\Z")

    def run_other(self, step1x, *arguments):
        crowd = Crowd(self, [[step1x, *arguments]])
        (code, out, err), = crowd.results()
        return type("Done", (), {"returncode": code, "stdout": out, "stderr": err})


class Directory(Case):
    def test_others_may_enter_it(self):
        for mode in (0o755, 0o770, 0o701, 0o1777):
            with self.subTest(mode=oct(mode)):
                self.runtime.chmod(mode)
                self.all_fail(self.runtime, f"chmod 700 {self.runtime}", f"{mode:04o}")
        self.runtime.chmod(0o700)
        self.works()

    def test_it_belongs_to_somebody_else(self):
        person.need_root(self)
        person.give(self.runtime)
        self.all_fail(self.runtime, f"belongs to user {person.UID}")

    def test_a_symbolic_link_stands_in_its_place(self):
        real = self.dir / "real"
        for target in (real, self.dir / "nowhere"):
            with self.subTest(target=target.name):
                real.mkdir(mode=0o700, exist_ok=True)
                link = self.dir / f"link-to-{target.name}"
                link.symlink_to(target)
                self.all_fail(link, "symbolic link", env=self.env(STEP1X_RUNTIME_DIR=str(link)))
                self.assertEqual(list(real.iterdir()), [])

    def test_a_file_or_a_fifo_or_a_socket_stands_in_its_place(self):
        (self.dir / "file").write_text("")
        os.mkfifo(self.dir / "fifo")
        os.mknod(self.dir / "socket", 0o140600)
        for name in ("file", "fifo", "socket"):
            with self.subTest(kind=name):
                self.all_fail(self.dir / name, "Not a directory", env=self.env(STEP1X_RUNTIME_DIR=str(self.dir / name)))
                self.all_fail(self.dir / name, "Not a directory", env=self.env(STEP1X_RUNTIME_DIR=str(self.dir / name / "below")))

    def test_it_cannot_be_written(self):
        person.need_root(self)
        for path in (self.dir, self.runtime):
            person.give(path)
        self.runtime.chmod(0o500)
        self.all_fail(self.runtime, "Permission denied", prefix=person.stranger(self))
        self.all_fail(self.runtime / "below", "Permission denied", prefix=person.stranger(self), env=self.env(STEP1X_RUNTIME_DIR=str(self.runtime / "below")))
        self.runtime.chmod(0o700)
        self.works(prefix=person.stranger(self))

    def test_a_read_only_file_system(self):
        disk = person.full_disk(self, "size=64k,mode=700,ro")
        self.all_fail(disk, "Read-only", env=self.env(STEP1X_RUNTIME_DIR=str(disk)))

    def test_files_in_it_are_not_what_they_should_be(self):
        for name in ("spawn.lock", "worker.lock", "worker.log", "worker.sock"):
            with self.subTest(name=name):
                (self.runtime / name).unlink(missing_ok=True)
                (self.runtime / name).mkdir()
                self.all_fail(name, "Is a directory")
                (self.runtime / name).rmdir()
        for name in ("spawn.lock", "worker.lock", "worker.log"):
            with self.subTest(link=name):
                (self.runtime / name).unlink(missing_ok=True)
                (self.runtime / name).symlink_to(self.dir / "victim")
                self.all_fail(name, "symbolic links")
                (self.runtime / name).unlink()
        self.assertFalse((self.dir / "victim").exists())
        (self.runtime / "worker.sock").write_text("no socket")
        self.works()

    def test_a_socket_that_may_not_be_connected_to_is_not_replaced(self):
        """Where a sandbox forbids to connect there may well be a worker."""
        person.need_root(self)
        for path in (self.dir, self.runtime):
            person.give(path)
        os.mknod(self.runtime / "worker.sock", 0o140600)
        inode = (self.runtime / "worker.sock").stat().st_ino
        self.all_fail("cannot connect to the worker", "Permission denied", prefix=person.stranger(self))
        self.assertEqual((self.runtime / "worker.sock").stat().st_ino, inode)
        self.assertFalse((self.runtime / "worker.log").exists())

    def test_the_log_cannot_be_written(self):
        person.need_root(self)
        for path in (self.dir, self.runtime):
            person.give(path)
        (self.runtime / "worker.log").write_text("")
        person.give(self.runtime / "worker.log", 0)
        (self.runtime / "worker.log").chmod(0o600)
        self.all_fail(self.runtime / "worker.log", "cannot open its log", "Permission denied", prefix=person.stranger(self))


class FullDisk(Case):
    def test_no_room_for_another_file(self):
        """For every number of files that still fit: it works or says what is wrong, and it does work in the end."""
        outcomes = []
        for inodes in range(1, 9):
            with self.subTest(inodes=inodes):
                disk = person.full_disk(self, f"size=1m,nr_inodes={inodes},mode=700")
                env = self.env(STEP1X_RUNTIME_DIR=str(disk))
                self.runtime = disk
                done = self.run_step1x("worker", "start", env=env)
                outcomes.append(done.returncode)
                if done.returncode == 0:
                    self.works(env=env)
                else:
                    self.all_fail("No space left on device", env=env)
                self.kill_all()
                harness.eventually(lambda: not self.worker_pids(), what="gone")
                os.system(f"umount -l '{disk}'; rmdir '{disk}'")
        self.assertEqual(outcomes, sorted(outcomes, reverse=True))
        self.assertEqual((outcomes[0], outcomes[-1]), (1, 0))

    def test_room_for_files_but_not_for_a_byte_in_them(self):
        """The log stays empty; that must not stop the work."""
        disk = person.full_disk(self, "size=16k,mode=700")
        (disk / "ballast").write_bytes(b"x" * 16384)
        self.runtime = disk
        env = self.env(STEP1X_RUNTIME_DIR=str(disk))
        self.works(env=env)
        self.run_step1x(*self.edit_arguments(self.dir / "a.png"), env=env, check=0)
        self.assertEqual((disk / "worker.log").stat().st_size, 0)


class LongPath(Case):
    def path_of(self, length):
        path = str(self.dir)
        while len(path) < length:
            path += "/" + "x" * min(200, max(1, length - len(path) - 1))
        return path[:length] if not path[:length].endswith("/") else path[:length - 1] + "x"

    def test_any_length_that_the_kernel_takes_works(self):
        """A socket's own name may have 107 bytes; the directory's may be longer."""
        lengths = [*range(88, 112), 150, 250, 1000, 3000, 3900] if not harness.LONG else [*range(50, 260), 1000, 2000, 3000, 3900]
        for length in lengths:
            with self.subTest(length=length):
                path = self.path_of(max(length, len(str(self.dir)) + 2))
                env = self.env(STEP1X_RUNTIME_DIR=path)
                pid = int(self.run_step1x("worker", "start", env=env, check=0).stdout)
                self.assertEqual(self.run_step1x("worker", "start", env=env, check=0).stdout, f"{pid}\n")
                os.kill(pid, signal.SIGKILL)

    def test_what_the_kernel_does_not_take_is_said(self):
        for path in (self.path_of(4200), str(self.dir / ("y" * 300))):
            self.all_fail("File name too long", env=self.env(STEP1X_RUNTIME_DIR=path), clients=5)


class Timeout(Case):
    def test_a_worker_that_never_gets_ready_is_waited_for_no_longer_than_timeout_says(self):
        tree = Tree(self.dir / "tree")
        tree.script("step1xd", "#!/bin/sh\nexec sleep 300\n")
        edit = [tree.step1x, *self.edit_arguments(self.dir / "a.png"), "--timeout", "1s"]
        begin = time.monotonic()
        for code, _, err in Crowd(self, [edit] * 5).results():
            self.assertEqual(code, 75, err)
            self.assertRegex(err, r"\Astep1x: [^\n]+timed out after 1s \(--timeout\)\n\Z")
        self.assertLess(time.monotonic() - begin, 60)
        # Those that were not ready live on: they could be taking their first client.
        harness.eventually(lambda: not self.kill_sleepers(), what="no sleeper is left")

    def kill_sleepers(self):
        pids = self.sleepers()
        harness.kill(*pids)
        return pids

    def test_a_starter_that_waits_can_be_interrupted(self):
        tree = Tree(self.dir / "tree")
        tree.script("step1xd", "#!/bin/sh\nexec sleep 300\n")
        starter = Crowd(self, [[tree.step1x, *self.edit_arguments(self.dir / "a.png")]]).go()
        sleeper = self.sleeper()
        starter.processes[0].send_signal(signal.SIGINT)
        self.assertEqual(starter.results()[0][0], 130)
        os.kill(sleeper, signal.SIGKILL)

    def sleepers(self):
        return [pid for pid in harness.processes("sleep") if os.path.realpath(f"/proc/{pid}/fd/2") == str(self.runtime / "worker.log")]

    def sleeper(self):
        return harness.eventually(self.sleepers, what="the worker that does nothing")[0]

    def test_a_stopped_starter_holds_up_nobody_for_longer_than_timeout_says(self):
        tree = Tree(self.dir / "tree")
        tree.script("step1xd", "#!/bin/sh\nexec sleep 300\n")
        starter = Crowd(self, [[tree.step1x, "worker", "start"]]).go()
        sleeper = self.sleeper()
        starter.processes[0].send_signal(signal.SIGSTOP)
        (code, _, err), = Crowd(self, [[harness.STEP1X, *self.edit_arguments(self.dir / "a.png"), "--timeout", "1s"]]).results()
        self.assertEqual((code, err), (75, "step1x: another step1x is still starting the worker: timed out after 1s (--timeout)\n"))
        os.kill(sleeper, signal.SIGKILL)
        starter.processes[0].send_signal(signal.SIGCONT)
        (code, _, err), = starter.results()
        self.assertEqual(code, 1)
        self.assertIn("killed by signal 9", err)


if __name__ == "__main__":
    harness.main()
