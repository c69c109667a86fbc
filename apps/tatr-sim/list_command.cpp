// tatr-sim list: what a config may name, and what this machine has.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "commands.hpp"
#include "device/system.hpp"
#include "gemm/registry.hpp"
#include "model/modelled_device.hpp"
#include "options/options.hpp"
#include "rounding/metrics.hpp"

namespace tatr {

namespace {

/// Any catalogue whose rows have a name and a line of help.
template <class Rows>
void print_rows(const char* title, const Rows& rows) {
  fmt::print("{}\n", title);
  for (const auto& row : rows) fmt::print("  {:<15}{}\n", row.name, row.help);
}

ExitCode list(const std::string& what) {
  const auto wanted = [&](const char* name) { return what.empty() || what == name; };
  if (wanted("strategies")) print_rows("Strategies", kStrategies);
  if (wanted("sources")) print_rows("Sources of router logits", kSources);
  if (wanted("backends")) print_rows("Back ends of the grouped GEMM in this build", built_back_ends());
  if (wanted("metrics")) {
    fmt::print("Metrics of rounding\n");
    for (const RoundingMetric& metric : kRoundingMetrics) {
      fmt::print("  {:<26}{} ({})\n", metric.name, metric.help, metric.unit);
    }
  }
  if (wanted("devices")) {
    fmt::print("Devices\n  cpu            {} threads\n", make_cpu_system()->threads());
    for (int i = 0; i < cuda_device_count(); ++i) {
      fmt::print("  cuda:{:<10}{}\n", i, make_cuda_system(i)->device().name);
    }
    for (const std::string& id : shipped_gpu_models()) {
      const GpuModel gpu = read_gpu_model(id);
      const std::string doubt = doubt_of(gpu);
      fmt::print("  {:<17}{}{}\n", "model:" + id, modelled_name(gpu), doubt.empty() ? "" : "; " + doubt);
    }
  }
  return ExitCode::kDone;
}

}  // namespace

void add_list(CLI::App& app, Action& action) {
  const auto what = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("list", "List strategies, sources, back ends, metrics and devices");
  command->add_option("WHAT", *what, "What to list (default: all)")
      ->type_name("strategies|sources|backends|metrics|devices")
      ->check(CLI::IsMember({"strategies", "sources", "backends", "metrics", "devices"}).description(""));
  command->callback([what, &action] { action = [what] { return list(*what); }; });
}

}  // namespace tatr
