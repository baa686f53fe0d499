#include "worker/job.hpp"

#include "base/error.hpp"
#include "ipc/fields.hpp"
#include "ipc/picture.hpp"

namespace step1x::worker {

std::shared_ptr<Job> make_job(ipc::Message message, std::uint64_t number) {
  const ipc::Fields fields(message.body);
  auto job = std::make_shared<Job>();
  job->number = number;
  job->id = fields.integer_or("id", 0, kMaxId, 0);
  const std::string op = fields.text("op");
  const auto width = fields.integer("width", 1, ipc::kMaxSide);
  const auto height = fields.integer("height", 1, ipc::kMaxSide);
  if (op == "edit" && !message.fd) throw Error(ErrorCode::usage, "edit: no picture came with the request");
  if (op == "edit") ipc::PictureView(message.fd.get(), static_cast<int>(width), static_cast<int>(height));
  static_cast<request::Job&>(*job) = request::read_job(message.body);
  if (!job->model.starts_with('/') && !job->model.starts_with("fake:")) {
    throw Error::format(ErrorCode::usage, "model: {} is not an absolute path", ipc::shown(job->model));
  }
  const std::string visible = fields.text("visible_devices", "", kMaxPath);
  const std::string container = fields.text("container_devices", "", kMaxPath);
  if (!visible.empty()) job->environment.push_back("CUDA_VISIBLE_DEVICES=" + visible);
  if (!container.empty()) job->environment.push_back("NVIDIA_VISIBLE_DEVICES=" + container);
  const std::string priority = fields.text("priority", "interactive");
  if (priority != "interactive" && priority != "batch") {
    throw Error::format(ErrorCode::usage, "priority: {} is neither interactive nor batch", ipc::shown(priority));
  }
  job->interactive = priority == "interactive";
  const std::string torch_dir = fields.text("torch_dir", "", kMaxPath);
  if (!torch_dir.empty() && !torch_dir.starts_with('/')) {
    throw Error::format(ErrorCode::usage, "torch_dir: {} is not an absolute path", ipc::shown(torch_dir));
  }
  if (!torch_dir.empty()) job->environment.push_back("LD_LIBRARY_PATH=" + torch_dir + "/torch/lib");
  if (job->model.starts_with("fake:")) job->launch_key = job->model;
  for (const std::string& variable : job->environment) job->launch_key += '\n' + variable;
  job->image = std::move(message.fd);
  job->request = std::move(message.body);
  job->request["id"] = number;
  // A number can be longer written out anew than it came. What cannot be sent on is refused here, where it harms
  // nobody.
  ipc::encode_frame(job->request);
  return job;
}

}  // namespace step1x::worker
