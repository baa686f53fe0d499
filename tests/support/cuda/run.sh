#!/bin/sh
# Usage: run.sh BUILD/cuda COMMAND...: runs a program on the stand-in for CUDA.
here=$1
shift
LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} LD_PRELOAD=$(cat "$here/preload")
export LD_LIBRARY_PATH LD_PRELOAD
exec "$@"
