// The GPU's clock and power, through NVML loaded at run time; where it is absent, everything is simply unknown.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace tatr {

struct DeviceState {
  std::optional<double> sm_clock_mhz, power_w;
};

/// What a GPU can do at most.
struct DeviceLimits {
  double clock_mhz = 0, power_w = 0, memory_bytes_per_second = 0;
  std::int64_t memory_bytes = 0;
};

class DeviceMonitor {
 public:
  virtual ~DeviceMonitor() = default;
  virtual DeviceState read() = 0;
  virtual std::optional<std::string> driver_version() = 0;
  virtual std::optional<double> highest_sm_clock_mhz() = 0;
  virtual std::optional<double> power_cap_w() = 0;
};

/// Of GPU `index` as CUDA numbers it; null where NVML is not there.
std::unique_ptr<DeviceMonitor> make_device_monitor(int index);

/// Of GPU `index`; nothing where NVML or the driver does not tell.
std::optional<DeviceLimits> device_limits(int index);

/// A warning if the clock fell by more than 3 % between two readings, else nothing.
std::optional<std::string> clock_warning(const DeviceState& before, const DeviceState& after);

}  // namespace tatr
