// tatr-sim device: the GPUs that can be modelled, and the measurement of the one at hand.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "commands.hpp"
#include "core/output_file.hpp"
#include "device_options.hpp"
#include "experiment/gpu_measurement.hpp"
#include "model/gpu_model.hpp"
#include "progress.hpp"

namespace tatr {

namespace {

struct DeviceArguments {
  std::string name, out, like = "h100";
  DeviceOptions device;
  bool measure = false;
};

ExitCode measure(const DeviceArguments& arguments) {
  OutputFile file(arguments.out);
  Progress progress;
  const auto system = make_system(arguments.device);
  const GpuModel gpu = measure_gpu(*system, arguments.like, [&](const std::string& doing) { progress.show(doing); });
  progress.clear();
  file.write(gpu_model_document(gpu).dump(2) + "\n");
  file.commit();
  fmt::print("{}: {}\n", arguments.out, gpu.name);
  return ExitCode::kDone;
}

}  // namespace

void add_device(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<DeviceArguments>();
  CLI::App* command = app.add_subcommand("device", "List the GPUs that can be modelled, or measure the one at hand");
  command->add_option("--device", arguments->device.device, "The GPU to measure")->type_name("cuda|cuda:N");
  CLI::Option* out = command->add_option("--out", arguments->out, "Where the device file goes")->type_name("FILE");
  CLI::Option* measured =
      command->add_flag("--measure", arguments->measure, "Measure the GPU at hand (some 20 s)")->needs(out);
  out->needs(measured);
  command->callback([arguments, &action] { action = [arguments] { return measure(*arguments); }; });
}

}  // namespace tatr
