#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "nn/weights.hpp"
#include "support/doctest_with_torch.hpp"
#include "support/temp_dir.hpp"
#include "weights/support.hpp"

using namespace step1x;
using step1x::test::TempDir;

namespace {

// Every type that a checkpoint may have can hold these: two bits of fraction are enough.
const std::vector<float> kValues{0, 1, -1.5F, 0.25F, 96, -0.0625F};

struct Stored {
  const char* name;
  at::ScalarType type;
};
constexpr Stored kTypes[] = {{"F64", at::kDouble},
                             {"F32", at::kFloat},
                             {"F16", at::kHalf},
                             {"BF16", at::kBFloat16},
                             {"F8_E4M3", at::kFloat8_e4m3fn}};

// One tensor "w" of shape [3, 2] in the given type.
std::string checkpoint_bytes(const Stored& stored) {
  const at::Tensor tensor = at::tensor(kValues).to(stored.type);
  const std::string data(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  return test::safetensors_bytes(
      fmt::format(R"({{"w":{{"dtype":"{}","shape":[3,2],"data_offsets":[0,{}]}}}})", stored.name, data.size()), data);
}

Checkpoint checkpoint_of(const TempDir& dir, const Stored& stored) {
  const auto path = dir.path() / "w.safetensors";
  std::ofstream(path, std::ios::binary) << checkpoint_bytes(stored);
  return Checkpoint(path);
}

}  // namespace

TEST_CASE("whatever type the checkpoint has, the values arrive") {
  const TempDir dir;
  const LoadTable table{whole_tensor("w", {3, 2}, "w")};
  const at::Tensor expected = at::tensor(kValues).view({3, 2});
  for (const Stored& stored : kTypes) {
    for (const at::ScalarType wanted : {at::kFloat, at::kBFloat16}) {
      CAPTURE(stored.name);
      const Weights weights = load_weights(checkpoint_of(dir, stored), table, wanted);
      const at::Tensor& loaded = weights.at("w", {3, 2});
      CHECK((loaded.scalar_type() == wanted));
      CHECK(at::equal(loaded.to(at::kFloat), expected));
    }
  }
}

TEST_CASE("rows of a tensor are put where the table says, in any type") {
  const TempDir dir;
  // Two rows of `w` in another order, and the same one twice.
  const LoadTable table{{"fused", {3, 2}, {{"w", {3, 2}, 2, 0, 1}, {"w", {3, 2}, 0, 1, 2}}}};
  const at::Tensor expected = at::tensor({96.0F, -0.0625F, 0.0F, 1.0F, -1.5F, 0.25F}).view({3, 2});
  for (const Stored& stored : kTypes) {
    CAPTURE(stored.name);
    const Weights weights = load_weights(checkpoint_of(dir, stored), table, at::kFloat);
    CHECK(at::equal(weights.at("fused", {3, 2}), expected));
  }
}

TEST_CASE("a type that nothing can be computed with is refused with file and tensor") {
  const TempDir dir;
  const auto path = dir.path() / "w.safetensors";
  std::ofstream(path, std::ios::binary) << test::file_of({"w"});
  CHECK_THROWS_WITH_AS(load_weights(Checkpoint(path), {whole_tensor("w", {2}, "w")}, at::kFloat),
                       doctest::Contains("w.safetensors: tensor 'w' has the type U8"), Error);
}

TEST_CASE("loading tells the bytes of every tensor, and what the hook throws ends it") {
  const TempDir dir;
  const LoadTable table{whole_tensor("a", {3, 2}, "w"), whole_tensor("b", {3, 2}, "w")};
  const Checkpoint checkpoint = checkpoint_of(dir, kTypes[3]);
  std::int64_t told = 0;
  load_weights(checkpoint, table, at::kFloat, [&](std::int64_t bytes) { told += bytes; });
  CHECK(told == 2 * 6 * 4);
  CHECK(told == weights_bytes(table, at::kFloat));
  const auto stop = [](std::int64_t) { throw Error(ErrorCode::cancelled, "cancelled"); };
  CHECK_THROWS_WITH_AS(load_weights(checkpoint, table, at::kFloat, stop), "cancelled", Error);
}
