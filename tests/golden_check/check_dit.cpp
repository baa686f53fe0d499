#include "checks.hpp"
#include "model/loading.hpp"
#include "model/packing.hpp"

namespace step1x::test {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class DitCase {
 public:
  DitCase(const fs::path& path, const json& about)
      : file_(path),
        layout_(flat_layout_of(path.parent_path() / about.at("weights").get<std::string>(), about)),
        model_(load_transformer(layout_, at::kFloat, golden_device())),
        absolute_(about.at("tolerance").at("abs").get<double>()),
        relative_(about.at("tolerance").at("rel").get<double>()),
        block_(about.at("tolerance").at("block_abs").get<double>()),
        connector_(about.at("tolerance").at("connector_abs").get<double>()) {}

  Comparisons run() {
    connector();
    blocks();
    full("full");
    if (file_.find("t2i.out") != nullptr) full("t2i");
    const at::Tensor latent = tensor("full.latent");
    const std::int64_t rows = latent.size(2) / kTokenSide;
    const std::int64_t columns = latent.size(3) / kTokenSide;
    const at::Tensor first = tensor("full.packed").narrow(1, 0, rows * columns);
    add("unpack.out", unpack(first, rows, columns), 0, 0);
    return std::move(result_);
  }

 private:
  at::Tensor tensor(const std::string& name) const { return golden_tensor(file_, name); }

  void add(const std::string& name, const at::Tensor& found, double absolute, double relative) {
    result_.push_back(compare_relative(name, found, tensor(name), absolute, relative));
  }

  void connector() {
    for (const std::string name : {"padded_zero", "padded_garbage"}) {
      const ConnectorOutput out = model_.connector.forward(
          {tensor("connector." + name + ".x"), tensor("connector.mask"), tensor("connector.t"), {}, {}});
      add("connector." + name + ".txt", out.tokens, connector_, relative_);
      add("connector." + name + ".y", out.pooled, connector_, relative_);
    }
    add("connector.t_emb", model_.connector.time_vector(tensor("connector.t")), connector_, relative_);
  }

  void blocks() {
    const Transformer& transformer = model_.transformer;
    const at::Tensor vec = tensor("double.vec");
    const Sequence sequence{transformer.rope(tensor("double.ids")), {}};
    const DoubleBlock& first = transformer.double_blocks().front();
    const DoubleBlock::Streams out =
        first.forward({tensor("double.img"), tensor("double.txt")}, first.modulate(vec), sequence);
    add("double.img_out", out.img, block_, relative_);
    add("double.txt_out", out.txt, block_, relative_);
    const SingleBlock& single = transformer.single_blocks().front();
    add("single.out", single.forward(tensor("single.x"), single.modulate(vec), sequence), block_, relative_);
    const FinalLayer& last = transformer.final_layer();
    add("final.out", last.forward(tensor("double.img"), last.modulate(vec)), block_, relative_);
    add("vector_in.out", transformer.pooled_vector(tensor("vector_in.y")), block_, relative_);
    add("time_in.out", transformer.time_vector(tensor("time_in.t")), block_, relative_);
  }

  // `kind`: full (with a reference picture) or t2i.
  void full(const std::string& kind) {
    const Transformer& transformer = model_.transformer;
    const at::Tensor latent = tensor(kind + ".latent");
    const std::int64_t batch = latent.size(0);
    const std::int64_t rows = latent.size(2) / kTokenSide;
    const std::int64_t columns = latent.size(3) / kTokenSide;
    at::Tensor img = pack(latent);
    at::Tensor ids = image_ids(rows, columns, {}, on_device(at::kFloat));
    if (kind == "full") {
      img = at::cat({img, pack(tensor("full.ref_latent"))}, 1);
      ids = at::cat({ids, image_ids(rows, columns, transformer.config().reference_offset, on_device(at::kFloat))}, 0);
    }
    add(kind + ".packed", img, 0, 0);
    add(kind + ".img_ids", ids.expand({batch, -1, -1}), 0, 0);

    const at::Tensor t = tensor("full.t");
    const ConnectorOutput text = model_.connector.forward({tensor("full.txt"), tensor("full.mask"), t, {}, {}});
    const at::Tensor all = at::cat({tensor(kind + ".txt_ids").narrow(0, 0, 1), ids.unsqueeze(0)}, 1);
    const TransformerInput input{
        img, text.tokens, {transformer.rope(all), {}}, transformer.modulate(transformer.condition(t, text.pooled))};
    Transformer::Options options;
    options.after_block = [&](std::string_view name, const at::Tensor& x) {
      if (name != "norm") add(kind + "." + std::string(name), x, absolute_, relative_);
    };
    add(kind + ".out", transformer.forward(std::span(&input, 1), options).front(), absolute_, relative_);
  }

  SafetensorsFile file_;
  ModelLayout layout_;
  TransformerParts model_;
  double absolute_, relative_, block_, connector_;
  Comparisons result_;
};

}  // namespace

Comparisons check_dit(const fs::path& file, const json& about) {
  return DitCase(file, about).run();
}

}  // namespace step1x::test
