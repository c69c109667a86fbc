#include "run_data.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/format.hpp"
#include "core/output_file.hpp"
#include "experiment/data_reading.hpp"
#include "experiment/memory_estimate.hpp"
#include "experiment/pipeline.hpp"
#include "output.hpp"
#include "progress.hpp"

namespace tatr {

namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

/// The file as a config in `folder` names it.
std::string file_seen_from(const fs::path& folder, const std::string& path) {
  const fs::path relative =
      fs::absolute(path).lexically_normal().lexically_relative(fs::absolute(folder).lexically_normal());
  return relative.empty() ? fs::absolute(path).string() : relative.string();
}

/// Plain top-k, and what the file knows enough for.
Json config_of(const DataReading& reading, Known known, const std::string& file) {
  Json config = {{"name", reading.config.name}, {"router", reading.router}};
  config["router"]["source"]["file"] = file;
  config["tile"] = reading.config.tiles;
  config["strategies"] = {"none", "nearest", "down", "up"};
  if (known >= Known::kGates) {
    config["strategies"].push_back({{"name", "budget"}, {"tiles", {{"of_nearest", 0.5}}}, {"label", "half"}});
  }
  return config;
}

std::string waste_table(const ExperimentRecord& experiment) {
  Table table({"Tile", "Tiles", "Utilisation", "Wasted FLOPs"});
  for (const NetworkRecord& network : experiment.network) {
    table.add_row({std::to_string(network.tile), format_count(network.metrics.tiles),
                   format_percent(network.metrics.tile_utilisation), format_percent(network.metrics.wasted_flops)});
  }
  return table.render();
}

/// Shapes of a layer are for its owner to say: no file of routing holds them. Of counts no layer is computed.
std::string next_words(const std::string& config, Known known) {
  const std::string text = fmt::format(
      "Wrote: {0}\nNext: tatr-sim run {0}\n"
      "For times and advice, with your layer's shape:\n"
      "  tatr-sim advise {0} --device model:h100 {1} \\\n"
      "    --set '/layer={{\"hidden\": 4096, \"intermediate\": 1024}}'\n",
      config, known >= Known::kGates ? "--max-dropped-mass 0.01" : "--max-dropped-share 2%");
  if (known == Known::kCounts) return text;
  return text + wrap(
                    "A run without a GPU computes outputs on the CPU: with --set '/layer/cpu={\"hidden\":408,"
                    "\"intermediate\":96}' of a smaller layer, else of the whole one, which can take minutes.",
                    0, 2);
}

std::string head_of(const ExperimentRecord& experiment) {
  const std::size_t groups = experiment.network.front().batches ? experiment.network.front().batches->groups.size() : 1;
  std::string head = experiment.routing.size() > 1 ? "Plain top-k, all layers" : "Plain top-k";
  if (groups > 1) head += fmt::format(", the group of {} with median tiles", groups);
  return head + ":\n";
}

}  // namespace

ExitCode run_data(const std::string& path, const std::vector<std::string>& overrides, const std::string& save_config) {
  if (!save_config.empty() && fs::exists(save_config)) {
    throw UsageError(save_config + ": is there already; --save-config writes a new file");
  }
  const DataReading reading = read_data(path, overrides);
  const auto system = make_cpu_system();
  check_memory(reading.config, *system);
  Progress progress(/*quiet=*/false);
  RunOptions options;
  options.progress = [&](const std::string& doing) { progress.show(doing); };
  const ExperimentRecord experiment = run_experiment(reading.config, *system, options);
  progress.clear();
  const Known known = experiment.network.front().metrics.known;
  std::string text = wrap(fmt::format("{}: read as {}", path, experiment.reading), 0, 2) + "\n";
  if (const RoutingRecord& first = experiment.routing.front(); first.masked > 0) {
    text +=
        fmt::format("Masked: {} of {} tokens{}\n\n", format_count(first.masked),
                    format_count(first.masked + first.tokens), experiment.routing.size() > 1 ? ", first layer" : "");
  }
  text += head_of(experiment) + waste_table(experiment) + "\n";
  const RoutingRecord& shape = experiment.routing.front();
  if (shape.experts > shape.tokens && known != Known::kCounts) {
    text += wrap(fmt::format("Warning: more experts ({}) than tokens ({}): the array may be transposed",
                             format_count(shape.experts), format_count(shape.tokens)),
                 0, 2);
  }
  for (const std::string& warning : experiment.warnings) text += wrap("Warning: " + warning, 0, 2);
  if (save_config.empty()) {
    text += "A config to go on with (--save-config FILE writes it):\n";
    text += config_of(reading, known, path).dump(2) + "\n";
  } else {
    OutputFile file(save_config);
    file.commit(config_of(reading, known, file_seen_from(fs::absolute(save_config).parent_path(), path)).dump(2) +
                "\n");
    text += next_words(shell_word(save_config), known);
  }
  print_all(text, stdout);
  return ExitCode::kDone;
}

}  // namespace tatr
