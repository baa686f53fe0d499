#!/usr/bin/env bash
# Usage: tests/support/lint_can_fail.sh
#
# That `scripts/lint tidy` sees a mistake where it looks: in a source that a unity build has included in another one, in
# one that is compiled alone, and in a header. And that it does not take nothing to look at for nothing to complain of.

set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
tree=$(mktemp -d)
trap 'rm -rf -- "$tree"' EXIT
mkdir -p "$tree/lib/part" "$tree/build/release/lib/part/Unity"
cp -r "$root/scripts" "$root/.clang-tidy" "$tree"
git -C "$tree" init -q

cat >"$tree/lib/part/planted.hpp" <<'CODE'
#pragma once
#include <string>
struct Shape {
  virtual int sides() const { return 0; }
  Shape(int) {}
};
CODE
cat >"$tree/lib/part/planted.cpp" <<'CODE'
#include "planted.hpp"
#include <utility>
#include <vector>
struct Square : Shape {
  using Shape::Shape;
  virtual int sides() const { return 4; }
};
std::size_t used_after_move(std::string text) {
  std::string other = std::move(text);
  return text.size() + other.size();
}
double share(int part, int whole) { return part / whole; }
int* nothing() { return 0; }
std::size_t copies(const std::vector<std::string>& words) {
  std::size_t all = 0;
  for (const std::string word : words) all += word.size();
  return all;
}
bool same(int a) { return a == a; }
void catches() {
  try {
    used_after_move("");
  } catch (std::string problem) {
    (void)problem;
  }
}
std::string text_of(bool long_one) { return std::string('x', 3 + (long_one ? 1 : 0)); }
CODE
unity=$tree/build/release/lib/part/Unity/unity_0_cxx.cxx
echo "#include \"$tree/lib/part/planted.cpp\"" >"$unity"

commands() {
  printf '[\n{\n  "directory": "%s",\n  "command": "c++ -std=gnu++20 -c %s",\n  "file": "%s"\n}\n]\n' "$tree" "$1" "$1" \
    >"$tree/build/release/compile_commands.json"
}

# Those that a file is red for, in lines.
found() {
  commands "$1"
  rm -rf -- "$tree/build/tidy"
  local said
  if said=$("$tree/scripts/lint" tidy 2>&1); then
    printf 'clang-tidy found nothing in %s:\n%s\n' "$1" "$said" >&2
    exit 1
  fi
  grep -o '\[[a-z]*-[a-z-]*,-warnings-as-errors\]' <<<"$said" | sort -u
}

alone=$(found "$tree/lib/part/planted.cpp")
in_one=$(found "$unity")
for check in bugprone-use-after-move bugprone-integer-division modernize-use-nullptr performance-for-range-copy \
  misc-redundant-expression misc-throw-by-value-catch-by-reference google-explicit-constructor \
  cppcoreguidelines-virtual-class-destructor modernize-use-override; do
  grep -qF "[$check," <<<"$alone" || { echo "$check does not see its mistake" && exit 1; }
done
[[ $alone == "$in_one" ]] || {
  printf 'alone and in a unity build are not the same:\n%s\n' "$(diff <(echo "$alone") <(echo "$in_one"))"
  exit 1
}
echo "$(wc -l <<<"$alone") kinds of mistakes seen, alone and in a unity build"

printf '[]\n' >"$tree/build/release/compile_commands.json"
if "$tree/scripts/lint" tidy 2>/dev/null; then
  echo "clang-tidy over no file is taken for success"
  exit 1
fi
