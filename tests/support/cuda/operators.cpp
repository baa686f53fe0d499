// Replaces every ATen kernel that is registered for CUDA by one that queues the CPU's kernel on the current stream. It
// works on aliases of raw addresses and holds no tensor, so memory that is freed or overwritten too early shows.
//
// Views, allocation, copies from and to the host and composite operators stay libtorch's own.
#include "operators.hpp"

#include <ATen/ATen.h>
#include <ATen/native/Copy.h>
#include <ATen/native/Resize.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/library.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "stand_in.hpp"

namespace stand_in {
namespace {

using c10::IValue;

constexpr int kLaunchFailure = 719;  // cudaErrorLaunchFailure

bool on_device(const at::Tensor& t) {
  return t.defined() && t.is_cuda();
}

// What a kernel gets: an address and a shape, and no hold on the memory.
struct Raw {
  explicit Raw(const at::Tensor& t)
      : data(t.numel() > 0 ? static_cast<char*>(t.storage().mutable_data()) + t.storage_offset() * t.itemsize()
                           : nullptr),
        sizes(t.sizes().vec()),
        strides(t.strides().vec()),
        type(t.scalar_type()),
        conjugate(t.is_conj()) {}

  at::Tensor tensor() const {
    const at::TensorOptions options(type);
    at::Tensor t = data != nullptr ? at::from_blob(stand_in_shadow(data), sizes, strides, options)
                                   : at::empty_strided(sizes, strides, options);
    if (conjugate) t._set_conj(true);
    return t;
  }
  at::Tensor zeros(at::Device device) const {
    at::Tensor t = at::empty_strided(sizes, strides, at::TensorOptions(type).device(device));
    return device.is_meta() ? t : t.zero_();
  }

  void* data;
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  at::ScalarType type;
  bool conjugate;
};

// The value with each of its tensors changed.
IValue change(const IValue& value, const std::function<at::Tensor(const at::Tensor&)>& f) {
  if (value.isTensor()) return f(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> out;
    for (const at::Tensor& t : value.toTensorVector()) out.push_back(f(t));
    return out;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> out;
    for (const std::optional<at::Tensor>& t : value.toOptionalTensorVector())
      out.push_back(t && t->defined() ? std::optional(f(*t)) : std::nullopt);
    return out;
  }
  return value;
}

void each(const IValue& value, const std::function<void(const at::Tensor&)>& f) {
  change(value, [&](const at::Tensor& t) {
    if (t.defined()) f(t);
    return t;
  });
}

// A CPU generator for one of CUDA's. Setting the seed of that, also to the one it has, sets its offset to 0: then this
// one starts anew too.
at::Generator twin(at::Generator gpu) {
  static std::mutex mutex;
  static std::map<const void*, at::Generator> known;
  const std::lock_guard lock(mutex);
  at::Generator& cpu = known[gpu.unsafeGetGeneratorImpl()];
  if (!cpu.defined()) cpu = at::globalContext().defaultGenerator(at::kCPU).clone();
  if (gpu.get_offset() == 0) cpu.set_current_seed(gpu.current_seed());
  gpu.set_offset(gpu.get_offset() + 4);
  return cpu;
}

// A CPU kernel that does not exist for half precision is run in float32.
void call(const c10::OperatorHandle& op, Stack& stack) {
  const auto& arguments = op.schema().arguments();
  if (std::ranges::any_of(arguments, [](const auto& each) { return each.alias_info() != nullptr; }))
    return op.callBoxed(stack);
  const Stack before = stack;
  try {
    return op.callBoxed(stack);
  } catch (const c10::NotImplementedError&) {
    // For this type: tried once more below.
  }
  std::optional<at::ScalarType> half;
  stack.clear();
  for (const IValue& value : before) {
    stack.push_back(change(value, [&](const at::Tensor& t) {
      if (!t.defined() || (t.scalar_type() != at::kBFloat16 && t.scalar_type() != at::kHalf)) return t;
      half = t.scalar_type();
      return t.to(at::kFloat);
    }));
  }
  TORCH_CHECK(half, "stand-in for CUDA: the CPU lacks ", op.schema().name());
  op.callBoxed(stack);
  for (IValue& value : stack) {
    value = change(value,
                   [&](const at::Tensor& t) { return t.defined() && t.scalar_type() == at::kFloat ? t.to(*half) : t; });
  }
}

// What waits in a stream's queue.
struct Task {
  std::string name;
  Compute compute;
  std::vector<IValue> arguments;                      // with nothing in the place of a device's tensors
  std::vector<std::vector<std::optional<Raw>>> raws;  // of each argument
  std::vector<Raw> results;

