"""One worker for all of a user's environments, and nothing of who started it shows in it."""

import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess

import harness
import person


def proc(pid, name):
    return pathlib.Path(f"/proc/{pid}/{name}").read_text()


def environ(pid):
    return dict(item.split("=", 1) for item in proc(pid, "environ").rstrip("\0").split("\0"))


def status_field(pid, name):
    return re.search(rf"^{name}:\s*(.*)$", proc(pid, "status"), re.M).group(1)


def limits(pid):
    """{name: (soft, hard)} as the kernel prints them."""
    return {line[:26].strip(): tuple(line[26:68].split()) for line in proc(pid, "limits").splitlines()[1:]}


def signals(bits):
    """The signals of a mask from /proc, as a set; without the two that the C library keeps for itself."""
    return {number for number in range(1, 65) if int(bits, 16) >> (number - 1) & 1} - {32, 33}


class AtHome(harness.Case):
    """Without STEP1X_RUNTIME_DIR: an empty directory lies over the home of this user while a command runs."""

    def setUp(self):
        super().setUp()
        self.home = person.Home(self)
        self.runtime = pathlib.Path(self.home.real) / ".local/state/step1x" / socket.gethostname()

    def worker_pids(self):
        """Those that live in this test's home: any other worker of this user has the same path in its arguments."""
        return [pid for pid in super().worker_pids() if self.lives_here(pid)]

    def lives_here(self, pid):
        try:
            return pathlib.Path(f"/proc/{pid}/root{self.home.real}").samefile(self.home.path)
        except OSError:
            return False

    def start(self, environment):
        command, env = environment
        done = subprocess.run(self.home.command(*command), env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=harness.HANG, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return int(done.stdout.split()[-1])


class Places(AtHome):
    def environments(self):
        step1x = shlex.quote(harness.STEP1X)
        start = f"exec {step1x} worker start"
        ordinary = {"PATH": os.environ["PATH"], "HOME": self.home.real, "LANG": "C.UTF-8"}
        elsewhere = self.dir / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        sh = lambda script: ["sh", "-c", script]
        return {
            "login shell": (["bash", "-lc", start], ordinary),
            "env -i": (["env", "-i", harness.STEP1X, "worker", "start"], ordinary),
            "no HOME": (["env", "-u", "HOME", harness.STEP1X, "worker", "start"], ordinary),
            "another HOME": (sh(start), {**ordinary, "HOME": str(elsewhere), "XDG_RUNTIME_DIR": str(elsewhere), "XDG_STATE_HOME": str(elsewhere), "TMPDIR": str(elsewhere)}),
            "cron": (["setsid", "-w", *sh(f"cd ~; {start}")], {"HOME": self.home.real, "LOGNAME": "root", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}),
            "another directory": (sh(f"cd {elsewhere}; {start}"), ordinary),
            "no umask": (sh(f"umask 000; {start}"), ordinary),
            "a umask that takes everything": (sh(f"umask 777; {start}"), ordinary),
            "other devices and hub": (sh(start), {**ordinary, "CUDA_VISIBLE_DEVICES": "3", "HF_HOME": "/nowhere", "HF_TOKEN": "secret", "HF_HUB_OFFLINE": "1", "LD_LIBRARY_PATH": "/nowhere"}),
        }

    def test_every_environment_finds_the_worker_that_any_other_started(self):
        environments = self.environments()
        for first in environments:
            with self.subTest(started_from=first):
                pid = self.start(environments[first])
                self.assertEqual({name: self.start(environments[name]) for name in environments}, dict.fromkeys(environments, pid))
                self.assertEqual(self.worker_pids(), [pid])
                self.assertEqual(environ(pid), {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": self.home.real, "LANG": "C.UTF-8"})
                self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
                self.assertEqual(status_field(pid, "Umask"), "0077")
                folder = self.home.path / ".local/state/step1x" / socket.gethostname()
                modes = {path.name: oct(path.lstat().st_mode & 0o7777) for path in [folder, *folder.iterdir()]}
                self.assertEqual(modes.pop(folder.name), "0o700")
                self.assertEqual(set(modes.values()), {"0o600"}, modes)
            self.kill_all()
            harness.eventually(lambda: not self.worker_pids(), what="gone")
            subprocess.run(["rm", "-rf", self.home.path / ".local"], check=True)


class Born(harness.Case):
    """What a worker is when its first client was a strange one."""

    STRANGE = """
        ulimit -Sn 64; ulimit -Ss 1024; ulimit -Sf 4; ulimit -Sc 0; ulimit -Sl 16; ulimit -St 600; umask 000
        trap '' INT TERM HUP USR1 PIPE QUIT
        cd /proc/self; exec taskset -c 0 ionice -c 3 chrt --batch 0 "$@"
    """

    def strange(self, *command, nice=None):
        line = ["bash", "-c", self.STRANGE, "bash", harness.STEP1X, *map(str, command)]
        env = self.env(SECRET="of the first client", CUDA_VISIBLE_DEVICES="5", HF_TOKEN="secret", LD_LIBRARY_PATH="/nowhere", LANGUAGE="de")
        done = subprocess.run(["nice", "-n", str(nice), *line] if nice else line, env=env, capture_output=True, text=True, timeout=harness.HANG, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def check(self, pid, oom_score_adj, bounds=()):
        """`bounds`: variables that keep it from taking too much of the machine."""
        self.assertEqual(environ(pid).keys(), {"PATH", "HOME", "LANG", *bounds})
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        self.assertEqual(status_field(pid, "Umask"), "0077")
        stat = proc(pid, "stat").rpartition(")")[2].split()
        tty, priority_nice, policy = stat[4], stat[16], stat[38]
        self.assertEqual((tty, priority_nice, policy), ("0", "0", str(os.SCHED_OTHER)))
        self.assertEqual(proc(pid, "oom_score_adj").strip(), oom_score_adj)
        self.assertEqual(status_field(pid, "Cpus_allowed"), self.all_cpus(), "the affinity of the first client")
        self.assertEqual(subprocess.run(["ionice", "-p", str(pid)], capture_output=True, text=True, check=True).stdout.strip(), "none: prio 0")
        self.assertEqual(signals(status_field(pid, "SigBlk")) - {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}, set())
        mine = limits(os.getpid())
        for name, (soft, hard) in limits(pid).items():
            with self.subTest(limit=name):
                if name == "Max core file size":
                    self.assertEqual(soft, "0")
                elif name == "Max stack size":
                    self.assertEqual(soft, "8388608")
                elif name in ("Max cpu time", "Max file size", "Max processes", "Max open files", "Max locked memory", "Max address space", "Max data size"):
                    self.assertEqual(soft, hard)
                    self.assertIn(hard, (mine[name][1], limits(1)[name][1]))
        self.assertEqual(limits(pid)["Max core file size"][0], "0")

    def all_cpus(self):
        """What a process gets that asks for every processor."""
        everything = subprocess.run(["taskset", "ffffffffffffffff", "grep", "Cpus_allowed:", "/proc/self/status"], capture_output=True, text=True, check=True)
        return everything.stdout.split(":")[1].strip()

    def test_nothing_of_a_strange_first_client_shows_in_worker_and_engine(self):
        pid = int(self.strange("worker", "start"))
        self.check(pid, "800")
        self.assertEqual(signals(status_field(pid, "SigIgn")), {signal.SIGPIPE, signal.SIGXFSZ})
        self.assertEqual(os.getsid(pid), pid)
        self.run_step1x(*self.edit_arguments(self.dir / "a.png"), "--keep", "1m", check=0)
        engine, = self.engine_pids()
        self.check(engine, "700", bounds=["GOMP_SPINCOUNT"])
        self.assertEqual(signals(status_field(engine, "SigIgn")), {signal.SIGPIPE, signal.SIGXFSZ})

    def test_as_root_not_even_niceness_shows(self):
        person.need_root(self)
        self.check(int(self.strange("worker", "start", nice=5)), "800")

    def test_a_client_from_a_pipeline_with_standard_descriptors_closed(self):
        script = f'exec 0<&- 1>&- 2>&-; exec "{harness.STEP1X}" worker start'
        self.assertEqual(subprocess.run(["sh", "-c", script], env=self.env(), timeout=harness.HANG, check=False).returncode in (0, 1), True)
        pid, = self.worker_pids()
        self.assertEqual([os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)], ["/dev/null", "/dev/null", str(self.runtime / "worker.log")])


    def test_started_by_hand_with_standard_descriptors_closed(self):
        worker = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", harness.STEP1XD, "--directory", self.runtime])
        harness.eventually((self.runtime / "worker.sock").exists, what="it listens")
        self.run_step1x(*self.edit_arguments(self.dir / "a.png"), check=0)
        self.assertEqual([os.readlink(f"/proc/{worker.pid}/fd/{fd}") for fd in (0, 1, 2)], ["/dev/null"] * 3)
        self.run_step1x("worker", "stop", check=0)
        self.assertEqual(worker.wait(harness.HANG), 0)
        self.assertEqual((self.runtime / "worker.lock").read_bytes(), b"")


class Slurm(AtHome):
    def test_a_job_has_a_worker_of_its_own_that_ends_with_it(self):
        shared = self.start((["sh", "-c", f"exec {harness.STEP1X} worker start"], {}))
        daemon = self.dir / "slurmstepd"
        daemon.write_text('#!/bin/sh\nsh -c "$1"\nexit $?\n')
        daemon.chmod(0o755)
        job = f"for i in 1 2; do {harness.STEP1X} worker start; done"
        done = subprocess.run(self.home.command(daemon, job), env={"SLURM_JOB_ID": "4711", "PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=harness.HANG, check=True)
        first, second = done.stdout.split()
        self.assertEqual((first, done.stderr), (second, ""))
        self.assertNotEqual(int(first), shared)
        harness.eventually(lambda: self.worker_pids() == [shared], what="only the shared worker is left")
        self.assertFalse((self.home.path / ".local/state/step1x" / socket.gethostname() / "job-4711").exists())


class Ordinary(harness.Case):
    """As a user who cannot raise a priority."""

    def setUp(self):
        super().setUp()
        person.need_root(self)
        # Who runs the tests may be nice, and a stranger cannot undo that.
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        for path in (self.dir, self.runtime):
            person.give(path)

    def run_as(self, *command, check, **kwargs):
        done = subprocess.run(person.stranger(self, *command), env=self.env(), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=harness.HANG, check=False, **kwargs)
        self.assertEqual(done.returncode, check, done.stderr)
        return done

    def refused(self, *prefix):
        done = self.run_as(*prefix, harness.STEP1X, "worker", "start", check=1)
        self.assertRegex(done.stderr, r"\Astep1x: [^\n]+\n\Z")
        self.assertEqual(self.worker_pids(), [])
        return done.stderr

    def test_no_worker_for_everybody_is_born_under_nice(self):
        self.assertIn("niceness 5", self.refused("nice", "-n", "5"))

    def test_no_worker_for_everybody_is_born_at_idle_priority(self):
        self.assertIn("idle priority", self.refused("chrt", "--idle", "0"))

    def test_one_of_its_own_may_be_nice(self):
        out = self.dir / "a.png"
        self.run_as("nice", "-n", "5", harness.STEP1X, *self.edit_arguments(out), "--isolated", check=0)
        self.assertTrue(out.exists())

    def test_a_nice_client_uses_the_worker_that_runs(self):
        pid = int(self.run_as(harness.STEP1X, "worker", "start", check=0).stdout)
        self.run_as("nice", "-n", "5", harness.STEP1X, *self.edit_arguments(self.dir / "a.png"), check=0)
        self.assertEqual(self.worker_pids(), [pid])
        self.assertEqual(proc(pid, "oom_score_adj").strip(), "800")

    def test_a_umask_that_takes_everything_does_not_lock_the_user_out(self):
        self.runtime.rmdir()
        first = self.run_as("sh", "-c", 'umask 777; exec "$@"', "sh", harness.STEP1X, "worker", "start", check=0).stdout
        self.run_as(harness.STEP1X, "worker", "stop", check=0)
        self.assertNotEqual(self.run_as(harness.STEP1X, "worker", "start", check=0).stdout, first)

    def test_a_user_without_a_home_is_told_what_to_set(self):
        without = ["env", "-u", "STEP1X_RUNTIME_DIR", "-u", "HOME"]
        done = subprocess.run(person.stranger(self, *without, harness.STEP1X, "worker", "start"), env=self.env(), capture_output=True, text=True, timeout=harness.HANG, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, f"step1x: user {person.UID} has no home directory in the user database; set STEP1X_RUNTIME_DIR\n")
        elsewhere = subprocess.run(person.stranger(self, "env", "-u", "STEP1X_RUNTIME_DIR", "HOME=/nonexistent", harness.STEP1X, "worker", "start"), env=self.env(),
                                   capture_output=True, text=True, timeout=harness.HANG, check=False)
        self.assertEqual(elsewhere.returncode, 1)
        self.assertIn("set STEP1X_RUNTIME_DIR", elsewhere.stderr)

    def test_a_number_without_a_name_has_the_home_of_its_environment(self):
        home = self.dir / "home"
        home.mkdir()
        os.chown(home, person.UID, person.UID)
        without = ["env", "-u", "STEP1X_RUNTIME_DIR", f"HOME={home}"]
        pid = int(self.run_as(*without, harness.STEP1X, "worker", "start", check=0).stdout)
        self.addCleanup(harness.kill, pid)
        self.assertTrue((home / ".local/state/step1x").is_dir())

    def test_no_worker_for_everybody_is_born_under_a_limit_that_it_cannot_serve_with(self):
        self.assertIn("ulimit -f", self.refused("prlimit", "--fsize=67108864:67108864"))
        self.assertIn("ulimit -n", self.refused("prlimit", "--nofile=100:100"))

    def test_what_limits_it_and_cannot_be_left_is_in_status_and_log(self):
        self.run_as("prlimit", "--data=34359738368:34359738368", harness.STEP1X, "worker", "start", check=0)
        status = json.loads(self.run_as(harness.STEP1X, "gpu", "status", "--json", check=0).stdout)
        self.assertIn("Max data size: 34359738368", status["worker"]["limits"])
        self.assertIn("limited by who started it: Max data size", self.run_as(harness.STEP1X, "worker", "log", check=0).stdout)


if __name__ == "__main__":
    harness.main()
