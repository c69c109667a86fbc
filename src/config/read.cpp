#include "config/read.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "config/experiment_schema.hpp"
#include "config/override_hints.hpp"
#include "config/overrides.hpp"
#include "config/source_fields.hpp"
#include "config/sweep.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"
#include "json/json_text.hpp"
#include "json/schema_walk.hpp"
#include "json/validate.hpp"

namespace tatr {

namespace {

using nlohmann::json;

[[noreturn]] void refuse(const std::string& file, const std::string& pointer, const std::string& problem) {
  throw ConfigError({file, pointer}, problem);
}

[[noreturn]] void refuse(const std::string& file, const std::string& pointer, const std::string& value,
                         const std::string& expected) {
  throw ConfigError({file, pointer}, value, expected);
}

std::string number(std::int64_t value) { return std::to_string(value); }

/// The row of a catalogue that a word names; the schema has made sure that it is there.
template <class Rows>
auto kind_of(const Rows& rows, const json& word) {
  const auto& name = word.get_ref<const std::string&>();
  return std::find_if(rows.begin(), rows.end(), [&](const auto& row) { return row.name == name; })->kind;
}

/// Control characters would garble reports and end file names early.
void check_printable(const json& value, const std::string& pointer, const std::string& file) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    const bool blank = std::all_of(text.begin(), text.end(), [](char c) { return c == ' '; });
    if (blank || std::any_of(text.begin(), text.end(), control)) {
      refuse(file, pointer, brief_json(value), "printable text, not only blanks");
    }
  }
  if (!value.is_structured()) return;
  for (const auto& [key, item] : value.items()) check_printable(item, child_pointer(pointer, key), file);
}

/// One form for what may be written in two: lists of tiles, strategies as objects, lists of tensors.
void spell_out(json& config) {
  config.erase("$schema");
  config.erase("description");
  if (!config["tile"].is_array()) config["tile"] = json::array({config["tile"]});
  for (json& strategy : config["strategies"]) {
    if (strategy.is_string()) strategy = json{{"name", strategy}};
  }
}

/// A forward pass is not spelled out, so that configs which knew no other keep their hash.
void spell_out_pass(json& layer) {
  if (layer.value("pass", "forward") == "forward") {
    layer.erase("pass");
  } else if (!layer.contains("grad_dtype")) {
    layer["grad_dtype"] = "bf16";
  }
}

void spell_out_defaults(json& config) {
  json& source = config["router"]["source"];
  if (source.contains("tensor") && !source["tensor"].is_array()) source["tensor"] = json::array({source["tensor"]});
  if (source.value("values", "") == "auto") source.erase("values");
  if (source["kind"] == "trained" && !source.contains("round_to")) source["round_to"] = config["tile"][0];
  for (json& strategy : config["strategies"]) {
    if (!strategy.contains("label")) strategy["label"] = strategy["name"];
  }
  json& layer = config["layer"];
  if (config.contains("model") && config["model"] == ExperimentConfig().model) config.erase("model");
  if (layer.is_object() && !layer.contains("cpu")) {
    layer["cpu"] = {{"hidden", layer["hidden"]}, {"intermediate", layer["intermediate"]}};
  }
  if (layer.is_object()) spell_out_pass(layer);
}

SourceConfig build_source(const json& from, const std::string& file) {
  SourceConfig source;
  source.deviation = from.value("deviation", source.deviation);
  source.options = read_source(kind_of(kSources, from["kind"]), from);
  const auto resolved = [&](const std::string& path) {
    return (std::filesystem::path(file).parent_path() / path).string();
  };
  if (auto* trace = std::get_if<TraceSource>(&source.options)) trace->path = resolved(trace->file);
  if (auto* counts = std::get_if<CountsSource>(&source.options)) counts->path = resolved(counts->file);
  return source;
}