  void run() {
    const c10::InferenceMode no_gradients;
    Stack stack;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      std::size_t next = 0;
      stack.push_back(change(arguments[i], [&](const at::Tensor& t) {
        const auto& raw = raws[i][next++];
        return raw ? raw->tensor() : t;
      }));
    }
    compute(stack);
    std::size_t next = 0;
    for (const IValue& value : stack) {
      each(value, [&](const at::Tensor& t) {
        if (next < results.size()) results[next++].tensor().copy_(t);
      });
    }
  }
};

void run_task(void* pointer) {
  const std::unique_ptr<Task> task(static_cast<Task*>(pointer));
  try {
    task->run();
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "stand-in for CUDA: %s failed on its stream: %.500s\n", task->name.c_str(), problem.what());
    stand_in_break(kLaunchFailure);
  }
}

c10::Stream current_stream(at::Device device) {
  return c10::impl::VirtualGuardImpl(at::kCUDA).getStream(device);
}

// One call of a replaced operator.
class Call {
 public:
  Call(const c10::OperatorHandle& op, Stack& stack) : op_(op), schema_(op.schema()), stack_(stack) {
    const auto count = static_cast<std::ptrdiff_t>(schema_.arguments().size());
    arguments_.assign(stack.end() - count, stack.end());
    stack.erase(stack.end() - count, stack.end());
    const Compute* special = special_operator(schema_.name());
    special_ = special != nullptr;
    compute_ = special_ ? *special : [op](Stack& s) { call(op, s); };
    move_to_device();
    for (const auto& value : schema_.returns()) written_.push_back(argument_written(value));
  }

  void run() {
    // A default stream is that of the thread's device.
    const c10::OptionalDeviceGuard on_its_device(device_);
    const std::string& name = schema_.name();
    stand_in_called((schema_.overload_name().empty() ? name : name + "." + schema_.overload_name()).c_str());
    if (needs_data()) return run_now();
    const Stack shapes = returns_new() || has_out() ? shapes_of_results() : Stack();
    for (std::size_t i = 0; i < written_.size(); ++i) {
      if (written_[i] && schema_.arguments()[*written_[i]].is_out())
        at::native::resize_output(arguments_[*written_[i]].toTensor(), shapes[i].toTensor().sizes());
    }
    auto task = std::make_unique<Task>();
    task->name = name;
    task->compute = compute_;
    for (std::size_t i = 0; i < written_.size(); ++i) {
      if (written_[i]) {
        TORCH_CHECK(!returns_new(), "stand-in for CUDA: ", name, " returns both what is new and what it was given");
        stack_.push_back(arguments_[*written_[i]]);
        continue;
      }
      stack_.push_back(change(shapes[i], [&](const at::Tensor& t) { return t.defined() ? allocate(t) : t; }));
      each(stack_.back(), [&](const at::Tensor& t) { task->results.emplace_back(t); });
    }
    for (const IValue& value : arguments_) {
      auto& raws = task->raws.emplace_back();
      const bool places_matter = value.isOptionalTensorList();
      task->arguments.push_back(change(value, [&](const at::Tensor& t) -> at::Tensor {
        raws.push_back(on_device(t) ? std::optional(Raw(t)) : std::nullopt);
        if (!on_device(t)) return t;
        return places_matter ? at::empty({0}) : at::Tensor();
      }));
    }
    stand_in_enqueue(current_stream(*device_).native_handle(), run_task, task.release());
  }

