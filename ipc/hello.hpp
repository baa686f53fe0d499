// The two hellos (ipc/protocol.md, section 3) and the protocol's number that is in them.
#pragma once

#include "ipc/frame.hpp"

namespace step1x::ipc {

// In an object file of its own, so that the tests can link a client and a worker of another protocol.
extern const int kProtocol;

// {"<role>": "hello", magic, protocol, version, build, pid}; role is "op" for a client, "event" for worker and engine.
Json hello(const char* role);

struct Peer {
  int protocol = 0;
  int pid = 0;
  std::string version;
  std::string build;
  bool leaving = false;
  int jobs = 0;
};
// Reads the members that never change. Throws Error(protocol) when it is no hello of ours.
Peer read_hello(const Json& body, const char* role);

}  // namespace step1x::ipc
