#include "engine/resident_model.hpp"

#include <ATen/ops/from_blob.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/duration.hpp"
#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/size.hpp"
#include "engine/model_precision.hpp"
#include "gpu/gpus.hpp"
#include "memory/available.hpp"
#include "model/activation_size.hpp"

namespace step1x::engine {
namespace {

namespace fs = std::filesystem;

constexpr auto kVae = static_cast<std::size_t>(ModelPart::vae);

at::Tensor bytes_at(const std::byte* start, std::uint64_t bytes, std::function<void(void*)> freed) {
  // Weights are never written to; libtorch has no tensor of constant memory.
  return at::from_blob(const_cast<std::byte*>(start), {static_cast<std::int64_t>(bytes)}, std::move(freed), at::kByte);
}

at::Tensor narrow(const at::Tensor& bytes, const Placement::Block& block) {
  return bytes.narrow(0, static_cast<std::int64_t>(block.offset), static_cast<std::int64_t>(block.bytes));
}

// Sizes and times of change: another stamp is another file.
std::string stamp_of(const std::vector<fs::path>& paths) {
  std::string stamp;
  for (const fs::path& path : paths) {
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) return "";
    stamp += fmt::format("{} {} {}.{:09} {}\n", path.string(), info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                         info.st_ino);
  }
  return stamp;
}

void add_weights(std::vector<fs::path>& paths, const ModelFiles& files) {
  for (const Checkpoint* part :
       {&files.text_encoder.checkpoint, &files.transformer.checkpoint, &files.vae.checkpoint}) {
    for (const SafetensorsFile& file : part->files()) paths.push_back(file.path());
  }
}

std::vector<fs::path> all_files(const ModelFiles& files) {
  const ModelLayout& layout = files.layout;
  // The folder: a file that is added may be a newer version of the model.
  std::vector<fs::path> paths{layout.folder};
  for (const fs::path* path : {&layout.transformer, &layout.vae, &layout.text_encoder, &layout.tokenizer,
                               &layout.text_encoder_config, &layout.config, &layout.transformer_config,
                               &layout.vae_config, &layout.scheduler_config, &layout.processor_config}) {
    if (!path->empty()) paths.push_back(*path);
  }
  add_weights(paths, files);
  return paths;
}

}  // namespace

// How far a load is, for the user.
class ResidentModel::Loading {
 public:
  Loading(Progress& progress, std::int64_t total) : progress_(progress), total_(total) {}
  void add(std::int64_t bytes) {
    progress_.check();
    progress_.loading(done_ += bytes, total_);
  }

 private:
  Progress& progress_;
  std::int64_t total_;
  std::int64_t done_ = 0;
};

ResidentModel::ResidentModel(const Job& job, Device device)
    : model_(job.model),
      device_(job.device),
      uuid_(std::move(device.uuid)),
      memory_(std::move(device.memory)),
      files_(std::make_shared<const ModelFiles>(open_model(find_layout(job.model)))),
      watched_(all_files(*files_)),
      stamp_(stamp_of(watched_)),
      dtype_(choose_dtype(*files_, memory_)) {
  const auto add = [this](const Checkpoint& checkpoint, const LoadTable& table, at::ScalarType type) {
    parts_.push_back({&checkpoint, Placement(table, type), bytes_});
    bytes_ += parts_.back().placement.bytes();
  };
  add(files_->text_encoder.checkpoint, files_->text_encoder.table, dtype_);
  add(files_->transformer.checkpoint, files_->transformer.table, dtype_);
  add(files_->vae.checkpoint, files_->vae.table, at::kFloat);
}

bool ResidentModel::serves(const Job& job) const {
  if (job.model != model_ || job.device != device_ || stamp_.empty() || stamp_of(watched_) != stamp_) return false;
  return pipeline_ || !leaves_choice(device_) || find_device(device_).uuid == uuid_;
}

