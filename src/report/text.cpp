#include "report/text.hpp"

#include <fmt/format.h>

#include <vector>

#include "core/format.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

std::string experiment_text(const ExperimentRecord& experiment, const Environment& environment,
                            const TextOptions& options) {
  const TextContext context{experiment, environment, experiment.network, options};
  std::string text;
  for (const auto section :
       {configuration_section, modelled_section, layers_section, batches_section, rounding_section, histogram_section,
        comparison_section, quality_section, tile_size_section, documented_section, warnings_section}) {
    const std::string part = section(context);
    if (!part.empty()) text += (text.empty() ? "" : "\n") + part;
  }
  return text;
}

bool rounds(const RunRecord& run) {
  for (const ExperimentRecord& experiment : run.experiments) {
    for (const StrategyRecord& record : experiment.strategies) {
      if (record.strategy.kind != StrategyKind::kNone) return true;
    }
  }
  return false;
}

}  // namespace

std::string heading(const std::string& title, const TextOptions& options) {
  const std::string line = shorten(title, kReportWidth);
  const std::string shown = options.colour ? "\x1b[1m" + line + "\x1b[0m" : line;
  return shown + "\n" + std::string(display_width(line), '=') + "\n\n";
}

std::string text_report(const RunRecord& run, const TextOptions& options) {
  std::string text;
  for (const ExperimentRecord& experiment : run.experiments) {
    if (!text.empty()) text += "\n\n";
    text += experiment_text(experiment, run.environment, options);
  }
  if (const std::string training = training_section(run, options); !training.empty()) text += "\n\n" + training;
  if (rounds(run)) {
    text += "\n" + wrap("Note: Rounding at serving time makes a token's output depend on its batch.", 0, 2);
  }
  return text;
}

}  // namespace tatr
