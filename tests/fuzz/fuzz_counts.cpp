// libFuzzer entry for counts: the first byte picks the kind of file (its name's end), the rest is the file. Any outcome
// but an InputError or counts that can be rounded is a fault.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>

#include "core/error.hpp"
#include "rounding/count_rounding.hpp"
#include "source/counts.hpp"

namespace {

void expect(bool held, const char* what) {
  if (held) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

void use(const tatr::Counts& counts) {
  const auto sum = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  if (sum == 0) return;
  for (const std::int32_t count : counts) expect(count >= 0 && count <= tatr::kMaxCount, "a count");
  tatr::StrategyConfig strategy;
  for (const auto kind : {tatr::StrategyKind::kNone, tatr::StrategyKind::kUp, tatr::StrategyKind::kBalance}) {
    strategy.kind = kind;
    const tatr::RoundingMetrics metrics = tatr::round_counts({sum, 1, counts}, {strategy, 128, 1, 0}).metrics;
    expect(metrics.rows == sum - metrics.dropped + metrics.padded, "rows");
    expect(metrics.tile_utilisation >= 0 && metrics.tile_utilisation <= 1, "utilisation");
  }
}

void read_as(const std::string& path, std::vector<tatr::Axis> axes, std::int64_t experts) {
  tatr::CountsSource source;
  source.path = path;
  source.axes = std::move(axes);
  try {
    const tatr::CountsRecord record = tatr::read_counts(source, experts);
    expect(!record.layers.empty() && record.steps > 0, "layers and steps");
    for (const tatr::CountsLayer& layer : record.layers) {
      expect(std::ssize(layer.steps) == record.steps, "steps");
      for (const tatr::Counts& counts : layer.steps) {
        expect(std::ssize(counts) == record.experts, "experts");
        if (&counts == &layer.steps.front()) use(counts);
      }
    }
  } catch (const tatr::InputError& error) {
    expect(std::string(error.what()).starts_with(path), error.what());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr const char* kEnds[] = {".npy", ".csv", ".jsonl", ".json", ".npz", ".safetensors"};
  const std::string path =
      "/dev/shm/tatr-fuzz-counts-" + std::to_string(::getpid()) + kEnds[data[0] % std::size(kEnds)];
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(data) + 1, static_cast<std::streamsize>(size - 1));
  using tatr::Axis;
  read_as(path, {}, 0);
  read_as(path, {}, 4);
  read_as(path, {Axis::kLayers, Axis::kSteps, Axis::kExperts}, 0);
  std::remove(path.c_str());
  return 0;
}
