#include "http/metrics.hpp"

#include <fmt/format.h>

#include <array>

namespace step1x::http {
namespace {

using Json = nlohmann::ordered_json;

class Text {
 public:
  void head(std::string_view name, std::string_view type, std::string_view help) {
    text_ += fmt::format("# HELP step1x_{} {}\n# TYPE step1x_{} {}\n", name, help, name, type);
  }
  void value(std::string_view name, double value, std::string_view labels = "") {
    text_ += fmt::format("step1x_{}{} {}\n", name, labels, value);
  }
  void single(std::string_view name, std::string_view type, std::string_view help, double number) {
    head(name, type, help);
    value(name, number);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

// A device is "cuda:0" or what a user has called one.
std::string label(std::string_view name, std::string_view value) {
  std::string escaped;
  for (const char c : value) {
    if (c == '\\' || c == '"') escaped += '\\';
    escaped += c == '\n' ? ' ' : c;
  }
  return fmt::format("{{{}=\"{}\"}}", name, escaped);
}

void devices(Text& text, const Json& devices) {
  struct Gauge {
    const char* name;
    const char* key;
    const char* help;
  };
  constexpr std::array kGauges{
      Gauge{"gpu_memory_allocated_bytes", "allocated_bytes", "Memory of the device that tensors take"},
      Gauge{"gpu_memory_reserved_bytes", "reserved_bytes", "Memory of the device that the engine holds"},
  };
  for (const Gauge& gauge : kGauges) {
    text.head(gauge.name, "gauge", gauge.help);
    for (const Json& device : devices)
      text.value(gauge.name, device.value(gauge.key, 0.0), label("device", device.value("device", "")));
  }
}

}  // namespace

std::string metrics_of(const Json& status) {
  Text text;
  text.single("worker_up", "gauge", "1 while a worker runs", status.at("worker").is_null() ? 0 : 1);
  text.head("model_location", "gauge", "1 for where the model is");
  const std::string location = status.value("model_location", "");
  for (const char* place : {"GPU", "CPU", "Unloaded"})
    text.value("model_location", location == place ? 1 : 0, label("location", place));
  text.single("idle_seconds", "gauge", "Since the last job", status.value("idle_time", 0.0));
  devices(text, status.at("devices"));
  const Json& arena = status.at("arena");
  text.single("host_memory_bytes", "gauge", "Weights in the memory of the host",
              arena.is_object() ? arena.value("resident_bytes", 0.0) : 0);
  text.head("jobs", "gauge", "Jobs by their state");
  for (const char* state : {"running", "waiting"})
    text.value("jobs", status.at("queue").value(state, 0.0), label("state", state));
  text.single("leases", "gauge", "Leases that keep the model where it is", status.at("queue").value("leases", 0.0));
  text.head("transitions_total", "counter", "Moves of the model since the worker started");
  for (const auto& [name, count] : status.at("statistics").items()) {
    if (count.is_number()) text.value("transitions_total", count.get<double>(), label("transition", name));
  }
  return text.take();
}

}  // namespace step1x::http
