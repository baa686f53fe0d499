#include <cmath>

#include "checks.hpp"
#include "image/resize.hpp"
#include "model/guidance.hpp"
#include "model/scheduler.hpp"
#include "nn/embeddings.hpp"
#include "nn/rope.hpp"
#include "support/tensors.hpp"

namespace step1x::test {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

at::Tensor doubles(const std::vector<double>& values) {
  return at::tensor(values, at::kDouble);
}

// The part of `name` after the dot number `index`, to its end.
std::string after_dot(const std::string& name, int index) {
  std::size_t place = 0;
  for (int i = 0; i < index; ++i) place = name.find('.', place) + 1;
  return name.substr(place);
}

}  // namespace

Comparisons check_schedule(const fs::path& path, const json& about) {
  const SafetensorsFile file(path);
  const double schedule_tolerance = about.at("tolerance").at("schedule_abs").get<double>();
  const double embedding_tolerance = about.at("tolerance").at("temb_abs").get<double>();
  const SchedulerConfig config;
  Comparisons result;
  for (const TensorInfo& tensor : file.tensors()) {
    const std::string& name = tensor.name;
    const at::Tensor expected = golden_tensor(file, name);
    const auto number = [&](int part) { return std::stoll(after_dot(name, part)); };
    if (name.starts_with("schedule.")) {
      const auto times = schedule(config, static_cast<int>(number(1)), number(2));
      result.push_back(compare(name, doubles(times), expected, schedule_tolerance));
    } else if (name.starts_with("schedule_noshift.")) {
      result.push_back(
          compare(name, doubles(plain_schedule(static_cast<int>(number(1)))), expected, schedule_tolerance));
    } else if (name.starts_with("mu.")) {
      result.push_back(compare(name, doubles({schedule_mu(config, number(1))}), expected, schedule_tolerance));
    } else if (name.starts_with("time_shift.") && name != "time_shift.t") {
      std::vector<double> shifted;
      for (const float t : values<float>(file, "time_shift.t")) {
        shifted.push_back(shift_time(std::stod(after_dot(name, 1)), t));
      }
      result.push_back(compare(name, doubles(shifted), expected, schedule_tolerance));
    } else if (name.starts_with("temb.") && name != "temb.t") {
      const at::Tensor found = timestep_embedding(golden_tensor(file, "temb.t") * 1000, number(2));
      result.push_back(compare(name, found, expected, embedding_tolerance));
    } else if (name != "time_shift.t" && name != "temb.t") {
      throw std::runtime_error("unknown tensor " + name);
    }
  }
  return result;
}

Comparisons check_rope(const fs::path& path, const json& about) {
  const SafetensorsFile file(path);
  const json& config = about.at("config");
  const double table_tolerance = about.at("tolerance").at("pe_abs").get<double>();
  const double out_tolerance = about.at("tolerance").at("out_abs").get<double>();
  Comparisons result;
  for (const auto& [key, axes] : config.items()) {
    if (!key.starts_with("axes_")) continue;
    const std::string name = key.substr(5);
    const at::Tensor ids = golden_tensor(file, name + ".ids");
    const auto dims = axes.get<std::vector<std::int64_t>>();
    const double theta = config.at("theta").get<double>();
    const RopeTable table = rope_table(ids, dims, theta);
    const auto matrix = [](const RopeTable& t) {
      return at::stack({t.cos, -t.sin, t.sin, t.cos}, -1).unflatten(-1, {2, 2});
    };
    result.push_back(
        compare(name + ".pe", matrix(table), golden_tensor(file, name + ".pe").squeeze(1), table_tolerance));
    result.push_back(compare(name + ".rope_axis1", matrix(rope_table(ids.narrow(-1, 1, 1), {dims.at(1)}, theta)),
                             golden_tensor(file, name + ".rope_axis1"), table_tolerance));
    for (const std::string which : {".q", ".k"}) {
      const at::Tensor x = golden_tensor(file, name + which).transpose(1, 2);  // (batch, heads, n, head_dim)
      result.push_back(compare(name + which, apply_rope(x, table).transpose(1, 2),
                               golden_tensor(file, name + which + "_out"), out_tolerance));
    }
  }
  return result;
}