 private:
  // Arguments are to be on the device; numbers from the host may be beside them, and become copies.
  void move_to_device() {
    for (IValue& value : arguments_) {
      each(value, [&](const at::Tensor& t) {
        if (t.is_cuda() && !device_) device_ = t.device();
      });
      if (value.isDevice()) {
        if (!device_) device_ = value.toDevice();
        value = at::Device(at::kCPU);
      }
      if (value.isGenerator() && value.toGenerator().device().is_cuda()) value = twin(value.toGenerator());
    }
    TORCH_CHECK(device_, "stand-in for CUDA: a call of ", schema_.name(), " without a device");
    const bool indexes = schema_.name().starts_with("aten::index") || schema_.name().starts_with("aten::_index");
    for (IValue& value : arguments_) {
      value = change(value, [&](const at::Tensor& t) -> at::Tensor {
        if (!t.defined() || t.is_cuda()) return t;
        TORCH_CHECK(t.dim() == 0 || indexes,
                    "Expected all tensors to be on the same device, but found at least two: ", *device_, " and ",
                    t.device(), ", in ", schema_.name());
        at::Tensor copy = t.clone();
        if (t.unsafeGetTensorImpl()->is_wrapped_number()) copy.unsafeGetTensorImpl()->set_wrapped_number(true);
        return copy;
      });
    }
  }

  // The argument that a returned value is, if it is one.
  std::optional<std::size_t> argument_written(const c10::Argument& value) const {
    if (value.alias_info() == nullptr) return std::nullopt;
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      const auto* alias = schema_.arguments()[i].alias_info();
      if (alias != nullptr && alias->beforeSets() == value.alias_info()->beforeSets()) return i;
    }
    return std::nullopt;
  }
  bool returns_new() const {
    return std::ranges::any_of(written_, [](const auto& each) { return !each.has_value(); });
  }
  bool has_out() const {
    return std::ranges::any_of(schema_.arguments(), [](const auto& each) { return each.is_out(); });
  }

  // Operators whose results' shapes, or whose results, are for the host to know: the stream is waited for.
  bool needs_data() const {
    static const std::set<std::string> names{
        "aten::nonzero",  "aten::masked_select",     "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive",
        "aten::bincount", "aten::repeat_interleave", "aten::equal",    "aten::multinomial"};
    if (names.contains(schema_.name())) return true;
    bool by_mask = false;
    for (const IValue& value : arguments_) {
      if (!value.isOptionalTensorList()) continue;
      each(value, [&](const at::Tensor& t) {
        by_mask = by_mask || t.scalar_type() == at::kBool || t.scalar_type() == at::kByte;
      });
    }
    const auto& returns = schema_.returns();
    const auto kind = returns.empty() ? c10::TypeKind::TensorType : returns.front().type()->kind();
    const bool value = returns.size() == 1 && kind != c10::TypeKind::TensorType && kind != c10::TypeKind::ListType;
    return by_mask || value;
  }

  at::Tensor allocate(const at::Tensor& like) const {
    return at::empty_strided(like.sizes(), like.strides(), like.options().device(*device_).pinned_memory(false));
  }

  Stack shapes_of_results() const {
    const bool meta = !special_ && op_.hasKernelForDispatchKey(c10::DispatchKey::Meta);
    const c10::InferenceMode no_gradients;
    Stack stack;
    for (const IValue& value : arguments_) {
      stack.push_back(change(
          value, [&](const at::Tensor& t) { return on_device(t) ? Raw(t).zeros(meta ? at::kMeta : at::kCPU) : t; }));
    }
    compute_(stack);
    return stack;
  }

  void run_now() {
    current_stream(*device_).synchronize();
    Stack results;
    {
      const c10::InferenceMode no_gradients;
      for (const IValue& value : arguments_) {
        results.push_back(change(value, [](const at::Tensor& t) { return on_device(t) ? Raw(t).tensor() : t; }));
      }
      compute_(results);
    }
    for (std::size_t i = 0; i < written_.size(); ++i) {
      if (written_[i]) {
        stack_.push_back(arguments_[*written_[i]]);
        continue;
      }
      stack_.push_back(change(results[i], [&](const at::Tensor& t) {
        at::Tensor made = allocate(t);
        made.copy_(t);
        return made;
      }));
    }
  }

  const c10::OperatorHandle& op_;
  const c10::FunctionSchema& schema_;
  Stack& stack_;
  std::vector<IValue> arguments_;
  std::vector<std::optional<std::size_t>> written_;  // of each return
  std::optional<at::Device> device_;
  Compute compute_;
  bool special_ = false;
};

