"""Many edits one after the other: neither worker nor engine grows."""

import os
import sys
import time

import harness

SANITIZED = harness.BUILD.name in ("asan", "tsan")
PICTURE = harness.SOURCE / "tests/image/fixtures/rgb.png"


class Soak(harness.Case):
    def measure(self):
        """Of worker and engine: (descriptors, bytes in memory). Once the last client is gone from the worker."""
        harness.eventually(lambda: self.status()["worker"]["connections"] == 1, what="only the one that asks is connected")
        pids = self.worker_pids() + self.engine_pids()
        self.assertEqual(len(pids), 2)
        return [(min(self.count_fds(pid) for _ in range(50) if not time.sleep(0.01)), harness.rss(pid)) for pid in pids]

    def count_fds(self, pid):
        return len(os.listdir(f"/proc/{pid}/fd"))

    def edits(self, count):
        for number in range(count):
            # A result, now and then a refusal, a cancelled job and an engine that reports a fault.
            self.run_step1x(*self.edit_arguments(self.dir / "out.png", picture=PICTURE, seed=number, steps=2), check=0)
            if number % 10 == 3:
                self.run_step1x(*self.edit_arguments(self.dir / "out.png", picture=PICTURE, prompt="x" * 60_000), check=0)
            if number % 10 == 5:
                with self.connect() as connection:
                    connection.edit(fake="", steps=1000)
                    connection.send({"op": "nonsense"})
                    connection.until("error")
            if number % 10 == 7:
                self.run_step1x("gpu", "status", check=0)

    def test_descriptors_and_memory_stay_flat(self):
        total = harness.count(120, 1000)
        self.edits(total // 5)
        before = self.measure()
        start = time.monotonic()
        self.edits(total - total // 5)
        took = time.monotonic() - start
        after = self.measure()
        for who, (fds_before, rss_before), (fds, rss) in zip(("worker", "engine"), before, after):
            print(f"{who}: after {total // 5} edits {fds_before} descriptors, {rss_before / 2**20:.1f} MiB; after {total} {fds}, {rss / 2**20:.1f} MiB", file=sys.stderr)
            self.assertEqual(fds, fds_before, who)
            if not SANITIZED:
                self.assertLess(rss - rss_before, 2 << 20, who)
        print(f"{1000 * took / (total - total // 5):.0f} ms an edit", file=sys.stderr)


if __name__ == "__main__":
    harness.main()