std::string ResidentModel::key() const {
  std::vector<fs::path> weights;
  add_weights(weights, *files_);
  return fmt::format("{} {} {:016x}", model_, c10::toString(dtype_),
                     fnv1a(fmt::format("{}{}", stamp_of(weights), bytes_)));
}

MemoryReport ResidentModel::report() const {
  const DeviceMemory::Counters counters = memory_.counters();
  MemoryReport report;
  report.allocated_bytes = counters.allocated_bytes;
  report.reserved_bytes = counters.reserved_bytes;
  report.location = pipeline_ || arena_ ? "CPU" : "Unloaded";
  report.device = memory_.simulated() ? device_ : memory_.device().str();
  report.uuid = uuid_;
  if (!pipeline_ || !memory_.separate()) return report;
  report.location = "GPU";
  report.plan = {{"kind", name(plan_->kind)},
                 {"needed_bytes", plan_->needed},
                 {"limit_bytes", plan_->limit},
                 {"reason", plan_->reason}};
  if (const auto copies = memory_.copies()->reading())
    report.copies = {{"way", name(copies->way)}, {"bytes_per_second", copies->bytes_per_second}};
  return report;
}

Plan ResidentModel::choose(const Wishes& wishes, std::optional<PlanKind> instead) const {
  PlanRequest request;
  request.model = {part_size(parts_[0].placement), part_size(parts_[1].placement), parts_[kVae].placement.bytes()};
  if (memory_.counts_activations())
    request.activations = activation_size(*files_, {wishes.size, wishes.steps, wishes.tiled}, dtype_);
  request.free = memory_.free_bytes();
  // What is there of it already makes room for it.
  if (pipeline_) request.free += plan_->kind == PlanKind::resident ? bytes_ : request.model.vae;
  request.max_vram = wishes.max_vram;
  request.wanted = instead ? instead : plan_kind(wishes.plan);
  request.can_stream = !refused_;
  Plan plan = make_plan(request);
  if (instead) plan.reason += fmt::format("; {} ran out of memory", name(plan_->kind));
  return plan;
}

// Other programs have the device too. Until there is as much free as the job asks for, or as its model needs.
void ResidentModel::wait_for_memory(const Job& job, const Wishes& wishes, Progress& progress) const {
  if (pipeline_ || (!job.wait_gpu && job.min_free_vram == 0)) return;
  constexpr std::chrono::milliseconds kTurn{100};
  const std::chrono::milliseconds patience = job.wait_gpu.value_or(std::chrono::milliseconds(0));
  const auto end = std::chrono::steady_clock::now() + patience;
  for (;; std::this_thread::sleep_for(kTurn)) {
    progress.check();
    const Plan plan = choose(wishes, {});
    const std::uint64_t free = memory_.free_bytes();
    const auto least = static_cast<std::uint64_t>(job.min_free_vram);
    if (free >= least && (least > 0 || plan.needed <= plan.limit)) return;
    if (std::chrono::steady_clock::now() < end) continue;
    throw Error::format(ErrorCode::busy, "{} of the memory of {} are free and {} are {}; waited {} (--wait-gpu)",
                        format_size(free), device_, format_size(least > 0 ? least : plan.needed),
                        least > 0 ? "asked for (--min-free-vram)" : "needed", format_duration(patience));
  }
}

void ResidentModel::load(const Job& job, Progress& progress, std::optional<PlanKind> instead) {
  *check_ = [&progress](const Placement::Block&) { progress.check(); };
  if (!memory_.separate()) {
    if (!pipeline_) place(progress);
    return;
  }
  Wishes wishes{job.plan, job.max_vram, job.picture ? job.size : std::max(job.width, job.height), job.steps,
                job.vae_tiling};
  if (pipeline_ && wishes == planned_for_) return;
  // Given back where this fails. Before anything is measured: the other one's model would be counted.
  std::optional<ipc::Lock> lock = std::exchange(gpu_lock_, std::nullopt);
  if (!lock && !uuid_.empty()) lock = progress.lock_gpu(uuid_);
  wait_for_memory(job, wishes, progress);
  Plan plan = choose(wishes, instead);
  planned_for_ = std::move(wishes);
  const bool as_before = pipeline_ && plan.kind == plan_->kind && plan.text_encoder == plan_->text_encoder &&
                         plan.transformer == plan_->transformer;
  plan_ = std::move(plan);
  if (!as_before) offload();
  // The plan is arithmetic; this holds whatever a job turns out to need.
  memory_.limit(planned_for_.max_vram ? std::optional(plan_->limit) : std::nullopt);
  if (!as_before) place(progress);
  gpu_lock_ = std::move(lock);
}

