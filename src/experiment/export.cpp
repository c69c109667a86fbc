#include "experiment/export.hpp"

#include <fmt/format.h>

#include <cctype>
#include <filesystem>
#include <span>

#include "core/error.hpp"
#include "core/output_file.hpp"
#include "formats/npy.hpp"

namespace tatr {

namespace {

std::string file_safe(std::string name) {
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '.') c = '_';
  }
  return name;
}

}  // namespace

void prepare_export(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw EnvironmentError(folder + ": cannot be created: " + error.message());
  OutputFile(folder + "/tatr-sim");  // removed again at once
}

std::string export_stem(const std::string& folder, const std::string& experiment, std::int64_t layer, std::int64_t tile,
                        const std::string& label) {
  return fmt::format("{}/{}.layer{}.tile{}.{}", folder, file_safe(experiment), layer, tile, file_safe(label));
}

void export_rounding(const std::string& stem, const Rounded& rounded) {
  const auto write = [&](const char* what, const auto& values) {
    const std::int64_t shape[] = {static_cast<std::int64_t>(values.size())};
    write_npy(fmt::format("{}.{}.npy", stem, what), shape, std::span(values));
  };
  write("target", rounded.metrics.counts_after);
  write("offsets", rounded.dispatch.offsets.to_host());
  write("token", rounded.dispatch.token.to_host());
  write("gate", rounded.dispatch.gate.to_host());
}

}  // namespace tatr
