"""What the tests that drive real processes share: a worker directory of their own, the client, and the protocol by hand.

Each test file is run by ctest as `python3 FILE BUILD_DIR`; STEP1X_LONG=1 asks for the full counts. Deadlines are hang guards.
A test that cannot run here says why through skip(); a file in which everything was skipped ends with 77, which ctest counts.
"""

import array
import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/dev").resolve()
SOURCE = pathlib.Path(__file__).resolve().parents[2]
LONG = os.environ.get("STEP1X_LONG") == "1"
STEP1X = str(BUILD / "bin/step1x")
STEP1XD = str(BUILD / "bin/step1xd")
PHOTO = str(SOURCE / "tests/data/coffee.jpg")
# For the client alone; worker and engine have an environment of their own. Other builds do not look at it. At its end a
# process waits for races of its other threads, by default for a second: half of what these tests took.
# GCC 12's leak check takes a thread's own memory of a library (libjpeg's) for a block of another layout where its address
# happens to be 16 bytes into a page, and dies of that: it is not to look at those.
SANITIZER = {"TSAN_OPTIONS": f"ignore_noninstrumented_modules=1:atexit_sleep_ms=50:suppressions={SOURCE}/tests/support/tsan.supp",
             "ASAN_OPTIONS": "intercept_tls_get_addr=0"}
HANG = 300  # seconds; nothing here takes a tenth of it


def count(short, long):
    """How often to repeat: `short` fits scripts/test, `long` is the number that is promised."""
    return long if LONG else short


def eventually(condition, seconds=HANG, what="condition"):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill(*pids):
    """SIGKILL. Returns how many of them were still there."""
    found = 0
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            found += 1
        except ProcessLookupError:
            pass
    return found


class Case(unittest.TestCase):
    """Every test has a directory `self.dir` of its own, with `self.runtime` (0700) for the worker; no process of it outlives the test."""

    maxDiff = None

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="step1x-e2e-"))
        self.runtime = self.dir / "run"
        self.runtime.mkdir(mode=0o700)
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.addCleanup(self.kill_all)

    def env(self, **more):
        base = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "LANG": "C.UTF-8", "STEP1X_RUNTIME_DIR": str(self.runtime), **SANITIZER}
        return {**base, **{key: value for key, value in more.items() if value is not None}}

    def run_step1x(self, *arguments, check=None, env=None, **kwargs):
        """Runs the client to its end. check: the exit code that it must have."""
        kwargs.setdefault("capture_output", True)
        kwargs.setdefault("text", True)
        kwargs.setdefault("stdin", None if "input" in kwargs else subprocess.DEVNULL)
        if "input" in kwargs:
            del kwargs["stdin"]
        done = subprocess.run([STEP1X, *map(str, arguments)], env=env or self.env(), timeout=HANG, **kwargs)
        if check is not None:
            self.assertEqual(done.returncode, check, f"{arguments}: {done.stdout!r} {done.stderr!r}")
        return done

    def start_step1x(self, *arguments, env=None, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        kwargs.setdefault("text", True)
        return subprocess.Popen([STEP1X, *map(str, arguments)], env=env or self.env(), **kwargs)

    def edit_arguments(self, output, fake="", prompt="make it red", seed=1, steps=4, picture=PHOTO):
        return ["edit", picture, "-p", prompt, "--seed", seed, "--steps", steps, "--model", f"fake:{fake}", "-o", output]

    def status(self):
        return json.loads(self.run_step1x("gpu", "status", "--json", check=0).stdout)

    def worker_pids(self):
        """Every worker of this directory, from /proc: what is really there, not what a worker says."""
        found = {pid for pid in processes("step1xd") if str(self.runtime).encode() in command_line(pid)}
        # The child of a worker is an engine that has not replaced its program yet.
        return [pid for pid in found if parent(pid) not in found]

    def engine_pids(self):
        workers = set(self.worker_pids())
        return [pid for pid in processes("step1x-engine") if parent(pid) in workers]

    def noticed(self, *engines):
        """Waits until the worker knows that these engines are dead: the next job would be given to them, and count their death."""
        eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in engines), what=f"the worker has noticed the end of {engines}")

    def kill_all(self):
        kill(*self.engine_pids(), *self.worker_pids())

    def connect(self, hello=True):
        return Connection(self.runtime / "worker.sock", hello)


def processes(name):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/comm") as file:
                    if file.read().strip() == name[:15] and alive(int(entry)):
                        found.append(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                pass
    return found


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def parent(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def rss(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def make_checkpoint(folder, share):
    """Random weights of the released widths; share 0 is one block of each kind: 3.7 GB."""
    tokenizer = BUILD / "golden/qwen2-tokenizer/tokenizer.json"
    subprocess.run([str(BUILD / "tests/bench_random_checkpoint"), str(folder), str(tokenizer), str(share)], check=True, stdout=subprocess.DEVNULL)


def picture(width, height, seals=fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE, size=None):
    """A memfd as ipc/protocol.md, section 2, wants it, or not quite."""
    fd = os.memfd_create("picture", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.truncate(fd, width * height * 3 if size is None else size)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def frame(body):
    data = json.dumps(body).encode()
    return struct.pack("<I", len(data)) + data


def edit_request(width=64, height=64, fake="", **more):
    return {"op": "edit", "fd": "image", "width": width, "height": height, "prompt": "red", "size": 512, "steps": 4,
            "guidance": 6.0, "seed": 1, "model": f"fake:{fake}", **more}


class Connection:
    """A client of the worker that can also misbehave."""

    def __init__(self, path, hello=True, protocol=1):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(HANG)
        self.socket.connect(str(path))
        self.fds = []
        if hello:
            self.send({"op": "hello", "magic": "step1x", "protocol": protocol, "version": "test", "build": "test", "pid": os.getpid()})
            self.hello = self.receive()

    def raw(self, data, fds=()):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.socket.sendmsg([data], rights)
        if sent < len(data):
            self.socket.sendall(data[sent:])

    def send(self, body, fd=None):
        self.raw(frame(body), () if fd is None else (fd,))

    def edit(self, **more):
        request = edit_request(**more)
        fd = picture(request["width"], request["height"])
        self.send(request, fd)
        os.close(fd)

    def receive(self):
        """The next event, or None at the end of the connection."""
        head = self._exactly(4)
        return None if head is None else json.loads(self._exactly(struct.unpack("<I", head)[0]))

    def until(self, *events):
        while True:
            body = self.receive()
            if body is None or body["event"] in events:
                return body

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            try:
                part, ancillary, _, _ = self.socket.recvmsg(size - len(data), socket.CMSG_SPACE(64))
            except ConnectionError:
                return None
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds = array.array("i")
                    fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
                    self.fds.extend(fds)
            if not part:
                return None
            data += part
        return data

    def close_fds(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def close(self):
        self.close_fds()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main():
    # A shell ignores it in what it starts in the background, and the programs under test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    program = unittest.main(argv=sys.argv[:1] + sys.argv[2:], exit=False, verbosity=2)
    result = program.result
    for test, reason in result.skipped:
        print(f"skipped: {test}: {reason}", file=sys.stderr)
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.skipped and len(result.skipped) == result.testsRun else 0)
