#include "experiment/data_reading.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <optional>
#include <string_view>

#include "config/overrides.hpp"
#include "config/read.hpp"
#include "core/error.hpp"
#include "experiment/trace_checks.hpp"
#include "formats/tensor_set.hpp"
#include "router/routing.hpp"
#include "source/counts.hpp"
#include "source/routing_source.hpp"
#include "source/trace.hpp"

namespace tatr {

namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr std::int64_t kMostConfigBytes = 1 << 20;  // what is larger is data

/// A try: what it came to, or why it cannot be.
struct Try {
  std::optional<DataReading> reading;
  std::string why_not;
};

Json document_of(const std::string& path, const std::string& kind, const std::vector<std::string>& overrides) {
  const std::string name = fs::path(path).filename().string();
  const std::string stem = name.substr(0, name.find('.'));
  Json document = {{"name", stem.empty() ? "data" : stem},
                   {"router", {{"source", {{"kind", kind}, {"file", fs::absolute(path).string()}}}}},
                   {"tile", {64, 128, 256}},
                   {"strategies", {"none"}}};
  for (const std::string& one : overrides) apply_override(document, one);
  return document;
}

nlohmann::ordered_json router_of(const Json& document, const std::string& path) {
  nlohmann::ordered_json router;
  for (const auto& [key, value] : document["router"].items()) {
    if (key != "source") router[key] = value;
  }
  nlohmann::ordered_json& source = router["source"];
  source["kind"] = document["router"]["source"]["kind"];
  source["file"] = path;
  for (const auto& [key, value] : document["router"]["source"].items()) {
    if (key != "kind" && key != "file") source[key] = value;
  }
  return router;
}

/// What is wrong with the data, without where it lies, which is told once.
std::string shown(const std::string& path, const Error& error) {
  std::string text = error.what();
  const std::string absolute = fs::absolute(path).string();
  for (std::size_t at = 0; (at = text.find(absolute, at)) != std::string::npos; at += path.size()) {
    text.replace(at, absolute.size(), path);
  }
  return text.starts_with(path + ": ") ? text.substr(path.size() + 2) : text;
}

DataReading reading_of(const std::string& path, const Json& document, const std::vector<std::string>& overrides) {
  try {
    DataReading reading{router_of(document, path), parse_experiment(document, path)};
    resolve_source(reading.config);
    check_source_start(reading.config.router);
    return reading;
  } catch (const ConfigError& error) {
    rethrow_with_origin(error, path, overrides);
    throw;
  }
}

Try try_kind(const std::string& path, const std::string& kind, const std::vector<std::string>& overrides) {
  try {
    return {reading_of(path, document_of(path, kind, overrides), overrides), ""};
  } catch (const Error& error) {
    return {std::nullopt, shown(path, error)};
  }
}

/// As a trace, whatever top_k is. ConfigError where it is none.
ExperimentConfig trace_config_of(const std::string& path, Json document) {
  document["router"].emplace("top_k", 1);
  return parse_experiment(document, path);
}

/// Whether the arrays could be ids of a top-k, whatever the number of experts is.
bool may_be_ids(const std::string& path, const Json& as_trace) {
  try {
    const ExperimentConfig config = trace_config_of(path, as_trace);
    TraceReader reader(*config.router.source.trace(), {.experts = kMaxExperts});
    if (reader.info().top_k == 0) return false;
    reader.check_start();
    return true;
  } catch (const AmbiguousInputError&) {  // only what its dimensions are, or what is padding, is in doubt
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// One expert for each of many tokens: a single row of numbers below its own length.
bool may_be_top_1(const CountsRecord& record) {
  if (record.layers.size() != 1 || record.steps != 1) return false;
  const Counts& counts = record.layers.front().steps.front();
  return counts.size() > 1 && *std::ranges::max_element(counts) < std::ssize(counts);
}

/// Layers of one network see the same tokens: ids of experts would not add up alike.
bool adds_up_alike(const CountsRecord& record) {
  if (record.layers.size() < 2) return false;
  for (std::size_t step = 0; step < static_cast<std::size_t>(record.steps); ++step) {
    const auto sum_of = [&](const CountsLayer& layer) {
      return std::accumulate(layer.steps[step].begin(), layer.steps[step].end(), std::int64_t{0});
    };
    const std::int64_t first = sum_of(record.layers.front());
    if (!std::ranges::all_of(record.layers, [&](const CountsLayer& layer) { return sum_of(layer) == first; }))
      return false;
  }
  return true;
}

/// Why what can be read as counts may be something else; empty: it may not.
std::string doubt_of_counts(const std::string& path, const RouterConfig& router, const Json& as_trace) {
  const auto record = shared_counts(*router.source.counts(), router.experts);
  if (may_be_top_1(*record)) {
    return "may be an expert for each token (as ids, [tokens, 1]); --set /router/source/kind=counts reads it as counts";
  }
  if (adds_up_alike(*record) || !may_be_ids(path, as_trace)) return {};
  return "may be ids of experts: no layers of it have the same number of tokens (--set /router/source/kind=counts "
         "reads them all the same)";
}

/// Whether the numbers are counts whatever the config says of them, and of nothing else.
bool are_counts(const std::string& path, const Json& as_counts, const Json& as_trace) {
  try {
    return doubt_of_counts(path, parse_experiment(as_counts, path).router, as_trace).empty();
  } catch (const Error&) {
    return false;
  }
}

/// `why_not` may begin with the place in what was made of the overrides.
[[noreturn]] void refuse(const std::string& path, const std::string& why_not) {
  if (why_not.starts_with(path + ":")) throw UsageError(why_not);
  throw InputError(path, why_not);
}

/// What a trace needs to be told: the reading is clear, but the file does not hold it all.
[[noreturn]] void ask_for_shape(const std::string& path, const TraceInfo& info, const TraceSource& source) {
  const std::string values = info.values + " of " + std::to_string(info.tensors.size()) +
                             (info.tensors.size() == 1 ? " layer, " : " layers, ") + std::to_string(info.tokens) +
                             " tokens";
  if (info.top_k == 0) {
    throw InputError(path,
                     values + ", " + std::to_string(info.experts) +
                         " experts: logits do not say how many experts a token goes to; --set /router/top_k=K does");
  }
  std::int32_t most = 0;
  TraceReader reader(source, {.experts = kMaxExperts});
  const std::int64_t rows = std::min<std::int64_t>(info.tokens, kMaxTokens);
  for (const std::string& tensor : info.tensors) {
    const TraceLayer layer = reader.read(tensor, {0, rows});
    most = std::max(most, *std::ranges::max_element(layer.chosen));
  }
  throw InputError(path, values + ", top " + std::to_string(info.top_k) + ": the highest expert is " +
                             std::to_string(most) + "; --set /router/experts=E says how many there are");
}

/// Of a trace of which only top_k or the number of experts is missing, or that looks like something else: throws what
/// to tell. Returns where it is none.
void ask_if_clear(const std::string& path, const Json& document) {
  std::optional<TraceInfo> info;
  ExperimentConfig config;
  try {
    config = trace_config_of(path, document);
    const RouterConfig& router = config.router;
    if (router.source.trace() == nullptr) return;
    info = inspect_trace(*router.source.trace());
    const std::int64_t experts = info->experts != 0 ? info->experts : router.experts;
    const bool missing = info->top_k == 0 ? !document["router"].contains("top_k") : experts == 0;
    if (!missing) return;
    TraceReader(*router.source.trace(), {.experts = experts == 0 ? kMaxExperts : experts, .scoring = router.scoring})
        .check_start();
  } catch (const AmbiguousInputError& error) {
    if (error.doubt() == AmbiguousInputError::Doubt::kValues) throw InputError(path, shown(path, error));
    return;
  } catch (const ConfigError&) {
    return;
  } catch (const InputError&) {
    return;
  }
  ask_for_shape(path, *info, *config.router.source.trace());
}

}  // namespace

bool is_data(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return true;
  if (!fs::exists(path, error)) return fs::path(path).filename().string().find('*') != std::string::npos;
  const std::string name = fs::path(path).filename().string();
  if (format_ending(name) == ".index.json") return true;
  if (!fs::is_regular_file(path, error)) return false;
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return false;  // the reader of configs says what is wrong
  char mark[3] = {};          // of UTF-8
  if (!stream.read(mark, 3) || std::string_view(mark, 3) != "\xef\xbb\xbf") {
    stream.clear();
    stream.seekg(0);
  }
  char first = 0;
  if (!(stream >> first)) return !name.ends_with(".json");
  if (first == '[') return true;
  if (first != '{') return !name.ends_with(".json");
  for (const char* end : {".jsonl", ".ndjson"}) {
    if (name.ends_with(end)) return true;
  }
  if (fs::file_size(path, error) > kMostConfigBytes) return true;
  stream.seekg(0);
  const Json document = Json::parse(stream, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object() || document.empty()) return false;
  return std::ranges::none_of(
      std::initializer_list<const char*>{"name", "router", "tile", "strategies", "sweep", "schema_version"},
      [&](const char* key) { return document.contains(key); });
}

void refuse_data(const std::string& path) {
  if (!is_data(path)) return;
  throw UsageError(path + ": is data, no config; tatr-sim run " + path + " --save-config FILE makes a config for it");
}

DataReading read_data(const std::string& path, const std::vector<std::string>& overrides) {
  const bool said =
      std::ranges::any_of(overrides, [](const std::string& one) { return one.starts_with("/router/source/kind="); });
  const Json as_trace = document_of(path, "trace", overrides);
  Try trace = try_kind(path, "trace", overrides);
  if (said) {
    if (trace.reading) return std::move(*trace.reading);
    ask_if_clear(path, as_trace);
    refuse(path, trace.why_not);
  }
  Try counts = try_kind(path, "counts", overrides);
  if (counts.reading) {
    const std::string doubt = doubt_of_counts(path, counts.reading->config.router, as_trace);
    if (!doubt.empty()) counts = {std::nullopt, doubt};
  }
  if (trace.reading && counts.reading) {
    throw InputError(
        path, "may be a trace or counts of tokens per expert; --set /router/source/kind=trace or =counts says which");
  }
  if (trace.reading) return std::move(*trace.reading);
  if (counts.reading) return std::move(*counts.reading);
  ask_if_clear(path, as_trace);
  if (trace.why_not == counts.why_not || are_counts(path, document_of(path, "counts", overrides), as_trace))
    refuse(path, counts.why_not);
  throw InputError(path, "is no trace: " + trace.why_not + "; and no counts: " + counts.why_not);
}

}  // namespace tatr
