#include "experiment/environment.hpp"

#include <unistd.h>

#include <ctime>
#include <fstream>
#include <string>

#include "core/version.hpp"
#include "gemm/registry.hpp"
#include "measure/clocks.hpp"

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

Environment describe_environment(const System& system) {
  Environment environment;
  char host[256] = "unknown";
  gethostname(host, sizeof host - 1);
  environment.host = host;
  environment.cpu = cpu_model();
  environment.date = utc_now();
  environment.threads = system.threads();
  environment.device = system.device().name;
  environment.cuda = system.device().runtime;
  for (const BackEnd& each : built_back_ends()) environment.back_ends.emplace_back(each.name);
  if (system.is_cuda()) {
    if (const auto monitor = make_device_monitor(system.index())) {
      environment.driver = monitor->driver_version();
      environment.sm_clock_mhz = monitor->read().sm_clock_mhz;
      environment.power_w = monitor->read().power_w;
    }
  }
  return environment;
}

RunRecord start_record(const Environment& environment) {
  return {program_version(), program_commit(), environment, {}, {}};
}

}  // namespace tatr
