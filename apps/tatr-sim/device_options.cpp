#include "device_options.hpp"

#include <cstdlib>
#include <cstring>

#include "core/interrupt.hpp"
#include "wishes.hpp"

namespace tatr {

namespace {

constexpr const char* kModel = "model:";

bool is_modelled(const std::string& device) { return device.rfind(kModel, 0) == 0; }

std::string check_device(const std::string& device) {
  const bool indexed = device.rfind("cuda:", 0) == 0 && device.size() > 5 && device.size() < 9 &&
                       device.find_first_not_of("0123456789", 5) == std::string::npos;
  if (device == "auto" || device == "cpu" || device == "cuda" || indexed) return {};
  if (is_modelled(device) && device.size() > std::strlen(kModel)) return {};
  const std::string likely = likely_device(device);
  return "'" + device + "' is no device; allowed: auto, cpu, cuda, cuda:N, model:NAME" +
         (likely.empty() ? "; tatr-sim list devices names them" : "; did you mean --device " + likely + "?");
}

}  // namespace

void add_device_options(CLI::App& command, DeviceOptions& options) {
  command.add_option("--device", options.device, "auto: a GPU, or a model of one; tatr-sim list devices names them")
      ->type_name("auto|cpu|cuda|cuda:N|model:NAME")
      ->check(check_device);
  command.add_option("--threads", options.threads, "CPU threads (default: the cores this process may use)")
      ->type_name("N")
      ->check(CLI::Range(1, 4096).description(""));
  command
      .add_option_function<double>(
          "--device-timeout", [](double seconds) { set_device_timeout(seconds); },
          "Seconds that a GPU may take before the run gives up (60); 0: any")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 1e6).description(""));
}

std::unique_ptr<System> make_system(const DeviceOptions& options) {
  const std::string& device = options.device;
  if (device == "cpu" || is_modelled(device) || (device == "auto" && cuda_device_count() == 0))
    return make_cpu_system(options.threads);
  const std::size_t colon = device.find(':');
  return make_cuda_system(colon == std::string::npos ? 0 : std::atoi(device.c_str() + colon + 1));
}

ModelChoice model_choice(const DeviceOptions& options) {
  ModelChoice choice;
  choice.of_config = options.device == "auto" && cuda_device_count() == 0;
  if (is_modelled(options.device)) choice.named = read_gpu_model(options.device.substr(std::strlen(kModel)));
  return choice;
}

}  // namespace tatr
