// The C interface on a GPU: the CPU's bits, whatever the data are, on a caller's stream, captured too.
#include <cuda_runtime.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/exact_math.hpp"
#include "core/half.hpp"
#include "core/philox.hpp"
#include "libtatr/tatr.h"
#include "options/strategies.hpp"

using nlohmann::json;

namespace {

constexpr std::int32_t kWidth = 12;

void require_ok(cudaError_t status) { REQUIRE(status == cudaSuccess); }

/// All outputs of one shape in one block of memory, as bytes: a CPU's or a GPU's.
class AllOutputs {
 public:
  AllOutputs(const json& router, std::int64_t most_rows) {
    const std::int64_t tokens = router["tokens"], experts = router["experts"], top_k = router["top_k"];
    counts_ = {tokens * top_k, tokens * top_k, experts,    experts,   experts + 1,     most_rows,
               most_rows,      most_rows,      tokens + 1, most_rows, tokens * kWidth, tokens * kWidth};
    for (const std::int64_t count : counts_) words_ += count;
  }
  std::size_t bytes() const { return static_cast<std::size_t>(words_) * 4; }
  tatr_outputs at(void* memory) const {
    tatr_outputs outputs{};
    outputs.size = sizeof outputs;
    outputs.width = kWidth;
    auto* place = static_cast<std::int32_t*>(memory);
    std::int32_t** const integers[] = {
        &outputs.chosen, nullptr, &outputs.counts,        &outputs.targets,    &outputs.offsets,  &outputs.token,
        &outputs.expert, nullptr, &outputs.token_offsets, &outputs.token_rows, &outputs.topk_ids, nullptr};
    float** const floats[] = {nullptr, &outputs.gates, nullptr, nullptr, nullptr, nullptr,
                              nullptr, &outputs.gate,  nullptr, nullptr, nullptr, &outputs.topk_weights};
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      if (integers[i] != nullptr) *integers[i] = place;
      if (floats[i] != nullptr) *floats[i] = reinterpret_cast<float*>(place);
      place += counts_[i];
    }
    return outputs;
  }

 private:
  std::vector<std::int64_t> counts_;
  std::int64_t words_ = 0;
};

struct Given {
  std::vector<unsigned char> logits;  // or
  std::vector<std::int32_t> ids;
  std::vector<float> scores;
};

/// What a round on the CPU gives, every output byte by byte; and what tatr_check says.
struct Result {
  std::vector<unsigned char> outputs;
  std::string complaint;
};

tatr_status round_with(tatr_rounder* rounder, const Given& given, const void* data, const float* scores,
                       const tatr_outputs& outputs, void* stream) {
  return given.ids.empty()
             ? tatr_round_logits(rounder, data, &outputs, stream)
             : tatr_round_top_k(rounder, static_cast<const std::int32_t*>(data), scores, &outputs, stream);
}

std::string complaint_of(tatr_rounder* rounder, void* stream) {
  return tatr_check(rounder, stream) == TATR_OK ? "" : tatr_last_error();
}

Result on_cpu(json options, const Given& given) {
  options["device"] = "cpu";
  options["threads"] = 2;
  tatr_rounder* rounder = nullptr;
  REQUIRE(tatr_create(&rounder, options.dump().c_str()) == TATR_OK);
  const std::size_t bytes = tatr_workspace_bytes(rounder);
  const std::unique_ptr<void, decltype(&std::free)> workspace(std::aligned_alloc(256, bytes), std::free);
  REQUIRE(tatr_prepare(rounder, workspace.get(), bytes, nullptr) == TATR_OK);
  const AllOutputs all(options["router"], tatr_most_rows(rounder));
  Result result{std::vector<unsigned char>(all.bytes(), 0xA5), {}};
  const void* data = given.ids.empty() ? static_cast<const void*>(given.logits.data()) : given.ids.data();
  REQUIRE(round_with(rounder, given, data, given.scores.empty() ? nullptr : given.scores.data(),
                     all.at(result.outputs.data()), nullptr) == TATR_OK);
  result.complaint = complaint_of(rounder, nullptr);
  tatr_destroy(rounder);
  return result;
}

