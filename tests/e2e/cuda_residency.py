"""The cases of residency_model.py, residency_devices.py and engine_death.py that a GPU takes part in, on the GPUs of the stand-in for CUDA."""

import contextlib

import engine_death
import harness
import residency_devices
import residency_model
import stand_in


class First(stand_in.OnStandIn):
    """The first of two GPUs of 1 GiB beside the context of an engine."""

    GPU = DEVICE = FIRST = "cuda:0"
    ROUNDS = (4, 50)

    def setUp(self):
        super().setUp()
        self.machine(devices=2, bytes=(1 << 30) + stand_in.CONTEXT)


class Second(First):
    GPU = DEVICE = FIRST = "cuda:1"


class Model(First, residency_model.Case):
    # The tiny model's weights are less than what libtorch gets at a time.
    WORKS = range(1, 15)
    RAN_OUT = r"out of memory.* \(plan (resident|staged|stream): "

    def needed(self):
        """With what a job takes beside the weights: libtorch gets it in pieces of its own size."""
        super().needed()
        return self.status()["devices"][0]["reserved_bytes"]

    def sized(self, size):
        [engine] = self.engine_pids()
        self.tell(engine, bytes=size + stand_in.CONTEXT)
        return self.GPU

    @contextlib.contextmanager
    def crowded(self, size):
        with self.other_process(int(self.GPU[-1]), (int(size[:-1]) << 20) - stand_in.CONTEXT):
            yield self.GPU


class Places(Model, residency_model.Places):
    test_a_file_that_is_replaced_is_read_anew = None
    test_weights_are_there_once_however_many_engines_come = None


class PlacesOnSecond(Second, Places):
    pass


class Plans(Model, residency_model.Plans):
    test_the_plan_follows_the_memory_that_may_be_used = None
    test_where_memory_runs_out_the_next_plan_is_tried_once = None
    test_what_is_no_plan_and_no_size_is_refused = None


class PlansOnSecond(Second, Plans):
    pass


class Waiting(Model, residency_model.Waiting):
    test_a_gpu_that_another_worker_of_this_user_has_is_waited_for = None


class OutOfMemory(Model, residency_model.OutOfMemory):
    test_a_device_that_is_none_is_refused = None


class TwoDevices(First, residency_devices.TwoDevices):
    DEVICES = ("cuda:0", "cuda:1")


class EngineKilled(First, engine_death.EngineKilled):
    test_twice_in_a_job_the_job_fails_and_the_worker_serves_the_next = None
    test_that_is_ended_for_a_job_of_another_kind_is_no_death_of_that_job = None


class EngineKilledOnSecond(Second, EngineKilled):
    pass


if __name__ == "__main__":
    harness.main()
