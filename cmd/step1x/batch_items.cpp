#include "batch_items.hpp"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <map>
#include <set>

#include "base/error.hpp"
#include "batch/manifest.hpp"

namespace step1x::cli {
namespace {

namespace fs = std::filesystem;
using batch::Item;

void append(std::vector<Item>& items, std::vector<Item> more) {
  items.insert(items.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

batch::Found find_in_folder(const fs::path& folder, const BatchInputs& inputs) {
  batch::Found found = batch::scan_folder(folder, inputs.selection);
  // Of several folders each has a place of its own.
  const std::string name = fs::absolute(folder).lexically_normal().filename().string();
  const bool several = inputs.inputs.size() > 1 && !name.empty();
  for (Item& item : found.items) {
    if (several) item.key = name + "/" + item.key;
  }
  return found;
}

batch::Found named_items(const BatchInputs& inputs) {
  batch::Found all;
  std::vector<Item>& items = all.items;
  for (const std::string& input : inputs.inputs) {
    std::error_code problem;
    if (input == "-") {
      const std::string text(std::istreambuf_iterator<char>(std::cin), {});
      append(items, batch::read_list(text, inputs.nul));
    } else if (fs::is_directory(input, problem)) {
      batch::Found found = find_in_folder(input, inputs);
      append(items, std::move(found.items));
      all.passed_over.insert(all.passed_over.end(), found.passed_over.begin(), found.passed_over.end());
    } else if (fs::exists(input, problem) || inputs.inputs.size() > 1) {
      // Of several, one that is not there is an item that fails.
      items.push_back(batch::named_item(input));
    } else {
      throw Error::format(ErrorCode::usage, "there is no picture or folder {}", input);
    }
  }
  return all;
}

batch::Found all_items(const BatchInputs& inputs) {
  if (!inputs.manifest) return named_items(inputs);
  if (inputs.inputs.size() > 1)
    throw Error(ErrorCode::usage, "--manifest: one folder at most can be named, which its paths are relative to");
  const fs::path file = *inputs.manifest;
  return {batch::read_manifest(file, inputs.inputs.empty() ? file.parent_path() : fs::path(inputs.inputs.front())), {}};
}

image::Format format_of(const Item& item, const std::optional<std::string>& wanted) {
  if (wanted) return image::format_from_extension("x." + *wanted).value();
  return image::result_format(image::format_from_extension(item.input));
}

std::string extension_of(const Item& item, image::Format format, const std::optional<std::string>& wanted) {
  const std::string own = item.input.extension().string();
  if (image::format_from_extension(item.input) == format) return own.substr(1);
  return wanted.value_or("png");
}

std::string prompt_of(const Item& item, const BatchInputs& inputs, const std::string& common) {
  std::string prompt = item.own.value("prompt", "");
  if (prompt.empty() && inputs.sidecar_prompts) prompt = batch::sidecar_prompt(item).value_or("");
  if (prompt.empty()) prompt = common;
  if (prompt.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw Error::format(ErrorCode::usage,
                        "{} has no prompt: give one for all with -p, or one each with --manifest or --sidecar-prompts",
                        item.key);
  }
  request::to_sent(request::parameter("prompt"), prompt, "the prompt of " + item.key);
  return prompt;
}

// `seed`: the members' own is meant for every item.
batch::Json parameters_of(const Item& item, const ipc::Json& members, const std::string& prompt, bool seed) {
  ipc::Json all = members;
  if (!seed) all["seed"] = batch::seed_of(item.key);
  all.update(item.own);
  all["prompt"] = prompt;
  return request::picture_parameters(all, true);
}

[[noreturn]] void refuse_twice(const std::string& key, const fs::path& first, const fs::path& second) {
  if (batch::place(first) == batch::place(second))
    throw Error::format(ErrorCode::usage, "{} is named twice, and without a manifest a batch makes one picture of each",
                        key);
  throw Error::format(
      ErrorCode::usage,
      "{} and {} would both be known as {}: rename one of them or its folder, or give each a batch with "
      "an output folder of its own",
      batch::key_of(first.string()), batch::key_of(second.string()), key);
}

// Of the n-th job of one picture. A file may be called so itself, wherever in the manifest it comes.
std::string free_key(const std::string& key, std::size_t n, std::set<std::string>& keys) {
  for (;; ++n) {
    std::string numbered = fmt::format("{}#{}", key, n);
    if (keys.insert(numbered).second) return numbered;
  }
}

}  // namespace

BatchWorks make_works(const BatchInputs& inputs, const ipc::Json& members, bool seed) {
  const batch::NameTemplate name(inputs.name);
  if (inputs.format && !image::format_from_extension("x." + *inputs.format)) {
    throw Error::format(ErrorCode::usage, "--format {}: no picture format is called that; there are {}", *inputs.format,
                        image::supported_formats());
  }
  BatchWorks result;
  batch::Found found = all_items(inputs);
  std::vector<Item>& items = found.items;
  result.passed_over = std::move(found.passed_over);
  if (items.empty()) {
    throw Error::format(ErrorCode::usage, "there are no pictures in what was named{}",
                        result.passed_over.empty() ? "" : "; " + result.passed_over.front());
  }
  std::set<std::string> keys;
  std::map<std::string, fs::path> first;
  for (const Item& item : items) {
    keys.insert(item.key);
    first.emplace(item.key, item.input);
  }
  std::map<std::string, std::size_t> times;
  const std::string common = members.at("prompt").get<std::string>();
  for (std::size_t i = 0; i < items.size(); ++i) {
    Item& item = items[i];
    const std::string key = item.key;
    const std::size_t n = ++times[key];
    if (n > 1 && !inputs.manifest) refuse_twice(key, first.at(key), item.input);
    if (n > 1) item.key = free_key(key, n, keys);
    batch::Work work;
    work.parameters = parameters_of(item, members, prompt_of(item, inputs, common), seed);
    work.format = format_of(item, inputs.format);
    const std::string own_name =
        name.apply({fs::path(key).stem().string(), extension_of(item, work.format, inputs.format),
                    work.parameters["seed"].get<std::int64_t>(), i + 1, n});
    work.output = item.output.value_or(batch::output_key(key, own_name));
    if (item.output) work.format = image::format_from_extension(work.output).value_or(work.format);
    work.item = std::move(item);
    result.works.push_back(std::move(work));
  }
  return result;
}

void check_outputs(const std::vector<batch::Work>& works, const fs::path& folder, bool ignore_case) {
  std::vector<batch::Target> targets;
  targets.reserve(works.size());
  for (const batch::Work& work : works) targets.push_back({work.item.key, work.item.input, folder / work.output});
  batch::check_targets(targets, ignore_case);
}

}  // namespace step1x::cli