/// Runs it three times on one workspace of marked edges, the last as a graph; all must be alike.
Result on_gpu(json options, const Given& given) {
  options["device"] = "cuda:0";
  cudaStream_t stream = nullptr;
  require_ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  tatr_rounder* rounder = nullptr;
  const tatr_status made = tatr_create(&rounder, options.dump().c_str());
  INFO(tatr_last_error());
  REQUIRE(made == TATR_OK);
  const std::size_t bytes = tatr_workspace_bytes(rounder), edge = 256;
  const AllOutputs all(options["router"], tatr_most_rows(rounder));
  unsigned char *workspace = nullptr, *outputs = nullptr, *data = nullptr;
  float* scores = nullptr;
  const std::size_t data_bytes = given.ids.empty() ? given.logits.size() : given.ids.size() * 4;
  require_ok(cudaMalloc(&workspace, bytes + 2 * edge));
  require_ok(cudaMalloc(&outputs, all.bytes()));
  require_ok(cudaMalloc(&data, data_bytes));
  require_ok(cudaMemset(workspace, 0xA5, bytes + 2 * edge));
  require_ok(cudaMemcpy(data, given.ids.empty() ? static_cast<const void*>(given.logits.data()) : given.ids.data(),
                        data_bytes, cudaMemcpyHostToDevice));
  if (!given.scores.empty()) {
    require_ok(cudaMalloc(&scores, given.scores.size() * 4));
    require_ok(cudaMemcpy(scores, given.scores.data(), given.scores.size() * 4, cudaMemcpyHostToDevice));
  }
  require_ok(cudaDeviceSynchronize());  // of another stream than the copies'
  REQUIRE(tatr_prepare(rounder, workspace + edge, bytes, stream) == TATR_OK);
  Result result;
  for (int turn = 0; turn < 3; ++turn) {
    require_ok(cudaMemsetAsync(outputs, 0xA5, all.bytes(), stream));
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t ready = nullptr;
    if (turn == 2) require_ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    REQUIRE(round_with(rounder, given, data, scores, all.at(outputs), stream) == TATR_OK);
    if (turn == 2) {
      require_ok(cudaStreamEndCapture(stream, &graph));
      require_ok(cudaGraphInstantiate(&ready, graph, 0));
      require_ok(cudaGraphLaunch(ready, stream));
    }
    Result got{std::vector<unsigned char>(all.bytes()), complaint_of(rounder, stream)};
    require_ok(cudaStreamSynchronize(stream));
    require_ok(cudaMemcpy(got.outputs.data(), outputs, all.bytes(), cudaMemcpyDeviceToHost));
    if (ready != nullptr) cudaGraphExecDestroy(ready);
    if (graph != nullptr) cudaGraphDestroy(graph);
    if (turn > 0) {
      CHECK(got.outputs == result.outputs);
      CHECK(got.complaint == result.complaint);
    }
    result = got;
  }
  std::vector<unsigned char> edges(2 * edge);
  require_ok(cudaMemcpy(edges.data(), workspace, edge, cudaMemcpyDeviceToHost));
  require_ok(cudaMemcpy(edges.data() + edge, workspace + edge + bytes, edge, cudaMemcpyDeviceToHost));
  CHECK(edges == std::vector<unsigned char>(2 * edge, 0xA5));
  tatr_destroy(rounder);
  for (void* memory : {static_cast<void*>(workspace), static_cast<void*>(outputs), static_cast<void*>(data),
                       static_cast<void*>(scores)})
    cudaFree(memory);
  cudaStreamDestroy(stream);
  return result;
}

void check_alike(const json& options, const Given& given, const std::string& complaint = "") {
  INFO(options.dump());
  const Result cpu = on_cpu(options, given), gpu = on_gpu(options, given);
  CHECK(gpu.outputs == cpu.outputs);
  CHECK(gpu.complaint == cpu.complaint);
  CHECK(cpu.complaint.find(complaint) != std::string::npos);
}

std::vector<float> some_logits(const json& router) {
  const std::int64_t tokens = router["tokens"], experts = router["experts"];
  std::vector<float> logits(static_cast<std::size_t>(tokens * experts));
  for (std::size_t i = 0; i < logits.size(); ++i) {
    logits[i] = tatr::normal_from_bits(tatr::philox(3, {{static_cast<std::uint32_t>(i), 0, 0, 1}}).word[0]);
    if (i % static_cast<std::size_t>(experts) < 5) logits[i] += 1.5f;
  }
  return logits;
}

template <class T>
Given given_logits(const std::vector<T>& logits) {
  Given given;
  given.logits.resize(logits.size() * sizeof(T));
  std::memcpy(given.logits.data(), logits.data(), given.logits.size());
  return given;
}

