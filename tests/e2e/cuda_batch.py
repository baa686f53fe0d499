"""`step1x batch` on the GPUs of the stand-in for CUDA, whose engines are killed and whose GPUs fail: in the end the same pictures."""

import batch_faults
import harness
import pictures
import stand_in

KEEP = {"STEP1X_OFFLOAD_DELAY": "1h"}


class Case(stand_in.OnStandIn, batch_faults.Case):
    def setUp(self):
        super().setUp()
        self.machine(devices=2)

    def fill(self, count):
        """Of a shape that the text encoder takes little time for."""
        self.photos.mkdir()
        for n in range(count):
            (self.photos / f"p{n:03}.png").write_bytes(pictures.png(256, 32, (20 * n, 100, 50)))

    def arguments(self, *more, **kwargs):
        return super().arguments(*more, **{**kwargs, "steps": 1})

    def env(self, **more):
        """`--devices all` asks NVML in the client."""
        return super().env(LD_LIBRARY_PATH=str(harness.BUILD / "nvml"), **self.environment(), **more)


class Faults(Case):
    def test_an_engine_that_is_killed_or_whose_gpu_fails_costs_no_picture(self):
        self.fill(7)
        expected = self.undisturbed(env=self.env(**KEEP))
        [engine] = self.engine_pids()
        work = self.count(engine, "pieces of work") // 7
        client = self.start_batch("--json", env=self.env(**KEEP))
        # Each in the middle of a picture of another engine.
        for kills in (False, True):
            enough = self.pictures() + 1
            harness.eventually(lambda: self.pictures() >= enough and self.engine_pids(), what="another picture")
            [engine] = self.engine_pids()
            if kills:
                harness.kill(engine)
            else:
                self.tell(engine, fault_at=work // 2)
            harness.eventually(lambda: not harness.alive(engine), what="the engine's end")
        _, error = client.communicate(timeout=harness.HANG)
        self.assertEqual((client.returncode, error), (0, ""))
        self.complete(expected)
        self.assertEqual(self.deaths(), ["exited with code 70"])
        # A kill between two pictures is no death of a job.
        self.assertIn(self.status()["queue"]["engine_deaths"], (1, 2))

    def test_a_gpu_that_fails_in_every_engine_is_said_and_the_same_command_does_the_rest(self):
        self.fill(3)
        expected = self.undisturbed()
        self.end_engines()
        self.stand_in(fault_at=100)
        done = self.batch("--max-failures", 2)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("the engine died 2 times", done.stderr)
        self.end_engines()
        self.stand_in()
        self.batch("--retry-failed", check=0)
        self.complete(expected)


class Devices(Case):
    def test_all_gpus_make_the_pictures_that_one_makes(self):
        self.fill(6)
        expected = self.undisturbed()
        client = self.start_batch("--devices", "all", "--json", env=self.env(**KEEP))
        harness.eventually(lambda: len(self.engine_pids()) == 2, what="an engine each")
        harness.eventually(lambda: all(self.nvml(device)[2] for device in (0, 1)), what="both are used")
        _, error = client.communicate(timeout=harness.HANG)
        self.assertEqual((client.returncode, error), (0, ""))
        self.complete(expected)


if __name__ == "__main__":
    harness.main()
