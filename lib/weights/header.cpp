// The header of a safetensors file: JSON to TensorInfo, then the checks that make the offsets trustworthy.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>

#include "base/error.hpp"
#include "base/utf8.hpp"
#include "weights/safetensors.hpp"

namespace step1x {

namespace {

using nlohmann::json;

// The reference parser stops at 128 levels; nothing legitimate has more than three.
constexpr std::size_t kMaxDepth = 64;

struct Entry {
  std::optional<Dtype> dtype;
  std::optional<std::vector<std::uint64_t>> shape;
  std::optional<std::vector<std::uint64_t>> offsets;
};

// Builds entries straight from the parser's events: a header may have 100 MB, of which a document tree would make ten
// times as much.
class HeaderEvents : public nlohmann::json_sax<json> {
 public:
  explicit HeaderEvents(std::string_view file) : file_(file) {}

  std::vector<std::pair<std::string, Entry>> entries;
  std::map<std::string, std::string, std::less<>> metadata;

  bool null() override { return scalar("null"); }
  bool boolean(bool) override { return scalar("a boolean"); }
  bool number_integer(number_integer_t) override { return scalar("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return scalar("a number that is not a 64-bit unsigned integer");
  }
  bool binary(binary_t&) override { return scalar("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (numbers_ == nullptr) return scalar("a number");
    numbers_->push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (depth() == 2 && in_metadata_) {
      metadata.emplace(key_, value);
      return true;
    }
    if (depth() == 2 && key_ == "dtype") {
      entry().dtype = dtype_of(value);
      if (!entry().dtype) fail_tensor(fmt::format("unknown dtype {}", quote_name(value)));
      return true;
    }
    return scalar("a string");
  }

  bool start_object(std::size_t) override {
    if (depth() == 1) {
      in_metadata_ = key_ == "__metadata__";
      if (!in_metadata_) entries.emplace_back(key_, Entry{});
    } else if (depth() == 2) {
      refuse_known_field("an object");
    } else if (numbers_ != nullptr) {
      fail_tensor(fmt::format("'{}' holds an object", key_));
    }
    return push();
  }

  bool start_array(std::size_t) override {
    if (depth() == 0) fail("the header is not a JSON object");
    if (depth() == 1) fail_value("an array");
    if (depth() == 2 && !in_metadata_ && key_ == "shape") {
      numbers_ = &entry().shape.emplace();
    } else if (depth() == 2 && !in_metadata_ && key_ == "data_offsets") {
      numbers_ = &entry().offsets.emplace();
    } else if (depth() == 2) {
      refuse_known_field("an array");
    } else if (numbers_ != nullptr) {
      fail_tensor(fmt::format("'{}' holds an array", key_));
    }
    return push();
  }

  bool key(string_t& value) override {
    if (!keys_.back().insert(value).second) fail(fmt::format("duplicate key {}", quote_name(value)));
    if (depth() <= 2) key_ = value;
    return true;
  }

  bool end_object() override { return pop(); }
  bool end_array() override { return pop(); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    // The library's text begins with its own error number.
    const std::string_view text = error.what();
    const std::size_t bracket = text.find("] ");
    fail(fmt::format("its header is not JSON, at byte {}: {}", position,
                     text.substr(bracket == std::string_view::npos ? 0 : bracket + 2)));
  }

  [[noreturn]] void fail(const std::string& reason) const {
    throw Error::format(ErrorCode::model_missing, "{}: not a valid safetensors file: {}", file_, reason);
  }

 private:
  std::size_t depth() const { return keys_.size(); }
  Entry& entry() { return entries.back().second; }

  bool push() {
    if (depth() == kMaxDepth) fail(fmt::format("its header is nested deeper than {} levels", kMaxDepth));
    keys_.emplace_back();
    return true;
  }

  bool pop() {
    keys_.pop_back();
    if (depth() == 2) numbers_ = nullptr;
    return true;
  }

  // A value of a kind that no known place takes. Unknown fields of a tensor may hold anything.
  bool scalar(std::string_view found) {
    if (depth() == 0) fail("the header is not a JSON object");
    if (depth() == 1) fail_value(found);
    if (numbers_ != nullptr) fail_tensor(fmt::format("'{}' holds {}", key_, found));
    if (depth() == 2) refuse_known_field(found);
    return true;
  }

  void refuse_known_field(std::string_view found) {
    if (in_metadata_) fail(fmt::format("'__metadata__' {} is {}, not a string", quote_name(key_), found));
    if (key_ == "dtype" || key_ == "shape" || key_ == "data_offsets") {
      fail_tensor(fmt::format("'{}' is {}", key_, found));
    }
  }

  [[noreturn]] void fail_value(std::string_view found) const {
    fail(fmt::format("{} is {}, not an object", quote_name(key_), found));
  }
  [[noreturn]] void fail_tensor(const std::string& reason) const {
    fail(fmt::format("tensor {}: {}", quote_name(entries.back().first), reason));
  }

  std::string_view file_;
  std::vector<std::set<std::string>> keys_;  // seen in each open object; an array has an empty set
  std::string key_;                          // last key at depth 1 or 2
  bool in_metadata_ = false;
  std::vector<std::uint64_t>* numbers_ = nullptr;  // the shape or offsets being read
};

// Shape and offsets as the format wants them; throws through `events`.
TensorInfo checked_tensor(const HeaderEvents& events, const std::string& name, const Entry& entry) {
  const auto fail = [&](const std::string& reason) {
    events.fail(fmt::format("tensor {}: {}", quote_name(name), reason));
  };
  if (!entry.dtype) fail("no 'dtype'");
  if (!entry.shape) fail("no 'shape'");
  if (!entry.offsets) fail("no 'data_offsets'");
  if (entry.offsets->size() != 2) fail(fmt::format("'data_offsets' has {} numbers, not 2", entry.offsets->size()));

  TensorInfo tensor{.name = name, .dtype = *entry.dtype, .shape = {}, .offset = (*entry.offsets)[0], .bytes = 0};
  std::uint64_t count = 1;
  bool overflow = false;
  for (const std::uint64_t size : *entry.shape) {
    if (size > std::uint64_t{INT64_MAX}) fail(fmt::format("dimension {} is too large", size));
    overflow |= __builtin_mul_overflow(count, size, &count);
    tensor.shape.push_back(static_cast<std::int64_t>(size));
  }
  std::uint64_t total_bits = 0;
  overflow |= __builtin_mul_overflow(count, bits(tensor.dtype), &total_bits);
  if (overflow) fail(fmt::format("shape {} overflows 64 bits", format_shape(tensor.shape)));
  if (total_bits % 8 != 0) {
    fail(fmt::format("shape {} of {} does not end on a whole byte", format_shape(tensor.shape),
                     step1x::name(tensor.dtype)));
  }
  tensor.bytes = total_bits / 8;

  const auto [begin, end] = std::pair((*entry.offsets)[0], (*entry.offsets)[1]);
  if (end < begin) fail(fmt::format("its data ends at {}, before its start at {}", end, begin));
  if (end - begin != tensor.bytes) {
    fail(fmt::format("shape {} of {} needs {} bytes and its offsets [{}, {}] hold {}", format_shape(tensor.shape),
                     step1x::name(tensor.dtype), tensor.bytes, begin, end, end - begin));
  }
  return tensor;
}

}  // namespace

SafetensorsHeader parse_header(std::string_view header, std::uint64_t file_bytes, std::string_view file) {
  HeaderEvents events(file);
  if (const auto bad = find_invalid_utf8(header)) {
    events.fail(fmt::format("its header is not UTF-8, at byte {}", *bad));
  }
  if (header.empty() || header.front() != '{') events.fail("its header does not begin with '{'");
  // The parser takes a NUL for the end of its input.
  if (const auto nul = header.find('\0'); nul != std::string_view::npos) {
    events.fail(fmt::format("its header has a NUL, at byte {}", nul));
  }
  json::sax_parse(header, &events);

  SafetensorsHeader result;
  result.metadata = std::move(events.metadata);
  result.tensors.reserve(events.entries.size());
  for (const auto& [name, entry] : events.entries) result.tensors.push_back(checked_tensor(events, name, entry));
  // Tensors without elements share their offset with a neighbour and come before it.
  std::ranges::sort(result.tensors, {},
                    [](const TensorInfo& t) { return std::tuple(t.offset, t.bytes, std::string_view(t.name)); });

  const std::uint64_t data_start = 8 + header.size();
  std::uint64_t expected = 0;
  for (TensorInfo& tensor : result.tensors) {
    if (tensor.offset != expected) {
      events.fail(fmt::format("tensor {} begins at {} of the data where {} was expected: {}", quote_name(tensor.name),
                              tensor.offset, expected,
                              tensor.offset < expected ? "tensors overlap" : "there is a gap"));
    }
    expected += tensor.bytes;
    tensor.offset += data_start;
  }
  const std::uint64_t data_bytes = file_bytes < data_start ? 0 : file_bytes - data_start;
  if (data_bytes != expected) {
    throw Error::format(ErrorCode::model_missing,
                        "{}: {}: its header describes {} bytes of data and the file has {}; {}", file,
                        data_bytes < expected ? "truncated" : "bytes after the last tensor", expected, data_bytes,
                        "get the file again");
  }
  return result;
}

}  // namespace step1x
