#include "part.hpp"

#include <cmath>
#include <map>
#include <span>

#include "base/atomic_file.hpp"
#include "weights/safetensors_head.hpp"

namespace step1x::train {

namespace {

at::Tensor normal(at::IntArrayRef shape, double deviation, demo::Random& random) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  std::span<float> values(tensor.mutable_data_ptr<float>(), static_cast<std::size_t>(tensor.numel()));
  for (float& value : values) value = static_cast<float>(random.normal() * deviation);
  return tensor;
}

at::Tensor initial(const TensorPlan& plan, demo::Random& random) {
  if (plan.name.ends_with(".bias")) return at::zeros(plan.shape);
  if (plan.shape.size() == 1) return at::ones(plan.shape);
  if (plan.name.ends_with("embed_tokens.weight")) return normal(plan.shape, 0.5, random);
  const double inputs =
      static_cast<double>(c10::multiply_integers(plan.shape)) / static_cast<double>(plan.shape.front());
  return normal(plan.shape, 1 / std::sqrt(inputs), random);
}

}  // namespace

Weights random_weights(const LoadTable& table, demo::Random& random) {
  Weights::Tensors made;
  for (const TensorPlan& plan : table) made.emplace(plan.name, initial(plan, random));
  return {std::move(made), "new weights"};
}

std::vector<at::Tensor> tensors(const Weights& weights, const LoadTable& table) {
  std::vector<at::Tensor> all;
  for (const TensorPlan& plan : table) all.push_back(weights.at(plan.name, plan.shape));
  return all;
}

void save_weights(const std::filesystem::path& path, const std::vector<at::Tensor>& tensors, const LoadTable& table) {
  std::map<std::string, at::Tensor> sources;
  for (std::size_t i = 0; i < table.size(); ++i) {
    for (const TensorPart& part : table[i].parts) {
      at::Tensor& source = sources[part.source];
      if (!source.defined()) source = at::zeros(part.source_shape, at::kBFloat16);
      const at::Tensor rows = tensors[i].narrow(0, part.row, part.rows).to(at::kBFloat16);
      at::Tensor place = source.narrow(0, part.source_row, part.rows);
      place.copy_(rows.reshape(place.sizes()));
    }
  }
  std::vector<NewTensor> heads;
  heads.reserve(sources.size());
  for (const auto& [name, tensor] : sources) heads.push_back({name, Dtype::bf16, tensor.sizes().vec()});
  const std::string head = safetensors_head(heads);
  std::vector<std::byte> bytes;
  const auto append = [&](std::span<const std::byte> more) { bytes.insert(bytes.end(), more.begin(), more.end()); };
  append(std::as_bytes(std::span(head)));
  for (const auto& [name, tensor] : sources) {
    append({static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()});
  }
  std::filesystem::create_directories(path.parent_path());
  write_file_atomically(path, bytes, Replace::always);
}

}  // namespace step1x::train
