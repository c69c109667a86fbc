#include "environment.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fstream>

#include "gemm/grouped_gemm.hpp"
#include "measure/clocks.hpp"
#include "version.hpp"

#if defined(TATR_HAS_CUDA)
#include <cuda_runtime_api.h>
#endif

namespace tatr {

namespace {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

std::vector<std::string> built_back_ends() {
  std::vector<std::string> names = backends_of(false);
#if defined(TATR_HAS_CUDA)
  for (std::string& name : backends_of(true)) names.push_back(std::move(name));
#endif
  return names;
}

std::string version_text() {
  return fmt::format("tatr-sim {} ({}), back ends: {}", TATR_VERSION, TATR_GIT, fmt::join(built_back_ends(), ", "));
}

std::string device_name(const System& system) {
#if defined(TATR_HAS_CUDA)
  cudaDeviceProp properties{};
  if (system.is_cuda() && cudaGetDeviceProperties(&properties, system.index()) == cudaSuccess) return properties.name;
#endif
  return system.name();
}

Environment describe_environment(const System& system) {
  Environment environment;
  char host[256] = "unknown";
  gethostname(host, sizeof host - 1);
  environment.host = host;
  environment.cpu = cpu_model();
  environment.date = utc_now();
  environment.threads = system.threads();
  environment.device = device_name(system);
  environment.back_ends = built_back_ends();
#if defined(TATR_HAS_CUDA)
  if (system.is_cuda()) {
    if (const auto monitor = make_device_monitor(system.index())) {
      environment.driver = monitor->driver_version();
      environment.sm_clock_mhz = monitor->read().sm_clock_mhz;
      environment.power_w = monitor->read().power_w;
    }
    environment.cuda = fmt::format("{}.{}", CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  }
#endif
  return environment;
}

bool takes_colour(std::FILE* stream) { return isatty(fileno(stream)) == 1 && std::getenv("NO_COLOR") == nullptr; }

RunRecord start_record(const Environment& environment) { return {TATR_VERSION, TATR_GIT, environment, {}}; }

}  // namespace tatr