HostPart ResidentModel::host_part(const Part& part, const std::shared_ptr<const ArenaMapping>& arena) {
  return {&part.placement, arena->bytes().subspan(part.offset, part.placement.bytes()), arena,
          part.checkpoint->path().string()};
}

void ResidentModel::place(Progress& progress) {
  const bool whole = !plan_ || plan_->kind == PlanKind::resident;
  // First, so that a model that does not fit is known before a byte of it is read.
  std::vector<at::Tensor> device(parts_.size());
  for (std::size_t i = 0; memory_.separate() && i < parts_.size(); ++i) {
    if (whole || i == kVae) device[i] = memory_.allocate(parts_[i].placement.bytes());
  }
  ArenaGrant grant;
  if (!arena_ && !refused_) {
    grant = progress.arena(key(), static_cast<std::int64_t>(bytes_));
    // Waiting for it may have taken long, and a cancelled job is answered with none.
    progress.check();
    refused_ = !grant.fd;
    if (grant.fd && grant.filled)
      arena_ = std::make_shared<const ArenaMapping>(grant.fd.get(), bytes_, ArenaMapping::Access::read);
  }
  if (!arena_ && !grant.fd && !whole) {
    throw Error::format(ErrorCode::out_of_memory,
                        "the device has too little memory for the whole model ({}), and the machine too little to "
                        "keep it where its parts could come from",
                        plan_->reason);
  }
  std::int64_t total = 0;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (!arena_) total += static_cast<std::int64_t>(parts_[i].placement.tensor_bytes());
    if (!arena_ || !device[i].defined()) continue;
    for (const Placement::Block& block : parts_[i].placement.blocks()) total += static_cast<std::int64_t>(block.bytes);
  }
  Loading loading(progress, total);
  if (arena_) {
    copy_arena(device, loading);
  } else if (grant.fd) {
    fill_arena(std::move(grant.fd), device, loading, progress);
  } else {
    fill_device(device, loading);
  }
  pin_arena();
  pipeline_ = std::make_unique<const Pipeline>(files_, whole ? whole_source(device) : source_in_turns(device[kVae]),
                                               PipelineOptions{memory_.device(), dtype_});
}

WeightsSource ResidentModel::whole_source(const std::vector<at::Tensor>& device) const {
  std::vector<Weights> weights;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    const at::Tensor bytes = device[i].defined() ? device[i]
                                                 : bytes_at(arena_->bytes().data() + part.offset,
                                                            part.placement.bytes(), [arena = arena_](void*) {});
    weights.push_back(part.placement.weights(bytes, part.checkpoint->path().string()));
  }
  return [weights = std::move(weights)](ModelPart part) { return weights.at(static_cast<std::size_t>(part)); };
}

WeightsSource ResidentModel::source_in_turns(const at::Tensor& vae) const {
  // Copies of all that it needs: the source may be called as long as the pipeline lives.
  return [vae, parts = parts_, arena = arena_, memory = memory_, plan = *plan_, check = check_](ModelPart which) {
    const Part& part = parts.at(static_cast<std::size_t>(which));
    const HostPart host = host_part(part, arena);
    if (which == ModelPart::vae) return part.placement.weights(vae, host.origin);
    memory.trim();
    if (plan.kind == PlanKind::staged) return place_whole(host, memory, *check);
    const auto& runs = which == ModelPart::text_encoder ? plan.text_encoder : plan.transformer;
    return place_streamed(host, runs, memory, *check);
  };
}

