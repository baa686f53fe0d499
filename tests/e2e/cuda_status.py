"""What `step1x gpu status` says of a GPU's memory, against the driver's word and the runtime's own account (tests/support/cuda)."""

import harness
import residency_model
import stand_in

KEEP = {"STEP1X_OFFLOAD_DELAY": "1h", "STEP1X_IDLE_TIMEOUT": "1h"}
GIB = 1 << 30
SOON = 30  # seconds; the driver is asked every second


class Case(stand_in.OnStandIn, residency_model.Case):
    def setUp(self):
        super().setUp()
        self.machine(devices=2)

    def agree(self, device=0, others=0):
        """Waits until status, driver and runtime say the same of the only engine. Returns its device as status has it."""
        def same():
            status = self.status()
            [said] = status["devices"]
            total, free, processes = self.nvml(device)
            of_engine = processes.get(said["pid"], 0)
            claims = {"uuid": said["uuid"] == f"{self.uuid}-{device}",
                      "others": sum(processes.values()) == of_engine + others,
                      "free": free == total - of_engine - others,
                      "driver": said["driver"] and [said["driver"][key] for key in ("total_bytes", "free_bytes", "process_bytes")] == [total, free, of_engine],
                      "reserved": said["reserved_bytes"] + stand_in.CONTEXT == of_engine,
                      "used": self.count(said["pid"], "used bytes of all") == said["reserved_bytes"],
                      "sums": [round(status[f"gpu_memory_{key}_gb"] * GIB) for key in ("allocated", "reserved")]
                      == [said[f"{key}_bytes"] for key in ("allocated", "reserved")]}
            self.last = (claims, said, (total, free, processes))
            return said if all(claims.values()) else None
        try:
            return harness.eventually(same, SOON)
        except AssertionError:
            raise AssertionError(f"status, driver and runtime do not agree: {self.last}") from None


class Truth(Case):
    def test_in_a_job_after_it_and_after_each_step_back(self):
        # Slow enough for the driver to be asked in the middle of it.
        self.stand_in(delay_us=500)
        client = self.start_step1x(*self.edit_arguments(self.dir / "out.png", steps=100), env=self.env(**KEEP))
        harness.eventually(lambda: self.status()["state"] == "Working", what="it works")
        working = self.agree()
        self.assertEqual((self.status()["state"], client.poll()), ("Working", None), "the job ended too soon")
        self.assertGreater(working["allocated_bytes"], 0)
        # Not cancelled: what is queued already has to be done before it ends, and this machine may take longer for that
        # than an engine is waited for.
        self.tell(working["pid"], delay_us=0)
        client.communicate(timeout=harness.HANG)
        harness.eventually(lambda: self.status()["state"] == "Idle", what="it has ended")
        self.assertGreater(self.agree()["allocated_bytes"], 0)
        # The context is the engine's as long as it lives.
        self.run_step1x("gpu", "offload", check=0)
        left = self.agree()
        self.assertEqual((left["location"], left["allocated_bytes"], left["gpu_context"]), ("CPU", 0, True))
        self.assertEqual(left["driver"]["process_bytes"], stand_in.CONTEXT)
        self.run_step1x("gpu", "release", check=0)
        total, free, processes = self.nvml()
        self.assertEqual((free, processes), (total, {}))
        status = self.status()
        self.assertEqual((status["gpu_memory_allocated_gb"], status["gpu_memory_reserved_gb"], status["devices"][0]["driver"]), (0, 0, None))

    def test_by_each_plan(self):
        for plan in ("resident", "staged", "stream"):
            self.edit("cuda:0", env=self.env(**KEEP), flags=("--plan", plan))
            self.agree()

    def test_another_programs_memory_is_not_the_engines(self):
        self.edit("cuda:0", env=self.env(**KEEP))
        alone = self.agree()
        with self.other_process(0, GIB) as other:
            shared = self.agree(others=GIB + stand_in.CONTEXT)
            self.assertEqual(self.nvml()[2][other.pid], GIB + stand_in.CONTEXT)
            self.assertEqual(shared["driver"]["process_bytes"], alone["driver"]["process_bytes"])
        self.agree()

    def test_a_killed_engine_holds_nothing(self):
        self.edit("cuda:0", env=self.env(**KEEP))
        harness.kill(*self.engine_pids())
        harness.eventually(lambda: self.nvml()[2] == {}, what="the driver has its memory back")
        harness.eventually(lambda: self.status()["devices"][0]["pid"] is None, what="the worker has noticed")
        [device] = self.status()["devices"]
        self.assertEqual((device["driver"], device["reserved_bytes"]), (None, 0))


class Choice(Case):
    def test_an_engine_has_nothing_on_the_gpus_that_it_does_not_use(self):
        # Streamed too: copies and pinning have threads of their own.
        for plan in ("resident", "staged", "stream"):
            self.edit("cuda:1", env=self.env(**KEEP), flags=("--plan", plan))
            self.agree(1)
            self.assertEqual(self.nvml(0)[2], {}, plan)

    def test_auto_is_the_one_that_others_have_left_most_of(self):
        with self.other_process(0, GIB):
            self.edit("auto", env=self.env(**KEEP))
            self.agree(1)
        self.run_step1x("gpu", "release", check=0)
        with self.other_process(1, GIB):
            self.edit("auto", env=self.env(**KEEP))
            self.agree(0)

    def test_a_gpu_is_the_one_that_cuda_visible_devices_and_its_uuid_mean(self):
        for device, visible in (("cuda:0", "1"), ("cuda:0", f"{self.uuid}-1"), (f"{self.uuid}-1", None)):
            self.edit(device, env=self.env(**KEEP, CUDA_VISIBLE_DEVICES=visible))
            self.agree(1)
            self.assertEqual(self.nvml(0)[2], {})

    def test_the_plan_is_for_what_others_leave(self):
        self.edit("cuda:0", env=self.env(**KEEP))
        alone = self.agree()["plan"]
        self.run_step1x("gpu", "release", check=0)
        with self.other_process(0, GIB):
            self.edit("cuda:0", env=self.env(**KEEP))
            shared = self.status()["devices"][0]["plan"]
        self.assertEqual(alone["limit_bytes"] - shared["limit_bytes"], GIB + stand_in.CONTEXT, (alone, shared))

    def test_without_the_management_library_the_gpus_are_those_that_cuda_counts(self):
        self.machine(nvml=False, devices=2)
        self.edit("cuda:1", env=self.env(**KEEP))
        [device] = self.status()["devices"]
        self.assertEqual((device["device"], device["uuid"], device["driver"]), ("cuda:1", None, None))
        self.assertGreater(device["reserved_bytes"], 0)


if __name__ == "__main__":
    harness.main()
