"""What NVIDIA's management library says of a GPU's memory, asked apart from step1x's own code."""

import ctypes


class Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class Gpu:
    """By its UUID. OSError: there is no driver."""

    def __init__(self, uuid):
        self.library = ctypes.CDLL("libnvidia-ml.so.1")
        self.device = ctypes.c_void_p()
        for done, what in ((self.library.nvmlInit_v2(), "nvmlInit"),
                           (self.library.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(self.device)), uuid)):
            if done != 0:
                raise OSError(f"{what}: NVML's error {done}")

    def used(self):
        memory = Memory()
        self.library.nvmlDeviceGetMemoryInfo(self.device, ctypes.byref(memory))
        return memory.used