// A second copy of the files, in the page cache, makes the next load fast if there is room for it, and pushes out what
// others have there if there is none. What reads them now has room for the model itself.
Placement::Cache ResidentModel::cache() const {
  std::uint64_t files = 0;
  for (const Part& part : parts_) files += part.placement.tensor_bytes();
  return available_memory() < bytes_ + files ? Placement::Cache::bypass : Placement::Cache::use;
}

// The checkpoint's files to the arena, and each block on to the device.
void ResidentModel::fill_arena(UniqueFd fd, std::vector<at::Tensor>& device, Loading& loading, Progress& progress) {
  std::atomic<std::uint64_t> huge = 0;
  const Placement::Cache cached = cache();
  DeviceCopy copies(memory_);
  {
    ArenaMapping mapping(fd.get(), bytes_, ArenaMapping::Access::fill);
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const auto& [checkpoint, placement, offset] = parts_[i];
      std::byte* start = mapping.writable().data() + offset;
      Placement::Hooks hooks;
      hooks.prepare = [&mapping, &huge, begin = offset](std::uint64_t at, std::uint64_t bytes) {
        huge += mapping.prepare(begin + at, bytes);
      };
      hooks.filled = [&](const Placement::Block& block) {
        if (device[i].defined()) copies.copy({start + block.offset, block.bytes}, narrow(device[i], block));
      };
      hooks.loaded = [&](std::int64_t bytes) { loading.add(bytes); };
      placement.fill(*checkpoint, 0, placement.blocks().size(), start, hooks, cached);
    }
  }
  seal_arena(fd.get());
  arena_ = std::make_shared<const ArenaMapping>(fd.get(), bytes_, ArenaMapping::Access::read);
  progress.arena_filled(static_cast<std::int64_t>(huge.load()));
}

// For the next copies; the first have gone through buffers meanwhile.
void ResidentModel::pin_arena() {
  if (!arena_ || pinned_ || !memory_.device().is_cuda()) return;
  if (auto driver = HostRegistration::cuda(memory_.device().index()))
    pinned_ = std::make_unique<HostRegistration>(arena_->bytes(), std::move(*driver));
}

void ResidentModel::copy_arena(std::vector<at::Tensor>& device, Loading& loading) const {
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (!device[i].defined()) continue;
    copy_whole(host_part(parts_[i], arena_), memory_, device[i],
               [&](const Placement::Block& block) { loading.add(static_cast<std::int64_t>(block.bytes)); });
  }
}

// Without an arena. A device that the CPU cannot write to gets block after block through memory that holds one.
void ResidentModel::fill_device(std::vector<at::Tensor>& device, Loading& loading) const {
  DeviceCopy copies(memory_);
  Placement::Hooks hooks;
  hooks.loaded = [&](std::int64_t bytes) { loading.add(bytes); };
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const auto& [checkpoint, placement, offset] = parts_[i];
    if (!device[i].defined()) device[i] = memory_.allocate(placement.bytes());
    if (memory_.device().is_cpu()) {
      auto* start = static_cast<std::byte*>(device[i].mutable_data_ptr());
      placement.fill(*checkpoint, 0, placement.blocks().size(), start, hooks, cache());
      continue;
    }
    std::vector<std::byte> staging;
    for (std::size_t block = 0; block < placement.blocks().size(); ++block) {
      staging.resize(placement.blocks()[block].bytes);
      placement.fill(*checkpoint, block, 1, staging.data(), hooks, cache());
      copies.copy(staging, narrow(device[i], placement.blocks()[block]));
    }
  }
}

void ResidentModel::offload() {
  if (!memory_.separate()) return;
  pipeline_.reset();
  memory_.trim();
  gpu_lock_.reset();
}

}  // namespace step1x::engine
