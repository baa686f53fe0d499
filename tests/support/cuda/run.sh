#!/bin/sh
# Usage: run.sh BUILD/cuda COMMAND...: runs a program on the stand-in for CUDA. NVML is there where it knows the machine.
here=$1
shift
LD_LIBRARY_PATH=$here/lib${STAND_IN_MACHINE:+:$here/nvml}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
LD_PRELOAD=$(cat "$here/preload")
export LD_LIBRARY_PATH LD_PRELOAD
exec "$@"
