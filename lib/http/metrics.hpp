// The worker's status for Prometheus. Pure; any thread.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace step1x::http {

// In the text format, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
// `status`: what client::read_status() gives.
std::string metrics_of(const nlohmann::ordered_json& status);

}  // namespace step1x::http
