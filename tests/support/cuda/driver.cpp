// Of the driver's library, libcuda.so.1, what libcaffe2_nvrtc.so hands on to libtorch; and the driver's device file,
// for those who look whether there is a driver.
#include <dlfcn.h>

#include <cstring>

extern "C" {

int access(const char* path, int mode) {
  if (std::strcmp(path, "/dev/nvidiactl") == 0) return 0;
  static const auto real = reinterpret_cast<int (*)(const char*, int)>(::dlsym(RTLD_NEXT, "access"));
  return real(path, mode);
}

int stand_in_has_context(int device);

int cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) {
  *flags = 0;
  *active = stand_in_has_context(device);
  return 0;
}

int cuGetErrorString(int, const char** text) {
  *text = "an error of the stand-in for CUDA";
  return 0;
}

// CUDA_ERROR_NOT_SUPPORTED: nothing here loads a module or launches a kernel.
#define STAND_IN_LACKS(name) \
  int name() {               \
    return 801;              \
  }
STAND_IN_LACKS(cuCtxGetCurrent)
STAND_IN_LACKS(cuCtxSetCurrent)
STAND_IN_LACKS(cuDeviceGet)
STAND_IN_LACKS(cuDeviceGetAttribute)
STAND_IN_LACKS(cuDevicePrimaryCtxRetain)
STAND_IN_LACKS(cuFuncGetAttribute)
STAND_IN_LACKS(cuFuncSetAttribute)
STAND_IN_LACKS(cuFuncSetCacheConfig)
STAND_IN_LACKS(cuLaunchCooperativeKernel)
STAND_IN_LACKS(cuLaunchKernel)
STAND_IN_LACKS(cuLinkAddData_v2)
STAND_IN_LACKS(cuLinkComplete)
STAND_IN_LACKS(cuLinkCreate_v2)
STAND_IN_LACKS(cuMemAddressFree)
STAND_IN_LACKS(cuMemAddressReserve)
STAND_IN_LACKS(cuMemCreate)
STAND_IN_LACKS(cuMemExportToShareableHandle)
STAND_IN_LACKS(cuMemGetAllocationGranularity)
STAND_IN_LACKS(cuMemGetAllocationPropertiesFromHandle)
STAND_IN_LACKS(cuMemImportFromShareableHandle)
STAND_IN_LACKS(cuMemMap)
STAND_IN_LACKS(cuMemRelease)
STAND_IN_LACKS(cuMemRetainAllocationHandle)
STAND_IN_LACKS(cuMemSetAccess)
STAND_IN_LACKS(cuMemUnmap)
STAND_IN_LACKS(cuMemsetD32Async)
STAND_IN_LACKS(cuModuleGetFunction)
STAND_IN_LACKS(cuModuleLoad)
STAND_IN_LACKS(cuModuleLoadData)
STAND_IN_LACKS(cuModuleLoadDataEx)
STAND_IN_LACKS(cuModuleUnload)
STAND_IN_LACKS(cuOccupancyMaxActiveBlocksPerMultiprocessor)
STAND_IN_LACKS(cuPointerGetAttribute)
STAND_IN_LACKS(cuStreamWriteValue32)
STAND_IN_LACKS(cuTensorMapEncodeTiled)

}  // extern "C"
