// libFuzzer entry for traces: the input is a file, safetensors or .npy by its first bytes. Any outcome but an
// InputError or a layer whose values keep their promises is a fault.
//   clang++ -std=c++20 -fsanitize=fuzzer,address,undefined -Isrc tests/fuzz/fuzz_trace.cpp src/router/{trace,npy,…}.cpp
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/error.hpp"
#include "router/trace.hpp"

namespace {

void expect(bool held) {
  if (!held) std::abort();
}

void check(const tatr::TraceLayer& layer, std::int64_t tokens) {
  const auto rows = static_cast<std::size_t>(layer.tokens);
  expect(layer.tokens == tokens);
  expect(layer.logits.size() == (layer.top_k == 0 ? rows * static_cast<std::size_t>(layer.experts) : 0));
  expect(layer.chosen.size() == rows * static_cast<std::size_t>(layer.top_k));
  expect(layer.scores.size() == layer.chosen.size());
  for (const float logit : layer.logits) expect(std::isfinite(logit));
  for (const float score : layer.scores) expect(score >= 0 && score <= 1);
  for (const std::int32_t id : layer.chosen) expect(id >= 0 && id < layer.experts);
}

void read_all(const tatr::SourceConfig& source) {
  try {
    const tatr::TraceInfo info = tatr::inspect_trace(source);
    for (const std::string& tensor : info.tensors) {
      check(tatr::read_trace_layer(source, tensor, info.tokens, info.experts == 0 ? 8 : 0), info.tokens);
    }
  } catch (const tatr::InputError& error) {
    expect(std::string(error.what()).starts_with(source.path + ":"));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int file = memfd_create("trace", 0);
  if (file < 0 || ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  tatr::SourceConfig source;
  source.path = "/proc/self/fd/" + std::to_string(file);
  for (const std::int64_t first_token : {0, 1}) {
    source.first_token = first_token;
    for (const char* pattern : {"router_logits", "*", "layers.*"}) {
      source.tensors = {pattern};
      read_all(source);
    }
  }
  return 0;
}
