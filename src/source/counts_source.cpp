#include <algorithm>
#include <numeric>
#include <utility>

#include "core/error.hpp"
#include "source/counts.hpp"
#include "source/groups.hpp"
#include "source/routing_source.hpp"

namespace tatr {

namespace {

std::int64_t top_k_of(const RouterConfig& router) { return router.top_k == 0 ? 1 : router.top_k; }

/// " (top_k 1, 2, 4, 8 divide it)"; empty where only 1 would.
std::string divisors_words(std::int64_t sum, std::int64_t experts) {
  constexpr std::int64_t kMost = 16;  // no router is known that chooses more
  std::string words;
  for (std::int64_t top_k = 1; sum > 0 && top_k <= std::min(kMost, experts); ++top_k) {
    if (sum % top_k == 0) words += (words.empty() ? "" : ", ") + std::to_string(top_k);
  }
  return words.find(',') == std::string::npos ? "" : " (top_k " + words + " divide it)";
}

/// Tokens that one step of a layer has. Throws InputError where its counts are none of a top-k.
std::int64_t tokens_of(const RouterConfig& router, const CountsLayer& layer, std::size_t step) {
  const Counts& counts = layer.steps[step];
  const std::int64_t sum = std::accumulate(counts.begin(), counts.end(), std::int64_t{0}), top_k = top_k_of(router);
  const auto refuse = [&](const std::string& problem) {
    throw InputError(*router.source.path() + ": " + layer.name + ", step " + std::to_string(step), problem);
  };
  const auto of_top_k = [&] {
    return " tokens that choose " + std::to_string(top_k) + (top_k == 1 ? " expert each" : " experts each");
  };
  if (!router.tokens_told && (sum == 0 || sum % top_k != 0)) {
    refuse("counts add up to " + std::to_string(sum) + ", which is no number of" + of_top_k() +
           "; allowed: a positive multiple of top_k" + divisors_words(sum, std::ssize(counts)) +
           ", or router.tokens in the config");
  }
  const std::int64_t tokens = router.tokens_told ? router.tokens : sum / top_k;
  if (sum > tokens * top_k) {
    refuse("counts add up to " + std::to_string(sum) + "; allowed: at most " + std::to_string(tokens * top_k) +
           ", of " + std::to_string(tokens) + of_top_k());
  }
  const std::int32_t most = *std::ranges::max_element(counts);
  if (most > tokens) {
    refuse("an expert has " + std::to_string(most) + " tokens; allowed: at most " + std::to_string(tokens) + ", all" +
           of_top_k());
  }
  return tokens;
}

std::int64_t steps_taken(const RouterConfig& router, const CountsRecord& record) {
  return group_count(*router.source.path(), router.batches.value_or(Batches{}), record.steps);
}

/// "counts of 12 experts, 2 layers and 3 steps of 2048 to 4096 tokens, top 2"
std::string reading_of(const RouterConfig& router, const CountsRecord& record, std::int64_t least, std::int64_t most) {
  const auto several = [](std::int64_t count, const std::string& what) {
    return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
  };
  std::string text =
      "counts of " + several(record.experts, "expert") + ", " + several(std::ssize(record.layers), "layer");
  text += (record.steps == 1 ? "" : " and " + several(record.steps, "step")) + " of ";
  text += (least == most ? "" : std::to_string(least) + " to ") + std::to_string(most) + " tokens";
  text += !router.top_k_told ? ", one choice each as top_k is not given" : ", top " + std::to_string(router.top_k);
  if (record.files > 1) text += ", from " + std::to_string(record.files) + " files";
  if (record.idle_layers > 0) text += "; " + several(record.idle_layers, "layer") + " without tokens left out";
  if (record.idle_steps > 0) text += "; " + several(record.idle_steps, "step") + " without tokens left out";
  return text;
}

/// Steps that are read as layers, or the other way round, give other figures without a word.
std::string guess_words(const std::string& guessed) {
  const bool of_steps = guessed.find("[steps") != std::string::npos;
  return guessed + (of_steps ? "; if layers come first, set \"axes\": [\"layers\", \"steps\", \"experts\"]"
                             : "; if those are steps, set \"axes\": [\"steps\", \"experts\"]");
}

class CountedSource final : public RoutingSource {
 public:
  explicit CountedSource(const SourceRequest& request)
      : request_(request), record_(shared_counts(*request.router.source.counts(), request.router.experts)) {}

  SourceShape shape() const override {
    const RouterConfig& router = request_.router;
    SourceShape shape;
    shape.experts = record_->experts;
    shape.top_k = top_k_of(router);
    shape.layers = record_->layers.size();
    shape.groups = static_cast<std::size_t>(steps_taken(router, *record_));
    shape.known = Known::kCounts;
    if (shape.top_k > shape.experts) {
      throw InputError(*router.source.path(), "counts of " + std::to_string(shape.experts) +
                                                  " experts, but router.top_k is " + std::to_string(shape.top_k) +
                                                  "; allowed: at most " + std::to_string(shape.experts));
    }
    std::int64_t least = 0;
    for (const CountsLayer& layer : record_->layers) {
      for (std::size_t step = 0; step < shape.groups; ++step) {
        const std::int64_t tokens = tokens_of(router, layer, step);
        least = least == 0 ? tokens : std::min(least, tokens);
        shape.tokens = std::max(shape.tokens, tokens);
      }
    }
    shape.reading = reading_of(router, *record_, least, shape.tokens);
    if (!record_->guessed_axes.empty()) shape.notes.push_back(guess_words(record_->guessed_axes));
    return shape;
  }

  std::vector<std::string> layers() const override {
    std::vector<std::string> names;
    for (const CountsLayer& layer : record_->layers) names.push_back(layer.name);
    return names;
  }

  SourceRead read(System&, std::size_t layer, std::size_t group) override {
    const CountsLayer& own = record_->layers[layer];
    return {CountInput{own.steps[group]}, tokens_of(request_.router, own, group)};
  }

  std::string digest() const override {
    Digest digest;
    add_to(digest, *record_);
    return digest.text();
  }

 private:
  const SourceRequest& request_;
  std::shared_ptr<const CountsRecord> record_;
};

std::size_t host_bytes(const RouterConfig& router) {
  const auto record = shared_counts(*router.source.counts(), router.experts);
  return record->layers.size() * static_cast<std::size_t>(record->steps * record->experts) * sizeof(std::int32_t);
}

}  // namespace

const SourceCode kCountsCode = {.make = make_source_of<CountedSource>, .host_bytes = host_bytes};

}  // namespace tatr
