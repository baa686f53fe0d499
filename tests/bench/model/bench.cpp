#include "bench.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/ops/randn.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <fstream>
#include <iostream>
#include <stdexcept>

namespace step1x::bench {

namespace {

double now(bool processor) {
  timespec time{};
  clock_gettime(processor ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double seconds(const Setting& setting, const Measure& measure) {
  const double start = now(setting.processor_time);
  measure.work();
  return (now(setting.processor_time) - start) / measure.times;
}

// A line of /proc/self/status, in MiB. Not getrusage: what it says includes the program that started this one.
double of_process(std::string_view name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name)) return std::stod(line.substr(name.size())) / 1024;
  }
  throw std::runtime_error(fmt::format("/proc/self/status has no {}", name));
}

// The mapped files are the program and its libraries: the models' are read, not mapped.
void print_memory(const TensorMemory& memory) {
  fmt::print("memory {:.1f} {:.1f} {:.1f}\n", of_process("VmHWM:"), of_process("RssFile:"),
             static_cast<double>(memory.peak()) / (1 << 20));
}

}  // namespace

Setting read_setting(std::span<char*> arguments) {
  Setting setting;
  setting.type = std::string(arguments[0]) == "bf16" ? at::kBFloat16 : at::kFloat;
  setting.threads = std::stoi(arguments[1]);
  setting.processor_time = std::string(arguments[2]) == "cpu";
  at::set_num_threads(setting.threads);
  return setting;
}

void serve(const Setting& setting, const TensorMemory& memory, std::span<const Measure> measures,
           std::span<const Figure> figures) {
  for (std::string line; std::getline(std::cin, line);) {
    const auto measure = std::ranges::find(measures, line, &Measure::name);
    const auto figure = std::ranges::find(figures, line, &Figure::name);
    if (line == "memory") {
      print_memory(memory);
    } else if (measure != measures.end()) {
      fmt::print("{} {:.5f}\n", line, seconds(setting, *measure));
    } else if (figure != figures.end()) {
      fmt::print("{} {:.3e}\n", line, figure->value());
    } else {
      throw std::invalid_argument(fmt::format("nothing is called '{}' here", line));
    }
    std::fflush(stdout);
  }
}

int run_short(const Setting& setting, const TensorMemory& memory, std::span<const Measure> measures,
              std::span<const Figure> figures, double most) {
  // On a busy machine a second thread costs a small model more than it helps.
  at::set_num_threads(setting.threads);
  for (const Measure& measure : measures) fmt::print("{} {:.5f}\n", measure.name, seconds(setting, measure));
  bool good = true;
  for (const Figure& figure : figures) {
    const double value = figure.value();
    const bool near = value <= most;  // not so for NaN
    fmt::print("{} {:.3e}{}\n", figure.name, value, near ? "" : fmt::format(": more than {:.0e}", most));
    good = good && near;
  }
  print_memory(memory);
  return good ? 0 : 1;
}

at::Tensor stored(const SafetensorsFile& file, std::string_view name, at::ScalarType type) {
  const TensorInfo& info = file.at(name);
  at::Tensor tensor = at::empty(info.shape, type);
  file.read(info, {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()});
  return tensor;
}

double rms(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).square().mean().sqrt().item<double>();
}

Weights random_weights(const LoadTable& table, at::ScalarType type) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(1);
  Weights::Tensors tensors;
  for (const TensorPlan& plan : table) {
    tensors.emplace(plan.name, (at::randn(plan.shape, generator, at::kFloat) * 0.05).to(type));
  }
  return {std::move(tensors), "random numbers"};
}

}  // namespace step1x::bench
