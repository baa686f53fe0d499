#include <doctest/doctest.h>

#include <string>

#include "base/error.hpp"
#include "support/mentions.hpp"
#include "support/temp_dir.hpp"
#include "weights/layout.hpp"
#include "weights/support.hpp"

using namespace step1x;
using step1x::test::file_of;
using step1x::test::TempDir;
namespace fs = std::filesystem;

using step1x::test::mentions;

namespace {

constexpr std::string_view kVision = "visual.patch_embed.proj.weight";

void write_flat(const TempDir& dir) {
  dir.write("step1x-edit-i1258.safetensors", file_of({"connector.scale_factor", "img_in.weight"}));
  dir.write("step1x-edit-v1p1-official.safetensors", file_of({"img_in.weight"}));
  dir.write("vae.safetensors", file_of({"decoder.conv_in.bias"}));
  dir.write("Qwen2.5-VL-7B-Instruct/model.safetensors", file_of({std::string(kVision)}));
  dir.write("Qwen2.5-VL-7B-Instruct/config.json", R"({"model_type":"qwen2_5_vl"})");
  dir.write("Qwen2.5-VL-7B-Instruct/tokenizer.json", "{}");
}

void write_diffusers(const TempDir& dir, std::string_view pipeline) {
  dir.write("model_index.json", fmt::format(R"({{"_class_name":"{}"}})", pipeline));
  dir.write("transformer/config.json", "{}");
  dir.write("transformer/diffusion_pytorch_model.safetensors.index.json", "{}");
  dir.write("vae/config.json", "{}");
  dir.write("vae/diffusion_pytorch_model.safetensors", file_of({"a"}));
  dir.write("text_encoder/config.json", R"({"model_type":"qwen2_5_vl"})");
  dir.write("text_encoder/model.safetensors", file_of({std::string(kVision)}));
  dir.write("processor/tokenizer.json", "{}");
  dir.write("processor/preprocessor_config.json", "{}");
  dir.write("scheduler/scheduler_config.json", "{}");
}

// The message of the error that a call gives; empty when it gives none.
template <typename Call>
std::string what_is_missing(const Call& call) {
  try {
    call();
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::model_missing);
    return error.what();
  }
}

}  // namespace

TEST_CASE("a flat folder with both versions gives the newer one, or the one that is asked for") {
  const TempDir dir;
  write_flat(dir);
  const ModelLayout newest = find_layout(dir.path());
  CHECK(newest.kind == LayoutKind::flat);
  CHECK(newest.version == ModelVersion::v1_1);
  CHECK(newest.transformer == dir.path() / "step1x-edit-v1p1-official.safetensors");
  CHECK(newest.vae == dir.path() / "vae.safetensors");
  CHECK(newest.text_encoder == dir.path() / "Qwen2.5-VL-7B-Instruct/model.safetensors");
  CHECK(newest.tokenizer == dir.path() / "Qwen2.5-VL-7B-Instruct/tokenizer.json");
  CHECK(newest.config.empty());
  const ModelLayout older = find_layout(dir.path(), {.version = ModelVersion::v1_0, .text_encoder = {}});
  CHECK(older.version == ModelVersion::v1_0);
  CHECK(older.transformer == dir.path() / "step1x-edit-i1258.safetensors");
  CHECK(mentions(what_is_missing([&] { find_layout(dir.path(), {.version = ModelVersion::v1_2, .text_encoder = {}}); }),
                 "holds Step1X-Edit v1.1 and v1.0 and v1.2 was asked for"));
  dir.write("config.json", "{}");
  CHECK(find_layout(dir.path()).config == dir.path() / "config.json");
}

TEST_CASE("one transformer file of a flat folder names its version") {
  const TempDir dir;
  write_flat(dir);
  const ModelLayout layout = find_layout(dir.path() / "step1x-edit-i1258.safetensors");
  CHECK(layout.version == ModelVersion::v1_0);
  CHECK(layout.folder == dir.path());
  CHECK(mentions(what_is_missing([&] { find_layout(dir.path() / "vae.safetensors"); }), "not a model"));
}

TEST_CASE("the text encoder of a flat folder may lie elsewhere") {
  const TempDir dir;
  write_flat(dir);
  fs::rename(dir.path() / "Qwen2.5-VL-7B-Instruct", dir.path() / "elsewhere");
  CHECK(mentions(what_is_missing([&] { find_layout(dir.path()); }),
                 "Qwen2.5-VL-7B-Instruct: the text encoder is missing"));
  const ModelLayout layout = find_layout(dir.path(), {.version = {}, .text_encoder = dir.path() / "elsewhere"});
  CHECK(layout.text_encoder == dir.path() / "elsewhere/model.safetensors");
}

