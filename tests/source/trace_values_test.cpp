// What numbers look like: those that are no logits are refused, and real logits never are.
#include "source/trace_values.hpp"

#include <cmath>
#include <vector>

#include "catch.hpp"
#include "core/half.hpp"
#include "device/system.hpp"
#include "router/routing.hpp"
#include "source/synthetic.hpp"
#include "source/trace.hpp"

using namespace tatr;

namespace {

std::vector<float> gaussian(std::int64_t tokens, std::int64_t experts, std::uint64_t seed, double deviation = 1.0) {
  SourceConfig source;
  source.deviation = deviation;
  const auto cpu = make_cpu_system(1);
  return synthetic_logits(*cpu, source, seed, tokens, experts).to_host();
}

std::vector<float> softmax(std::vector<float> values, std::int64_t experts) {
  for (auto row = values.begin(); row != values.end(); row += experts) {
    double sum = 0;
    for (auto at = row; at != row + experts; ++at) sum += std::exp(static_cast<double>(*at));
    for (auto at = row; at != row + experts; ++at) *at = static_cast<float>(std::exp(static_cast<double>(*at)) / sum);
  }
  return values;
}

template <class Change>
std::vector<float> changed(std::vector<float> values, Change change) {
  for (float& value : values) value = change(value);
  return values;
}

/// As a half holds it: 11 bits, and multiples of 2^-24.
float as_half(float value) {
  int exponent = 0;
  std::frexp(value, &exponent);
  const int step = std::max(exponent - 11, -24);
  return std::ldexp(std::nearbyint(std::ldexp(value, -step)), step);
}
float as_bf16(float value) { return float_from_bfloat16(bfloat16_from_float(value)); }

/// What is found; "" if nothing is.
std::string found(const std::vector<float>& values, std::int64_t experts, std::int64_t all_rows = 0) {
  const auto rows = static_cast<std::int64_t>(values.size()) / experts;
  const auto problem = problem_of_logits(values, experts, all_rows == 0 ? rows : all_rows);
  if (!problem) return "";
  CHECK(problem->allowed.find("\"values\": \"logits\"") != std::string::npos);
  return (problem->row < 0 ? "" : "row " + std::to_string(problem->row) + ": ") + problem->found;
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("logits are never refused", "[trace-values]") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    for (const std::int64_t experts : {2, 3, 8, 60, 256}) {
      for (const std::int64_t tokens : {1, 2, 40}) {
        if (tokens * experts < 6) continue;  // so few can look like anything
        const std::vector<float> logits = gaussian(tokens, experts, seed);
        REQUIRE(found(logits, experts) == "");
        REQUIRE(found(changed(logits, as_bf16), experts) == "");
        REQUIRE(found(changed(logits, as_half), experts) == "");
      }
    }
    // Whole numbers, as large logits of bf16 are; far apart; above 0.
    REQUIRE(found(changed(gaussian(2, 64, seed, 300), [](float x) { return std::trunc(as_bf16(x)); }), 64) == "");
    REQUIRE(found(changed(gaussian(2, 64, seed), [](float x) { return x + 20; }), 64) == "");
    REQUIRE(found(changed(gaussian(500, 8, seed), [](float x) { return x + 100; }), 8) == "");
    REQUIRE(found(changed(gaussian(8, 8, seed), [](float x) { return 0.5f + 0.1f * x; }), 8) == "");
  }
}

TEST_CASE("equal logits are logits", "[trace-values]") {
  for (const float value : {0.0f, 1.0f, -3.0f, 7.0f, 0.125f, 0.3f}) {
    CHECK(found(std::vector<float>(64, value), 8) == "");
    CHECK(found(std::vector<float>(8, value), 8) == "");
    CHECK(found(std::vector<float>(5, value), 1) == "");
  }
  CHECK(found({1, 1, 0.25f, 2}, 1) == "");
}

TEST_CASE("shipped traces of trained routers are logits", "[trace-values]") {
  for (const char* file : {"layer0", "network"}) {
    TraceSource source;
    source.path = std::string(TATR_SOURCE_DIR) + "/configs/traces/" + file + ".safetensors";
    source.tensors = {"*"};
    for (const std::string& tensor : inspect_trace(source).tensors) {
      CHECK_NOTHROW(read_trace_layer(source, tensor, 0));
      CHECK_NOTHROW(read_trace_layer(source, tensor, 1));
      source.first_token = 77;
      CHECK_NOTHROW(read_trace_layer(source, tensor, 2));
      source.first_token = 0;
    }
    CHECK_NOTHROW(TraceReader(source, {.experts = 256}).check_start());
  }
}

TEST_CASE("probabilities are refused, in any precision", "[trace-values]") {
  for (const std::int64_t experts : {2, 8, 256, 4096}) {
    for (const std::int64_t tokens : {1, 64}) {
      CAPTURE(experts, tokens);
      const std::vector<float> p = softmax(gaussian(tokens, experts, 3, 2.0), experts);
      CHECK(has(found(p, experts), "as probabilities (softmax) do"));
      CHECK(has(found(changed(p, as_bf16), experts), "as probabilities (softmax) do"));
      CHECK(has(found(changed(p, as_half), experts), "as probabilities (softmax) do"));
    }
  }
  std::vector<float> padded = softmax(gaussian(20, 8, 4), 8);
  padded.insert(padded.end(), 32, 0.0f);
  CHECK(has(found(padded, 8), "as probabilities"));
  const auto problem = problem_of_logits(padded, 8, 24);
  CHECK(has(problem->allowed, "\"values\": \"probabilities\""));
  std::vector<float> log_p = softmax(gaussian(20, 8, 4), 8);
  for (float& value : log_p) value = std::log(value);
  CHECK(found(log_p, 8) == "");
}

TEST_CASE("counts are refused", "[trace-values]") {
  const std::vector<float> histogram = {90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86};
  CHECK(has(found(histogram, 12), "whole numbers from 0 to 183"));
  CHECK(has(found(histogram, 4), "whole numbers from 0 to 183"));
  CHECK(has(found({0, 1, 1, 0, 1, 0, 0, 1}, 4), "mask"));
  std::vector<float> means = histogram;
  means[3] += 0.25f;
  CHECK(has(found(means, 12), "1 rows for 12 experts, from 0 up and as far apart as 179"));
  CHECK(found(means, 12, 4000) == "");  // the first row of many
  means[0] = -90;
  CHECK(found(means, 12) == "");
}

TEST_CASE("rows of equal logits among others are padding", "[trace-values]") {
  std::vector<float> logits = gaussian(250, 16, 9);
  logits.insert(logits.end(), 50 * 16, 0.0f);
  CHECK(has(found(logits, 16), "row 250: the same logit for all experts, as padding has"));
  CHECK(found({1, 1, -2, 1, 0, 0, 3, 3}, 2) == "");  // with few experts, chance does it
}

TEST_CASE("tokens without a score among others are padding", "[trace-values]") {
  const std::vector<float> scores = {0.5f, 0.25f, 0.0f, 0.0f, 1.0f, 0.0f};
  const auto problem = problem_of_scores(scores, 2);
  REQUIRE(problem);
  CHECK(problem->row == 1);
  CHECK(has(problem->allowed, "\"values\": \"top_k\""));
  CHECK_FALSE(problem_of_scores(scores, 3));
  CHECK_FALSE(problem_of_scores(std::vector<float>(6, 0.0f), 2));
}