/// The gradient that a trained source follows is that of normalised softmax gates of a plain top-k.
void check_trained(const RouterConfig& router, const json& from, const std::string& file) {
  const auto refuse_key = [&](const char* key, const std::string& expected) {
    refuse(file, "/router/" + std::string(key),
           brief_json(from[key]) + " is not allowed with a trained source; expected " + expected);
  };
  if (router.scoring != Scoring::kSoftmax) refuse_key("scoring", "\"softmax\"");
  if (router.logits != LogitType::kFp32) refuse_key("logits", "\"fp32\"");
  if (!router.normalise_gates) refuse_key("normalise_gates", "true");
  if (!router.selection_bias.empty()) refuse_key("selection_bias", "none");
  if (router.groups) refuse_key("groups", "none");
}

/// Groups, and in router.tokens their size where it is given here.
void build_batches(RouterConfig& router, const json& from, const std::string& file) {
  const std::string place = "/router/batches";
  router.batches.emplace();
  const bool counts = router.source.counts() != nullptr;
  if (from.is_object()) {
    if (from["count"].is_number()) router.batches->count = from["count"].get<std::int64_t>();
    if (from.contains("tokens")) {
      const std::int64_t tokens = from["tokens"];
      if (counts)
        refuse(file, place + "/tokens", number(tokens) + " is not allowed: the steps of counts are what they are");
      if (router.tokens != 0 && router.tokens != tokens) {
        refuse(file, place + "/tokens", number(tokens),
               "router.tokens, " + number(router.tokens) + ", or one of the two");
      }
      router.tokens = tokens;
    }
  }
  if (router.batches->count || router.source.path() != nullptr) return;
  refuse(file, place, "\"all\" is not allowed: a synthetic source has no end; expected a number in \"count\"");
}

/// What a source that reads no file, or a file that does not say it, must be told.
void check_shape_is_told(const RouterConfig& router, const json& from, const std::string& file) {
  if (router.source.path() == nullptr) {
    for (const char* key : {"tokens", "experts", "top_k"}) {
      if (from.contains(key)) continue;
      refuse(file, "/router", "required key \"" + std::string(key) + "\" is missing; only a file can do without it");
    }
  }
  if (router.tokens > kMaxTokens && router.source.counts() == nullptr) {
    refuse(file, "/router/tokens", number(router.tokens),
           "at most " + number(kMaxTokens) + " in one group; /router/batches takes more, group by group");
  }
}

RouterConfig build_router(const json& from, const std::string& file) {
  RouterConfig router;
  router.source = build_source(from["source"], file);
  router.tokens = from.value("tokens", std::int64_t{0});
  router.experts = from.value("experts", std::int64_t{0});
  router.top_k = from.value("top_k", std::int64_t{0});
  if (from.contains("batches")) build_batches(router, from["batches"], file);
  router.tokens_told = router.tokens != 0;
  router.top_k_told = router.top_k != 0;
  check_shape_is_told(router, from, file);
  router.scoring = from["scoring"] == "sigmoid" ? Scoring::kSigmoid : Scoring::kSoftmax;
  router.logits = from["logits"] == "bf16" ? LogitType::kBf16 : LogitType::kFp32;
  router.normalise_gates = from["normalise_gates"];
  if (from.contains("selection_bias")) {
    const json& bias = from["selection_bias"];
    router.selection_bias = bias.is_array() ? bias.get<std::vector<double>>() : std::vector<double>{bias.get<double>()};
  }
  if (from.contains("groups")) {
    const json& groups = from["groups"];
    const GroupScore score = groups["group_score"] == "max" ? GroupScore::kMax : GroupScore::kTop2Sum;
    router.groups = ExpertGroups{groups["count"], groups["top"], score};
  }
  if (router.source.trained() != nullptr) check_trained(router, from, file);
  check_router(router, file);
  return router;
}