TEST_CASE("diffusers folders are told apart by their pipeline") {
  const TempDir dir;
  write_diffusers(dir, "Step1XEditPipeline");
  ModelLayout layout = find_layout(dir.path());
  CHECK(layout.kind == LayoutKind::diffusers);
  CHECK(layout.version == ModelVersion::v1_1);
  CHECK(layout.transformer.filename() == "diffusion_pytorch_model.safetensors.index.json");
  CHECK(layout.vae.filename() == "diffusion_pytorch_model.safetensors");
  CHECK(layout.scheduler_config.filename() == "scheduler_config.json");
  write_diffusers(dir, "Step1XEditPipelineV1P2");
  CHECK(find_layout(dir.path()).version == ModelVersion::v1_2);
  CHECK(mentions(what_is_missing([&] { find_layout(dir.path(), {.version = ModelVersion::v1_0, .text_encoder = {}}); }),
                 "holds Step1X-Edit v1.2 and v1.0 was asked for"));
  write_diffusers(dir, "FluxPipeline");
  CHECK(mentions(what_is_missing([&] { find_layout(dir.path()); }), "'_class_name' is \"FluxPipeline\""));
}

TEST_CASE("the tokenizer of a diffusers folder may lie beside the text encoder") {
  const TempDir dir;
  write_diffusers(dir, "Step1XEditPipelineV1P2");
  fs::remove_all(dir.path() / "processor");
  CHECK(mentions(what_is_missing([&] { find_layout(dir.path()); }),
                 "processor/tokenizer.json: the tokenizer is missing"));
  dir.write("text_encoder/tokenizer.json", "{}");
  CHECK(find_layout(dir.path()).tokenizer == dir.path() / "text_encoder/tokenizer.json");
}

TEST_CASE("every missing part is named with its path") {
  const auto without = [](const char* part, bool flat) {
    const TempDir dir;
    if (flat) {
      write_flat(dir);
    } else {
      write_diffusers(dir, "Step1XEditPipeline");
    }
    fs::remove(dir.path() / part);
    const std::string message = what_is_missing([&] { find_layout(dir.path()); });
    CHECK(mentions(message, dir.path().string()));
    return message;
  };
  CHECK(mentions(without("vae.safetensors", true), "vae.safetensors: the VAE is missing"));
  CHECK(mentions(without("Qwen2.5-VL-7B-Instruct/config.json", true), "config.json"));
  CHECK(mentions(without("Qwen2.5-VL-7B-Instruct/tokenizer.json", true), "tokenizer"));
  CHECK(mentions(without("Qwen2.5-VL-7B-Instruct/model.safetensors", true), "neither model.safetensors nor"));
  CHECK(mentions(without("transformer/diffusion_pytorch_model.safetensors.index.json", false),
                 "transformer: weights are missing"));
  CHECK(mentions(without("transformer/config.json", false), "transformer/config.json"));
  CHECK(mentions(without("vae/diffusion_pytorch_model.safetensors", false), "vae: weights are missing"));
  CHECK(mentions(without("text_encoder/model.safetensors", false), "text_encoder: weights are missing"));
}

TEST_CASE("a folder that is no model, and a folder that is not there") {
  const TempDir dir;
  CHECK(mentions(what_is_missing([&] { find_layout(dir.path()); }), "not a Step1X-Edit model"));
  CHECK(mentions(what_is_missing([&] { find_layout(dir.path() / "none"); }), "no such model folder"));
}

TEST_CASE("a transformer of another version than its name says is refused") {
  const TempDir dir;
  write_flat(dir);
  ModelLayout layout = find_layout(dir.path());
  const Checkpoint newer(layout.transformer);
  const Checkpoint older(dir.path() / "step1x-edit-i1258.safetensors");
  CHECK_NOTHROW(check_version(newer, layout));
  CHECK(mentions(what_is_missing([&] { check_version(older, layout); }), "expected Step1X-Edit v1.1, found v1.0"));
  layout.version = ModelVersion::v1_0;
  CHECK_NOTHROW(check_version(older, layout));
  CHECK(mentions(what_is_missing([&] { check_version(newer, layout); }), "'connector.scale_factor' is missing"));
  layout.kind = LayoutKind::diffusers;
  layout.version = ModelVersion::v1_2;
  CHECK(mentions(what_is_missing([&] { check_version(newer, layout); }), "'text_token_mapping.weight' is missing"));
}

TEST_CASE("a text model in the vision model's place is refused by its config or its tensors") {
  const TempDir dir;
  write_flat(dir);
  const ModelLayout layout = find_layout(dir.path());
  const Checkpoint good(layout.text_encoder);
  CHECK_NOTHROW(check_text_encoder(good, layout));
  const Checkpoint text_only(dir.write("text.safetensors", file_of({"model.norm.weight"})));
  CHECK(mentions(what_is_missing([&] { check_text_encoder(text_only, layout); }),
                 "a text model where a vision model belongs"));
  dir.write("Qwen2.5-VL-7B-Instruct/config.json", R"({"model_type":"qwen2"})");
  CHECK(mentions(what_is_missing([&] { check_text_encoder(good, layout); }),
                 "'model_type' is \"qwen2\", expected \"qwen2_5_vl\""));
}
