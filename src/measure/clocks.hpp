// The GPU's clock and power, through NVML loaded at run time; where it is absent, everything is simply unknown.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace tatr {

struct DeviceState {
  std::optional<double> sm_clock_mhz, power_w;
};

class DeviceMonitor {
 public:
  virtual ~DeviceMonitor() = default;
  virtual DeviceState read() = 0;
  virtual std::optional<std::string> driver_version() = 0;
};

/// Of GPU `index` as CUDA numbers it; null where NVML is not there.
std::unique_ptr<DeviceMonitor> make_device_monitor(int index);

/// A warning if the clock fell by more than 3 % between two readings, else nothing.
std::optional<std::string> clock_warning(const DeviceState& before, const DeviceState& after);

}  // namespace tatr
