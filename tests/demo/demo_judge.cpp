// Judges the demo model from the shell: pictures and wordings that training never had, each edit against the true one.
//
// Usage: demo-judge BUILD_DIR [--short] [--verbose]
//
//   --short  each edit in one wording, on two photographs (STEP1X_LONG=1: in all wordings, on all pictures)
//
// Prints a table, and exits with 1 when a share of the pairs or the VAE falls below its goal.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/atomic_file.hpp"
#include "demo/drawings.hpp"
#include "demo/phrases.hpp"
#include "image/decoder.hpp"
#include "image/encode.hpp"
#include "measures.hpp"
#include "model/loading.hpp"
#include "model/pictures.hpp"
#include "support/process.hpp"
#include "support/temp_dir.hpp"

namespace step1x::test {

namespace {

namespace fs = std::filesystem;
using demo::Edit;

constexpr int kSize = 256;
// Training counts its drawings from other seeds.
constexpr std::uint64_t kDrawingSeed = 0x5eed'0000'0000;
constexpr double kLeastChroma = 0.12;
constexpr double kLeastDeviation = 0.08;

Picture read_picture(const fs::path& path) {
  image::Decoder decoder = image::Decoder::from_file(path);
  Picture picture{{decoder.width(), decoder.height()}, {}};
  picture.rgb.resize(static_cast<std::size_t>(decoder.width()) * static_cast<std::size_t>(decoder.height()) * 3);
  decoder.read(std::as_writable_bytes(std::span(picture.rgb)));
  return picture;
}

at::Tensor tensor_of(const Picture& picture) {
  return (picture_tensor(picture.view()) + 1) / 2;
}

struct Subject {
  std::string name;
  Picture picture;
};

std::vector<Subject> subjects(const fs::path& data, std::size_t drawings, int multiple) {
  std::vector<Subject> all;
  for (const char* name : {"chelsea.jpg", "coffee.jpg"}) {
    const Picture whole = read_picture(data / name);
    const PictureSize size = edit_size(whole.size, kSize, multiple);
    all.push_back({name, {size, resize(whole.view(), size, ResizeFilter::lanczos)}});
  }
  // Grey ones show nothing of what becomes of colours, and plain ones have no structure to keep.
  for (std::uint64_t seed = kDrawingSeed; all.size() < drawings + 2; ++seed) {
    demo::Random random(seed);
    const at::Tensor drawing = demo::drawing(random, kSize).unsqueeze(0);
    const bool colourful = (drawing.amax(1) - drawing.amin(1)).mean().item<double>() >= kLeastChroma;
    if (!colourful || demo::luminance(drawing).std().item<double>() < kLeastDeviation) continue;
    all.push_back({fmt::format("drawing {}", all.size() - 1), picture_of(drawing * 2 - 1, LayoutKind::diffusers)});
  }
  return all;
}

class Shell {
 public:
  explicit Shell(const fs::path& build) : step1x_((build / "bin/step1x").string()) {
    fs::create_directory(folder_.path() / "run");
    fs::permissions(folder_.path() / "run", fs::perms::owner_all);
  }
  ~Shell() { run({"worker", "stop", "--force"}); }
  Shell(const Shell&) = delete;
  Shell& operator=(const Shell&) = delete;

  at::Tensor edit(const Picture& picture, std::string_view prompt, std::size_t seed) {
    const fs::path in = folder_.path() / "in.png";
    const fs::path out = folder_.path() / "out.png";
    write_file_atomically(in,
                          image::encode(std::as_bytes(std::span(picture.rgb)), picture.size.width, picture.size.height,
                                        image::Format::png),
                          Replace::always);
    const Finished done = run({"edit", in.string(), "--model", "demo", "--device", "cpu", "--seed",
                               std::to_string(seed), "-p", std::string(prompt), "-o", out.string()});
    if (done.status != 0) throw std::runtime_error(done.err);
    return tensor_of(read_picture(out));
  }

 private:
  Finished run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), step1x_);
    return run_process(arguments,
                       {"STEP1X_RUNTIME_DIR=" + (folder_.path() / "run").string(), "HOME=" + folder_.path().string(),
                        "STEP1X_SIZE=", "STEP1X_STEPS=", "STEP1X_GUIDANCE="});
  }

  TempDir folder_;
  std::string step1x_;
};

