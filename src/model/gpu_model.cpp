#include "model/gpu_model.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/error.hpp"
#include "json/embedded.hpp"
#include "json/json_text.hpp"
#include "json/validate.hpp"

namespace tatr {

namespace {

using nlohmann::json;

struct Shipped {
  std::string_view id, text;
};

const std::array<Shipped, 2> kShipped = {{{"h100", kDeviceH100}, {"a100", kDeviceA100}}};

GpuModel build(const json& from, const std::string& id) {
  GpuModel gpu;
  gpu.id = id;
  gpu.name = from["name"];
  gpu.from = from["source"]["kind"] == "measured" ? FiguresFrom::kMeasured : FiguresFrom::kDatasheet;
  gpu.source = from["source"]["kind"];
  gpu.memory_bytes = from["memory_bytes"];
  gpu.device = {gpu.name, true, from["compute_capability"], from["multiprocessors"], std::nullopt};
  gpu.error = {0.02, 0.06, 44, gpu.name, gpu.from == FiguresFrom::kMeasured};
  gpu.figures = from;
  return gpu;
}

}  // namespace

std::vector<std::string> shipped_gpu_models() {
  std::vector<std::string> ids;
  for (const Shipped& one : kShipped) ids.emplace_back(one.id);
  return ids;
}

GpuModel read_gpu_model(const std::string& name_or_path) {
  static const SchemaValidator schema(json::parse(kDeviceSchema));
  const auto shipped =
      std::find_if(kShipped.begin(), kShipped.end(), [&](const Shipped& one) { return one.id == name_or_path; });
  const json document = shipped != kShipped.end() ? json::parse(shipped->text) : read_json_file(name_or_path);
  schema.check(document, name_or_path);
  return build(document, name_or_path);
}

std::string doubt_of(const GpuModel& gpu) {
  if (gpu.error.own) return {};
  return gpu.from == FiguresFrom::kDatasheet ? "datasheet, not validated" : "not validated on this GPU";
}

}  // namespace tatr
