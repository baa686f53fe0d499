"""What the tests on the stand-in for CUDA (tests/support/cuda) share. Each has a machine of its own: its devices, and who holds what of them."""

import contextlib
import json
import os
import pathlib
import pwd
import re
import socket
import subprocess
import sys
import uuid

import harness
import nvml

BUNDLE = harness.BUILD / "golden/bundle"
PICTURE = harness.BUILD / "golden/images/photo.png"
CONTEXT = 300 << 20  # STAND_IN_CONTEXT
HOLD = """
import ctypes, sys
cuda = ctypes.CDLL("libcudart.so.13")
cuda.cudaSetDevice(int(sys.argv[1]))
assert cuda.cudaMalloc(ctypes.byref(ctypes.c_void_p()), ctypes.c_size_t(int(sys.argv[2]))) == 0
print("there", flush=True)
sys.stdin.read()
"""


class OnStandIn:
    """Comes before a harness.Case. Its edits are the model's own, on DEVICE, whatever the test engine would have been told."""

    DEVICE = "cuda:0"

    def setUp(self):
        super().setUp()
        self.folder = self.runtime / "stand-in"
        self.folder.mkdir()
        self.uuid = f"GPU-standin-{uuid.uuid4().hex[:8]}"
        locks = pathlib.Path(pwd.getpwuid(os.getuid()).pw_dir) / ".local/state/step1x/gpus"
        self.addCleanup(lambda: [lock.unlink() for lock in locks.glob(f"{self.uuid}-*")])
        self.machine()
        self.stand_in()

    def env(self, **more):
        return super().env(**{"STEP1X_DEVICE": self.DEVICE, **more})

    def edit_arguments(self, output, fake="", prompt="make the sky purple", seed=7, steps=2, picture=PICTURE):
        return ["edit", picture, "-p", prompt, "--seed", seed, "--steps", steps, "--size", 64, "--model", BUNDLE, "-o", output]

    def model(self, _):
        """What a batch computes with."""
        return ["--model", BUNDLE, "--size", 64]

    def machine(self, nvml=True, **settings):
        """What there is; before the first edit. nvml: whether its library finds a driver."""
        self.settings = {"uuid": self.uuid, **settings}
        if nvml:
            self.settings["machine"] = self.folder
        self._write("machine", self.settings)

    def stand_in(self, once=False, **settings):
        """What the engines that start from now on run on; `once`: the first of them alone."""
        used = self.dir / f"used-{len(os.listdir(self.dir))}" if once else None
        self._write("engine", settings, used)

    def _write(self, name, settings, used=None):
        lines = [f"export STAND_IN_{key.upper()}={value}" for key, value in settings.items()]
        if used:
            lines = [f"if mkdir {used}; then", *lines, "fi"]
        (self.folder / name).write_text("\n".join(lines) + "\n")

    @contextlib.contextmanager
    def other_process(self, device, size):
        """Another program that has memory of a device."""
        command = [str(harness.SOURCE / "tests/support/cuda/run.sh"), str(harness.BUILD), "python3", "-c", HOLD, str(device), str(size)]
        process = subprocess.Popen(command, env={**os.environ, **self.environment()}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(harness.kill, process.pid)
        self.assertEqual(process.stdout.readline(), "there\n")
        try:
            yield process
        finally:
            process.communicate()

    def nvml(self, device=0):
        """The driver's word on a device: total, free, processes. Asked in a process of its own, because one knows one machine."""
        command = [sys.executable, nvml.__file__, f"{self.uuid}-{device}", str(harness.BUILD / "nvml/libnvidia-ml.so.1")]
        said = json.loads(subprocess.run(command, env={**os.environ, **self.environment()}, check=True, stdout=subprocess.PIPE).stdout)
        return said["total"], said["free"], {int(pid): used for pid, used in said["processes"].items()}

    def environment(self):
        """By which a process belongs to the machine."""
        return {f"STAND_IN_{key.upper()}": str(value) for key, value in self.settings.items()}

    def tell(self, pid, **settings):
        """Changes settings of an engine that runs."""
        for name, value in settings.items():
            self._ask(pid, f"set {name} {value}")

    def count(self, pid, name):
        return int(self._ask(pid, f"count {name}"))

    def _ask(self, pid, line):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(harness.HANG)
            peer.connect(str(self.folder / str(pid)))
            peer.sendall(line.encode() + b"\n")
            return peer.recv(256).decode()

    def deaths(self):
        """How engines ended that the test itself did not kill, as the worker's log has it."""
        log = (self.runtime / "worker.log").read_text()
        return [how for how in re.findall(r" error engine \d+ (.*)", log) if "signal 9" not in how]

    def end_engines(self):
        pids = self.engine_pids()
        harness.kill(*pids)
        self.noticed(*pids)
