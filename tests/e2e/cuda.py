"""The model on a GPU, as far as that can be known without one: libtorch's own CUDA library on tests/support/cuda, by every plan and order of events."""

import json
import re

import harness
import residency_model
import stand_in

KEEP = {"STEP1X_OFFLOAD_DELAY": "1h"}
PLANS = ("resident", "staged", "stream")


class Case(stand_in.OnStandIn, residency_model.Case):
    pass


class Plans(Case):
    def test_every_plan_on_every_gpu_gives_the_same_picture(self):
        self.machine(devices=2)
        pictures = {(device, plan): self.edit(device, flags=("--plan", plan))[1] for device in ("cuda:0", "cuda:1") for plan in PLANS}
        self.assertEqual(len(set(pictures.values())), 1, {key: len(value) for key, value in pictures.items()})

    def test_a_gpu_that_does_nothing_before_it_is_waited_for_gives_the_same_picture(self):
        expected = self.edit("cuda:0")[1]
        self.end_engines()
        self.stand_in(lazy=1)
        for plan in PLANS:
            self.assertEqual(self.edit("cuda:0", flags=("--plan", plan))[1], expected, plan)

    def test_whatever_comes_late_the_picture_is_the_same(self):
        expected = self.edit("cuda:0")[1]
        for seed in range(harness.count(4, 20)):
            self.end_engines()
            self.stand_in(delay_us=300, seed=seed)
            plan = PLANS[seed % 3] if seed % 2 else "stream"
            self.assertEqual(self.edit("cuda:0", flags=("--plan", plan))[1], expected, f"{plan}, seed {seed}")

    def test_one_engine_computes_on_the_cpu_and_then_on_the_gpu(self):
        on_gpu = self.edit("cuda:0")[1]
        self.end_engines()
        on_cpu = self.edit("cpu")[1]
        [engine] = self.engine_pids()
        self.assertEqual(self.edit("cuda:0")[1], on_gpu)
        self.assertEqual(self.edit("cpu")[1], on_cpu)
        self.assertEqual(self.engine_pids(), [engine])


class Status(Case):
    def test_it_says_what_is_on_the_gpu(self):
        self.edit("cuda:0", env=self.env(**KEEP))
        status = self.status()
        [device] = status["devices"]
        self.assertEqual((status["model_location"], device["plan"]["kind"]), ("GPU", "resident"))
        self.assertGreaterEqual(device["reserved_bytes"], device["allocated_bytes"])
        self.assertGreaterEqual(device["allocated_bytes"], status["arena"]["bytes"] // 2)
        self.run_step1x("gpu", "offload", check=0)
        status = self.status()
        self.assertEqual((status["model_location"], status["devices"][0]["allocated_bytes"]), ("CPU", 0))

    def test_the_time_a_model_takes_to_come_is_not_the_denoising(self):
        self.stand_in(delay_us=5000)
        times = {plan: json.loads(self.edit("cuda:0", flags=("--plan", plan))[0].stdout)["timings"]["place"] for plan in ("resident", "staged")}
        # A resident transformer is there already; the other comes by copies that are late.
        self.assertGreater(times["staged"], 10 * times["resident"], times)


class Refusals(Case):
    """What the driver refuses is done in another way or said in a line; the next job works."""

    def refused(self, setting, at, on, allowed, survives=True):
        self.end_engines()
        self.stand_in(**{setting: at, "fail_on": on}, once=True)
        done, picture = self.edit("cuda:0", check=None)
        self.assertIn(done.returncode, allowed, f"{setting} at {at}: {done.stderr}")
        if done.returncode == 0:
            self.assertEqual(picture, self.expected, f"{setting} at {at}")
        else:
            self.assertIsNone(picture)
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        if survives:
            # Otherwise the worker's second try would hide it.
            self.assertEqual(self.deaths(), [], f"{setting} at {at}")
        self.end_engines()
        self.assertEqual(self.edit("cuda:0")[1], self.expected, f"after {setting} at {at}")

    def setUp(self):
        super().setUp()
        self.expected = self.edit("cuda:0")[1]

    def test_pinned_memory(self):
        for on in (0, 1):
            for at in range(1, 6):
                self.refused("fail_host_alloc", at, on, (0,))

    def test_registered_memory(self):
        for at in range(1, 3):
            self.refused("fail_register", at, 0, (0,))
        self.end_engines()
        self.stand_in(read_only_register=0)
        self.assertEqual(self.edit("cuda:0")[1], self.expected)

    def test_device_memory(self):
        for at in [*range(1, 6), *range(6, harness.count(10, 60), 2)]:
            self.refused("fail_malloc", at, 0, (0, 5))

    def test_too_little_device_memory_for_any_plan_is_said(self):
        self.end_engines()
        self.stand_in(fail_malloc=1, fail_on=1)
        done, _ = self.edit("cuda:0", check=5)
        self.assertIn("out of memory", done.stderr)

    def test_a_copy(self):
        for at in range(1, harness.count(4, 40)):
            self.refused("fail_copy", at, 0, (0, 1), survives=False)


class Faults(Case):
    def test_a_fault_of_the_gpu_ends_the_engine_and_the_job_is_done_by_the_next(self):
        expected = self.edit("cuda:0")[1]
        for plan in ("resident", "stream"):
            for at in [1, 40, *range(200, harness.count(800, 4000), 200)]:
                self.end_engines()
                self.stand_in(fault_at=at, once=True)
                self.assertEqual(self.edit("cuda:0", flags=("--plan", plan))[1], expected, f"{plan}, at {at}")
                # By itself, with its reason in the log: no destructor threw on the way.
                self.assertEqual(set(self.deaths()), {"exited with code 70"}, f"{plan}, at {at}")

    def test_one_that_comes_again_is_said(self):
        self.stand_in(fault_at=10)
        done, picture = self.edit("cuda:0", check=1)
        self.assertIsNone(picture)
        self.assertIn("the engine died 2 times", done.stderr)
        self.stand_in()
        self.edit("cuda:0")


class Unusable(Case):
    def refuses(self, pattern, **settings):
        self.stand_in(**settings)
        done, _ = self.edit("cuda:0", check=1)
        self.assertTrue(re.search(pattern, done.stderr), done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.edit("cpu")
        self.end_engines()

    def test_a_driver_that_is_too_old_is_named_with_what_is_needed(self):
        self.refuses(r"supports CUDA 12\.8, and libtorch needs 13\.0: install a newer driver, or say --device cpu", driver=12080)

    def test_a_card_that_is_too_old_is_named_with_what_is_needed(self):
        self.refuses(r"--device cuda:0: the card has compute capability 7\.0, and libtorch needs 7\.5", capability=70)

    def test_a_gpu_that_does_not_exist_is_refused(self):
        self.machine(devices=2)
        done, _ = self.edit("cuda:2", check=2)
        self.assertIn("cuda:2", done.stderr)


if __name__ == "__main__":
    harness.main()
