"""`scripts/slurm-batch` under the real Slurm: a controller and a node of Debian's packages, in a folder of their own.

Not part of CI: `scripts/test --slurm`. Needs root, because slurmd starts jobs as their users.
"""

import json
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
import time

import batch_case
import harness
import pictures

SCRIPT = harness.SOURCE / "scripts/slurm-batch"
TASKS = 4
ITEMS = 60
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue")


def missing():
    if os.geteuid() != 0:
        return "slurmd needs root"
    absent = [name for name in NEEDED if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)} (scripts/install --slurm)" if absent else None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cluster:
    """munged under its own user, slurmctld and slurmd as root."""

    def __init__(self, root):
        self.root = root
        root.chmod(0o755)
        self.processes = []
        self.start_munge()
        host = socket.gethostname().split(".")[0]
        self.write_config(host)
        self.env = {**os.environ, "SLURM_CONF": str(root / "slurm.conf")}
        self.start("slurmctld", "-D", "-f", root / "slurm.conf")
        self.start("slurmd", "-D", "-f", root / "slurm.conf", "-N", host)
        harness.eventually(lambda: "idle" in self.run("sinfo", "-h", "-o", "%T", check=False).stdout, what="the node is idle")

    def start_munge(self):
        munge = self.root / "munge"
        munge.mkdir(mode=0o711)
        user = pwd.getpwnam("munge")
        key = munge / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        os.chown(key, user.pw_uid, user.pw_gid)
        os.chown(munge, user.pw_uid, user.pw_gid)
        self.socket = munge / "socket"
        self.start("runuser", "-u", "munge", "--", "munged", "--foreground", f"--socket={self.socket}", f"--key-file={key}", f"--pid-file={munge}/pid",
                   f"--seed-file={munge}/seed", f"--log-file={munge}/log", "--num-threads=2")
        harness.eventually(self.socket.exists, what="munged is there")

    def write_config(self, host):
        for name in ("state", "spool"):
            (self.root / name).mkdir()
        lines = {
            "ClusterName": "step1x", "SlurmctldHost": f"{host}(127.0.0.1)", "SlurmUser": "root", "SlurmdUser": "root",
            "SlurmctldPort": free_port(), "SlurmdPort": free_port(), "AuthType": "auth/munge", "AuthInfo": f"socket={self.socket}",
            "CredType": "cred/munge", "StateSaveLocation": self.root / "state", "SlurmdSpoolDir": self.root / "spool",
            "SlurmctldPidFile": self.root / "slurmctld.pid", "SlurmdPidFile": self.root / "slurmd.pid",
            "SlurmctldLogFile": self.root / "slurmctld.log", "SlurmdLogFile": self.root / "slurmd.log",
            "ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none", "JobAcctGatherType": "jobacct_gather/none",
            "AccountingStorageType": "accounting_storage/none", "SelectType": "select/cons_tres", "SelectTypeParameters": "CR_CPU",
            "ReturnToService": 2, "KillWait": 5, "JobRequeue": 1, "MpiDefault": "none", "SchedulerParameters": "batch_sched_delay=0",
        }
        text = "".join(f"{key}={value}\n" for key, value in lines.items())
        cpus = os.cpu_count()
        text += f"NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN\nPartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP\n"
        (self.root / "slurm.conf").write_text(text)

    def start(self, *command):
        log = open(self.root / f"{pathlib.Path(command[0]).name}.out", "ab")
        env = {**os.environ, "SLURM_CONF": str(self.root / "slurm.conf")}
        self.processes.append(subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env))

    def run(self, *command, check=True, env=None):
        return subprocess.run([str(part) for part in command], check=check, capture_output=True, text=True, timeout=harness.HANG, env={**self.env, **(env or {})})

    def tasks(self, job):
        """The states of the tasks that have not ended, by their number."""
        lines = self.run("squeue", "-h", "-r", "-j", job, "-o", "%K %T", check=False).stdout.splitlines()
        return {int(line.split()[0]): line.split()[1] for line in lines}

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ours():
    return {(name, pid) for name in ("step1x", "step1xd", "step1x-engine") for pid in harness.processes(name)}


