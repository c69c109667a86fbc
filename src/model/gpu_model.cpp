#include "model/gpu_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/error.hpp"
#include "json/embedded.hpp"
#include "json/json_text.hpp"
#include "json/schema_walk.hpp"
#include "json/validate.hpp"

namespace tatr {

namespace {

using nlohmann::json;

struct Shipped {
  std::string_view id, text;
};

const std::array<Shipped, 6> kShipped = {{{"h100", kDeviceH100},
                                          {"h200", kDeviceH200},
                                          {"h100_pcie", kDeviceH100Pcie},
                                          {"h100_nvl", kDeviceH100Nvl},
                                          {"a100", kDeviceA100},
                                          {"b200", kDeviceB200}}};

/// Of its clocks, how many a tensor core multiplies in while it is kept as busy as the GEMM can.
constexpr double kBusy = 0.97;

/// Six digits: a file is for people too.
double round_figure(double value) { return value == 0 ? 0 : std::stod(fmt::format("{:.5e}", value)); }

template <class Figures>
using Names = std::pair<const char*, double Figures::*>;

template <class Figures, std::size_t kCount>
void read_figures(const json& from, const std::array<Names<Figures>, kCount>& names, Figures& into) {
  for (const auto& [key, member] : names) into.*member = from.at(key).template get<double>();
}

constexpr std::array<Names<GemmFigures>, 10> kGemm = {{{"half_step", &GemmFigures::half_step},
                                                       {"gathered_half_step", &GemmFigures::gathered_half_step},
                                                       {"partial_gather", &GemmFigures::partial_gather},
                                                       {"ping_pong_step", &GemmFigures::ping_pong_step},
                                                       {"epilogue_us", &GemmFigures::epilogue_us},
                                                       {"ping_pong_epilogue_us", &GemmFigures::ping_pong_epilogue_us},
                                                       {"launch_us", &GemmFigures::launch_us},
                                                       {"band_rereads", &GemmFigures::band_rereads},
                                                       {"window", &GemmFigures::window},
                                                       {"sharpness", &GemmFigures::sharpness}}};
constexpr std::array<Names<PowerFigures>, 3> kPower = {
    {{"idle", &PowerFigures::idle}, {"memory", &PowerFigures::memory}, {"growth", &PowerFigures::growth}}};
constexpr std::array<Names<CombineFigures>, 5> kCombine = {{{"bytes_per_second", &CombineFigures::bytes},
                                                            {"launch_us", &CombineFigures::launch_us},
                                                            {"row_ps", &CombineFigures::row_ps},
                                                            {"token_ps", &CombineFigures::token_ps},
                                                            {"turn_us", &CombineFigures::turn_us}}};
constexpr std::array<Names<UniformFigures>, 4> kUniform = {{{"rate", &UniformFigures::rate},
                                                            {"memory_rate", &UniformFigures::memory_rate},
                                                            {"depth", &UniformFigures::depth},
                                                            {"launch_us", &UniformFigures::launch_us}}};
constexpr std::array<Names<RoutingFigures>, 4> kRouting = {{{"launch_us", &RoutingFigures::launch_us},
                                                            {"token_ns", &RoutingFigures::token_ns},
                                                            {"logit_ns", &RoutingFigures::logit_ns},
                                                            {"groups_us", &RoutingFigures::groups_us}}};
constexpr std::array<Names<RoundingFigures>, 7> kRounding = {{{"counts_us", &RoundingFigures::counts_us},
                                                              {"fills_us", &RoundingFigures::fills_us},
                                                              {"budget_us", &RoundingFigures::budget_us},
                                                              {"row_ns", &RoundingFigures::row_ns},
                                                              {"sort_ns", &RoundingFigures::sort_ns},
                                                              {"merge_ns", &RoundingFigures::merge_ns},
                                                              {"expert_ns", &RoundingFigures::expert_ns}}};

template <class Figures, std::size_t kCount>
nlohmann::ordered_json write_figures(const std::array<Names<Figures>, kCount>& names, const Figures& from) {
  nlohmann::ordered_json document;
  for (const auto& [key, member] : names) document[key] = round_figure(from.*member);
  return document;
}

GpuFigures build_figures(const json& from) {
  GpuFigures figures;
  figures.flops = from["flops_per_second"];
  figures.memory_bytes = from["memory_bytes_per_second"];
  figures.l2_bytes = from["l2_bytes_per_second"];
  read_figures(from["power"], kPower, figures.power);
  read_figures(from["gemm"], kGemm, figures.gemm);
  read_figures(from["combine"], kCombine, figures.combine);
  read_figures(from["uniform"], kUniform, figures.uniform);
  read_figures(from["routing"], kRouting, figures.routing);
  read_figures(from["rounding"], kRounding, figures.rounding);
  return figures;
}

const Shipped* find_shipped(const std::string& id) {
  const auto* found = std::find_if(kShipped.begin(), kShipped.end(), [&](const Shipped& one) { return one.id == id; });
  return found == kShipped.end() ? nullptr : found;
}

json read_document(const std::string& name_or_path) {
  if (const Shipped* shipped = find_shipped(name_or_path)) return json::parse(shipped->text);
  if (!std::filesystem::exists(name_or_path)) {
    std::string names;
    for (const Shipped& one : kShipped) names += (names.empty() ? "" : ", ") + std::string(one.id);
    const std::string near = nearest_name(name_or_path, shipped_gpu_models());
    throw ConfigError({name_or_path}, "there is no such device file, and none of that name: " + names +
                                          (near.empty() ? " (tatr-sim list devices)"
                                                        : "; did you mean " + near +
                                                              ", as --device "
                                                              "model:" +
                                                              near + "?"));
  }
  return read_json_file(name_or_path);
}

json checked_document(const std::string& name_or_path) {
  static const SchemaValidator schema(json::parse(kDeviceSchema));
  json document = read_document(name_or_path);
  schema.check(document, name_or_path);
  return document;
}

GpuModel build(const json& from, const std::string& id);

/// The file that another one, `id`, is scaled from: by name, or by a path beside it.
GpuModel measured_like(const std::string& like, const std::string& id) {
  const std::string path =
      find_shipped(like) != nullptr ? like : (std::filesystem::path(id).parent_path() / like).string();
  const json document = checked_document(path);
  if (!document.contains("figures")) {  // so a chain of files, or a ring, is not followed
    throw ConfigError({id, "/like"}, brief_json(like), "a device file whose figures were measured");
  }
  return build(document, path);
}

GpuModel build(const json& from, const std::string& id) {
  GpuModel gpu;
  gpu.id = id;
  gpu.name = from["name"];
  const json& source = from["source"];
  if (source["kind"] == "measured") {
    gpu.from = FiguresFrom::kMeasured;
    gpu.measured = {source["date"], source["version"], source["note"]};
    gpu.source = fmt::format("measured on {} by tatr-sim {}", gpu.measured.date, gpu.measured.version);
  } else {
    gpu.source = "datasheet: " + source["document"].get<std::string>();
  }
  gpu.memory_bytes = from["memory_bytes"];
  gpu.device = {gpu.name, true, from["compute_capability"], from["multiprocessors"], std::nullopt};
  const json &peaks = from["peaks"], &error = from["error"];
  gpu.peaks = {peaks["clock_mhz"], peaks["power_w"], peaks["flops_per_clock"], peaks["memory_bytes_per_second"]};
  gpu.error = {error["median"], error["p90"], error["ratio"], error["cases"], error["where"], error["own"]};
  if (error.contains("ratio_across_tiles")) gpu.error.ratio_across_tiles = error["ratio_across_tiles"];
  if (from.contains("ceilings")) {
    gpu.ceilings = DeviceRates{from["ceilings"]["flops_per_second"], from["ceilings"]["bytes_per_second"]};
  }
  if (from.contains("figures")) {
    gpu.figures = build_figures(from["figures"]);
  } else {
    gpu.figures = scale_figures(measured_like(from["like"], id), gpu.peaks, gpu.device.multiprocessors);
  }
  return gpu;
}

/// The clock in MHz at which all tensor cores multiply at the rate `flops`.
double clock_of(const GpuModel& gpu) {
  return gpu.figures.flops / (gpu.peaks.flops_clock * gpu.device.multiprocessors) * 1e-6;
}

/// The clock in MHz that all multiprocessors can keep up under the power cap while they multiply: what `like` keeps,
/// scaled by (power to spare for each FLOP of a clock) ^ (1 / growth), at most the highest.
double sustained_clock_mhz(const GpuModel& like, const GpuPeaks& peaks, int multiprocessors) {
  const double own = like.peaks.flops_clock * like.device.multiprocessors, other = peaks.flops_clock * multiprocessors;
  const double spare = peaks.power_w / other / (like.peaks.power_w / own);
  return std::min(clock_of(like) * std::pow(spare, 1 / like.figures.power.growth), kBusy * peaks.clock_mhz);
}

/// Of kShipped, in its order: read once, for every config of a sweep asks.
const std::vector<GpuModel>& shipped_models() {
  static const std::vector<GpuModel> models = [] {
    std::vector<GpuModel> read;
    read.reserve(kShipped.size());
    for (const Shipped& one : kShipped) {
      const std::string id(one.id);
      read.push_back(build(checked_document(id), id));
    }
    return read;
  }();
  return models;
}

}  // namespace

std::vector<std::string> shipped_gpu_models() {
  std::vector<std::string> ids;
  ids.reserve(kShipped.size());
  for (const Shipped& one : kShipped) ids.emplace_back(one.id);
  return ids;
}

nlohmann::ordered_json gpu_model_document(const std::string& name_or_path) {
  if (const Shipped* shipped = find_shipped(name_or_path)) return nlohmann::ordered_json::parse(shipped->text);
  return nlohmann::ordered_json(read_document(name_or_path));
}

nlohmann::ordered_json gpu_model_document(const GpuModel& gpu) {
  const GpuFigures& figures = gpu.figures;
  nlohmann::ordered_json document;
  document["name"] = gpu.name;
  document["source"] = {{"kind", "measured"},
                        {"date", gpu.measured.date},
                        {"version", gpu.measured.version},
                        {"note", gpu.measured.note}};
  document["compute_capability"] = gpu.device.compute_capability;
  document["multiprocessors"] = gpu.device.multiprocessors;
  document["memory_bytes"] = gpu.memory_bytes;
  document["peaks"] = {{"clock_mhz", gpu.peaks.clock_mhz},
                       {"power_w", gpu.peaks.power_w},
                       {"flops_per_clock", gpu.peaks.flops_clock},
                       {"memory_bytes_per_second", gpu.peaks.memory_bytes}};
  if (gpu.ceilings) {
    document["ceilings"] = {{"flops_per_second", gpu.ceilings->flops}, {"bytes_per_second", gpu.ceilings->bytes}};
  }
  document["figures"] = {{"flops_per_second", round_figure(figures.flops)},
                         {"memory_bytes_per_second", round_figure(figures.memory_bytes)},
                         {"l2_bytes_per_second", round_figure(figures.l2_bytes)},
                         {"power", write_figures(kPower, figures.power)},
                         {"gemm", write_figures(kGemm, figures.gemm)},
                         {"combine", write_figures(kCombine, figures.combine)},
                         {"uniform", write_figures(kUniform, figures.uniform)},
                         {"routing", write_figures(kRouting, figures.routing)},
                         {"rounding", write_figures(kRounding, figures.rounding)}};
  nlohmann::ordered_json& error = document["error"];
  error = {{"median", gpu.error.median}, {"p90", gpu.error.p90}, {"ratio", gpu.error.ratio}};
  if (gpu.error.ratio_across_tiles) error["ratio_across_tiles"] = *gpu.error.ratio_across_tiles;
  error["cases"] = gpu.error.cases;
  error["where"] = gpu.error.where;
  error["own"] = gpu.error.own;
  return document;
}

GpuModel read_gpu_model(const std::string& name_or_path) {
  if (const Shipped* shipped = find_shipped(name_or_path)) {
    return shipped_models()[static_cast<std::size_t>(shipped - kShipped.data())];
  }
  return build(checked_document(name_or_path), name_or_path);
}

GpuFigures scale_figures(const GpuModel& like, const GpuPeaks& peaks, int multiprocessors) {
  GpuFigures figures = like.figures;
  const double clock = sustained_clock_mhz(like, peaks, multiprocessors) * 1e6;
  figures.flops = clock * peaks.flops_clock * multiprocessors;
  const double memory = peaks.memory_bytes / like.peaks.memory_bytes;
  figures.memory_bytes *= memory;
  figures.combine.bytes *= memory;
  figures.l2_bytes *= peaks.clock_mhz * multiprocessors / (like.peaks.clock_mhz * like.device.multiprocessors);
  return figures;
}

double clock_gain(const GpuModel& gpu, double busy, double streaming) {
  constexpr double kLeast = 0.25;  // of the power, whatever memory takes
  const PowerFigures& power = gpu.figures.power;
  const double left = std::max(kLeast, 1 - power.idle - power.memory * streaming);
  const double wanted = (1 - power.idle) * busy;
  return std::min(std::pow(left / wanted, 1 / power.growth),
                  std::max(1.0, kBusy * gpu.peaks.clock_mhz / clock_of(gpu)));
}

std::string doubt_of(const GpuModel& gpu) {
  if (gpu.error.own) return {};
  return gpu.from == FiguresFrom::kDatasheet ? "datasheet, not validated" : "not validated on this GPU";
}

}  // namespace tatr
