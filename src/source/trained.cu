#include <thrust/fill.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/exact_math.hpp"
#include "core/integer_math.hpp"
#include "core/philox.hpp"
#include "device/thrust_policy.cuh"
#include "source/trained.hpp"

namespace tatr {

namespace {

constexpr float kFirstDecay = 0.9f, kSecondDecay = 0.999f, kTiny = 1e-8f;  // Adam's

// --- the data ---

struct FillNormal {
  float* out;
  float scale;
  std::uint64_t seed;
  Stream stream;
  TATR_HD void operator()(std::int64_t i) const {
    const auto low = static_cast<std::uint32_t>(i), high = static_cast<std::uint32_t>(i >> 32);
    out[i] = scale * normal_from_bits(random_bits(seed, stream, low, high));
  }
};

/// One token and its target.
struct DrawToken {
  std::int32_t hidden, topics;
  float noise;
  std::uint64_t seed;
  std::uint32_t batch;
  const std::uint32_t* topic_ends;
  const float *centres, *maps;
  float *tokens, *targets;

  TATR_HD void operator()(std::int64_t token) const {
    const auto row = static_cast<std::uint32_t>(token);
    const std::uint32_t draw = random_bits(seed, Stream::kTopicOfToken, 0, row, batch);
    std::int32_t topic = 0;
    while (topic < topics - 1 && draw >= topic_ends[topic]) ++topic;
    float* x = tokens + token * hidden;
    float* y = targets + token * hidden;
    for (std::int32_t i = 0; i < hidden; ++i) {
      const std::uint32_t bits = random_bits(seed, Stream::kTokenNoise, static_cast<std::uint32_t>(i), row, batch);
      x[i] = centres[topic * hidden + i] + noise * normal_from_bits(bits);
      y[i] = 0.0f;
    }
    const float* map = maps + static_cast<std::int64_t>(topic) * hidden * hidden;
    for (std::int32_t i = 0; i < hidden; ++i) {
      for (std::int32_t o = 0; o < hidden; ++o) y[o] += x[i] * map[i * hidden + o];
    }
  }
};

// --- forward ---

struct TokenLogits {
  std::int32_t hidden, experts;
  const float *tokens, *weights;
  float* logits;
  TATR_HD void operator()(std::int64_t token) const {
    float* row = logits + token * experts;
    for (std::int32_t e = 0; e < experts; ++e) row[e] = 0.0f;
    for (std::int32_t i = 0; i < hidden; ++i) {
      const float x = tokens[token * hidden + i];
      for (std::int32_t e = 0; e < experts; ++e) row[e] += x * weights[i * experts + e];
    }
  }
};

/// One expert's output for one token.
struct ExpertOutput {
  std::int32_t hidden, top_k;
  const std::int32_t* chosen;
  const float *tokens, *matrices;
  float* outputs;
  TATR_HD void operator()(std::int64_t assignment) const {
    const float* x = tokens + assignment / top_k * hidden;
    const float* matrix = matrices + static_cast<std::int64_t>(chosen[assignment]) * hidden * hidden;
    float* out = outputs + assignment * hidden;
    for (std::int32_t o = 0; o < hidden; ++o) out[o] = 0.0f;
    for (std::int32_t i = 0; i < hidden; ++i) {
      for (std::int32_t o = 0; o < hidden; ++o) out[o] += x[i] * matrix[i * hidden + o];
    }
  }
};

struct TokenError {
  std::int32_t hidden, top_k;
  const float *outputs, *gates, *targets;
  float* errors;
  TATR_HD void operator()(std::int64_t token) const {
    float* error = errors + token * hidden;
    for (std::int32_t o = 0; o < hidden; ++o) error[o] = -targets[token * hidden + o];
    for (std::int64_t a = token * top_k; a < (token + 1) * top_k; ++a) {
      for (std::int32_t o = 0; o < hidden; ++o) error[o] += gates[a] * outputs[a * hidden + o];
    }
  }
};

// --- backward ---

/// What a change of a token's score for one expert does to the balance and the rounding loss.
struct CountGradient {
  std::int32_t tile;
  bool periodic;
  float balance, rounding;  // weights, over what the losses are means of
  const std::int32_t* counts;
  float* gradient;
  TATR_HD void operator()(std::int64_t expert) const {
    const std::int32_t count = counts[expert];
    const auto size = static_cast<float>(tile);
    const float u = static_cast<float>(count % tile) / size;
    const float slope = periodic ? 32.0f * u * (1.0f - u) * (1.0f - 2.0f * u) / size : 1.0f / size;
    gradient[expert] = balance * static_cast<float>(count) + rounding * slope;
  }
};

/// Through the softmax over all experts (balance, rounding), and through the one over the chosen (task).
struct LogitGradient {
  std::int32_t hidden, experts, top_k;
  float scale;  // 2 / (T hidden)
  ScoreView score;
  const std::int32_t* chosen;
  const float *gates, *outputs, *errors, *count_gradient;
  float* gradient;  // [T, E]
  TATR_HD void operator()(std::int64_t token) const {
    float* row = gradient + token * experts;
    score.of_experts(token, 0, experts, row);
    float mean = 0.0f;
    for (std::int32_t e = 0; e < experts; ++e) mean += row[e] * count_gradient[e];
    for (std::int32_t e = 0; e < experts; ++e) row[e] *= count_gradient[e] - mean;

    const float* error = errors + token * hidden;
    const auto gate_gradient = [&](std::int64_t a) {
      float sum = 0.0f;
      for (std::int32_t o = 0; o < hidden; ++o) sum += error[o] * outputs[a * hidden + o];
      return scale * sum;
    };
    mean = 0.0f;
    for (std::int64_t a = token * top_k; a < (token + 1) * top_k; ++a) mean += gates[a] * gate_gradient(a);
    for (std::int64_t a = token * top_k; a < (token + 1) * top_k; ++a) {
      row[chosen[a]] += gates[a] * (gate_gradient(a) - mean);
    }
  }
};

/// What the tokens of one chunk give to those weights, of the router and of all experts, that one value of a token is
/// multiplied by: nobody else adds to them.
struct ChunkGradient {
  std::int64_t tokens_in_all, chunk_tokens, weights;
  std::int32_t hidden, experts, top_k;
  float scale;
  const std::int32_t* chosen;
  const float *tokens, *gates, *errors, *logit_gradient;
  float* gradients;
  TATR_HD void operator()(std::int64_t index) const {
    const std::int64_t chunk = index / hidden, i = index % hidden;
    const std::int64_t first = chunk * chunk_tokens;
    const std::int64_t last = first + chunk_tokens < tokens_in_all ? first + chunk_tokens : tokens_in_all;
    float* router = gradients + chunk * weights + i * experts;
    float* matrices = gradients + chunk * weights + static_cast<std::int64_t>(hidden) * experts;
    for (std::int64_t token = first; token < last; ++token) {
      const float x = tokens[token * hidden + i];
      for (std::int32_t e = 0; e < experts; ++e) router[e] += x * logit_gradient[token * experts + e];
      for (std::int64_t a = token * top_k; a < (token + 1) * top_k; ++a) {
        float* row = matrices + (static_cast<std::int64_t>(chosen[a]) * hidden + i) * hidden;
        const float weight = scale * gates[a] * x;
        for (std::int32_t o = 0; o < hidden; ++o) row[o] += weight * errors[token * hidden + o];
      }
    }
  }
};

struct SumChunks {
  std::int64_t chunks, weights;
  const float* gradients;
  float* sum;
  TATR_HD void operator()(std::int64_t weight) const {
    sum[weight] = 0.0f;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) sum[weight] += gradients[chunk * weights + weight];
  }
};

struct Adam {
  float rate, first_correction, second_correction;
  const float* gradient;
  float *weights, *first_moment, *second_moment;
  TATR_HD void operator()(std::int64_t i) const {
    first_moment[i] = kFirstDecay * first_moment[i] + (1.0f - kFirstDecay) * gradient[i];
    second_moment[i] = kSecondDecay * second_moment[i] + (1.0f - kSecondDecay) * gradient[i] * gradient[i];
    const float deviation = sqrtf(second_moment[i] / second_correction) + kTiny;
    weights[i] -= rate * (first_moment[i] / first_correction) / deviation;
  }
};

// --- sizes ---

const TrainedSource& trained_of(const RouterConfig& config) { return std::get<TrainedSource>(config.source.options); }

std::int64_t weight_count(const RouterConfig& config) {
  const std::int64_t hidden = trained_of(config).hidden;
  return hidden * config.experts + config.experts * hidden * hidden;
}

/// At most 64 chunks: enough work for a GPU, and little to sum.
std::int64_t tokens_of_chunk(std::int64_t tokens) {
  return std::max<std::int64_t>(64, ceil_div<std::int64_t>(tokens, 64));
}

std::vector<std::uint32_t> topic_ends_of(const TrainedSource& source) {
  std::vector<double> sums;
  double sum = 0.0;
  for (std::int64_t z = 0; z < source.topics; ++z) {
    const float logarithm = exact_log(static_cast<float>(z + 1));
    sum += static_cast<double>(exact_exp(-static_cast<float>(source.exponent) * logarithm));
    sums.push_back(sum);
  }
  std::vector<std::uint32_t> ends;
  for (const double part : sums) ends.push_back(static_cast<std::uint32_t>(part / sum * 4294967295.0));
  return ends;
}

std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

}  // namespace

