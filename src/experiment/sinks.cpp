#include "experiment/sinks.hpp"

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "records/result_writer.hpp"

namespace tatr {

void JsonSink::end(const RunRecord& run) {
  const std::string text = json_text(run, 1) + "\n";
  try {
    file_.write(text);
    file_.commit();
  } catch (const EnvironmentError& error) {
    if (path_ == "-") throw;
    throw EnvironmentError(error.what() + keep_aside(text, path_));
  }
}

void LinesSink::add(std::size_t, const RunRecord& run) { file_.append(json_text(run, -1)); }

void TablesSink::add(std::size_t place, const RunRecord& run) {
  if (one_by_one_) tables_.add(place, nlohmann::json(to_json(run)));
}

void TablesSink::end(const RunRecord& run) {
  if (!one_by_one_) tables_.add(0, nlohmann::json(to_json(run)));
  tables_.commit();
}

}  // namespace tatr