json shape(int tokens, int experts, int top_k) { return {{"tokens", tokens}, {"experts", experts}, {"top_k", top_k}}; }

}  // namespace

TEST_CASE("libtatr on a GPU gives the CPU's bits for every strategy, in a graph too") {
  for (const json& router : {shape(3000, 64, 4), shape(1001, 37, 3)}) {  // with the kernel of its own, and without
    const Given given = given_logits(some_logits(router));
    for (const tatr::StrategyRow& row : tatr::kStrategies) {
      for (const json& more : {json::object(), json{{"renormalise", true}}, json{{"fill", "duplicate"}}}) {
        json strategy{{"name", row.name}};
        strategy.update(more);
        if (row.kind == tatr::StrategyKind::kDynamic) {
          strategy["tiles_by_load"] = {{{"below", 100}, {"tile", 16}}, {{"tile", 64}}};
        }
        check_alike({{"router", router}, {"strategy", strategy}, {"tile", 64}, {"seed", 3}, {"layer", 1}}, given);
      }
    }
    check_alike({{"router", router}, {"strategy", {{"name", "budget"}, {"candidates", "tiles"}}}, {"tile", 64}}, given);
  }
}

TEST_CASE("libtatr on a GPU takes bf16, every router and known top-k") {
  const json base = shape(2048, 128, 8);
  const std::vector<float> logits = some_logits(base);
  std::vector<std::uint16_t> bf16;
  for (const float logit : logits) bf16.push_back(tatr::bfloat16_from_float(logit));
  check_alike({{"router", base}, {"strategy", "nearest"}, {"tile", 128}, {"dtype", "bf16"}}, given_logits(bf16));
  for (const json& more :
       {json{{"scoring", "sigmoid"}}, json{{"normalise_gates", false}}, json{{"logits", "bf16"}},
        json{{"scoring", "sigmoid"}, {"selection_bias", 0.1}, {"groups", {{"count", 8}, {"top", 3}}}}}) {
    json router = base;
    router.update(more);
    check_alike({{"router", router}, {"strategy", "nearest"}, {"tile", 128}}, given_logits(logits));
  }
  Given known;
  for (std::int32_t i = 0; i < 2048 * 8; ++i) {
    known.ids.push_back((i / 8 * 5 + i % 8 * 16) % 128);
    known.scores.push_back(0.9f / static_cast<float>(1 + i % 11));
  }
  check_alike({{"router", base}, {"strategy", "nearest"}, {"tile", 128}}, known);
  known.scores.clear();
  check_alike({{"router", base}, {"strategy", "up"}, {"tile", 128}}, known);
}

TEST_CASE("libtatr on a GPU survives data that are none, as the CPU does") {
  const json router = shape(1024, 64, 4);
  std::vector<float> logits = some_logits(router);
  for (std::size_t i = 0; i < logits.size(); i += 97) logits[i] = std::nanf("");
  for (std::size_t i = 0; i < 64; ++i) logits[64 * 5 + i] = std::nanf("");
  for (std::size_t i = 0; i < 64; ++i) logits[64 * 9 + i] = -std::numeric_limits<float>::infinity();
  logits[64 * 11] = std::numeric_limits<float>::infinity();
  check_alike({{"router", router}, {"strategy", "nearest"}, {"tile", 64}}, given_logits(logits), "logits were NaN");
  check_alike({{"router", router}, {"strategy", {{"name", "budget"}, {"tiles", 1}}}, {"tile", 64}},
              given_logits(some_logits(router)), "fewer tiles than");
  Given known;
  for (std::int32_t i = 0; i < 1024 * 4; ++i) known.ids.push_back(i % 3 == 0 ? i : (i % 5 == 0 ? -i : i % 64));
  check_alike({{"router", router}, {"strategy", "nearest"}, {"tile", 64}}, known, "ids were no expert");
}

TEST_CASE("libtatr names GPUs that are not there, and what a CUDA call told it is the environment") {
  tatr_rounder* rounder = nullptr;
  CHECK(tatr_create(&rounder, R"({"router": {"tokens": 8, "experts": 8, "top_k": 1}, "strategy": "none", "tile": 8,
                                  "device": "cuda:99"})") == TATR_ENVIRONMENT);
  CHECK(std::string(tatr_last_error()).find("cuda:99: there is no such GPU") != std::string::npos);
  CHECK(tatr_device_count() >= 1);
}
