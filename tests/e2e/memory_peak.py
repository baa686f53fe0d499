"""A model is in memory once: in the arena, which all engines share. Needs a memory controller in which this user may make a group."""

import threading

import harness
import memory_group

SLACK = 512 << 20  # bytes: programs, libtorch, what is computed


class Peak(threading.Thread):
    """The most that a group has used, looked at every few milliseconds."""

    def __init__(self, group):
        super().__init__()
        self.group, self.bytes, self.over = group, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.003):
            self.bytes = max(self.bytes, self.group.used())


class MemoryPeak(harness.Case):
    def setUp(self):
        super().setUp()
        try:
            self.group = memory_group.Group()
        except OSError as problem:
            self.skipTest(f"no memory control group can be made here: {problem}")
        self._cleanups.insert(0, (self.group.remove, (), {}))
        self.addCleanup(self.kill_all)
        self.model = self.dir / "model"
        harness.make_checkpoint(self.model, 0)
        self.weights = sum(path.stat().st_size for path in self.model.rglob("*.safetensors"))

    def peak_of(self, device):
        """Of worker, engine and client, from nothing until the model is there."""
        peak = Peak(self.group)
        peak.start()
        load = self.start_step1x("gpu", "load", "--model", self.model, "--device", device, preexec_fn=self.group.enter)
        _, said = load.communicate(timeout=harness.HANG)
        peak.over.set()
        peak.join()
        self.assertEqual(load.returncode, 0, said)
        print(f"{device}: weights {self.weights >> 20} MiB, peak {peak.bytes >> 20} MiB", flush=True)
        self.assertGreater(peak.bytes, 0.95 * self.weights)
        self.run_step1x("worker", "stop", "--force", check=0)
        return peak.bytes

    def test_a_load_takes_the_weights_once_beside_the_memory_of_the_device(self):
        self.assertLessEqual(self.peak_of("cpu"), 1.05 * self.weights + SLACK)
        self.assertLessEqual(self.peak_of("sim:5g"), 1.05 * self.weights + SLACK + (5 << 30))


if __name__ == "__main__":
    harness.main()
