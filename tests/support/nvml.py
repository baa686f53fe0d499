"""What NVIDIA's management library says of a GPU's memory, asked apart from step1x's own code."""

import ctypes
import json
import sys


class Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class Process(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong), ("gpu_instance", ctypes.c_uint), ("compute_instance", ctypes.c_uint)]


class Gpu:
    """By its UUID. OSError: there is no driver."""

    def __init__(self, uuid, library="libnvidia-ml.so.1"):
        self.library = ctypes.CDLL(library)
        self.device = ctypes.c_void_p()
        for done, what in ((self.library.nvmlInit_v2(), "nvmlInit"),
                           (self.library.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(self.device)), uuid)):
            if done != 0:
                raise OSError(f"{what}: NVML's error {done}")

    def memory(self):
        memory = Memory()
        self.library.nvmlDeviceGetMemoryInfo(self.device, ctypes.byref(memory))
        return memory

    def used(self):
        return self.memory().used

    def processes(self):
        """Bytes by process number."""
        count = ctypes.c_uint(64)
        processes = (Process * count.value)()
        self.library.nvmlDeviceGetComputeRunningProcesses_v3(self.device, ctypes.byref(count), processes)
        return {process.pid: process.used for process in processes[: count.value]}


if __name__ == "__main__":
    gpu = Gpu(*sys.argv[1:])
    memory = gpu.memory()
    print(json.dumps({"total": memory.total, "free": memory.free, "processes": gpu.processes()}))