struct Count {
  int passed = 0;
  int all = 0;

  void add(bool good) {
    passed += good ? 1 : 0;
    ++all;
  }
  double share() const { return all == 0 ? 0 : static_cast<double>(passed) / all; }
};

// The edits that a picture editor would be laughed at for missing.
bool is_basic(Edit edit) {
  return edit == Edit::black_and_white || edit == Edit::brighter || edit == Edit::darker || edit == Edit::invert ||
         demo::is_tint(edit);
}

class Judge {
 public:
  Judge(const fs::path& build, bool brief, bool verbose) : build_(build), brief_(brief), verbose_(verbose) {}

  int run() {
    const Vae vae = load_vae(find_layout(build_ / "share/step1x/demo"), at::kFloat);
    const auto multiple = static_cast<int>(vae.config().factor() * 2);
    const std::vector<Subject> all = subjects(STEP1X_DATA_DIR, brief_ ? 0 : 6, multiple);
    round_trips(vae, all);
    edits(all);
    return good_ ? 0 : 1;
  }

 private:
  void require(bool good) { good_ = good_ && good; }

  void round_trips(const Vae& vae, const std::vector<Subject>& all) {
    fmt::print("VAE round trip                  PSNR    colour error\n");
    for (const Subject& subject : all) {
      const at::Tensor x = tensor_of(subject.picture);
      const at::Tensor back =
          (vae.decode(vae.latents(vae.moments(x * 2 - 1, at::kFloat), {}), at::kFloat).clamp(-1, 1) + 1) / 2;
      const double decibels = psnr(x, back);
      const double colour = mean_colour_error(x, back);
      const bool photograph = subject.name.ends_with(".jpg");
      fmt::print("  {:<26} {:6.1f} dB  {:.3f}{}\n", subject.name, decibels, colour,
                 photograph ? "   goal 27 dB, at least 24; at most 0.03" : "");
      if (photograph) require(decibels >= 24 && colour <= 0.03);
    }
  }

  void edits(const std::vector<Subject>& all) {
    Shell shell(build_);
    Count basic;
    Count others;
    fmt::print("\nedit                passed\n");
    for (const Edit edit : demo::kEdits) {
      Count count;
      std::string failures;
      for (const std::string_view wording : demo::unseen_phrases(edit)) {
        if (brief_ && count.all > 0) break;
        for (const Subject& subject : all) {
          const at::Tensor source = tensor_of(subject.picture);
          const at::Tensor result = shell.edit(subject.picture, wording, static_cast<std::size_t>(count.all));
          const Verdict verdict = judge(edit, source, result, demo::apply(edit, source));
          count.add(verdict.passed);
          if (!verdict.passed || verbose_) {
            failures += fmt::format("    {} {}, \"{}\": {}\n", verdict.passed ? "ok  " : "FAIL", subject.name, wording,
                                    verdict.why);
          }
        }
      }
      fmt::print("  {:<16} {:3} of {:3}\n{}", demo::name(edit), count.passed, count.all, failures);
      std::fflush(stdout);
      Count& group = is_basic(edit) ? basic : others;
      group.passed += count.passed;
      group.all += count.all;
    }
    fmt::print("\nblack and white, brighter, darker, invert, tints: {:.0f} %   goal 90\n", basic.share() * 100);
    fmt::print("the others: {:.0f} %   goal 70\n", others.share() * 100);
    require(basic.share() >= 0.9 && others.share() >= 0.7);
  }

  fs::path build_;
  bool brief_;
  bool verbose_;
  bool good_ = true;
};

}  // namespace

}  // namespace step1x::test

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const auto has = [&](const char* flag) { return std::ranges::find(arguments, flag) != arguments.end(); };
  if (arguments.empty() || arguments.front().starts_with('-')) {
    fmt::print(stderr, "usage: demo-judge BUILD_DIR [--short] [--verbose]\n");
    return 2;
  }
  try {
    const bool brief = has("--short") && std::getenv("STEP1X_LONG") == nullptr;
    return step1x::test::Judge(std::filesystem::absolute(arguments.front()), brief, has("--verbose")).run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "demo-judge: {}\n", error.what());
    return 1;
  }
}
