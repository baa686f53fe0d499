#include "runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "checks.hpp"
#include "support/temp_dir.hpp"
#include "text_encoder_case.hpp"
#include "weights/safetensors.hpp"

namespace step1x::test {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Cases of the native manifests that need no more than their file and their entry.
using Check = Comparisons (*)(const fs::path&, const json&);
struct KnownCase {
  std::string_view name;
  Check check;
};
constexpr KnownCase kCases[] = {
    {"schedule", check_schedule},
    {"rope", check_rope},
    {"dit-v1.0", check_dit},
    {"dit-v1.1", check_dit},
    {"autoencoder", check_autoencoder},
    {"cfg", check_guidance},
    {"resize", check_resize},
    {"single-block-full", check_single_block},
    {"double-block-full", check_double_block},
    {"bf16", check_bf16},
    {"collapse", check_padding},
};

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> result;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) result.push_back(entry.path());
  std::ranges::sort(result);
  return result;
}

std::string shape_of(const json& shape) {
  return format_shape(shape.get<std::vector<std::int64_t>>());
}

// That the file has all tensors that the manifest names, in their shapes. `shapes`: name -> shape.
void expect_tensors(const fs::path& path, const std::vector<std::pair<std::string, json>>& shapes) {
  const SafetensorsFile file(path);
  if (shapes.empty()) throw std::runtime_error("the manifest names no tensors");
  for (const auto& [name, shape] : shapes) {
    const TensorInfo& tensor = file.at(name);
    if (format_shape(tensor.shape) == shape_of(shape)) continue;
    throw std::runtime_error(fmt::format("{}: tensor {} has the shape {}, the manifest says {}", path.string(), name,
                                         format_shape(tensor.shape), shape_of(shape)));
  }
}

// The worst first.
const Comparison& worst(const Comparisons& all) {
  const auto excess = [](const Comparison& each) {
    return each.tolerance > 0 ? each.error / each.tolerance : each.error > 0 ? HUGE_VAL : 0;
  };
  return *std::ranges::max_element(all, {}, excess);
}

}  // namespace

Runner::Runner(fs::path tokenizer, bool verbose) : tokenizer_(std::move(tokenizer)), verbose_(verbose) {}

std::string Runner::name_of(const fs::path& path) const {
  const std::string name = fs::relative(path, root_).string();
  return name == "." ? root_.filename().string() : name;
}

void Runner::run(const std::string& name, const std::function<Comparisons()>& check) {
  try {
    const Comparisons all = check();
    if (all.empty()) return fail(name, "nothing was compared");
    const Comparison& most = worst(all);
    fmt::print("{:<48} {:<12.4g} {:<12.4g} {}\n", name, most.error, most.tolerance, most.ok() ? "ok" : "FAIL");
    for (const Comparison& each : all) {
      if (verbose_ || !each.ok()) fmt::print("    {:<44} {:<12.4g} {:.4g}\n", each.what, each.error, each.tolerance);
    }
    most.ok() ? ++passed_ : ++failed_;
  } catch (const std::exception& error) {
    fail(name, error.what());
  }
  std::fflush(stdout);
}

void Runner::fail(const std::string& name, const std::string& why) {
  fmt::print("{:<48} {:<12} {:<12} FAIL\n    {}\n", name, "-", "-", why);
  ++failed_;
}

void Runner::skip(const std::string& name, const std::string& why) {
  fmt::print("{:<48} {:<12} {:<12} skipped: {}\n", name, "-", "-", why);
  ++skipped_;
}

const Tokenizer& Runner::full_tokenizer(const fs::path& beside) {
  if (full_) return *full_;
  fs::path folder = tokenizer_;
  for (fs::path up = fs::absolute(beside); folder.empty(); up = up.parent_path()) {
    if (fs::exists(up / "qwen2-tokenizer/tokenizer.json")) folder = up / "qwen2-tokenizer";
    if (up == up.parent_path()) break;
  }
  if (folder.empty()) throw std::runtime_error("this case needs the full tokenizer: name its folder with --tokenizer");
  full_ = std::make_unique<const Tokenizer>(fs::is_directory(folder) ? folder / "tokenizer.json" : folder);
  return *full_;
}

