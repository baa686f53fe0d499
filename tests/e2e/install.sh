#!/usr/bin/env bash
# Usage: install.sh BUILD_DIR SOURCE_DIR TORCH_LIB_DIR
#
# An installed tree that was moved to another prefix works: programs, man pages, an edit with the stand-in engine. The
# programs carry no path of the machine they were built on, and the engine needs no shared library but libtorch's and
# the system's base ones. TORCH_LIB_DIR is empty in a build without libtorch.
set -euo pipefail
build_dir=$1 source_dir=$2 torch_lib_dir=${3:-}

tmp=$(mktemp -d)
trap 'rm -rf -- "$tmp"' EXIT
failures=0
# expect WHAT COMMAND...: the command must succeed; otherwise what it printed is shown.
expect() {
  local what=$1
  shift
  if "$@" >"$tmp/out" 2>&1; then echo "ok    $what"; else
    echo "FAIL  $what"
    sed 's/^/      /' -- "$tmp/out"
    failures=$((failures + 1))
  fi
}

cmake --install "$build_dir" --prefix "$tmp/first" >"$tmp/out" || { cat -- "$tmp/out" && exit 1; }
mkdir -- "$tmp/moved here"
prefix="$tmp/moved here/prefix"
mv -- "$tmp/first" "$prefix"
engine=$prefix/libexec/step1x/step1x-engine
module=$prefix/libexec/step1x/step1x-model.so

for program in "$prefix/bin/step1x" "$prefix/bin/step1xd" "$engine" ${torch_lib_dir:+"$module"}; do
  expect "${program#"$prefix"/} is there" test -s "$program"
done
# formats PAGE: man shows it, and groff has nothing to complain of.
formats() {
  local complaints
  complaints=$(LC_ALL=C.UTF-8 man --warnings "$1" 2>&1 >/dev/null) || return 1
  [[ -z $complaints ]] || { echo "$complaints" && return 1; }
}
for page in man1/step1x.1 man5/step1x.toml.5; do
  expect "$page is there and is not empty" test -s "$prefix/share/man/$page"
  expect "$page formats without a warning" formats "$prefix/share/man/$page"
done

# needed FILE, run_path FILE: of its dynamic section, one entry a line.
needed() { readelf -dW -- "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
run_path() { readelf -dW -- "$1" | sed -n 's/.*(R\(UN\)\{0,1\}PATH).*\[\(.*\)\]/\2/p' | tr ':' '\n'; }
# only PATTERN LIST: fails and prints the lines of LIST that do not match as a whole.
only() { ! grep -vxE -- "$1" <<<"$2" | grep .; }
none() { ! grep -E -- "$1" <<<"$2"; }

base='lib(c|m|stdc\+\+|gcc_s|pthread|dl|rt)\.so\.[0-9]+|ld-linux-x86-64\.so\.2|ld-linux-aarch64\.so\.1'
expect "the engine needs only base libraries" only "$base" "$(needed "$engine")"
if [[ -n $torch_lib_dir ]]; then
  expect "the model needs only libtorch and base libraries" only "$base|lib(torch|torch_cpu|c10)\.so" "$(needed "$module")"
fi
for program in bin/step1x bin/step1xd; do
  expect "$program loads no libtorch and no libvips at its start" none 'torch|c10|cuda|vips' "$(needed "$prefix/$program")"
done
while IFS= read -r -d '' file; do
  readelf -h -- "$file" >/dev/null 2>&1 || continue
  expect "${file#"$prefix"/} has only run paths relative to itself" only "(\\\$ORIGIN(/.*)?)?" "$(run_path "$file")"
  # What __FILE__ and the like leave behind is no path that a program opens, so only folders of the build count.
  expect "${file#"$prefix"/} does not name the build folder" none "^$build_dir(/|$)" "$(strings -- "$file")"
done < <(find "$prefix" -type f -print0)

# run STEP1X_ARGUMENTS...: as a user with nothing but a PATH would, from another folder.
environment=(PATH=/usr/bin:/bin "STEP1X_RUNTIME_DIR=$tmp/run")
run() { (cd / && env -i "${environment[@]}" "$prefix/bin/step1x" "$@"); }
version=$(run --version) || { echo "FAIL  step1x --version" && exit 1; }
expect "--version prints version and build id ($version)" \
  grep -qE '^step1x [0-9]+\.[0-9]+\.[0-9]+.*[ (+-][0-9a-f]{7,}' <<<"$version"

# edit NAME STEP1X_ARGUMENTS...: a picture through an isolated worker; stdout is the path of a PNG.
edit() {
  local out="$tmp/$1.png" printed
  shift
  printed=$(run edit "$@" --isolated -p "a green cup" -o "$out") || return 1
  [[ $printed == "$out" ]] || { echo "printed: $printed" && return 1; }
  [[ $(head -c 8 -- "$out" | od -An -tx1 | tr -d ' \n') == 89504e470d0a1a0a ]] || { echo "no PNG" && return 1; }
}
# refuses PATTERN COMMAND...: it fails, and says why.
refuses() {
  local pattern=$1
  shift
  ! "$@" >"$tmp/refused" 2>&1 && grep -E -- "$pattern" "$tmp/refused"
}
expect "an edit with the stand-in engine" edit alone "$source_dir/tests/data/coffee.jpg" --model fake:

if [[ -n $torch_lib_dir ]]; then
  golden=$build_dir/golden
  model=("$golden/images/photo.png" --model "$golden/bundle" --device cpu --size 64 --steps 2)
  expect "without libtorch an edit says what to set" refuses 'libtorch.*STEP1X_TORCH_DIR' edit without "${model[@]}"
  environment+=("STEP1X_TORCH_DIR=$(cd -- "$torch_lib_dir/../.." && pwd)")
  expect "an edit finds libtorch by STEP1X_TORCH_DIR" edit by-variable "${model[@]}"
  expect "an edit with the demo model" edit demo "$source_dir/tests/data/coffee.jpg" --model demo --device cpu
  unset 'environment[-1]'
  # Only a run path relative to the module is a place of this tree, where a link may be put.
  beside=$(run_path "$module" | sed -n 's,^[$]ORIGIN/\(.*torch/lib\)$,\1,p' | head -n 1)
  expect "the model has a run path \$ORIGIN/.../torch/lib" test -n "$beside"
  if [[ -n $beside ]]; then
    place=$(realpath -m -- "$(dirname -- "$module")/$beside")
    mkdir -p -- "$(dirname -- "$place")"
    ln -sT -- "$torch_lib_dir" "$place"
    expect "an edit finds libtorch beside the engine" edit beside "${model[@]}"
  fi
fi

((failures == 0)) || { echo "$failures checks failed" && exit 1; }
