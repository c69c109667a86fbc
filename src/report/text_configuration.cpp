#include <fmt/args.h>
#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <map>
#include <type_traits>

#include "core/format.hpp"
#include "model/modelled_device.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

/// The values of a source's fields, for the braces in its kWords.
template <class Source>
class FieldWords {
 public:
  explicit FieldWords(const Source& source) : source_(source) {}

  void add(const char* key, double Source::*member, const Bounds&, const char*) {
    texts.push_back(fmt::arg(key, format_value(source_.*member)));
  }
  template <class Value, class Allowed>
  void add(const char* key, Value Source::*member, const Allowed&, const char*) {
    if constexpr (std::is_arithmetic_v<Value> || std::is_same_v<Value, std::string>) {
      texts.push_back(fmt::arg(key, source_.*member));
    }
  }
  template <class Enum>
  requires std::is_enum_v<Enum>
  void add(const char* key, Enum Source::*member, std::initializer_list<const char*> words, const char*,
           ByDefault = ByDefault::kSpelled) {
    texts.push_back(fmt::arg(key, words.begin()[static_cast<std::size_t>(source_.*member)]));
  }
  template <class Enum>
  void add(const char*, std::vector<Enum> Source::*, std::initializer_list<const char*>, const char*) {}

  fmt::dynamic_format_arg_store<fmt::format_context> texts;

 private:
  const Source& source_;
};

std::string scoring_words(const RouterConfig& router) {
  std::string words = router.scoring == Scoring::kSoftmax ? "softmax" : "sigmoid";
  if (router.logits == LogitType::kBf16) words += " of bf16 logits";
  words += router.normalise_gates ? ", gates normalised" : ", gates as they are";
  if (!router.selection_bias.empty()) words += ", selection bias";
  if (router.groups) {
    words += fmt::format(", best {} of {} expert groups{}", router.groups->top, router.groups->count,
                         router.groups->score == GroupScore::kMax ? " by their best expert" : "");
  }
  return words;
}

/// What added rows weigh, where any strategy's rows do not have the score for a gate.
std::string added_gate_words(const std::vector<StrategyConfig>& strategies) {
  std::size_t normalised = 0;
  std::string labels;
  for (const StrategyConfig& strategy : strategies) {
    if (strategy.added_gate != AddedGate::kNormalised) continue;
    ++normalised;
    labels += (labels.empty() ? "" : ", ") + strategy_cell(strategy.label);
  }
  if (normalised == 0) return {};
  const std::string of = "score over the sum of the token's chosen scores";
  const bool all = std::all_of(strategies.begin(), strategies.end(), [](const StrategyConfig& strategy) {
    return strategy.added_gate == AddedGate::kNormalised || !may_add_rows(strategy);
  });
  return all ? of : fmt::format("{} ({}); others: the score", of, labels);
}

std::string layer_words(const ExperimentConfig& config) {
  if (!config.layer) return "none: routing and rounding only";
  return fmt::format("hidden {}, intermediate {}{}", config.layer->hidden, config.layer->intermediate,
                     config.layer->training ? "; training pass" : "");
}

std::string machine_words(const Environment& environment) {
  std::string words = environment.cpu.empty() ? std::string("CPU unknown") : environment.cpu;
  if (!environment.device.empty() && environment.device != "cpu") return environment.device + "; " + words;
  if (environment.threads > 0) {
    words += fmt::format(", {} thread{}", environment.threads, environment.threads == 1 ? "" : "s");
  }
  return words;
}

std::string item(const std::string& name, const std::string& value) {
  return wrap(fmt::format("- {}: {}", name, value), 2, 2);
}

}  // namespace

std::string source_words(const SourceConfig& config) {
  std::string words = std::visit(
      [&]<class Source>(const Source& source) {
        FieldWords<Source> fields(source);
        fields.texts.push_back(fmt::arg("deviation", format_value(config.deviation)));
        Source::list(fields);
        return fmt::vformat(Source::kWords, fields.texts);
      },
      config.options);
  const TraceSource* trace = config.trace();
  if (trace == nullptr || trace->first_token == 0) return words;
  return words + fmt::format(" from token {}", format_count(trace->first_token));
}

