#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "checks.hpp"
#include "image/decoder.hpp"
#include "model/packing.hpp"
#include "model/pipeline.hpp"
#include "support/temp_dir.hpp"
#include "support/tensors.hpp"

namespace step1x::test {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

Picture read_picture(const fs::path& path) {
  image::Decoder decoder = image::Decoder::from_file(path);
  Picture result{{decoder.width(), decoder.height()}, {}};
  result.rgb.resize(static_cast<std::size_t>(decoder.width()) * static_cast<std::size_t>(decoder.height()) * 3);
  decoder.read(std::as_writable_bytes(std::span(result.rgb)));
  return result;
}

at::Tensor tensor_of(const Picture& picture) {
  return at::tensor(picture.rgb, at::kByte).reshape({picture.size.height, picture.size.width, 3});
}

// What the stages of a job made, by name; steps under "latents.0", "velocity.0".
struct Record {
  std::map<std::string, at::Tensor> tensors;
  std::vector<at::Tensor> latents, velocities;

  void attach(JobOptions& job) {
    job.observe = [this](std::string_view name, const at::Tensor& x) { tensors[std::string(name)] = x; };
    job.denoise.after_step = [this](int, const at::Tensor& velocity, const at::Tensor& after) {
      velocities.push_back(velocity);
      latents.push_back(after);
    };
  }
};

// The rows that were kept, and zeros for the padding. (n, in)
at::Tensor padded_to(const at::Tensor& states, std::int64_t length) {
  return at::constant_pad_nd(states.squeeze(0), {0, 0, 0, length - states.size(1)});
}

class NativeRun {
 public:
  NativeRun(const fs::path& path, const json& about, const json& run)
      : file_(path), about_(about), run_(run), name_(run.at("name").get<std::string>() + ".") {}

  Comparisons check() {
    const fs::path bundle = file_.path().parent_path() / about_.at("weights").get<std::string>();
    LayoutChoice choice;
    choice.version = model_version(run_.at("version").get<std::string>());
    const Pipeline pipeline(find_layout(bundle.lexically_normal(), choice), {golden_device(), at::kFloat});
    JobOptions job;
    job.prompt = run_.at("prompt").get<std::string>();
    job.negative_prompt = run_.at("negative_prompt").get<std::string>();
    job.truncate = true;  // as the reference does
    job.steps = run_.at("num_steps").get<int>();
    job.guidance = run_.at("cfg_guidance").get<double>();
    job.seeds = {run_.at("seed").get<std::uint64_t>(), run_.at("vae_noise_seed").get<std::uint64_t>()};
    Record record;
    record.attach(job);
    Picture picture;
    if (run_.at("task") == "edit") {
      const Picture source = read_picture(file_.path().parent_path() / about_.at("source_image").get<std::string>());
      add("source", tensor_of(source), 0, "source");
      picture = pipeline.edit(source.view(), run_.at("size_level").get<int>(), job);
    } else {
      picture = pipeline.generate({run_.at("width").get<int>(), run_.at("height").get<int>()}, job);
    }
    const double bytes = about_.at("tolerance").at("uint8_max_abs").get<double>();
    compare_stages(record);
    add("image", tensor_of(picture), bytes);
    add("image_before_resize", tensor_of(picture_of(record.tensors.at("decoded"), LayoutKind::flat)), bytes);
    return std::move(result_);
  }

 private:
  bool has(const std::string& name) const { return file_.find(name_ + name) != nullptr; }

  void add(const std::string& name, const at::Tensor& found, double tolerance, std::string stored = "") {
    if (stored.empty() && !has(name)) return;
    if (stored.empty()) stored = name_ + name;
    const at::Tensor expected = golden_tensor(file_, stored);
    const double relative = tolerance > 0 && found.is_floating_point() ? about_["tolerance"]["rel"].get<double>() : 0;
    result_.push_back(compare_relative(name, found.reshape_as(expected), expected, tolerance, relative));
  }

  void compare_stages(const Record& record) {
    const double latents = about_.at("tolerance").at("latents_abs").get<double>();
    const auto of = [&](const std::string& name) {
      const auto found = record.tensors.find(name);
      return found == record.tensors.end() ? at::Tensor() : found->second;
    };
    if (of("resized").defined()) {
      add("resized", of("resized"), 0);
      add("vae_noise", of("posterior_noise"), 1e-6);
      add("ref_latent", of("reference_latents"), latents);
    }
    add("x", of("noise"), 1e-6);
    add("timesteps", of("times"), 1e-6);
    if (has("llm_embedding")) {
      const std::int64_t length = file_.at(name_ + "llm_embedding").shape.at(1);
      std::vector<at::Tensor> rows{padded_to(of("text.0"), length)};
      // Without guidance the negative prompt is not read.
      if (of("text.1").defined()) rows.push_back(padded_to(of("text.1"), length));
      const at::Tensor expected = golden_tensor(file_, name_ + "llm_embedding");
      result_.push_back(compare_relative("llm_embedding", at::stack(rows),
                                         expected.narrow(0, 0, static_cast<std::int64_t>(rows.size())), latents, 1e-5));
    }
    add("latents", at::cat(record.latents), latents);
    add("pred", at::cat(record.velocities), latents * 10);
    const at::Tensor expected = golden_tensor(file_, name_ + "unpacked");
    add("unpacked", unpack(record.latents.back(), expected.size(2) / kTokenSide, expected.size(3) / kTokenSide),
        latents);
    add("decoded", of("decoded"), about_.at("tolerance").at("decoded_abs").get<double>());
  }