Comparisons check_guidance(const fs::path& path, const json& about) {
  const SafetensorsFile file(path);
  const double absolute = about.at("tolerance").at("abs").get<double>();
  const double relative = about.at("tolerance").at("rel").get<double>();
  const at::Tensor cond = golden_tensor(file, "cond");
  const at::Tensor uncond = golden_tensor(file, "uncond");
  const at::Tensor latent = golden_tensor(file, "latent");
  const at::Tensor norm = golden_tensor(file, "diff_norm");
  Comparisons result;
  result.push_back(compare_relative("process_diff_norm", damping_divisor(norm),
                                    golden_tensor(file, "process_diff_norm"), absolute, relative));
  for (const json& each : about.at("cases")) {
    const std::string index = std::to_string(each.at("index").get<int>());
    const double t = each.at("t_curr").get<double>();
    const bool damped = is_damped(GuidanceDamping::early, t);
    const at::Tensor guided = guide(cond, uncond, each.at("cfg").get<double>(), damped);
    const at::Tensor next = euler_step(latent, guided, t, each.at("t_prev").get<double>());
    result.push_back(compare("truncated." + index, std::vector<std::int64_t>{damped},
                             std::vector<std::int64_t>{each.at("truncated").get<bool>()}));
    for (const auto& [name, found] :
         {std::pair("guided.", guided), std::pair("edit.", next), std::pair("t2i.", next)}) {
      result.push_back(compare_relative(name + index, found, golden_tensor(file, name + index), absolute, relative));
    }
  }
  // Row 0: without guidance.
  const at::Tensor alone = golden_tensor(file, "t2i.cfg_minus1").narrow(0, 0, 1);
  result.push_back(compare_relative("t2i.cfg_minus1", euler_step(latent, cond, 0.5, 0.4), alone, absolute, relative));
  return result;
}

Comparisons check_resize(const fs::path& path, const json& about) {
  const SafetensorsFile file(path);
  const double tolerance = about.at("tolerance").at("uint8_max_abs").get<double>();
  const auto size_of = [&](const std::string& name) {
    const TensorInfo& tensor = file.at(name);
    return PictureSize{static_cast<int>(tensor.shape.at(1)), static_cast<int>(tensor.shape.at(0))};
  };
  const auto resized = [&](const std::string& source, const std::string& name, ResizeFilter filter) {
    const auto bytes = values<std::uint8_t>(file, source);
    const PictureSize from = size_of(source);
    const PictureSize to = size_of(name);
    const auto found = resize({from.width, from.height, bytes}, to, filter);
    return compare(name, at::tensor(found, at::kByte).reshape({to.height, to.width, 3}), golden_tensor(file, name),
                   tolerance);
  };
  Comparisons result;
  for (const TensorInfo& tensor : file.tensors()) {
    const std::string& name = tensor.name;
    const std::string base = name.substr(0, name.find('.'));
    if (name.ends_with(".bicubic_back")) {
      result.push_back(resized(name.substr(0, name.rfind('.')), name, ResizeFilter::bicubic));
    } else if (name.find(".lanczos.") != std::string::npos) {
      result.push_back(resized(base, name, ResizeFilter::lanczos));
    } else if (name.find(".bicubic.") != std::string::npos) {
      result.push_back(resized(base, name, ResizeFilter::bicubic));
    } else if (name == "geometry") {
      std::vector<std::int64_t> found;
      const auto rows = integers(file, name);
      for (std::size_t i = 0; i + 4 < rows.size(); i += 5) {
        PictureSize size;
        try {
          size =
              edit_size({static_cast<int>(rows[i]), static_cast<int>(rows[i + 1])}, static_cast<int>(rows[i + 2]), 16);
        } catch (const std::exception&) {
          // Refused: one of the sides must be 0 in the reference.
          size = rows[i + 3] == 0 || rows[i + 4] == 0
                     ? PictureSize{static_cast<int>(rows[i + 3]), static_cast<int>(rows[i + 4])}
                     : PictureSize{};
        }
        found.insert(found.end(), {rows[i], rows[i + 1], rows[i + 2], size.width, size.height});
      }
      result.push_back(compare(name, found, rows));
    }
  }
  return result;
}

}  // namespace step1x::test
