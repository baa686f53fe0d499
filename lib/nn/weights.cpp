#include "nn/weights.hpp"

#include <fmt/format.h>

#include <span>

#include "base/error.hpp"
#include "nn/placement.hpp"
#include "nn/stored_type.hpp"

namespace step1x {

namespace {

std::span<const std::int64_t> as_span(at::IntArrayRef shape) {
  return {shape.data(), shape.size()};
}

}  // namespace

const at::Tensor* Weights::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const at::Tensor& Weights::at(std::string_view name, at::IntArrayRef shape) const {
  const at::Tensor* tensor = find(name);
  if (tensor == nullptr) {
    throw Error::format(ErrorCode::model_missing, "{}: tensor {} is missing; expected shape {}", origin_,
                        quote_name(name), format_shape(as_span(shape)));
  }
  if (tensor->sizes() != shape) {
    throw Error::format(ErrorCode::model_missing, "{}: tensor {} has the wrong shape: expected {}, found {}", origin_,
                        quote_name(name), format_shape(as_span(shape)), format_shape(as_span(tensor->sizes())));
  }
  return *tensor;
}

StreamedBlock Weights::streamed(std::string_view name) const {
  const auto found = streamed_.find(name);
  return found == streamed_.end() ? StreamedBlock{} : found->second;
}

TensorPlan whole_tensor(std::string name, std::vector<std::int64_t> shape, std::string source) {
  TensorPart part{std::move(source), shape, 0, 0, shape.at(0)};
  return {std::move(name), std::move(shape), {std::move(part)}};
}

void check_weights(const Checkpoint& checkpoint, const LoadTable& table) {
  for (const TensorPlan& plan : table) {
    for (const TensorPart& part : plan.parts) {
      const Checkpoint::Entry& entry = checkpoint.at(part.source, part.source_shape);
      if (stored_type(entry.tensor->dtype)) continue;
      throw Error::format(
          ErrorCode::model_missing,
          "{}: tensor {} has the type {}, which cannot be computed with: expected BF16, F16, F32, F64 or "
          "F8_E4M3",
          entry.file->path().string(), quote_name(part.source), name(entry.tensor->dtype));
    }
  }
}

std::int64_t weights_bytes(const LoadTable& table, at::ScalarType dtype) {
  std::int64_t elements = 0;
  for (const TensorPlan& plan : table) elements += c10::multiply_integers(plan.shape);
  return elements * static_cast<std::int64_t>(c10::elementSize(dtype));
}

Weights load_weights(const Checkpoint& checkpoint, const LoadTable& table, at::ScalarType type, const LoadHook& loaded,
                     at::Device device) {
  check_weights(checkpoint, table);
  const Placement placement(table, type);
  const at::Tensor memory = at::empty({static_cast<std::int64_t>(placement.bytes())}, at::kByte);
  placement.fill(checkpoint, 0, placement.blocks().size(), static_cast<std::byte*>(memory.mutable_data_ptr()),
                 {.prepare = {}, .filled = {}, .loaded = loaded});
  return placement.weights(memory.to(device), checkpoint.path().string());
}

}  // namespace step1x