void check_load_steps(const std::vector<TileByLoad>& steps, const std::string& pointer, const std::string& file) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::string place = pointer + "/" + std::to_string(i);
    const bool last = i + 1 == steps.size();
    if (last && steps[i].below)
      refuse(file, place, "the last step must have no \"below\", so that it takes all other experts");
    if (!last && !steps[i].below) refuse(file, place, "required key \"below\" is missing; only the last step has none");
    if (!last && i > 0 && *steps[i].below <= *steps[i - 1].below) {
      refuse(file, place + "/below", number(*steps[i].below),
             "more than the step before, " + number(*steps[i - 1].below));
    }
  }
}

BudgetTiles build_budget(const json& from, const std::string& pointer, const std::string& file) {
  if (from == "assignments") return BudgetAssignments{};
  if (from.is_string()) return BudgetAsNearest{};
  if (from.is_number()) return BudgetTotalTiles{from.get<std::int64_t>()};
  const bool waves = from.contains("waves");
  if (from.size() != (waves && from.contains("sms") ? 2 : 1) || (from.contains("sms") && !waves)) {
    refuse(file, pointer, brief_json(from),
           "one of \"of_nearest\", \"max_dropped_mass\" and \"waves\" (with "
           "or without \"sms\")");
  }
  if (waves) {
    BudgetWaves size{from["waves"].get<double>(), std::nullopt};
    if (from.contains("sms")) size.sms = from["sms"].get<std::int64_t>();
    return size;
  }
  if (from.contains("of_nearest")) return BudgetOfNearest{from["of_nearest"].get<double>()};
  return BudgetMaxDroppedMass{from["max_dropped_mass"].get<double>()};
}

DynamicOptions build_dynamic(const json& from, const std::string& pointer, const std::string& file) {
  DynamicOptions dynamic{kind_of(kStrategies, from["then"]), {}};
  for (const json& step : from["tiles_by_load"]) {
    TileByLoad by_load{std::nullopt, step["tile"]};
    if (step.contains("below")) by_load.below = step["below"].get<std::int64_t>();
    dynamic.tiles_by_load.push_back(by_load);
  }
  check_load_steps(dynamic.tiles_by_load, pointer + "/tiles_by_load", file);
  return dynamic;
}

BudgetOptions build_budget_options(const json& from, const std::string& pointer, const std::string& file) {
  BudgetOptions budget;
  budget.objective = from["objective"] == "mass" ? BudgetObjective::kMass : BudgetObjective::kMassSquared;
  if (from.value("candidates", "") == "tiles") budget.candidates = BudgetCandidates::kTiles;
  budget.tiles = build_budget(from["tiles"], pointer + "/tiles", file);
  return budget;
}

/// A strategy without options of its own needs no case here.
StrategyOptions build_strategy_options(StrategyKind kind, const json& from, const std::string& pointer,
                                       const std::string& file) {
  switch (kind) {
    case StrategyKind::kAdaptive:
      return AdaptiveOptions{from["threshold"]};
    case StrategyKind::kCapacity:
      return CapacityOptions{from["factor"], kind_of(kStrategies, from["then"])};
    case StrategyKind::kDynamic:
      return build_dynamic(from, pointer, file);
    case StrategyKind::kBudget:
      return build_budget_options(from, pointer, file);
    default:
      return std::monostate{};
  }
}

StrategyConfig build_strategy(const json& from, const std::string& pointer, const std::string& file) {
  struct FillName {
    Fill kind;
    std::string_view name;
  };
  constexpr std::array<FillName, 3> kFills = {
      {{Fill::kNextBest, "next_best"}, {Fill::kDuplicate, "duplicate"}, {Fill::kPad, "pad"}}};
  StrategyConfig strategy;
  strategy.kind = kind_of(kStrategies, from["name"]);
  strategy.name = from["name"];
  strategy.label = from["label"];
  strategy.place = {file, pointer};
  if (from.contains("fill")) strategy.fill = kind_of(kFills, from["fill"]);
  if (from.value("added_gate", "score") == "normalised") strategy.added_gate = AddedGate::kNormalised;
  strategy.renormalise = from["renormalise"];
  strategy.options = build_strategy_options(strategy.kind, from, pointer, file);
  json unlabelled = from;
  unlabelled.erase("label");
  unlabelled.erase("added_gate");  // strategies that differ by it alone draw alike
  strategy.canonical = unlabelled.dump();
  return strategy;
}