void replaced(const c10::OperatorHandle& op, Stack* stack) {
  Call(op, *stack).run();
}

// Within the device on its stream; others by libtorch, over the runtime's copies.
at::Tensor& copy_within(at::Tensor& self, const at::Tensor& source, bool non_blocking) {
  if (!self.is_cuda() || !source.is_cuda()) return at::native::copy_(self, source, non_blocking);
  if (self.is_same(source)) return self;
  const c10::OptionalDeviceGuard on_its_device(self.device());
  auto task = std::make_unique<Task>();
  task->name = "aten::copy_";
  task->arguments = {IValue(at::Tensor()), IValue(at::Tensor())};
  task->raws = {{Raw(self)}, {Raw(source)}};
  task->compute = [](Stack& s) {
    s[0].toTensor().copy_(s[1].toTensor());
    s.clear();
  };
  stand_in_enqueue(current_stream(self.device()).native_handle(), run_task, task.release());
  return self;
}

bool is_view(const c10::FunctionSchema& schema) {
  return std::ranges::any_of(
      schema.returns(), [](const auto& each) { return each.alias_info() != nullptr && !each.alias_info()->isWrite(); });
}

bool stays(const std::string& name) {
  static const std::set<std::string> names{"empty",
                                           "empty_strided",
                                           "resize_",
                                           "set_",
                                           "record_stream",
                                           "is_pinned",
                                           "_pin_memory",
                                           "_local_scalar_dense",
                                           "_fused_sdp_choice",
                                           "as_strided",
                                           "view",
                                           "unfold",
                                           "_reshape_alias",
                                           "is_set_to",
                                           "_copy_from",
                                           "_copy_from_and_resize",
                                           "view_as_real",
                                           "view_as_complex",
                                           "_efficientzerotensor",
                                           "copy_",
                                           "_cudnn_rnn_flatten_weight",
                                           "_use_cudnn_ctc_loss",
                                           "_has_compatible_shallow_copy_type"};
  return !name.starts_with("aten::") || names.contains(name.substr(6));
}

}  // namespace
}  // namespace stand_in

extern "C" void stand_in_replace_kernels() {
  using namespace stand_in;
  static std::vector<c10::RegistrationHandleRAII> handles;
  struct Quiet : c10::WarningHandler {
    void process(const c10::Warning&) override {}
  } quiet;
  const c10::WarningUtils::WarningHandlerGuard silence(&quiet);
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const c10::OperatorName& name : dispatcher.getAllOpNames()) {
    const auto op = dispatcher.findSchema(name);
    if (stays(name.name) || !op || !op->hasKernelForDispatchKey(c10::DispatchKey::CUDA) || is_view(op->schema()))
      continue;
    handles.push_back(dispatcher.registerImpl(name, c10::DispatchKey::CUDA,
                                              c10::KernelFunction::makeFromBoxedFunction<&replaced>(), std::nullopt,
                                              nullptr, "stand-in for CUDA"));
  }
  static torch::Library library(torch::Library::IMPL, "aten", c10::DispatchKey::CUDA, __FILE__, __LINE__);
  library.impl("copy_", TORCH_FN(copy_within));
}
