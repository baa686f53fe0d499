# The imported target step1x::torch: libtorch of the PyPI `torch` wheel, found by path. find_package(Torch) of that wheel
# demands a CUDA toolkit, which neither building nor running step1x needs. Only libtorch_cpu and libc10 are linked;
# libtorch_cuda is loaded by the engine when a CUDA device is used.
#
# Looked for in STEP1X_TORCH_DIR (a cache variable that starts as the environment's value), or else in build/libtorch/
# where scripts/libtorch puts it. That folder holds torch/ and nvidia/ side by side, because libtorch finds its NVIDIA
# libraries relative to itself.
#
# Sets step1x_torch_found, and step1x_torch_lib_dir for run paths, both as internal cache variables.

include_guard(GLOBAL)

set(STEP1X_TORCH AUTO CACHE STRING "Build what needs libtorch: AUTO (if it is found), ON or OFF")
set_property(CACHE STEP1X_TORCH PROPERTY STRINGS AUTO ON OFF)
set(STEP1X_TORCH_DIR "$ENV{STEP1X_TORCH_DIR}" CACHE PATH "Folder that holds torch/ and nvidia/; empty takes build/libtorch/*")

set(step1x_torch_series 2.11)
set(step1x_torch_found FALSE CACHE INTERNAL "Whether step1x::torch exists")

if(STEP1X_TORCH) # true for AUTO too
  if(STEP1X_TORCH_DIR)
    set(candidates ${STEP1X_TORCH_DIR})
  else()
    file(GLOB candidates LIST_DIRECTORIES TRUE ${PROJECT_SOURCE_DIR}/build/libtorch/${step1x_torch_series}.*)
    list(SORT candidates COMPARE NATURAL ORDER DESCENDING)
  endif()
  foreach(dir IN LISTS candidates)
    if(EXISTS ${dir}/torch/lib/libtorch_cpu.so AND EXISTS ${dir}/torch/include/ATen/ATen.h)
      file(STRINGS ${dir}/torch/version.py version REGEX "^__version__ = ")
      string(REGEX REPLACE ".*'([0-9.]+).*" "\\1" version "${version}")
      if(NOT version MATCHES "^${step1x_torch_series}\\.")
        message(FATAL_ERROR "${dir} holds torch ${version}, and step1x needs ${step1x_torch_series}: run scripts/libtorch, "
                            "or set STEP1X_TORCH_DIR to another folder")
      endif()
      set(step1x_torch_found TRUE CACHE INTERNAL "Whether step1x::torch exists")
      set(root ${dir}/torch)
      break()
    endif()
  endforeach()
  if(NOT step1x_torch_found AND STEP1X_TORCH STREQUAL "ON")
    message(FATAL_ERROR "libtorch was not found (looked in: ${candidates}): run scripts/libtorch, or set STEP1X_TORCH_DIR")
  endif()
endif()

if(step1x_torch_found)
  message(STATUS "libtorch ${version}: ${root}")
  set(step1x_torch_lib_dir ${root}/lib CACHE INTERNAL "Where libtorch_cpu.so lies")
  file(GLOB cuda_includes ${root}/../nvidia/cu*/include)
  add_library(step1x_c10 SHARED IMPORTED GLOBAL)
  set_target_properties(step1x_c10 PROPERTIES IMPORTED_LOCATION ${root}/lib/libc10.so)
  add_library(step1x::torch SHARED IMPORTED GLOBAL)
  # Imported include folders are system ones: the warnings of libtorch's headers are not errors of ours.
  set_target_properties(
    step1x::torch
    PROPERTIES IMPORTED_LOCATION ${root}/lib/libtorch_cpu.so
               INTERFACE_INCLUDE_DIRECTORIES "${root}/include;${root}/include/torch/csrc/api/include;${cuda_includes}"
               # libtorch's headers bring a fmt of their own, of which there is no library.
               INTERFACE_COMPILE_DEFINITIONS FMT_HEADER_ONLY=1
               INTERFACE_LINK_LIBRARIES step1x_c10)
elseif(STEP1X_TORCH)
  message(STATUS "libtorch was not found: what needs it is not built (scripts/libtorch fetches it)")
else()
  message(STATUS "libtorch is switched off: what needs it is not built")
endif()