std::vector<StrategyConfig> build_strategies(const json& from, const std::string& file) {
  std::vector<StrategyConfig> strategies;
  for (const json& one : from) {
    const std::string pointer = "/strategies/" + std::to_string(strategies.size());
    StrategyConfig strategy = build_strategy(one, pointer, file);
    for (const StrategyConfig& other : strategies) {
      if (other.label != strategy.label) continue;
      refuse(file, pointer,
             "label " + brief_json(strategy.label) + " is taken by /strategies/" +
                 std::to_string(&other - strategies.data()) + "; give one of them a \"label\" of its own");
    }
    strategies.push_back(std::move(strategy));
  }
  return strategies;
}

/// Own gates of sigmoid scores, once normalised, are far below the scores: there added rows are put on the same scale.
/// It is spelled out only where the default is not the score, so that configs which meant the score before there was a
/// choice keep their hash, and others do not. An effective config without it means the score, whatever the router.
void resolve_added_gates(ExperimentConfig& config, json& spelled_out) {
  const RouterConfig& router = config.router;
  const bool by_default = router.scoring == Scoring::kSigmoid && router.normalise_gates;
  for (std::size_t i = 0; i < config.strategies.size(); ++i) {
    StrategyConfig& strategy = config.strategies[i];
    if (strategy.added_gate == AddedGate::kNormalised && !router.normalise_gates) {
      throw ConfigError(
          strategy.place.child("added_gate"),
          "\"normalised\" is not allowed where /router/normalise_gates is false; expected \"score\", which is what "
          "the token's own gates are");
    }
    if (!by_default || spelled_out[i].contains("added_gate") || !may_add_rows(strategy)) continue;
    strategy.added_gate = AddedGate::kNormalised;
    spelled_out[i]["added_gate"] = "normalised";
  }
}

std::vector<std::int64_t> build_tiles(const json& from, const std::string& file) {
  std::vector<std::int64_t> tiles;
  for (const json& tile : from) {
    if (std::find(tiles.begin(), tiles.end(), tile.get<std::int64_t>()) != tiles.end()) {
      refuse(file, "/tile/" + std::to_string(tiles.size()), tile.dump() + " is listed twice; expected each tile once");
    }
    tiles.push_back(tile);
  }
  return tiles;
}

RankRounding rank_rounding_of(const std::string& name) {
  if (name == "per_rank") return RankRounding::kPerRank;
  return name == "per_fragment" ? RankRounding::kPerFragment : RankRounding::kGlobal;
}

ParallelConfig build_parallel(const json& from, const std::string& file) {
  ParallelConfig parallel;
  parallel.place = {file, "/parallel"};
  parallel.ranks = from["ranks"];
  parallel.rounding = rank_rounding_of(from["rounding"]);
  parallel.dedup = from["dedup"];
  const json& placement = from["placement"];
  if (!placement.is_array()) {
    parallel.placement = placement == "by_load"       ? PlacementKind::kByLoad
                         : placement == "round_robin" ? PlacementKind::kRoundRobin
                                                      : PlacementKind::kContiguous;
    return parallel;
  }
  parallel.placement = PlacementKind::kListed;
  for (const json& rank : placement) {
    if (rank >= parallel.ranks) {
      refuse(file, "/parallel/placement/" + std::to_string(parallel.listed.size()), rank.dump(),
             "a rank from 0 to " + number(parallel.ranks - 1));
    }
    parallel.listed.push_back(rank);
  }
  return parallel;
}

