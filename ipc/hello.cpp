#include "ipc/hello.hpp"

#include <unistd.h>

#include "base/error.hpp"
#include "base/version.hpp"
#include "ipc/fields.hpp"

namespace step1x::ipc {

Json hello(const char* role) {
  return {{role, "hello"},       {"magic", "step1x"}, {"protocol", kProtocol},
          {"version", kVersion}, {"build", kBuildId}, {"pid", ::getpid()}};
}

Peer read_hello(const Json& body, const char* role) {
  Fields fields(body);
  if (fields.text(role, "") != "hello" || fields.text("magic", "") != "step1x") {
    throw Error(ErrorCode::protocol, "the other side is not step1x: it did not say hello");
  }
  Peer peer;
  peer.protocol = static_cast<int>(fields.integer("protocol", 0, 1 << 30));
  peer.pid = static_cast<int>(fields.integer("pid", 0, 1 << 30));
  peer.version = fields.text("version", "unknown");
  peer.build = fields.text("build", "unknown");
  peer.leaving = fields.boolean("leaving", false);
  peer.jobs = static_cast<int>(fields.integer_or("jobs", 0, 1 << 30, 0));
  return peer;
}

}  // namespace step1x::ipc