class Slurm(batch_case.Case):
    def setUp(self):
        reason = missing()
        if reason:
            self.skipTest(reason)
        super().setUp()
        self.others = ours()
        self.fill(ITEMS)
        self.home = self.dir / "home"
        self.home.mkdir()
        root = pathlib.Path(tempfile.mkdtemp(prefix="step1x-slurm-"))
        self.addCleanup(shutil.rmtree, root, ignore_errors=True)
        self.cluster = Cluster(root)
        self.addCleanup(self.cluster.stop)

    def submit(self, tasks=TASKS):
        """Returns the job's number."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "STEP1X": harness.STEP1X}
        done = self.cluster.run("sbatch", "--parsable", f"--array=0-{tasks - 1}", f"--output={self.dir}/log-%a", f"--chdir={self.dir}", SCRIPT, "-i", self.photos,
                                "-o", self.out, "-p", "make it red", "--steps", 2, "--model", "fake:step=50ms", "--device", "cpu", env=environment)
        return done.stdout.strip().split(";")[0]

    def items_done(self):
        lines = [line for journal in self.out.glob("step1x-batch*.jsonl") for line in journal.read_bytes().splitlines() if b'"kind":"item"' in line and line.endswith(b'"}')]
        return [item["key"] for item in map(json.loads, lines) if item["state"] == "done"]

    def wait_for_end(self, job):
        harness.eventually(lambda: not self.cluster.tasks(job), what=f"job {job} has ended: {self.logs()}")

    def runs_again(self, job, task):
        if self.cluster.tasks(job).get(task) in (None, "RUNNING"):
            return True
        self.cluster.run("scontrol", "update", f"JobId={job}_{task}", "StartTime=now", check=False)
        return False

    def logs(self):
        return {path.name: path.read_text()[-2000:] for path in self.dir.glob("log-*")}

    def check_nothing_is_left(self):
        # The worker watches the job's outermost process, so it goes within moments of it.
        harness.eventually(lambda: not ours() - self.others, seconds=10, what="no process of the job is left")
        self.assertEqual(list((self.home / ".local/state/step1x").rglob("job-*")), [])

    def test_some_tasks_one_killed_and_requeued_one_cancelled(self):
        job = self.submit()
        running = harness.eventually(lambda: [n for n, state in self.cluster.tasks(job).items() if state == "RUNNING"], what="a task runs")
        harness.eventually(lambda: len(self.items_done()) >= 3, what=f"pictures are made: {self.logs()}")

        first = running[0]
        self.cluster.run("scontrol", "requeue", f"{job}_{first}")
        second = harness.eventually(lambda: [n for n, state in self.cluster.tasks(job).items() if state == "RUNNING" and n != first], what="another task runs")[0]
        harness.eventually(lambda: (self.dir / f"log-{second}").exists(), what="it has begun")
        time.sleep(0.5)
        self.cluster.run("scancel", f"{job}_{second}")
        # A requeued task waits for two minutes unless it is told otherwise.
        harness.eventually(lambda: self.runs_again(job, first), what="the requeued task runs again")
        self.wait_for_end(job)
        self.check_nothing_is_left()
        done = self.items_done()
        self.assertEqual(len(done), len(set(done)), "nothing is done twice")
        self.assertLess(len(done), ITEMS, "the cancelled task has left something")

        # Another number of tasks: all journals are read.
        self.wait_for_end(self.submit(tasks=3))
        self.check_nothing_is_left()
        done = self.items_done()
        self.assertEqual(sorted(done), sorted(f"p{n:03}.png" for n in range(ITEMS)), self.logs())
        self.assertEqual(len(self.hashes()), ITEMS)

    def test_a_job_that_is_killed_at_once_leaves_no_process(self):
        job = self.submit(tasks=1)
        harness.eventually(lambda: self.items_done(), what=f"pictures are made: {self.logs()}")
        self.assertEqual({name for name, _ in ours() - self.others}, {"step1x", "step1xd", "step1x-engine"})
        self.cluster.run("scancel", "--signal=KILL", "--full", f"{job}_0")
        self.wait_for_end(job)
        self.check_nothing_is_left()


if __name__ == "__main__":
    harness.main()
