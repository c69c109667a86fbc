// The sources of router logits: their catalogue, and what a config says of one. What a kind takes is in a header of its
// own in options/sources/; how it makes or reads logits is src/source/'s business.
#pragma once

#include <array>
#include <string_view>
#include <variant>

#include "options/sources/counts_options.hpp"
#include "options/sources/gaussian_options.hpp"
#include "options/sources/hot_options.hpp"
#include "options/sources/lognormal_options.hpp"
#include "options/sources/topics_options.hpp"
#include "options/sources/trace_options.hpp"
#include "options/sources/trained_options.hpp"
#include "options/sources/zipf_options.hpp"

namespace tatr {

/// The catalogue, in the order of SourceKind. Of each: kName in configs and results, kHelp, kWords for the text report
/// with its fields in braces, kSynthetic, and the list of its fields (options/fields.hpp).
using SourceOptions = std::variant<GaussianSource, ZipfSource, LognormalSource, TopicsSource, HotSource, TrainedSource,
                                   TraceSource, CountsSource>;
enum class SourceKind { kGaussian, kZipf, kLognormal, kTopics, kHot, kTrained, kTrace, kCounts };

struct SourceRow {
  SourceKind kind;
  std::string_view name, help;
};

namespace source_rows {

template <class... Options>
constexpr auto rows_of(const std::variant<Options...>*) {
  int kind = 0;
  return std::array{SourceRow{static_cast<SourceKind>(kind++), Options::kName, Options::kHelp}...};
}

template <class... Options>
std::array<SourceOptions, sizeof...(Options)> defaults_of(const std::variant<Options...>*) {
  return {Options{}...};
}

}  // namespace source_rows

inline constexpr auto kSources = source_rows::rows_of(static_cast<const SourceOptions*>(nullptr));

/// Of every kind, in the order of SourceKind, its options by default.
inline std::array<SourceOptions, kSources.size()> default_sources() {
  return source_rows::defaults_of(static_cast<const SourceOptions*>(nullptr));
}

/// Where router logits come from. A logit of a synthetic source is `deviation` * N(0, 1) plus what the kind adds.
struct SourceConfig {
  double deviation = 1.0;  // all synthetic kinds: standard deviation of the independent part
  SourceOptions options = GaussianSource{};

  SourceKind kind() const { return static_cast<SourceKind>(options.index()); }
  const TrainedSource* trained() const { return std::get_if<TrainedSource>(&options); }
  const TraceSource* trace() const { return std::get_if<TraceSource>(&options); }
  const CountsSource* counts() const { return std::get_if<CountsSource>(&options); }
  /// Of the file, folder or pattern that is read; null for a source that reads none.
  const std::string* path() const { return trace() != nullptr ? &trace()->path : counts() ? &counts()->path : nullptr; }
};

}  // namespace tatr