RouterTraining::RouterTraining(System& on, const RouterConfig& of, std::uint64_t from)
    : system(on),
      config(of),
      seed(from),
      chunk_tokens(tokens_of_chunk(of.tokens)),
      topic_ends(on, topic_ends_of(trained_of(of))) {
  const TrainedSource& source = trained_of(config);
  const std::int64_t t = config.tokens, hidden = source.hidden, all = weight_count(config);
  const auto make = [&](std::int64_t count) { return Buffer<float>(system, size(count)); };
  centres = make(source.topics * hidden);
  maps = make(source.topics * hidden * hidden);
  tokens = make(t * hidden);
  targets = make(t * hidden);
  weights = make(all);
  gradient = make(all);
  first_moment = make(all);
  second_moment = make(all);
  outputs = make(t * config.top_k * hidden);
  errors = make(t * hidden);
  logit_gradient = make(t * config.experts);
  count_gradient = make(config.experts);
  chunk_gradients = make(ceil_div(t, chunk_tokens) * all);
  const float spread = 1.0f / std::sqrt(static_cast<float>(hidden));
  Buffer<float> logits = make(t * config.experts);
  with_policy(system, [&](auto policy) {
    for_each_index(policy, source.topics * hidden, FillNormal{centres.data(), 1.0f, seed, Stream::kTopicCentre});
    for_each_index(policy, source.topics * hidden * hidden, FillNormal{maps.data(), spread, seed, Stream::kTopicMap});
    for_each_index(policy, all, FillNormal{weights.data(), spread, seed, Stream::kInitialWeight});
    thrust::fill_n(policy, first_moment.data(), all, 0.0f);
    thrust::fill_n(policy, second_moment.data(), all, 0.0f);
    thrust::fill_n(policy, logits.data(), logits.size(), 0.0f);
  });
  routing = route(system, std::move(logits), config);
}

