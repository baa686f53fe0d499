// A list of pictures with what each is to become: JSON lines (.jsonl, .ndjson), a table (.csv, .tsv; the first line
// names the columns), or one JSON object {picture: prompt} (.json), which is what the reference's batch script reads.
//
// Members and columns: `input` (or `image`), `output`, and the parameters that lib/request/parameters.cpp lets a
// manifest have. Paths are relative to `folder`. Empty cells count as not there. Errors: Error(usage) with the file,
// the line and what is wrong with it; an unknown member is one.
#pragma once

#include <filesystem>
#include <vector>

#include "batch/item.hpp"

namespace step1x::batch {

// `file` may be "-" for standard input, or a pipe: then the first line tells, which begins with a brace or names
// columns. A picture may be in several lines.
std::vector<Item> read_manifest(const std::filesystem::path& file, const std::filesystem::path& folder);

// The rows of a table of comma- or tab-separated values (RFC 4180: quotes around a cell, doubled within it; line breaks
// in quotes; CRLF or LF). Throws Error(usage) naming `what` and the line where a quote is not closed.
struct Row {
  std::size_t line = 0;
  std::vector<std::string> cells;
};
std::vector<Row> parse_table(std::string_view text, char separator, const std::string& what);

}  // namespace step1x::batch
