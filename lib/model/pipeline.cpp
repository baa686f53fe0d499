#include "model/pipeline.hpp"

#include "base/error.hpp"
#include "model/encoder_patches.hpp"
#include "model/packing.hpp"
#include "nn/finite.hpp"

namespace step1x {

namespace {

// What the text encoder sees when there is no picture.
constexpr PictureSize kBlackPicture{1024, 1024};

bool is_guided(const JobOptions& job, LayoutKind layout) {
  return layout == LayoutKind::flat ? job.guidance >= 0 : job.guidance > 1;
}

WeightsSource whole_model(ModelWeights weights) {
  return [weights = std::move(weights)](ModelPart part) {
    return part == ModelPart::text_encoder  ? weights.text_encoder
           : part == ModelPart::transformer ? weights.transformer
                                            : weights.vae;
  };
}

void observe(const JobOptions& job, std::string_view name, const at::Tensor& tensor) {
  if (job.observe) job.observe(name, tensor);
}

}  // namespace

Pipeline::Pipeline(std::shared_ptr<const ModelFiles> files, WeightsSource source, const PipelineOptions& options)
    : files_(std::move(files)),
      source_(std::move(source)),
      options_(options),
      vae_(files_->vae.config, source_(ModelPart::vae)) {}

Pipeline::Pipeline(const ModelLayout& layout, const PipelineOptions& options)
    : Pipeline(std::make_shared<const ModelFiles>(open_model(layout)), options) {}

Pipeline::Pipeline(std::shared_ptr<const ModelFiles> files, const PipelineOptions& options)
    : Pipeline(files, whole_model(load_model(*files, options.dtype, {}, options.device)), options) {}

std::int64_t Pipeline::multiple() const {
  return vae_.config().factor() * kTokenSide;
}

TransformerParts Pipeline::transformer() const {
  const TransformerConfig& config = files_->transformer.config;
  const Weights weights = source_(ModelPart::transformer);
  return {Connector(config, weights), Transformer(config, weights)};
}

TextEncoder Pipeline::text_encoder() const {
  return {files_->text_encoder.config, source_(ModelPart::text_encoder)};
}

// Of which the picture would be black, or noise. `type`: what the stage computed in.
void Pipeline::check_finite(const at::Tensor& x, at::ScalarType type, std::string_view stage) const {
  if (all_finite(x)) return;
  throw Error::format(ErrorCode::model_missing,
                      "{}: {} gave NaN or infinity: the model's files are damaged (get them again), or {} is too low a "
                      "precision for them",
                      files_->layout.folder.string(), stage, c10::toString(type));
}

// Before anything is computed, so that what is wrong with a prompt is told at once.
Pipeline::Prompts Pipeline::read_prompts(const JobOptions& job, RgbView picture) const {
  Prompts prompts{encoder_patches(picture, files_->picture, files_->layout.kind), {}};
  const auto add = [&](const std::string& text, std::string_view member, std::string_view what) {
    prompts.texts.push_back(encode_prompt(files_->tokenizer, files_->prompt, text, prompts.patches.tokens, what));
    const std::optional<PromptCut> cut = find_cut(files_->tokenizer, prompts.texts.back());
    if (!cut) return;
    if (!job.truncate) {
      throw Error::format(
          ErrorCode::bad_prompt,
          "{} is too long: it has {} tokens with the picture's {}, and this model takes {}; shorten it, "
          "or have its end cut off with --truncate",
          what, cut->tokens, prompts.patches.tokens, cut->kept);
    }
    if (job.cut) job.cut(member, *cut);
  };
  add(job.prompt, "prompt", "the prompt");
  if (is_guided(job, files_->layout.kind)) add(job.negative_prompt, "negative_prompt", "the negative prompt");
  return prompts;
}

std::vector<TextInput> Pipeline::encode_texts(const JobOptions& job, const Prompts& prompts,
                                              PictureSize working) const {
  const EncoderPatches& patches = prompts.patches;
  const TextEncoder encoder = text_encoder();
  const TextEncoderConfig& config = encoder.config();
  const EncodedPrompt& positive = prompts.texts.front();
  const PictureTokens tokens =
      encoder.encode_picture(patches.pixels.to(options_.device, options_.dtype), patches.grid, job.before_layer);
  const std::int64_t merge = config.vision.merge_size;
  const auto side = [&](std::int64_t count) { return static_cast<int>(count * config.vision.patch_size); };
  const PictureGeometry geometry{{patches.grid.rows / merge, patches.grid.columns / merge},
                                 {side(patches.grid.columns), side(patches.grid.rows)},
                                 working,
                                 vae_.config().factor()};
  std::vector<TextInput> texts;
  const auto add = [&](const EncodedPrompt& prompt, const TextEncoding& encoding) {
    check_finite(encoding.hidden, options_.dtype, "the text encoder");
    texts.push_back(text_input(prompt, encoding, files_->layout.version, geometry, config.image_token));
    observe(job, texts.size() == 1 ? "text.0" : "text.1", texts.back().states);
  };
  if (prompts.texts.size() > 1) {
    const EncodedPrompt& negative = prompts.texts.back();
    const auto [first, second] = encoder.encode_pair(positive, negative, tokens, job.before_layer);
    add(positive, first);
    add(negative, second);
  } else {
    add(positive, encoder.encode(positive, tokens, job.before_layer));
  }
  return texts;
}

// What follows when texts, noise and reference are there. The result has the working size.
Picture Pipeline::finish(const JobOptions& job, DenoiseInput input) const {
  input.times = schedule(files_->scheduler, job.steps, input.rows * input.columns);
  input.guidance = job.guidance;
  input.damping = job.damping.value_or(default_damping(files_->layout.kind));
  observe(job, "times", at::tensor(input.times, at::kDouble));
  const auto denoised_latents = [&] {
    // Its weights are let go before the decoding.
    const TransformerParts parts = transformer();
    observe(job, "transformer", {});
    DenoiseOptions options = job.denoise;
    options.after_step = [&](int step, const at::Tensor& velocity, const at::Tensor& latents) {
      // On a GPU looking at a number waits for all that was asked for before it: what is wrong stays wrong to the end.
      if (latents.is_cpu() || step + 1 == job.steps)
        check_finite(latents, options_.dtype, fmt::format("the transformer, by step {} of {},", step + 1, job.steps));
      if (job.denoise.after_step) job.denoise.after_step(step, velocity, latents);
    };
    return denoise(parts, input, options);
  };
  const at::Tensor denoised = denoised_latents();
  const at::Tensor latents = unpack(denoised, input.rows, input.columns);
  const at::Tensor decoded = vae_.decode(latents, at::kFloat, job.tiling, job.before_vae_block);
  check_finite(decoded, at::kFloat, "the VAE's decoder");
  observe(job, "decoded", decoded);
  return picture_of(decoded, files_->layout.kind);
}

// ImageGenerator.generate_image: https://github.com/stepfun-ai/Step1X-Edit/blob/570eba6ebda0/inference.py#L344-L438
Picture Pipeline::edit(RgbView picture, int size_level, const JobOptions& job) const {
  const WorkingPicture working =
      working_picture(picture, size_level, multiple(), files_->layout.kind, files_->layout.version);
  observe(job, "resized", at::tensor(working.encoder.rgb, at::kByte));
  const Prompts prompts = read_prompts(job, working.encoder.view());
  observe(job, "vae_input", working.vae);
  const VaeConfig& vae = vae_.config();
  const at::Tensor moments =
      vae_.moments(working.vae.to(options_.device), options_.dtype, job.tiling, job.before_vae_block).to(at::kFloat);
  check_finite(moments, options_.dtype, "the VAE's encoder");
  observe(job, "moments", moments);
  const std::vector<std::int64_t> shape{1, vae.latent_channels, moments.size(2), moments.size(3)};
  const at::TensorOptions options = at::TensorOptions(options_.dtype).device(options_.device);
  const Noise noise = draw_noise(files_->layout.kind, job.seeds, shape, true, options);
  observe(job, "posterior_noise", noise.posterior);
  observe(job, "noise", noise.latents);
  const at::Tensor reference = vae_.latents(moments, noise.posterior.to(at::kFloat)).to(options_.dtype);
  observe(job, "reference_latents", reference);

  DenoiseInput input;
  input.texts = encode_texts(job, prompts, working.encoder.size);
  input.noise = pack(noise.latents);
  input.reference = pack(reference);
  input.rows = shape[2] / kTokenSide;
  input.columns = shape[3] / kTokenSide;
  return resize_back(finish(job, std::move(input)), {picture.width, picture.height}, files_->layout.kind);
}

// The same without a picture.
Picture Pipeline::generate(PictureSize size, const JobOptions& job) const {
  if (files_->layout.kind != LayoutKind::flat || files_->layout.version != ModelVersion::v1_1) {
    throw Error::format(ErrorCode::usage,
                        "{}: this model edits pictures and makes none from text; Step1X-Edit v1.1 as released "
                        "(step1x-edit-v1p1-official.safetensors) does",
                        files_->layout.folder.string());
  }
  if (size.width < 1 || size.height < 1) {
    throw Error::format(ErrorCode::usage, "a picture of {}x{} cannot be made", size.width, size.height);
  }
  const auto up = [&](int side) { return (side + multiple() - 1) / multiple(); };
  DenoiseInput input;
  input.rows = up(size.height);
  input.columns = up(size.width);
  const Picture black{kBlackPicture, std::vector<std::uint8_t>(static_cast<std::size_t>(kBlackPicture.width) *
                                                               kBlackPicture.height * 3)};
  input.texts = encode_texts(job, read_prompts(job, black.view()), kBlackPicture);
  const at::TensorOptions options = at::TensorOptions(options_.dtype).device(options_.device);
  const std::vector<std::int64_t> shape{1, vae_.config().latent_channels, input.rows * kTokenSide,
                                        input.columns * kTokenSide};
  const Noise noise = draw_noise(files_->layout.kind, job.seeds, shape, false, options);
  observe(job, "noise", noise.latents);
  input.noise = pack(noise.latents);
  return resize_back(finish(job, std::move(input)), size, files_->layout.kind);
}

}  // namespace step1x
