#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "core/format.hpp"
#include "records/metric_catalogue.hpp"
#include "records/result_writer.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

std::string verdict_words(Verdict verdict) {
  std::string words = verdict_name(verdict);
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

std::string coloured(Verdict verdict, const TextOptions& options) {
  const std::string words = verdict_words(verdict);
  if (!options.colour) return words;
  const int code = verdict == Verdict::kReproduced ? 32 : verdict == Verdict::kNotMeasured ? 2 : 33;
  return fmt::format("\x1b[{}m{}\x1b[0m", code, words);
}

std::string figure_value(const std::string& metric, double value) {
  return is_share_metric(metric) ? format_percent(value) : format_value(value);
}

std::string figure_name(const DocumentedFigure& figure) {
  std::string name = figure.strategy + ", " + figure.metric;
  if (figure.tile != 0) name += fmt::format(", tile {}", figure.tile);
  return shorten(name, 40);
}

std::string blanks(std::size_t width, const std::string& text) {
  return std::string(width - std::min(width, display_width(text)), ' ');
}

std::string figure_lines(const DocumentedRecord& record, const TextOptions& options) {
  const std::string name = figure_name(record.figure);
  const std::string documented = figure_value(record.figure.metric, record.figure.value);
  // A value that does not compare is named in the reason; beside the documented one it would look like an answer.
  const bool beside = record.measured && record.verdict != Verdict::kNotMeasured;
  const std::string measured = beside ? figure_value(record.figure.metric, *record.measured) : kAbsent;
  std::string text = "  " + name + blanks(40, name) + blanks(11, documented) + documented + blanks(10, measured) +
                     measured + "   " + coloured(record.verdict, options) + "\n";
  std::string why = record.why;
  if (record.measured && !beside)
    why = fmt::format("ours: {}, ", figure_value(record.figure.metric, *record.measured)) + why;
  return text + wrap(why, 4);
}

}  // namespace

std::string documented_section(const TextContext& context) {
  const auto& records = context.experiment.documented;
  if (records.empty()) return {};
  std::string text = heading("Documented against Measured", context.options);
  text += "  Figure" + blanks(40, "Figure") + " documented  measured   verdict\n";
  text += "  " + std::string(kReportWidth - 4, '-') + "\n";
  std::string source;
  for (const DocumentedRecord& record : records) {
    if (record.figure.source != source) {
      source = record.figure.source;
      text += wrap("From " + source + ":", 2, 2);
    }
    text += figure_lines(record, context.options);
  }
  return text;
}

}  // namespace tatr
