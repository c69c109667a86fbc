// tatr-sim device: the GPUs that can be modelled, and what a device file holds.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "commands.hpp"
#include "core/format.hpp"
#include "model/gpu_model.hpp"
#include "model/modelled_device.hpp"

namespace tatr {

namespace {

struct DeviceArguments {
  std::string name;
};

void print_line(const char* name, const std::string& value) { fmt::print("  {:<16}{}\n", name, printable(value)); }

void print_device(const GpuModel& gpu) {
  fmt::print("{}\n", gpu.id);
  print_line("name", gpu.name);
  print_line("source", gpu.source);
  print_line("multiprocessors", std::to_string(gpu.device.multiprocessors));
  print_line("memory", fmt::format("{:.1f} GiB", static_cast<double>(gpu.memory_bytes) / (1 << 30)));
  print_line("error", error_words(gpu));
}

ExitCode device(const DeviceArguments& arguments) {
  if (!arguments.name.empty()) {
    fmt::print("{}\n", read_gpu_model(arguments.name).figures.dump(2));
    return ExitCode::kDone;
  }
  for (const std::string& id : shipped_gpu_models()) print_device(read_gpu_model(id));
  return ExitCode::kDone;
}

}  // namespace

void add_device(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<DeviceArguments>();
  CLI::App* command = app.add_subcommand("device", "List the GPUs that can be modelled, or print a device file");
  command->add_option("NAME", arguments->name, "Print this one's file: a name of the list, or a path")
      ->type_name("FILE");
  command->callback([arguments, &action] { action = [arguments] { return device(*arguments); }; });
}

}  // namespace tatr
