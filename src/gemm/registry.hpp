// The back ends of the grouped GEMM, one row each: what runs where is asked here, before there are data, and of devices
// that need not be at hand.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "device/system.hpp"
#include "gemm/grouped_gemm.hpp"
#include "gemm/problem.hpp"

namespace tatr {

struct BackEnd {
  std::string_view name, help;
  bool on_gpu;  // else on the CPU

  /// What this build or machine lacks to run it at all; empty: nothing.
  std::string (*missing)();

  /// Why it could not run the problem on a device of its kind, at hand or not, in one line; empty: it could.
  std::string (*why_not)(const GroupedGemmProblem& problem, const DeviceInfo& device);

  /// `offsets` [E+1] on the host; data.offsets holds the same on the system. Only where the others are empty. Throws
  /// CudaError. Null: this build lacks it.
  std::unique_ptr<GroupedGemm> (*make)(System& system, const GroupedGemmProblem& problem,
                                       const std::vector<std::int32_t>& offsets, const GroupedGemmData& data);
};

/// All, those that this build lacks included; `auto` is the first whose why_not is empty.
std::span<const BackEnd> back_ends();

/// Those that this build has.
std::vector<BackEnd> built_back_ends();

/// Null where there is none of that name.
const BackEnd* find_back_end(std::string_view name);

/// Throws ConfigError at `where`, with the names there are, where there is none of that name.
const BackEnd& named_back_end(std::string_view name, const ErrorPlace& where);

/// Why a back end cannot run all of the problems on a device at hand, whichever it is for; empty: it can.
std::string why_not(const BackEnd& back_end, std::span<const GroupedGemmProblem> problems, const DeviceInfo& device);

/// Throws ConfigError at `where` unless the back end could run the problems on such a device, at hand or not.
void could_run(const BackEnd& back_end, std::span<const GroupedGemmProblem> problems, const DeviceInfo& device,
               const ErrorPlace& where);

/// The back end that `asked` ("auto" or a name) means for the problems. Throws ConfigError at `where`, the place of the
/// name in the config, with the reason, and with what could run them instead.
const BackEnd& choose_back_end(std::string_view asked, std::span<const GroupedGemmProblem> problems,
                               const DeviceInfo& device, const ErrorPlace& where);

}  // namespace tatr
