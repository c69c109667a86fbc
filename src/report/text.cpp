#include "report/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/format.hpp"
#include "report/first_screen.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

struct Section {
  SectionInfo info;
  std::string (*make)(const TextContext&);
};

std::string summary_section(const TextContext& context) { return overview(context, context.options.lines); }

/// Measured and modelled times never share a table.
std::string all_times_section(const TextContext& context) {
  const std::string modelled = modelled_section(context), measured = times_section(context);
  return modelled + (modelled.empty() || measured.empty() ? "" : "\n") + measured;
}

const std::vector<Section>& sections() {
  static const std::vector<Section> kSections = {
      {{"summary", "the first screen"}, summary_section},
      {{"configuration", "what was run, and where"}, configuration_section},
      {{"layers", "load by layer, of several layers"}, layers_section},
      {{"histogram", "tokens per expert"}, histogram_section},
      {{"experts", "experts before and after the first rounding"}, experts_section},
      {{"counts", "tiles, rows, dropped and added, starved experts, lost gate mass"}, counts_section},
      {{"batches", "means and spread over groups of tokens"}, batches_section},
      {{"ranks", "tiles, rows and traffic of each rank, where experts are spread over some"}, parallel_section},
      {{"times", "layer, end to end, TFLOP/s; measured or modelled"}, all_times_section},
      {{"passes", "forward and backward of a training pass, stage by stage"}, passes_section},
      {{"gemms", "both GEMMs, their floors, cuBLAS at equal counts"}, gemms_section},
      {{"errors", "how far outputs move"}, errors_section},
      {{"quality", "estimated change of perplexity, and what it rests on"}, quality_section},
      {{"documented", "published figures beside ours"}, documented_section},
      {{"warnings", "all of them"}, warnings_section},
      {{"verdict", "what is gained, at what cost, in a sentence"}, verdict_section},
  };
  return kSections;
}

std::string sections_of(const ExperimentRecord& experiment, const Environment& environment,
                        const TextOptions& options) {
  const TextContext context{experiment, environment, experiment.network, options};
  std::string text;
  for (const Section& section : sections()) {
    if (!options.sections.contains(std::string(section.info.name))) continue;
    const std::string part = section.make(context);
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

/// Its caller has asked for none of the sections by name.
std::string first_screen(const RunRecord& run, const TextOptions& options) {
  if (run.experiments.empty()) return {};
  const std::string training = training_section(run, options);
  if (run.experiments.size() > 1) {
    const auto taken = static_cast<std::size_t>(std::count(training.begin(), training.end(), '\n'));
    const std::size_t left = options.lines > taken ? options.lines - taken : 0;
    return overview_of_many(run, options, left) + (training.empty() ? "" : "\n" + training);
  }
  const ExperimentRecord& only = run.experiments.front();
  return overview({only, run.environment, only.network, options}, options.lines);
}

std::string chosen_sections(const RunRecord& run, const TextOptions& options) {
  std::string text;
  for (const ExperimentRecord& experiment : run.experiments) {
    const std::string part = sections_of(experiment, run.environment, options);
    if (part.empty()) continue;
    if (!text.empty()) text += "\n\n";
    if (run.experiments.size() > 1 && !options.sections.contains("configuration")) {
      text += heading(experiment.config.name, options);
    }
    text += part;
  }
  if (!options.sections.contains("training")) return text;
  const std::string training = training_section(run, options);
  return text + (text.empty() || training.empty() ? "" : "\n\n") + training;
}

}  // namespace

const std::vector<SectionInfo>& report_sections() {
  static const std::vector<SectionInfo> kInfos = [] {
    std::vector<SectionInfo> infos;
    for (const Section& section : sections()) infos.push_back(section.info);
    infos.push_back({"training", "what a loss for rounding changed, of several trainings"});
    return infos;
  }();
  return kInfos;
}

std::set<std::string> all_sections() {
  std::set<std::string> names;
  for (const SectionInfo& section : report_sections()) names.emplace(section.name);
  names.erase("summary");
  return names;
}

std::string first_upper(std::string text) {
  if (!text.empty() && text.front() >= 'a' && text.front() <= 'z') text.front() = static_cast<char>(text.front() - 32);
  return text;
}

std::string heading(const std::string& title, const TextOptions& options) {
  const std::string line = shorten(title, report_width());
  const std::string shown = options.colour ? "\x1b[1m" + line + "\x1b[0m" : line;
  return shown + "\n" + std::string(display_width(line), '=') + "\n\n";
}

std::string text_report(const RunRecord& run, const TextOptions& options) {
  std::string text = options.sections.empty() ? first_screen(run, options) : chosen_sections(run, options);
  if (!text.empty() && rounds(run)) {
    text += wrap("Note: Rounding at serving time makes a token's output depend on its batch.", 0, 2);
  }
  return text;
}

}  // namespace tatr
