#include "report/result_tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "core/format.hpp"
#include "core/integer_math.hpp"
#include "model/tile_cost.hpp"
#include "records/metric_catalogue.hpp"
#include "report/markdown.hpp"

namespace tatr {

namespace {

using nlohmann::json;

/// The objects of a result that a row draws on; null where it has none.
struct Row {
  const json &document, &experiment, &routing, &network, &strategy, &training, &weight;
};

struct Column {
  std::string name;
  const json& (*from)(const Row&);
  json::json_pointer place;
  json::json_pointer otherwise{};  // where the place is null; empty: nowhere
};

/// Columns in the order in which they are added.
class Columns {
 public:
  /// Members of one object, each under its own name; what stands before names is of `prefix`.
  void add(const json& (*from)(const Row&), const std::string& place, const std::vector<std::string>& names,
           const std::string& prefix = "") {
    for (const std::string& name : names)
      add_as(fmt::format("{}{}", prefix, name), from, fmt::format("{}/{}", place, name));
  }
  void add_as(const std::string& name, const json& (*from)(const Row&), const std::string& pointer,
              const std::string& otherwise = "") {
    list_.push_back({name, from, json::json_pointer(pointer), json::json_pointer(otherwise)});
  }
  std::vector<Column> take() { return std::move(list_); }

