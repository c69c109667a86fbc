#include "measure/clocks.hpp"

#include <fmt/format.h>

#if defined(TATR_HAS_CUDA)
#include <cuda_runtime_api.h>

#include "device/library.hpp"
#endif

namespace tatr {

std::optional<std::string> clock_warning(const DeviceState& before, const DeviceState& after) {
  constexpr double kFallen = 0.97;
  if (!before.sm_clock_mhz || !after.sm_clock_mhz || *after.sm_clock_mhz >= kFallen * *before.sm_clock_mhz)
    return std::nullopt;
  return fmt::format("the SM clock fell from {:.0f} to {:.0f} MHz while timing: compare ratios, not times",
                     *before.sm_clock_mhz, *after.sm_clock_mhz);
}

#if defined(TATR_HAS_CUDA)

namespace {

/// The few functions of libnvidia-ml.so.1 (NVML API reference, "Device Queries") that are used; all return 0 on
/// success.
class Nvml final : public DeviceMonitor {
 public:
  static std::unique_ptr<Nvml> open(int index) {
    auto nvml = std::unique_ptr<Nvml>(new Nvml());
    if (!nvml->library_.is_there()) return nullptr;
    char bus[32] = {};
    if (cudaDeviceGetPCIBusId(bus, sizeof bus, index) != cudaSuccess) return nullptr;
    using ByBus = int (*)(const char*, void**);
    const auto init = nvml->find<int (*)()>("nvmlInit_v2");
    const auto by_bus = nvml->find<ByBus>("nvmlDeviceGetHandleByPciBusId_v2");
    if (init == nullptr || by_bus == nullptr || init() != 0 || by_bus(bus, &nvml->device_) != 0) return nullptr;
    return nvml;
  }

  std::optional<double> highest_sm_clock_mhz() override {
    unsigned value = 0;
    const auto clock = find<int (*)(void*, int, unsigned*)>("nvmlDeviceGetMaxClockInfo");
    if (clock == nullptr || clock(device_, kSmClock, &value) != 0) return std::nullopt;
    return value;
  }

  std::optional<double> power_cap_w() override {
    unsigned value = 0;
    const auto cap = find<int (*)(void*, unsigned*)>("nvmlDeviceGetPowerManagementLimit");
    if (cap == nullptr || cap(device_, &value) != 0) return std::nullopt;
    return value / 1000.0;
  }

  DeviceState read() override {
    DeviceState state;
    unsigned value = 0;
    const auto clock = find<int (*)(void*, int, unsigned*)>("nvmlDeviceGetClockInfo");
    if (clock != nullptr && clock(device_, kSmClock, &value) == 0) state.sm_clock_mhz = value;
    const auto power = find<int (*)(void*, unsigned*)>("nvmlDeviceGetPowerUsage");
    if (power != nullptr && power(device_, &value) == 0) state.power_w = value / 1000.0;
    return state;
  }

  std::optional<std::string> driver_version() override {
    char text[80] = {};
    const auto version = find<int (*)(char*, unsigned)>("nvmlSystemGetDriverVersion");
    if (version == nullptr || version(text, sizeof text) != 0) return std::nullopt;
    return text;
  }

 private:
  static constexpr int kSmClock = 1;

  Nvml() = default;

  template <class Function>
  Function find(const char* name) const {
    return library_.find<Function>(name);
  }

  RuntimeLibrary library_{"libnvidia-ml.so.1"};
  void* device_ = nullptr;
};

}  // namespace

std::unique_ptr<DeviceMonitor> make_device_monitor(int index) { return Nvml::open(index); }

std::optional<DeviceLimits> device_limits(int index) {
  const auto monitor = make_device_monitor(index);
  const auto clock = monitor ? monitor->highest_sm_clock_mhz() : std::nullopt;
  const auto power = monitor ? monitor->power_cap_w() : std::nullopt;
  int memory_khz = 0, bus_bits = 0;
  cudaDeviceProp properties{};
  const bool told = cudaDeviceGetAttribute(&memory_khz, cudaDevAttrMemoryClockRate, index) == cudaSuccess &&
                    cudaDeviceGetAttribute(&bus_bits, cudaDevAttrGlobalMemoryBusWidth, index) == cudaSuccess &&
                    cudaGetDeviceProperties(&properties, index) == cudaSuccess;
  if (!clock || !power || !told) return std::nullopt;
  const double bytes = 2.0 * memory_khz * 1e3 * bus_bits / 8;  // two transfers a clock
  return DeviceLimits{*clock, *power, bytes, static_cast<std::int64_t>(properties.totalGlobalMem)};
}

#else

std::unique_ptr<DeviceMonitor> make_device_monitor(int) { return nullptr; }

std::optional<DeviceLimits> device_limits(int) { return std::nullopt; }

#endif

}  // namespace tatr
