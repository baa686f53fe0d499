// What the benchmarks of the model share. A benchmark holds a list of measures; a script (compare.py) asks for them one
// at a time over stdin, so that it can run the reference in between: a busy machine is then busy for both.
//
// One program at a time, one thread. Throws what the model throws.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "nn/weights.hpp"
#include "support/tensor_memory.hpp"
#include "weights/safetensors.hpp"

namespace step1x::bench {

struct Measure {
  std::string name;
  std::function<void()> work;
  int times = 1;  // how many of what is reported one call of `work` does
};

struct Figure {
  std::string name;
  std::function<double()> value;
};

struct Setting {
  at::ScalarType type = at::kFloat;
  int threads = 1;
  bool processor_time = false;
};

// Reads "f32|bf16 THREADS wall|cpu" and applies the threads.
Setting read_setting(std::span<char*> arguments);

using test::TensorMemory;

// For each line of stdin, the name of a measure or a figure, prints "NAME VALUE": seconds, or the figure. "memory"
// prints the peaks of the process and of its tensors so far, in MiB.
void serve(const Setting& setting, const TensorMemory& memory, std::span<const Measure> measures,
           std::span<const Figure> figures);

// Runs each measure once and prints it, then each figure, which must be at most `most`. The exit status.
int run_short(const Setting& setting, const TensorMemory& memory, std::span<const Measure> measures,
              std::span<const Figure> figures, double most);

at::Tensor stored(const SafetensorsFile& file, std::string_view name, at::ScalarType type);
double rms(const at::Tensor& a, const at::Tensor& b);
// Small random numbers in every tensor of the table.
Weights random_weights(const LoadTable& table, at::ScalarType type);

}  // namespace step1x::bench