void RouterTraining::forward(std::int64_t index) {
  const TrainedSource& source = trained_of(config);
  const auto hidden = static_cast<std::int32_t>(source.hidden), experts = routing.experts;
  const float* matrices = weights.data() + static_cast<std::int64_t>(hidden) * experts;
  with_policy(system, [&](auto policy) {
    for_each_index(policy, config.tokens,
                   DrawToken{hidden, static_cast<std::int32_t>(source.topics), static_cast<float>(source.noise), seed,
                             static_cast<std::uint32_t>(index), topic_ends.data(), centres.data(), maps.data(),
                             tokens.data(), targets.data()});
    for_each_index(policy, config.tokens,
                   TokenLogits{hidden, experts, tokens.data(), weights.data(), routing.logits.data()});
  });
  route_again(system, routing, config);
  with_policy(system, [&](auto policy) {
    for_each_index(policy, config.tokens * config.top_k,
                   ExpertOutput{hidden, routing.top_k, routing.chosen.data(), tokens.data(), matrices, outputs.data()});
    for_each_index(
        policy, config.tokens,
        TokenError{hidden, routing.top_k, outputs.data(), routing.gates.data(), targets.data(), errors.data()});
  });
}

void RouterTraining::backward() {
  const TrainedSource& training = trained_of(config);
  const auto hidden = static_cast<std::int32_t>(training.hidden), experts = routing.experts, top_k = routing.top_k;
  const auto t = static_cast<double>(config.tokens), e = static_cast<double>(experts), k = static_cast<double>(top_k);
  const auto scale = static_cast<float>(2.0 / (t * static_cast<double>(hidden)));
  const auto balance = static_cast<float>(training.balance_weight * e / (t * k * t));
  const auto rounding = static_cast<float>(training.rounding_weight * k / e);
  const std::int64_t all = weight_count(config), chunks = ceil_div(config.tokens, chunk_tokens);
  with_policy(system, [&](auto policy) {
    for_each_index(
        policy, experts,
        CountGradient{static_cast<std::int32_t>(training.tile), training.surrogate == RoundingSurrogate::kPeriodic,
                      balance, rounding, routing.counts.data(), count_gradient.data()});
    for_each_index(
        policy, config.tokens,
        LogitGradient{hidden, experts, top_k, scale, routing.score_view(), routing.chosen.data(), routing.gates.data(),
                      outputs.data(), errors.data(), count_gradient.data(), logit_gradient.data()});
    thrust::fill_n(policy, chunk_gradients.data(), chunk_gradients.size(), 0.0f);
    for_each_index(policy, chunks * hidden,
                   ChunkGradient{config.tokens, chunk_tokens, all, hidden, experts, top_k, scale, routing.chosen.data(),
                                 tokens.data(), routing.gates.data(), errors.data(), logit_gradient.data(),
                                 chunk_gradients.data()});
    for_each_index(policy, all, SumChunks{chunks, all, chunk_gradients.data(), gradient.data()});
  });
}

