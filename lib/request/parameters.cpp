#include "request/parameters.hpp"

#include <algorithm>
#include <array>

#include "base/duration.hpp"

namespace step1x::request {
namespace {

using std::string_view;

constexpr std::size_t kLongText = 65'536;
constexpr std::size_t kLongPath = 4096;
constexpr double kMostBytes = 0x1p62;
// The integers that a double holds are those that every JSON reader has.
constexpr double kMostSeed = 0x1p53;

constexpr std::array<string_view, 3> kDampings{"all", "early", "off"};
constexpr std::array<string_view, 4> kPlans{"auto", "resident", "staged", "stream"};

// The flags of `prompt` may name a file, that of `seed` has a word for "any", and `model` is a name before it is a
// folder: these three are made by their commands.
constexpr std::array kParameters{
    Parameter{
        .name = "prompt",
        .presence = Presence::required,
        .most_bytes = kLongText,
        .column = true,
        .picture = true,
    },
    Parameter{
        .name = "negative_prompt",
        .presence = Presence::sent,
        .most_bytes = kLongText,
        .fallback = "",
        .flags = "-n,--negative-prompt",
        .value_name = "TEXT",
        .help = "What to keep away from",
        .setting = true,
        .column = true,
        .picture = true,
    },
    Parameter{
        .name = "size",
        .type = Type::integer,
        .presence = Presence::required,
        .low = 16,
        .high = 4096,
        .fallback = std::int64_t{1024},
        .flags = "--size,--size-level",
        .value_name = "N",
        .help = "Edit at the area of a square with this side: 512, 768, 1024 or another; default: the model's own, or "
                "1024",
        .setting = true,
        .column = true,
        .of_model = true,
        .picture = true,
        .needs_input = true,
    },
    Parameter{
        .name = "steps",
        .type = Type::integer,
        .presence = Presence::required,
        .low = 1,
        .high = 1000,
        .fallback = std::int64_t{28},
        .flags = "--steps",
        .value_name = "N",
        .help = "Denoising steps; default: the model's own, or 28",
        .setting = true,
        .column = true,
        .of_model = true,
        .picture = true,
    },
    Parameter{
        .name = "guidance",
        .type = Type::number,
        .presence = Presence::required,
        .low = 0,
        .high = 100,
        .fallback = 6.0,
        .flags = "--guidance,--cfg-scale",
        .value_name = "X",
        .help = "How closely to follow the prompt; default: the model's own, or 6.0",
        .setting = true,
        .column = true,
        .of_model = true,
        .picture = true,
    },
    Parameter{
        .name = "seed",
        .type = Type::integer,
        .presence = Presence::required,
        .low = 0,
        .high = kMostSeed,
        .column = true,
        .picture = true,
    },
    Parameter{
        .name = "guidance_damping",
        .type = Type::word,
        .words = kDampings,
        .flags = "--guidance-damping",
        .value_name = "WHEN",
        .help = "Damp strong guidance in all steps, in the early ones, or never: all, early or off",
        .column = true,
        .of_model = true,
        .picture = true,
    },
    Parameter{
        .name = "vae_tiling",
        .type = Type::boolean,
        .fallback = false,
        .flags = "--vae-tiling",
        .help = "Take less memory: encode and decode the picture in blended tiles",
        .column = true,
        .picture = true,
    },
    Parameter{
        .name = "truncate",
        .type = Type::boolean,
        .fallback = false,
        .flags = "--truncate",
        .help = "Cut off the end of a prompt that is longer than the model takes, instead of refusing it",
        .setting = true,
        .column = true,
        .picture = true,
    },
    Parameter{
        .name = "model",
        .presence = Presence::required,
        .most_bytes = kLongPath,
    },
    Parameter{
        .name = "device",
        .presence = Presence::sent,
        .most_bytes = kLongPath,
        .fallback = "auto",
        .flags = "--device",
        .value_name = "DEVICE",
        .help = "auto, cpu, cuda:N or a GPU's UUID; default auto",
        .setting = true,
    },
    Parameter{
        .name = "plan",
        .type = Type::word,
        .words = kPlans,
        .fallback = "auto",
        .flags = "--plan",
        .value_name = "PLAN",
        .help = "How much of the model is on the GPU at a time: auto, resident, staged or stream; default auto",
        .setting = true,
    },
    Parameter{
        .name = "max_vram",
        .type = Type::signed_size,
        .low = -kMostBytes,
        .high = kMostBytes,
        .flags = "--max-vram",
        .value_name = "SIZE",
        .help = "Use no more of the GPU's memory than SIZE (20G); negative: leave so much of what is free (-2G)",
        .setting = true,
    },
    Parameter{
        .name = "max_ram",
        .type = Type::signed_size,
        .low = -kMostBytes,
        .high = kMostBytes,
        .flags = "--max-ram",
        .value_name = "SIZE",
        .help =
            "Keep the model in RAM if it takes no more than SIZE (64G), whatever seems to be free; negative: leave so "
            "much of what is (-4G)",
        .setting = true,
    },
    Parameter{
        .name = "min_free_vram",
        .type = Type::size,
        .high = kMostBytes,
        .flags = "--min-free-vram",
        .value_name = "SIZE",
        .help = "Do not bring the model to a GPU that has less memory free than SIZE: give up with exit code 75",
    },
    Parameter{
        .name = "wait_gpu",
        .type = Type::duration,
        .high = static_cast<double>(kLongestDuration.count()),
        .flags = "--wait-gpu",
        .value_name = "DURATION",
        .help = "Wait so long for the GPU's memory: for --min-free-vram, or for what the model needs",
    },
};

}  // namespace

std::span<const Parameter> parameters() {
  return kParameters;
}

const Parameter* find(string_view name) {
  const auto found = std::ranges::find(kParameters, name, &Parameter::name);
  return found == kParameters.end() ? nullptr : &*found;
}

const Parameter& parameter(string_view name) {
  return *find(name);
}

}  // namespace step1x::request