LayerConfig build_layer(const json& from, const std::string& file) {
  LayerConfig layer;
  layer.place = {file, "/layer"};
  layer.hidden = from["hidden"];
  layer.intermediate = from["intermediate"];
  layer.training = from.contains("pass");
  layer.fp32_gradients = from.value("grad_dtype", "") == "fp32";
  if (from.contains("grad_dtype") && !layer.training) {
    refuse(file, "/layer/grad_dtype",
           from["grad_dtype"].dump() +
               " is not allowed in a forward pass, which has no gradients; expected "
               "\"pass\": \"training\" beside it");
  }
  layer.backend = from["backend"];
  layer.fuse_gather = from["fuse"]["gather"];
  layer.fuse_swiglu = from["fuse"]["swiglu"];
  layer.launch_per_tile = from.value("mixed_tiles", "") == "launch_per_tile";
  layer.autotune = from["autotune"];
  layer.cpu_hidden = from["cpu"]["hidden"];
  layer.cpu_intermediate = from["cpu"]["intermediate"];
  for (const char* key : {"hidden", "intermediate"}) {
    if (from["cpu"][key] <= from[key]) continue;
    refuse(file, "/layer/cpu/" + std::string(key), from["cpu"][key].dump(),
           "at most the layer's own, " + from[key].dump());
  }
  return layer;
}

DocumentedFigure build_figure(const json& from, const ExperimentConfig& config, const std::string& pointer) {
  DocumentedFigure figure;
  figure.metric = from["metric"];
  figure.strategy = from["strategy"];
  figure.tile = from.value("tile", std::int64_t{0});
  figure.value = from["value"];
  figure.source = from["source"];
  std::string labels;
  bool known = false;
  for (const StrategyConfig& strategy : config.strategies) {
    known = known || strategy.label == figure.strategy;
    labels += (labels.empty() ? "" : ", ") + brief_json(strategy.label);
  }
  if (!known) {
    refuse(config.file, pointer + "/strategy",
           brief_json(figure.strategy) + " is no strategy of this experiment; expected one of " + labels);
  }
  const auto& tiles = config.tiles;
  if (figure.tile != 0 && std::find(tiles.begin(), tiles.end(), figure.tile) == tiles.end()) {
    refuse(config.file, pointer + "/tile",
           number(figure.tile) + " is no tile of this experiment; expected one of /tile");
  }
  return figure;
}

/// Says which override a refused value came from, where it came from one.
void rethrow_naming_override(const ConfigError& error, const std::string& path,
                             const std::vector<std::string>& overrides) {
  for (auto set = overrides.rbegin(); set != overrides.rend(); ++set) {
    const std::string from = override_pointer(*set), &at = error.place().pointer;
    const bool missing = error.problem().find("is missing") != std::string::npos;
    if (error.place().file == path && missing && !at.empty() && from.starts_with(at + "/")) {
      const std::string& problem = error.problem();  // required key "kind" is missing
      const std::size_t start = problem.find('"') + 1, end = problem.find('"', start);
      throw error.with_note(fmt::format("--set {} alone does not make {}; add --set {}/{}=VALUE", brief_json(*set), at,
                                        at, problem.substr(start, end - start)));
    }
    if (error.place().file != path || at.rfind(from, 0) != 0 || (at.size() > from.size() && at[from.size()] != '/')) {
      continue;
    }
    const std::string hint = override_hint(*set, at, error.problem());
    throw error.with_note("from --set " + brief_json(*set) + (hint.empty() ? "" : "; " + hint));
  }
}

/// "hidden_size", as models call it, is "/layer/hidden".
void rethrow_naming_key(const ConfigError& error) {
  const std::string &problem = error.problem(), &pointer = error.place().pointer;
  if (!problem.starts_with("unknown key") || problem.find("did you mean") != std::string::npos) return;
  const std::string known = pointer_of_key(pointer.substr(pointer.rfind('/') + 1));
  if (!known.empty() && known != pointer) throw error.with_note("did you mean " + known + "?");
}

}  // namespace

void rethrow_with_origin(const ConfigError& error, const std::string& path, const std::vector<std::string>& overrides) {
  rethrow_naming_override(error, path, overrides);
  rethrow_naming_key(error);
}

