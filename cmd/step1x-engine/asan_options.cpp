// Only in the build with the address sanitizer. The engine and the model module that it loads hold the same static
// libraries, each its own; the sanitizer takes every constant of theirs for one that is defined twice by mistake.
extern "C" const char* __asan_default_options();  // NOLINT: the sanitizer's name
extern "C" const char* __asan_default_options() {
  return "detect_odr_violation=0";
}
