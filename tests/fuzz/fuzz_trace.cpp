// libFuzzer entry for traces: the input is a file, safetensors or .npy by its first bytes. Any outcome but an
// InputError or a layer that can be routed and rounded, with values that keep their promises, is a fault.
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/error.hpp"
#include "fuzz/use_trace.hpp"
#include "source/trace.hpp"

namespace {

constexpr std::int64_t kMostExperts = 64, kMostTokens = 1024;  // of what is rounded: more only takes longer

void expect(bool held, const char* what) {
  if (held) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

bool is_negative(float value) { return std::bit_cast<std::uint32_t>(value) >> 31 != 0; }

void check(const tatr::TraceLayer& layer, const tatr::TraceInfo& info) {
  const auto rows = static_cast<std::size_t>(layer.tokens);
  expect(layer.tokens + layer.masked == info.tokens, "tokens");
  expect(layer.logits.size() == (layer.top_k == 0 ? rows * static_cast<std::size_t>(layer.experts) : 0), "logits");
  expect(layer.chosen.size() == rows * static_cast<std::size_t>(layer.top_k), "chosen");
  const bool scores = layer.top_k != 0 && info.known == tatr::Known::kGates;
  expect(layer.scores.size() == (scores ? layer.chosen.size() : 0), "scores");
  for (const float logit : layer.logits) expect(std::isfinite(logit) && (logit != 0 || !is_negative(logit)), "a logit");
  for (const float score : layer.scores) expect(score >= 0 && score <= 1 && !is_negative(score), "a score");
  for (const std::int32_t id : layer.chosen) expect(id >= 0 && id < layer.experts, "an id");
}

/// Returns whether a layer was read; the first is used as a run would.
bool read_all(const tatr::TraceSource& source, bool use) {
  static const auto system = tatr::make_cpu_system(1);
  bool read = false;
  try {
    const tatr::TraceInfo info = tatr::inspect_trace(source);
    const std::int64_t experts = info.experts == 0 && info.top_k <= 8 ? 8 : 0;
    for (const std::string& tensor : info.tensors) {
      const tatr::TraceLayer layer = tatr::read_trace_layer(source, tensor, info.tokens, experts);
      check(layer, info);
      const bool fits = layer.experts <= kMostExperts && layer.tokens <= kMostTokens && layer.top_k <= tatr::kMaxTopK;
      if (use && !read && fits) {
        const std::string broken = tatr::use_layer(layer, *system);
        expect(broken.empty(), broken.c_str());
      }
      read = true;
    }
    tatr::TraceReader(source, {info.tokens, experts}).check_start();
  } catch (const tatr::InputError& error) {
    expect(std::string(error.what()).starts_with(source.path + ":"), error.what());
  }
  return read;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int file = memfd_create("trace", 0);
  if (file < 0 || ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  tatr::TraceSource source;
  source.path = "/proc/self/fd/" + std::to_string(file);
  bool used = false;
  const auto read = [&] { used = read_all(source, !used) || used; };
  for (const char* pattern : {"router_logits", "*", "layers.*"}) {
    source.tensors = {pattern};
    for (const auto values : {tatr::TraceValues::kTold, tatr::TraceValues::kLogits, tatr::TraceValues::kTopK,
                              tatr::TraceValues::kProbabilities}) {
      source.values = values;
      read();
    }
  }
  source.tensors = {"*"};
  source.values = tatr::TraceValues::kTold;
  source.first_token = 1;
  read();
  source.first_token = 0;
  for (const char* mask : {"padding", "mask"}) {
    source.mask = mask;
    read();
  }
  source.mask.clear();
  using tatr::Axis;
  for (const std::vector<Axis>& axes :
       {std::vector{Axis::kTokens, Axis::kLayers, Axis::kExperts}, {Axis::kSteps, Axis::kTokens, Axis::kTopK}}) {
    source.axes = axes;
    read();
  }
  return 0;
}