 private:
  std::vector<Column> list_;
};

const json& document_of(const Row& row) { return row.document; }
const json& experiment_of(const Row& row) { return row.experiment; }
const json& routing_of(const Row& row) { return row.routing; }
const json& network_of(const Row& row) { return row.network; }
const json& strategy_of(const Row& row) { return row.strategy; }
const json& training_of(const Row& row) { return row.training; }
const json& weight_of(const Row& row) { return row.weight; }

void add_metrics(Columns& columns, const json& (*from)(const Row&), const std::string& prefix) {
  for (const RoundingMetric& metric : kRoundingMetrics) columns.add(from, "", {std::string(metric.name)}, prefix);
  for (const std::string name : {"estimated_perplexity_change", "estimated_perplexity_change_trained"}) {
    columns.add_as(prefix + name, from, "/" + name + "/value");
    columns.add(from, "/" + name, {"low", "high", "calibration"}, prefix + name + "_");
  }
  columns.add(from, "", {"why_not_estimated", "estimate_beyond", "unknown"}, prefix);
  columns.add(from, "/batches", {"count", "tokens", "median_group", "worst_group"}, prefix + "batches_");
  columns.add_as(prefix + "batches_worst_layer_ms", from, "/batches/worst_layer_ms");
  for (const RoundingMetric& metric : kRoundingMetrics) {
    const std::string name(metric.name);
    columns.add(from, "/batches/metrics/" + name, {"mean", "deviation", "worst"},
                fmt::format("{}batches_{}_", prefix, name));
  }
}

void add_times(Columns& columns, bool training) {
  for (const TimeMetric& metric : kTimeMetrics) {
    if (metric.training != training) continue;
    const std::string name(metric.name), place = "/timing/" + name;
    columns.add_as(name, strategy_of, place + "/median", place + "/value");
    columns.add(strategy_of, place, {"lower_quartile", "upper_quartile", "n"}, name + "_");
    if (!training) columns.add(strategy_of, place, {"low", "high"}, name + "_modelled_");  // training is not modelled
  }
}

void add_ratios(Columns& columns, bool training) {
  for (const RatioMetric& metric : kRatioMetrics) {
    if (metric.training != training) continue;
    const std::string name(metric.name);
    columns.add_as(name, strategy_of, "/timing/" + name + "/value");
    columns.add(strategy_of, "/timing/" + name, {"low", "high"}, name + "_");
  }
}

void add_values(Columns& columns, bool training) {
  for (const TimingValue& metric : kTimingValues) {
    if (metric.training == training) columns.add(strategy_of, "/timing", {std::string(metric.name)});
  }
}

/// Of training passes. Behind all others: what is read by place stays where it was.
void add_passes(Columns& columns) {
  columns.add(strategy_of, "/timing", {"pass", "kept_bytes_per_row"});
  add_times(columns, true);
  add_ratios(columns, true);
  add_values(columns, true);
  for (const StageInfo& stage : kStages) {
    if (stage.gemm.empty()) continue;
    columns.add(strategy_of, "/timing/granules", {std::string(stage.gemm)}, "granule_");
    if (!stage.backward) continue;
    columns.add(strategy_of, "/timing/kernels", {std::string(stage.gemm)}, "kernel_");
    columns.add(strategy_of, fmt::format("/timing/floors/{}", stage.gemm), {"ms", "bound"},
                fmt::format("floor_{}_", stage.gemm));
  }
}

void add_timing(Columns& columns) {
  columns.add_as("times", strategy_of, "/timing/kind");
  columns.add_as("model_doubt", experiment_of, "/model/doubt");
  columns.add(strategy_of, "/timing", {"backend", "cpu_reduced", "granule_rows", "launches"});
  columns.add(strategy_of, "/timing/shape", {"hidden", "intermediate"});
  columns.add(strategy_of, "/timing/kernels", {"up", "down"}, "kernel_");
  columns.add(strategy_of, "/timing/fused", {"gather", "swiglu"}, "fused_");
  add_times(columns, false);
  columns.add_as("n", strategy_of, "/timing/layer_ms/n");
  add_ratios(columns, false);
  columns.add(strategy_of, "/timing", {"end_to_end_counts"});
  add_values(columns, false);
  for (const std::string gemm : {"up", "down"}) {
    columns.add(strategy_of, "/timing/floors/" + gemm, {"ms", "bound"}, "floor_" + gemm + "_");
  }
}

/// Of ranks. Behind all others, likewise.
void add_ranks(Columns& columns) {
  columns.add(strategy_of, "/parallel",
              {"busiest_tiles_over_mean", "busiest_rows_over_mean", "wire_rows", "wire_copies", "wire_bytes"},
              "parallel_");
}

/// Of the run and the experiment: the same in many rows.
void add_run(Columns& columns) {
  columns.add_as("git", document_of, "/tool/git");
  columns.add_as("version", document_of, "/tool/version");
  columns.add(document_of, "/environment", {"host", "cpu", "date", "threads", "driver", "cuda", "back_ends"});
  columns.add(document_of, "/environment", {"sm_clock_mhz", "power_w"}, "start_");
  columns.add(experiment_of, "/memory", {"estimated_bytes", "peak_bytes"});
  columns.add_as("trace", experiment_of, "/inputs/trace/file");
  columns.add_as("reading", experiment_of, "/reading");
  columns.add_as("trace_digest", experiment_of, "/inputs/trace/digest");
  columns.add_as("calibration", experiment_of, "/inputs/calibration/name");
  columns.add_as("calibration_digest", experiment_of, "/inputs/calibration/digest");
  columns.add(experiment_of, "/model", {"id", "name", "source", "digest", "words"}, "model_");
  columns.add(experiment_of, "/model/error", {"median", "p90", "ratio", "cases", "where", "own", "ratio_across_tiles"},
              "model_error_");
  columns.add_as("experiment_warnings", experiment_of, "/warnings");
  columns.add_as("error", experiment_of, "/error");
}

std::vector<Column> make_columns() {
  Columns columns;
  columns.add_as("experiment", experiment_of, "/name");
  columns.add(experiment_of, "", {"config_hash"});
  columns.add(document_of, "/environment", {"device"});
  columns.add_as("modelled_device", experiment_of, "/model/device");
  columns.add(experiment_of, "/config", {"seed"});
  columns.add_as("source", experiment_of, "/config/router/source/kind");
  columns.add(routing_of, "", {"tensor", "tokens", "masked", "experts", "top_k", "assignments"});
  columns.add(routing_of, "/counts", {"min", "median", "max", "cv"}, "count_");
  columns.add(routing_of, "", {"task_loss"});
  columns.add(experiment_of, "/config/router/source", {"rounding_weight", "balance_weight"});
  columns.add(strategy_of, "", {"layer"});
  columns.add_as("strategy", strategy_of, "/name");
  columns.add(strategy_of, "", {"label", "tile"});
  add_metrics(columns, strategy_of, "");
  columns.add(strategy_of, "/waves", {"asked", "sms", "column_tiles", "filled", "nearest_tiles", "nearest_waves"},
              "waves_");
  add_timing(columns);
  columns.add(strategy_of, "", {"warnings"});
  columns.add(network_of, "", {"layers"}, "network_");
  add_metrics(columns, network_of, "network_");
  columns.add(network_of, "",
              {"lowest_tile_utilisation", "highest_dropped_gate_mass", "timing_kind", "cpu_reduced", "layer_ms",
               "gemm_ms", "speedup_of_sums"},
              "network_");
  columns.add_as("network_speedup_over_fastest_none", network_of, "/speedup_over_fastest_none/value");
  columns.add(network_of, "/speedup_over_fastest_none", {"low", "high"}, "network_speedup_over_fastest_none_");
  columns.add(training_of, "", {"surrogate", "tile", "seeds"}, "training_");
  columns.add(weight_of, "", {"weight", "rounding_loss", "tile_utilisation", "task_loss", "moved"}, "training_");
  for (const std::string name : {"tile_utilisation_change", "task_loss_change", "moved_change"}) {
    columns.add_as("training_" + name, weight_of, "/" + name + "/value");
    columns.add(weight_of, "/" + name, {"low", "high"}, "training_" + name + "_");
  }
  add_run(columns);
  add_passes(columns);
  columns.add(strategy_of, "", {"estimate_is_ranking"});
  columns.add_as("trace_model", experiment_of, "/inputs/trace/model");
  columns.add_as("calibration_reach", experiment_of, "/inputs/calibration/reach");
  add_ranks(columns);
  return columns.take();
}

const std::vector<Column>& columns() {
  static const std::vector<Column> list = make_columns();
  return list;
}

const json& null_value() {
  static const json kNull;
  return kNull;
}

/// The value at a pointer, null where any part of the way is absent.
const json& value_at(const json& from, const json::json_pointer& place) {
  return from.contains(place) ? from[place] : null_value();
}

const json& value_in(const Row& row, const Column& column) {
  const json& value = value_at(column.from(row), column.place);
  return value.is_null() && !column.otherwise.empty() ? value_at(column.from(row), column.otherwise) : value;
}

/// A list of texts is one text.
std::string joined(const json& list) {
  std::string text;
  for (const json& item : list) {
    text += (text.empty() ? "" : "; ") + (item.is_string() ? item.get<std::string>() : item.dump());
  }
  return text;
}

std::string csv_cell(const json& value) {
  if (value.is_null()) return "";
  if (!value.is_string() && !value.is_array()) return value.dump();
  std::string text = value.is_array() ? joined(value) : value.get<std::string>();
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  for (std::size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2) text.insert(at, 1, '"');
  return '"' + text + '"';
}

std::string markdown_cell(std::string_view text) {
  std::string escaped;
  for (const char c : printable(text)) escaped += (c == '|' || c == '\\') ? std::string{'\\', c} : std::string{c};
  return escaped;
}

std::string number_cell(const json& value) { return value.is_number() ? format_value(value.get<double>()) : kAbsent; }

std::string share_cell(const json& value) { return value.is_number() ? format_percent(value.get<double>()) : kAbsent; }

using LabelAndTile = std::pair<std::string, json>;

LabelAndTile label_and_tile(const json& record) { return {record["label"].get<std::string>(), record["tile"]}; }

/// Objects of a list by what tells them apart; the first of each.
template <class Key>
std::map<Key, const json*> index_by(const json& list, Key (*key_of)(const json&)) {
  std::map<Key, const json*> index;
  for (const json& item : list) index.emplace(key_of(item), &item);
  return index;
}

template <class Key>
const json& found_in(const std::map<Key, const json*>& index, const Key& key) {
  const auto found = index.find(key);
  return found == index.end() ? null_value() : *found->second;
}

/// Trainings alike but for the weight, and what those of one weight came to.
struct OfTraining {
  const json *training = &null_value(), *weight = &null_value();
};

/// By the name of each experiment among them.
std::map<std::string, OfTraining> trainings_of(const json& result) {
  std::map<std::string, OfTraining> index;
  if (!result.contains("training")) return index;
  for (const json& training : result["training"]) {
    for (const json& weight : training["weights"]) {
      for (const json& name : weight["experiments"]) index[name.get<std::string>()] = {&training, &weight};
    }
  }
  return index;
}

std::string ways_words(double forward, double backward) {
  return fmt::format(" (forward {:.2f}×, backward {:.2f}×)", forward, backward);
}

/// Of a training pass " (forward 1.26×, backward 1.12×)"; else empty.
std::string ways_words(const json& strategy) {
  static const json::json_pointer forward("/timing/forward_speedup/value"), backward("/timing/backward_speedup/value");
  const json &there = value_at(strategy, forward), &back = value_at(strategy, backward);
  return there.is_number() && back.is_number() ? ways_words(there.get<double>(), back.get<double>()) : std::string();
}

/// Of one layer: with its interval. Of several: the ratio of the sums, which has none. `strategy` is the only one of
/// the first.
std::string ratio_cell(const json& network, const json& strategy) {
  if (network["layers"] == 1 && !strategy.is_null()) {
    static const json::json_pointer place("/timing/speedup");
    const json& ratio = value_at(strategy, place);
    if (!ratio.is_object() || !ratio["low"].is_number() || !ratio["high"].is_number()) return kAbsent;
    return format_ratio(ratio["value"], ratio["low"], ratio["high"]) + ways_words(strategy);
  }
  const json& ratio = network["speedup_of_sums"];
  return ratio.is_number() ? fmt::format("{:.2f}×", ratio.get<double>()) : kAbsent;
}

/// Of a metric of a network its mean over groups, where there are several.
json mean_or_own(const json& network, const char* metric) {
  const json batches = network.value("batches", json());
  if (!batches.is_object()) return network[metric];
  const json spread = batches["metrics"].value(metric, json());
  return spread.is_object() ? spread["mean"] : json();
}

/// What GEMMs work through at one tile: tiles; of a training pass rows either way, as model/tile_cost.hpp has them.
struct Work {
  double forward = 0, backward = 0;  // without backward: of a forward pass
  double both() const { return forward + backward; }
};

using WorkByTile = std::map<json, Work>;

bool has_training_pass(const json& experiment) {
  static const json::json_pointer pass("/config/layer/pass");
  return value_at(experiment, pass) == "training";
}

/// Rows of a training pass, over all layers; null where the result lacks what they are counted from.
std::optional<Work> trained_rows(const json& experiment, const json& network) {
  Work work;
  for (const json& strategy : experiment["strategies"]) {
    if (label_and_tile(strategy) != label_and_tile(network)) continue;
    const json counts = strategy.value("counts_after", json());
    if (!counts.is_array() || counts.empty() || !strategy["tiles"].is_number()) return std::nullopt;
    const double tiles = strategy["tiles"].get<double>() * strategy["tile"].get<double>();
    std::int64_t steps = 0;
    for (const json& count : counts) steps += round_up<std::int64_t>(count, kReductionStep);
    work.forward += tiles;
    work.backward += tiles + static_cast<double>(steps);
  }
  return work;
}

/// Of a setting with a tile; null where it is not known.
std::optional<Work> work_of(const json& experiment, const json& network) {
  if (network["tile"].is_null()) return std::nullopt;
  if (has_training_pass(experiment)) return trained_rows(experiment, network);
  const json tiles = mean_or_own(network, "tiles");
  return tiles.is_number() ? std::optional(Work{tiles.get<double>(), 0}) : std::nullopt;
}

/// Of `none`, by tile.
WorkByTile plain_work_of(const json& experiment) {
  WorkByTile plain;
  for (const json& network : experiment["network"]) {
    if (network["name"] != "none") continue;
    if (const auto work = work_of(experiment, network)) plain.emplace(network["tile"], *work);
  }
  return plain;
}

/// Where nothing was timed on a GPU: the work of `none` at the same tile over the strategy's, as on the first screen.
std::string tile_ratio_cell(const WorkByTile& plain_work, const json& experiment, const json& network) {
  const std::optional<Work> own = work_of(experiment, network);
  const auto plain = plain_work.find(network["tile"]);
  if (!own || !(own->forward > 0) || plain == plain_work.end()) return kAbsent;
  const Work& before = plain->second;
  return fmt::format("{:.2f}×", before.both() / own->both()) +
         (own->backward > 0 ? ways_words(before.forward / own->forward, before.backward / own->backward) : "");
}

/// Where a result's times are of: never a modelled GPU without the word, nor without what casts doubt on it.
std::string device_words(const json& result, const json& experiment) {
  const json& model = experiment["model"];
  if (model.is_null()) return result["environment"]["device"];
  return model["device"].get<std::string>() +
         (model["doubt"].is_null() ? "" : ": " + model["doubt"].get<std::string>());
}

}  // namespace

std::string csv_header() {
  std::string line;
  for (const Column& column : columns()) line += (line.empty() ? "" : ",") + column.name;
  return line + "\n";
}

std::string csv_rows(const json& result) {
  std::string rows;
  auto trainings = trainings_of(result);
  for (const json& experiment : result["experiments"]) {
    const auto& [training, weight] = trainings[experiment["name"].get<std::string>()];
    const auto layer_of = [](const json& record) -> json { return record["layer"]; };
    const auto routings = index_by<json>(experiment["routing"], layer_of);
    const auto networks = index_by<LabelAndTile>(experiment["network"], label_and_tile);
    for (const json& strategy : experiment["strategies"]) {
      const Row row{result,
                    experiment,
                    found_in(routings, layer_of(strategy)),
                    found_in(networks, label_and_tile(strategy)),
                    strategy,
                    *training,
                    *weight};
      for (const Column& column : columns()) {
        if (&column != &columns().front()) rows += ',';
        rows += csv_cell(value_in(row, column));
      }
      rows += '\n';
    }
  }
  return rows;
}

/// Heads of the table of main figures; the first two name a row.
static const std::vector<std::string>& main_heads() {
  static const std::vector<std::string> kHeads = {"Experiment",
                                                  "Strategy",
                                                  "Tile",
                                                  "Tiles",
                                                  "Utilisation",
                                                  "Dropped",
                                                  "Lost gate mass",
                                                  "Perplexity [*: not calibrated]",
                                                  "GEMM ms",
                                                  "Layer ms",
                                                  "Speed-up [95%; modelled: 90%]",
                                                  "Tile ratio [training: by rows]",
                                                  "CPU time ratio [95%]",
                                                  "Device"};
  return kHeads;
}

/// Whether anything that changes a token has an estimate. Where nothing has, that what changes nothing costs nothing is
/// none either; the first screen and the page leave the column out.
static bool any_estimate(const json& experiment) {
  return std::any_of(experiment["network"].begin(), experiment["network"].end(), [](const json& network) {
    const auto some = [&](const char* count) { return network[count].is_number() && network[count] > 0; };
    return (some("dropped") || some("added")) && network.value("estimated_perplexity_change", json()).is_object();
  });
}

/// An asterisk where no measurement of the calibration had such a setting, as on the first screen and the page; and
/// whether it only ranks.
static std::string change_cell(const json& network) {
  const json estimate = network.value("estimated_perplexity_change", json());
  if (!estimate.is_object() || !estimate["value"].is_number()) return kAbsent;
  const bool beyond = network["name"] != "none" && !network.value("estimate_beyond", json::array()).empty();
  const bool ranks = network.value("estimate_is_ranking", json(false)) == true;
  return format_change(estimate["value"].get<double>()) + (beyond ? "*" : "") + (ranks ? " (ranking)" : "");
}

/// Of a training pass what suits it, too: of models trained with the strategy.
static std::string trained_words(const json& experiment, const json& network) {
  const json estimate = network.value("estimated_perplexity_change_trained", json());
  if (!has_training_pass(experiment) || network["name"] == "none" || !estimate.is_object()) return {};
  return estimate["value"].is_number() ? "trained " + format_change(estimate["value"].get<double>()) : std::string();
}

/// `estimated`: what any_estimate says of the experiment.
static std::string estimate_cell(const json& experiment, const json& network, bool estimated) {
  const std::string post_hoc = estimated ? change_cell(network) : kAbsent, trained = trained_words(experiment, network);
  if (trained.empty()) return post_hoc;
  return post_hoc == kAbsent ? trained : fmt::format("{} ({})", post_hoc, trained);
}

/// In the order of main_heads; `estimated`: what any_estimate says of the experiment.
static std::vector<std::string> main_row(const json& result, const json& experiment, const json& network,
                                         const json& strategy, const WorkByTile& plain_work, bool estimated) {
  const bool on_cpu = result["environment"]["device"] == "cpu" && experiment["model"].is_null();
  return {experiment["name"].get<std::string>(),
          network["label"].get<std::string>(),
          network["tile"].is_null() ? "own" : network["tile"].dump(),
          format_count(network["tiles"]),
          share_cell(mean_or_own(network, "tile_utilisation")),
          share_cell(mean_or_own(network, "dropped_share")),
          number_cell(mean_or_own(network, "dropped_gate_mass")),
          estimate_cell(experiment, network, estimated),
          number_cell(network["gemm_ms"]),
          number_cell(network["layer_ms"]),
          on_cpu ? kAbsent : ratio_cell(network, strategy),
          on_cpu ? tile_ratio_cell(plain_work, experiment, network) : kAbsent,
          on_cpu ? ratio_cell(network, strategy) : kAbsent,
          device_words(result, experiment) + (network["cpu_reduced"] == true ? ", reduced shape" : "")};
}

static void for_each_main_row(const json& result, const std::function<void(std::vector<std::string>)>& visit) {
  for (const json& experiment : result["experiments"]) {
    const auto strategies = index_by<LabelAndTile>(experiment["strategies"], label_and_tile);
    const WorkByTile plain_work = plain_work_of(experiment);
    const bool estimated = any_estimate(experiment);
    for (const json& network : experiment["network"]) {
      visit(
          main_row(result, experiment, network, found_in(strategies, label_and_tile(network)), plain_work, estimated));
    }
  }
}

std::string markdown_header() {
  std::string rule = "|";
  for (std::size_t i = 0; i < main_heads().size(); ++i) {
    rule += i < 2 || i + 1 == main_heads().size() ? "---|" : "--:|";
  }
  return markdown_row(main_heads()) + rule + "\n";
}

std::string markdown_rows(const json& result) {
  std::string rows;
  for_each_main_row(result, [&](std::vector<std::string> cells) {
    for (std::string& cell : cells) cell = markdown_cell(cell);
    rows += markdown_row(cells);
  });
  return rows;
}

std::string aligned_table(const std::vector<json>& results) {
  Table table(main_heads());
  for (const json& result : results) {
    for_each_main_row(result, [&](std::vector<std::string> cells) {
      for (std::string& cell : cells) cell = printable(cell);
      table.add_row(std::move(cells));
    });
  }
  return table.render_whole();
}

}  // namespace tatr