void check_router(const RouterConfig& router, const std::string& file) {
  const std::int64_t experts = router.experts;
  if (router.groups && router.groups->top > router.groups->count) {
    refuse(file, "/router/groups/top", number(router.groups->top),
           "at most groups.count, " + number(router.groups->count));
  }
  if (experts == 0) return;  // the trace will say
  if (router.top_k > experts) {
    refuse(file, "/router/top_k", number(router.top_k), "at most the number of experts, " + number(experts));
  }
  const std::size_t biases = router.selection_bias.size();
  if (biases > 1 && biases != static_cast<std::size_t>(experts)) {
    refuse(file, "/router/selection_bias", "a list of " + std::to_string(biases) + " items",
           "one number, or one for each of the " + number(experts) + " experts");
  }
  if (router.groups) {
    const ExpertGroups& groups = *router.groups;
    if (experts % groups.count != 0) {
      refuse(file, "/router/groups/count", number(groups.count),
             "a divisor of the number of experts, " + number(experts));
    }
    const std::int64_t choice = groups.top * (experts / groups.count);
    if (choice < router.top_k) {
      refuse(file, "/router/groups/top",
             number(groups.top) + " is not allowed; these groups hold " + number(choice) +
                 " experts, fewer than top_k, " + number(router.top_k));
    }
  }
  const auto* hot = std::get_if<HotSource>(&router.source.options);
  if (hot != nullptr && hot->experts > experts) {
    refuse(file, "/router/source/experts", number(hot->experts), "at most the number of experts, " + number(experts));
  }
}

ExperimentConfig parse_experiment(const json& document, const std::string& file) {
  if (document.is_object() && document.contains("sweep")) refuse(file, "/sweep", "is not allowed within a sweep");
  static const SchemaValidator schema(experiment_schema());
  schema.check(document, file);
  json effective = document;
  spell_out(effective);
  check_printable(effective, "", file);
  fill_defaults(experiment_schema(), effective);
  spell_out_defaults(effective);

  ExperimentConfig config;
  config.file = file;
  config.name = effective["name"];
  config.seed = effective["seed"];
  config.router = build_router(effective["router"], file);
  config.model = effective.value("model", config.model);
  config.tiles = build_tiles(effective["tile"], file);
  config.strategies = build_strategies(effective["strategies"], file);
  resolve_added_gates(config, effective["strategies"]);
  if (effective.contains("parallel")) config.parallel = build_parallel(effective["parallel"], file);
  if (!effective["layer"].is_null()) config.layer = build_layer(effective["layer"], file);
  if (config.parallel && config.layer) {  // counted, not run
    config.parallel->hidden = config.layer->hidden;
    config.layer.reset();
  }
  const json& measure = effective["measure"];
  config.measure = {measure["samples"], measure["l2"] == "cold", measure["precision"], measure["warm_up_ms"]};
  for (const json& figure : effective["documented"]) {
    const std::string pointer = "/documented/" + std::to_string(config.documented.size());
    config.documented.push_back(build_figure(figure, config, pointer));
  }
  config.effective_json = effective.dump();
  config.hash = hex_digits(fnv1a(config.effective_json));
  return config;
}

std::vector<ExperimentConfig> read_experiments(const std::string& path, const std::vector<std::string>& overrides,
                                               const std::function<void(ExperimentConfig&)>& check) {
  json document = read_json_file(path);
  for (const std::string& one : overrides) apply_override(document, one);
  std::vector<ExperimentConfig> configs;
  for (const SweepItem& item : expand_sweep(document, path, overrides)) {
    try {
      configs.push_back(parse_experiment(item.document, path));
      check(configs.back());
    } catch (const ConfigError& error) {
      rethrow_with_origin(error, path, overrides);
      if (item.values.empty()) throw;
      throw error.with_note("in the sweep, " + item.values);
    }
  }
  return configs;
}

}  // namespace tatr