void Runner::native_case(const fs::path& file, const json& about) {
  const std::string name = name_of(fs::path(file).replace_extension());
  try {
    const std::string kind = about.at("case").get<std::string>();
    std::vector<std::pair<std::string, json>> shapes;
    for (const auto& [tensor, what] : about.at("tensors_present").items()) shapes.emplace_back(tensor, what.at(1));
    expect_tensors(file, shapes);
    const auto known = std::ranges::find(kCases, kind, &KnownCase::name);
    if (known != std::end(kCases)) return run(name, [&] { return known->check(file, about); });
    if (kind.starts_with("pipeline-v1.")) {
      for (const json& each : about.at("runs")) {
        run(name + "/" + each.at("name").get<std::string>(), [&] { return check_native_run(file, about, each); });
      }
      return;
    }
    if (is_text_encoder_case(kind)) {
      return run(name, [&] {
        return run_text_encoder_case(kind, file, about, [&]() -> const Tokenizer& { return full_tokenizer(file); });
      });
    }
    fail(name, fmt::format("unknown case '{}'", kind));
  } catch (const std::exception& error) {
    fail(name, error.what());
  }
}

void Runner::native_manifest(const fs::path& folder, const json& manifest) {
  const json& cases = manifest.at("cases");
  if (!cases.is_object() || cases.empty()) return fail(name_of(folder), "the manifest has no cases");
  for (const auto& [file, about] : cases.items()) native_case(folder / file, about);
  for (const fs::path& path : entries(folder)) {
    if (path.extension() != ".safetensors" || cases.contains(path.filename().string())) continue;
    fail(name_of(path), "the manifest does not name this file");
  }
}

void Runner::diffusers_manifest(const fs::path& folder, const json& manifest) {
  const json files = manifest.value("files", json::object());
  for (const auto& [file, about] : files.items()) {
    if (file.find('*') != std::string::npos || fs::exists(folder / file)) continue;
    fail(name_of(folder / file), "missing");
  }
  for (const auto& [file, tensors] : manifest.at("tensors").items()) {
    const fs::path path = folder / file;
    const std::string name = name_of(fs::path(path).replace_extension());
    const auto checked = [&](const std::function<Comparisons()>& check) {
      run(name, [&] {
        std::vector<std::pair<std::string, json>> shapes;
        for (const auto& [tensor, what] : tensors.items()) shapes.emplace_back(tensor, what.at("shape"));
        expect_tensors(path, shapes);
        return check();
      });
    };
    if (file == "schedules.safetensors") {
      checked([&] { return check_diffusers_schedules(folder); });
    } else if (file == "transformer-forward.safetensors") {
      checked([&] { return check_diffusers_transformer(folder); });
    } else if (file == "pipeline.safetensors") {
      checked([&] { return check_diffusers_text_case(folder); });
      run(name + "/edit", [&] { return check_diffusers_pipeline(folder); });
    } else if (file == "generation.safetensors") {
      skip(name, "text generation (thinking and reflection) is not part of the model yet");
    } else {
      fail(name, "unknown case");
    }
  }
  if (fs::exists(folder / "prompt-ids-full-vocab.json")) {
    run(name_of(folder / "prompt-ids-full-vocab"),
        [&] { return check_prompt_ids_v1_2(folder, full_tokenizer(folder)); });
  }
}

void Runner::tokenizer_case(const fs::path& folder) {
  run(name_of(folder), [&] {
    const Tokenizer small(folder / "../tokenizer-4096/tokenizer.json");
    return check_tokenizer(folder, full_tokenizer(folder), small);
  });
}

void Runner::visit(const fs::path& folder) {
  const std::vector<fs::path> inside = entries(folder);
  if (inside.empty()) return fail(name_of(folder), "the folder is empty");
  if (fs::exists(folder / "manifest.json")) {
    try {
      const json manifest = json::parse(read_file(folder / "manifest.json"));
      if (manifest.contains("cases")) {
        native_manifest(folder, manifest);
      } else if (manifest.contains("tensors")) {
        diffusers_manifest(folder, manifest);
      } else {
        fail(name_of(folder), "unknown manifest: it has neither 'cases' nor 'tensors'");
      }
    } catch (const std::exception& error) {
      fail(name_of(folder / "manifest.json"), error.what());
    }
  } else if (fs::exists(folder / "vectors.json")) {
    tokenizer_case(folder);
  }
  for (const fs::path& path : inside) {
    if (fs::is_directory(path)) visit(path);
  }
}

void Runner::walk(const fs::path& folder) {
  root_ = fs::absolute(folder).lexically_normal();
  if (!root_.has_filename()) root_ = root_.parent_path();
  if (!fs::is_directory(root_)) return fail(root_.string(), "no such folder");
  const int before = passed_ + failed_ + skipped_;
  visit(root_);
  if (passed_ + failed_ + skipped_ == before) fail(root_.string(), "no case was found");
}

bool Runner::finish() const {
  fmt::print("{} passed, {} failed, {} skipped\n", passed_, failed_, skipped_);
  return failed_ == 0 && passed_ + skipped_ > 0;
}

}  // namespace step1x::test
