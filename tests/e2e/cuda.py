"""The model on a GPU, as far as that can be known without one: libtorch's own CUDA library on tests/support/cuda, by every plan and order of events."""

import itertools
import json
import os
import random
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
        [engine] = self.engine_pids()
        for seed in range(harness.count(20, 100)):
            self.tell(engine, delay_us=(100, 300)[seed % 2], seed=seed)
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


class Broken(Case):
    def setUp(self):
        super().setUp()
        self.expected = self.edit("cuda:0")[1]

    def engine(self):
        [pid] = self.engine_pids()
        return pid

    def undisturbed(self, engine, call, flags):
        """How often a job of an engine that is there makes a call; the model comes to the GPU in it."""
        self.run_step1x("gpu", "offload", check=0)
        before = self.count(engine, call)
        self.assertEqual(self.edit("cuda:0", flags=flags)[1], self.expected)
        return self.count(engine, call) - before


class Refusals(Broken):
    """What the driver refuses is done in another way or said in a line, by the same engine; the next job works."""

    def check(self, what, allowed, flags=()):
        done, picture = self.edit("cuda:0", check=None, flags=flags)
        self.assertIn(done.returncode, allowed, f"{what}: {done.stderr}")
        if done.returncode == 0:
            self.assertEqual(picture, self.expected, what)
        else:
            self.assertIsNone(picture)
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        # Otherwise the worker's second try would hide it.
        self.assertEqual(self.deaths(), [], what)
        return done.returncode

    def first_calls(self, setting, call, on):
        """At every N of the first job of an engine, and then its second one."""
        for at in itertools.count(1):
            self.end_engines()
            self.stand_in(**{setting: at, "fail_on": on}, once=True)
            self.check(f"{setting} at {at}", (0,))
            engine = self.engine()
            calls = self.count(engine, call)
            self.tell(engine, **{setting: 0, "fail_on": 0})
            self.assertEqual(self.edit("cuda:0")[1], self.expected, f"after {setting} at {at}")
            if calls < at or (on and not harness.LONG):
                break
        self.assertGreater(at, 0 if on else 1, "nothing was refused")

    def later_calls(self, setting, call, on, allowed):
        """At every N of a job for which the model comes from the arena; the last round refuses nothing."""
        engine = self.engine()
        for plan in PLANS:
            flags = ("--plan", plan)
            refused = 0
            for at in range(1, self.undisturbed(engine, call, flags) + 1):
                self.run_step1x("gpu", "offload", check=0)
                self.tell(engine, **{setting: at, "fail_on": on})
                refused += self.check(f"{plan}, {setting} at {at}", allowed, flags) != 0
                self.tell(engine, **{setting: 0, "fail_on": 0})
                if harness.LONG:
                    self.assertEqual(self.edit("cuda:0", flags=flags)[1], self.expected, f"after {plan}, {setting} at {at}")
            self.undisturbed(engine, call, flags)
            print(f"{plan}: {setting} at 1 to {at}, of which {refused} were said", flush=True)
        self.assertEqual(self.engine(), engine)

    def test_pinned_memory(self):
        for on in (0, 1):
            self.first_calls("fail_host_alloc", "cudaHostAlloc", on)

    def test_registered_memory(self):
        self.first_calls("fail_register", "cudaHostRegister", 0)
        self.end_engines()
        self.stand_in(read_only_register=0)
        self.assertEqual(self.edit("cuda:0")[1], self.expected)

    def test_device_memory(self):
        # libtorch asks once more after it has given back what it keeps.
        self.later_calls("fail_malloc", "cudaMalloc", 0, (0,))
        self.later_calls("fail_malloc", "cudaMalloc", 1, (5,))

    def test_too_little_device_memory_for_any_plan_is_said(self):
        self.end_engines()
        self.stand_in(fail_malloc=1, fail_on=1)
        done, _ = self.edit("cuda:0", check=5)
        self.assertIn("out of memory", done.stderr)
        # libtorch's advice is for who starts it; a variable of the client's does not reach an engine.
        self.assertNotIn("CONF", done.stderr)


class Faults(Broken):
    """After an error that is not of memory the engine ends, the job is done once more, by the next one, and that does the next job too."""

    def faults(self, setting, call, plan, rounds):
        flags = ("--plan", plan)
        calls = self.undisturbed(self.engine(), call, flags)
        chance = random.Random(int(os.environ.get("STEP1X_SEED", "1")))
        parts = min(calls, rounds)
        unnoticed = 0
        for part in range(parts):
            # One of each part, so that other seeds see others, and as many rounds as there are calls see all.
            at = 1 + chance.randrange(calls * part // parts, calls * (part + 1) // parts)
            self.run_step1x("gpu", "offload", check=0)
            engine = self.engine()
            self.tell(engine, **{setting: at})
            what = f"{plan}, {setting} at {at}"
            self.assertEqual(self.edit("cuda:0", flags=flags)[1], self.expected, what)
            if self.engine() == engine:
                # A copy that was made ahead, for a step that does not come, is nobody's.
                self.assertEqual((setting, plan), ("fail_copy", "stream"), what)
                unnoticed += 1
            else:
                # By itself, with its reason in the log: no destructor threw on the way.
                self.deaths_so_far.append("exited with code 70")
            self.assertEqual(self.deaths(), self.deaths_so_far, what)
        self.assertEqual(self.edit("cuda:0", flags=flags)[1], self.expected)
        self.assertLess(unnoticed, max(2, parts // 10), "copies that are made and not needed")
        print(f"{plan}: {setting} at {parts} of {calls}, {unnoticed} of them not needed", flush=True)

    def setUp(self):
        super().setUp()
        self.deaths_so_far = []

    def test_in_a_computation(self):
        # All of the one, which takes an hour; of the other its own are the copies, of which all are tried.
        for plan, most in (("resident", 10_000), ("stream", 150)):
            self.faults("fault_at", "pieces of work", plan, harness.count(4, most))

    def test_in_a_copy(self):
        for plan in ("resident", "stream"):
            self.faults("fail_copy", "cudaMemcpyAsync", plan, harness.count(4, 1000))

    def test_one_that_comes_again_is_said(self):
        self.end_engines()
        self.stand_in(fault_at=10)
        done, picture = self.edit("cuda:0", check=1)
        self.assertIsNone(picture)
        self.assertIn("the engine died 2 times", done.stderr)
        self.stand_in()
        self.assertEqual(self.edit("cuda:0")[1], self.expected)


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
