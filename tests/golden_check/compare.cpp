#include <fmt/format.h>

#include <limits>
#include <stdexcept>

#include "checks.hpp"

namespace step1x::test {

Comparison compare_relative(std::string what, const at::Tensor& found, const at::Tensor& expected, double absolute,
                            double relative) {
  Comparison result{std::move(what), std::numeric_limits<double>::infinity(), absolute};
  if (found.sizes() != expected.sizes()) return result;
  const at::Tensor wide = expected.cpu().to(at::kDouble).flatten();
  const at::Tensor difference = (found.cpu().to(at::kDouble).flatten() - wide).abs();
  const at::Tensor excess = difference - wide.abs() * relative;
  const auto worst = excess.argmax().item<std::int64_t>();
  const double error = difference[worst].item<double>();
  if (!(difference.sum().item<double>() < result.error)) return result;
  result.error = error;
  result.tolerance = absolute + relative * wide[worst].abs().item<double>();
  return result;
}

double tolerance_of(const nlohmann::json& manifest, const std::string& key) {
  return std::stod(manifest.at("recommended_tolerance").at(key).get<std::string>());
}

ModelLayout flat_layout_of(const std::filesystem::path& transformer, const nlohmann::json& about) {
  ModelLayout layout;
  layout.kind = LayoutKind::flat;
  const auto version = about.at("config").at("version").get<std::string>();
  if (!model_version(version)) throw std::runtime_error("unknown version " + version);
  layout.version = *model_version(version);
  layout.folder = transformer.parent_path();
  layout.transformer = transformer;
  layout.config = layout.folder / "config.json";
  return layout;
}

}  // namespace step1x::test
