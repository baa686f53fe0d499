# Writes build_id.cpp: the commit, and a digest of what differs from it, so that two different builds have two ids.
if(NOT ID)
  execute_process(COMMAND git -C ${SOURCE} describe --always --abbrev=10 --exclude=*
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  execute_process(COMMAND git -C ${SOURCE} diff HEAD -- cmd lib ipc CMakeLists.txt OUTPUT_VARIABLE diff ERROR_QUIET)
  if(NOT commit)
    set(commit unknown)
  endif()
  set(ID ${commit})
  if(diff)
    string(SHA256 digest "${diff}")
    string(SUBSTRING ${digest} 0 8 digest)
    set(ID ${commit}+${digest})
  endif()
endif()
file(CONFIGURE OUTPUT ${OUT} @ONLY CONTENT [[
#include "base/version.hpp"

namespace step1x {
const char* const kVersion = "@VERSION@";
const char* const kBuildId = "@ID@";
}  // namespace step1x
]])