void RouterTraining::update() {
  first_power *= static_cast<double>(kFirstDecay);
  second_power *= static_cast<double>(kSecondDecay);
  const Adam adam{static_cast<float>(trained_of(config).learning_rate),
                  static_cast<float>(1.0 - first_power),
                  static_cast<float>(1.0 - second_power),
                  gradient.data(),
                  weights.data(),
                  first_moment.data(),
                  second_moment.data()};
  with_policy(system, [&](auto policy) { for_each_index(policy, weight_count(config), adam); });
}

double RouterTraining::task_loss() const {
  const auto squares = [](const Buffer<float>& of) {
    const std::vector<float> values = of.to_host();
    return std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
  };
  const double nothing = squares(targets);
  return nothing > 0 ? squares(errors) / nothing : 0.0;
}

std::size_t training_bytes(const RouterConfig& config) {
  const std::int64_t t = config.tokens, e = config.experts, k = config.top_k, all = weight_count(config);
  const std::int64_t hidden = trained_of(config).hidden, topics = trained_of(config).topics;
  const std::int64_t chunks = ceil_div(t, tokens_of_chunk(t));
  const std::int64_t data = topics * (1 + hidden + hidden * hidden) + t * hidden * (3 + k);
  const std::int64_t routing = t * (2 * e + 3 * k + ceil_div<std::int64_t>(e, 32) + 2) + 2 * e;
  return size(4 * (data + routing + (4 + chunks) * all));
}

TrainedRouter train_router(System& system, const RouterConfig& config, std::uint64_t seed,
                           const std::function<void(std::int64_t step)>& progress) {
  RouterTraining training(system, config, seed);
  const std::int64_t steps = trained_of(config).steps;
  for (std::int64_t step = 0; step < steps; ++step) {
    progress(step);
    training.forward(step);
    training.backward();
    training.update();
  }
  training.forward(steps);
  return {std::move(training.routing.logits), training.task_loss()};
}

}  // namespace tatr
