#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>

#include "core/format.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

using Change = std::optional<Interval> TrainingWeightRecord::*;

std::string percent_words(const std::optional<Interval>& change) {
  if (!change) return kAbsent;
  const auto words = [](double share) { return fmt::format("{:+.{}f}", 100 * share, std::abs(share) < 0.1 ? 1 : 0); };
  return fmt::format("{}% [{}, {}]", words(change->value), words(change->low), words(change->high));
}

bool has_moved(const TrainingRecord& training) {
  return std::all_of(training.weights.begin(), training.weights.end(),
                     [](const TrainingWeightRecord& weight) { return weight.moved.has_value(); });
}

/// The lowest weight that changes a value for the better beyond chance, and the change, with its price; or that none
/// does. `gain` is 1 where more is better, -1 where less is.
std::string effect_words(const TrainingRecord& training, Change value, double gain, const std::string& effect,
                         const std::string& no_effect) {
  for (auto one = std::next(training.weights.begin()); one != training.weights.end(); ++one) {
    const std::optional<Interval>& change = (*one).*value;
    if (!change || std::min(gain * change->low, gain * change->high) <= 0) continue;
    return fmt::format("Weight {} {}: {} points, for {} of task loss. ", format_value(one->weight), effect,
                       percent_words(change), percent_words(one->task_loss_change));
  }
  return no_effect;
}

std::string verdict(const TrainingRecord& training) {
  for (const TrainingWeightRecord& weight : training.weights) {
    if (weight.experiments.size() < 2) return "Give each weight two seeds or more to see what is chance.";
  }
  return effect_words(training, &TrainingWeightRecord::tile_utilisation_change, 1, "fills tiles better",
                      "No weight fills tiles better than chance would. ") +
         (has_moved(training) ? effect_words(training, &TrainingWeightRecord::moved_change, -1,
                                             "leaves nearest less to move", "No weight leaves nearest less to move.")
                              : "");
}

std::string table_of(const TrainingRecord& training) {
  Table table({"Weight", "Loss", "Filled", "Change", "Task", "Change", "Moved"});
  for (const TrainingWeightRecord& weight : training.weights) {
    table.add_row({weight.weight == 0 ? "0" : format_value(weight.weight), format_value(weight.rounding_loss),
                   format_percent(weight.tile_utilisation), percent_words(weight.tile_utilisation_change),
                   format_value(weight.task_loss), percent_words(weight.task_loss_change),
                   has_moved(training) ? format_percent(*weight.moved) : kAbsent});
  }
  return table.render();
}

}  // namespace

std::string training_section(const RunRecord& run, const TextOptions& options) {
  std::string text;
  for (const TrainingRecord& training : run.training) {
    text += text.empty() ? heading("Auxiliary Loss", options) : "\n";
    text += fmt::format("Router trained with a weight on the rounding loss ({}, tile {}), {} seed{}:\n",
                        training.surrogate, training.tile, training.seeds, training.seeds == 1 ? "" : "s");
    text += table_of(training) + wrap(verdict(training), 2, 0);
  }
  if (text.empty()) return text;
  return text + wrap(
                    "On batches not trained on. Loss: of rounding, mean of (count mod tile) / tile. Filled: "
                    "utilisation of the "
                    "tiles without rounding. Task: share of the target that the layer misses. Moved: assignments that "
                    "nearest drops or adds. Change: against the lowest weight at the same seeds, with a 95 % interval "
                    "(Student's t).",
                    2, 0);
}

}  // namespace tatr