std::string tile_list(const std::vector<std::int64_t>& tiles) {
  std::string words;
  for (const std::int64_t tile : tiles) words += (words.empty() ? "" : ", ") + std::to_string(tile);
  return words;
}

/// How many tokens are left out, where any are.
std::string masked_words(const std::vector<RoutingRecord>& layers) {
  const auto by_count = [](const RoutingRecord& a, const RoutingRecord& b) { return a.masked < b.masked; };
  const auto [least, most] = std::minmax_element(layers.begin(), layers.end(), by_count);
  if (layers.empty() || most->masked == 0) return {};
  const std::string of = fmt::format(" of {}, left out", format_count(most->masked + most->tokens));
  if (least->masked == most->masked) return format_count(most->masked) + of;
  return fmt::format("{} to {} by layer{}", format_count(least->masked), format_count(most->masked), of);
}

std::string configuration_section(const TextContext& context) {
  const ExperimentConfig& config = context.experiment.config;
  std::string text = heading("Configuration", context.options);
  text += item("Experiment", config.name);
  if (!context.experiment.routing.empty()) {
    const RoutingRecord& routing = context.experiment.routing.front();
    text += item("Num Experts", format_count(routing.experts));
    text += item("Total Tokens", format_count(routing.tokens));
    text += item("Top-k", std::to_string(routing.top_k));
  }
  text += item("Tile Size", tile_list(config.tiles));
  text += item("Router Logits", source_words(config.router.source));
  if (!context.experiment.reading.empty()) text += item("Read as", context.experiment.reading);
  if (const std::string words = masked_words(context.experiment.routing); !words.empty()) {
    text += item("Masked Tokens", words);
  }
  if (!context.experiment.routing.empty() && context.experiment.routing.front().task_loss) {
    text += item("Task Loss", format_value(context.experiment.routing.front().task_loss) +
                                  " of the target, on a batch not trained on");
  }
  if (context.experiment.routing.size() > 1) {
    text += item("Layers", std::to_string(context.experiment.routing.size()));
  }
  const bool gates = context.networks.empty() || context.networks.front().metrics.known >= Known::kGates;
  text += item("Scores", gates ? scoring_words(config.router) : std::string("not known"));
  if (const std::string words = added_gate_words(config.strategies); !words.empty()) text += item("Added Gates", words);
  text += item("Seed", std::to_string(config.seed));
  text += item("Expert Layer", layer_words(config));
  if (const auto& gpu = context.experiment.model) {
    const std::string doubt = doubt_of(*gpu);
    text += item("Device", modelled_name(*gpu) + (doubt.empty() ? "" : "; " + doubt));
  }
  text += item("Machine", machine_words(context.environment));
  if (context.experiment.error) text += "\n" + wrap("Not finished: " + *context.experiment.error, 0, 2);
  return text;
}

std::vector<std::string> warnings_of(const ExperimentRecord& experiment) {
  std::vector<std::string> seen;  // the same warning in every layer is one line
  std::map<std::string, std::int64_t> times;
  const auto add = [&](const std::string& warning) {
    if (times[warning]++ == 0) seen.push_back(warning);
  };
  for (const std::string& warning : experiment.warnings) add(warning);
  for (const StrategyRecord& record : experiment.strategies) {
    for (const std::string& warning : record.warnings) add(record.strategy.label + ": " + warning);
  }
  for (std::string& warning : seen) {
    if (const std::int64_t count = times[warning]; count > 1) warning += fmt::format(" ({} times)", count);
  }
  return seen;
}

std::string warnings_section(const TextContext& context) {
  std::string text;
  for (const std::string& warning : warnings_of(context.experiment)) text += wrap("- " + warning, 2, 2);
  return text.empty() ? text : "Warnings:\n" + text;
}

}  // namespace tatr
