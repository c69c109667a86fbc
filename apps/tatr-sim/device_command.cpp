// tatr-sim device: the GPUs that can be modelled, what a device file holds, and the measurement of the GPU at hand.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "commands.hpp"
#include "core/format.hpp"
#include "core/output_file.hpp"
#include "device_options.hpp"
#include "experiment/gpu_measurement.hpp"
#include "model/gpu_model.hpp"
#include "model/modelled_device.hpp"
#include "output_names.hpp"
#include "progress.hpp"

namespace tatr {

namespace {

struct DeviceArguments {
  std::string name, out;
  DeviceOptions device;
  bool measure = false;
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

ExitCode measure(const DeviceArguments& arguments) {
  check_name("--out", FileContent::kJson, arguments.out);
  OutputFile file(arguments.out);
  Progress progress(/*quiet=*/false);
  const auto system = make_system(arguments.device);
  const GpuModel gpu = measure_gpu(*system, [&](const std::string& doing) { progress.show(doing); });
  progress.clear();
  file.commit(gpu_model_document(gpu).dump(2) + "\n");
  if (arguments.out != "-") fmt::print("{}: {}; --device model:{} models it\n", arguments.out, gpu.name, arguments.out);
  return ExitCode::kDone;
}

ExitCode device(const DeviceArguments& arguments) {
  if (arguments.measure) return measure(arguments);
  if (!arguments.name.empty()) {
    fmt::print("{}\n", gpu_model_document(arguments.name).dump(2));
    return ExitCode::kDone;
  }
  for (const std::string& id : shipped_gpu_models()) print_device(read_gpu_model(id));
  return ExitCode::kDone;
}

}  // namespace

void add_device(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<DeviceArguments>();
  CLI::App* command = app.add_subcommand("device", "List or print the GPUs that can be modelled, or measure one");
  CLI::Option* name =
      command->add_option("NAME", arguments->name, "Print this one's file: a name of the list, or a path")
          ->type_name("FILE");
  add_device_options(*command, arguments->device);
  CLI::Option* measured = command->add_flag("--measure", arguments->measure, "Measure the GPU at hand (some 15 s)");
  measured->excludes(name);
  measured->needs(command->add_option("--out", arguments->out, "With --measure: the device file to write")
                      ->type_name("FILE")
                      ->needs(measured));
  command->callback([arguments, &action] { action = [arguments] { return device(*arguments); }; });
}

}  // namespace tatr