  SafetensorsFile file_;
  json about_;
  json run_;
  std::string name_;
  Comparisons result_;
};

}  // namespace

Comparisons check_native_run(const fs::path& file, const json& about, const json& run) {
  return NativeRun(file, about, run).check();
}

Comparisons check_diffusers_pipeline(const fs::path& folder) {
  const SafetensorsFile file(folder / "pipeline.safetensors");
  const json manifest = json::parse(read_file(folder / "manifest.json"));
  const json about = json::parse(read_file(folder / "pipeline.json"));
  const ModelLayout layout = find_layout(folder / "model");
  const Pipeline pipeline(layout, {golden_device(), at::kFloat});
  JobOptions job;
  job.prompt = about.at("prompt").get<std::string>();
  job.negative_prompt = about.at("negative_prompt").get<std::string>();
  job.steps = about.at("num_inference_steps").get<int>();
  job.guidance = about.at("true_cfg_scale").get<double>();
  job.seeds = {about.at("generator_seed").get<std::uint64_t>(), {}};
  Record record;
  record.attach(job);
  const Picture input = read_picture(folder / "input.png");
  const Picture output = pipeline.edit(input.view(), about.at("size_level").get<int>(), job);

  Comparisons result;
  const auto add = [&](const std::string& name, const at::Tensor& found, double tolerance) {
    const at::Tensor expected = golden_tensor(file, name);
    result.push_back(compare(name, found.reshape_as(expected), expected, tolerance));
  };
  const double vae = tolerance_of(manifest, "vae");
  const double intermediate = tolerance_of(manifest, "intermediates");
  // The manifest's own words: 2e-2 for what follows from our own preprocessing of the picture.
  constexpr double kWhole = 2e-2;
  constexpr double kLevels = 3;
  const auto of = [&](const std::string& name) { return record.tensors.at(name); };
  result.push_back(
      compare("ref-resized.png", of("resized"), tensor_of(read_picture(folder / "ref-resized.png")).flatten(), 0));
  add("image", of("vae_input"), vae);
  add("vae.moments", of("moments"), vae);
  add("vae.eps", of("posterior_noise"), 1e-6);
  add("noise", of("noise"), 1e-6);
  add("latents0", pack(of("noise")), 1e-6);
  add("image_latents", pack(of("reference_latents")), vae);
  add("pos.embeds", of("text.0"), kWhole);
  add("neg.embeds", of("text.1"), kWhole);
  add("sigmas", of("times"), 2e-7);
  for (std::size_t i = 0; i < record.latents.size(); ++i) {
    add(fmt::format("latents.{}", i + 1), record.latents[i], kWhole);
  }
  add("vae.decode_out", of("decoded"), kWhole);
  add("final_uint8", tensor_of(picture_of(of("decoded"), layout.kind)), kLevels);
  result.push_back(compare("output.png", tensor_of(output), tensor_of(read_picture(folder / "output.png")), kLevels));

  // The same from the reference's own inputs, which leaves the loop and the VAE alone.
  DenoiseInput loop;
  for (const std::string name : {"pos", "neg"}) {
    TextInput text;
    text.states = golden_tensor(file, name + ".embeds");
    text.ids = at::zeros({1, text.states.size(1), 3}, on_device(at::kFloat));
    if (layout.version == ModelVersion::v1_2) {
      text.ids = golden_tensor(file, name + ".txt_ids").unsqueeze(0);
      text.quoted = golden_tensor(file, name + ".text_masks");
      // Nothing is quoted in the negative prompt, and its embeddings are not stored.
      text.embeddings = file.find(name + ".text_embeds") != nullptr
                            ? golden_tensor(file, name + ".text_embeds")
                            : at::zeros(text.states.sizes(), on_device(at::kFloat));
    } else {
      text.padding = about.at(name + ".padded_len").get<std::int64_t>() - text.states.size(1);
    }
    loop.texts.push_back(text);
  }
  loop.noise = golden_tensor(file, "latents0");
  loop.reference = golden_tensor(file, "image_latents");
  const at::Tensor noise = golden_tensor(file, "noise");
  loop.rows = noise.size(2) / kTokenSide;
  loop.columns = noise.size(3) / kTokenSide;
  const at::Tensor sigmas = golden_tensor(file, "sigmas").to(at::kDouble).cpu();
  loop.times.assign(sigmas.const_data_ptr<double>(), sigmas.const_data_ptr<double>() + sigmas.numel());
  loop.guidance = job.guidance;
  loop.damping = GuidanceDamping::all;
  const at::Tensor last = denoise(pipeline.transformer(), loop, {});
  const std::string name = fmt::format("latents.{}", job.steps);
  result.push_back(compare(name + ", same inputs", last, golden_tensor(file, name),
                           tolerance_of(manifest, "latents after the last step, same inputs")));
  const at::Tensor z = golden_tensor(file, "vae.decode_in");
  const VaeConfig& config = pipeline.vae().config();
  result.push_back(compare("vae.decode_out, same inputs",
                           pipeline.vae().decode((z - config.shift) * config.scale, at::kFloat),
                           golden_tensor(file, "vae.decode_out"), vae));
  const at::Tensor unpacked = unpack(golden_tensor(file, name), loop.rows, loop.columns);
  result.push_back(compare("vae.decode_in", unpacked / config.scale + config.shift, z, intermediate));
  return result;
}

}  // namespace step1x::test
