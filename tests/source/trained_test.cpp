#include "source/trained.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "source/training_shape.hpp"

using namespace tatr;

namespace {

/// The weighted losses in fp64, written from their definitions, as a function of the weights. Choice and counts stay
/// those of the batch; a count moves by the top-k-fold sum of its scores, with the slope that its loss has at it.
class Losses {
 public:
  explicit Losses(const RouterTraining& training)
      : config_(training.config),
        x_(training.tokens.to_host()),
        y_(training.targets.to_host()),
        chosen_(training.routing.chosen.to_host()),
        counts_(training.routing.counts.to_host()) {}

  double operator()(const std::vector<double>& weights) const {
    const TrainedSource& training = *config_.source.trained();
    const std::int64_t hidden = training.hidden, experts = config_.experts, k = config_.top_k, tokens = config_.tokens;
    const auto e = static_cast<double>(experts), t = static_cast<double>(tokens);
    double task = 0;
    std::vector<double> score_sums(static_cast<std::size_t>(experts));
    for (std::int64_t token = 0; token < tokens; ++token) {
      const std::vector<double> scores = scores_of(weights, token);
      double chosen_sum = 0;
      for (std::int64_t i = 0; i < k; ++i) chosen_sum += scores[expert_at(token, i)];
      for (std::size_t i = 0; i < scores.size(); ++i) score_sums[i] += scores[i];
      for (std::int64_t o = 0; o < hidden; ++o) {
        double output = 0;
        for (std::int64_t i = 0; i < k; ++i) {
          const std::size_t expert = expert_at(token, i);
          for (std::int64_t j = 0; j < hidden; ++j) {
            const std::size_t place =
                index(hidden * experts + (static_cast<std::int64_t>(expert) * hidden + j) * hidden + o);
            output += scores[expert] / chosen_sum * weights[place] * x_[index(token * hidden + j)];
          }
        }
        task += std::pow(output - y_[index(token * hidden + o)], 2) / (t * static_cast<double>(hidden));
      }
    }
    double balance = 0, rounding = 0;
    for (std::size_t i = 0; i < score_sums.size(); ++i) {
      balance += e * (counts_[i] / (t * static_cast<double>(k))) * (score_sums[i] / t);
      rounding += slope(counts_[i]) * static_cast<double>(k) * score_sums[i] / e;
    }
    return task + training.balance_weight * balance + training.rounding_weight * rounding;
  }

 private:
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

  std::size_t expert_at(std::int64_t token, std::int64_t rank) const {
    return static_cast<std::size_t>(chosen_[index(token * config_.top_k + rank)]);
  }

  /// By differences, of the loss of one count.
  double slope(double count) const {
    const auto tile = static_cast<double>(config_.source.trained()->tile);
    if (config_.source.trained()->surrogate == RoundingSurrogate::kSawtooth) return 1.0 / tile;
    const auto wave = [&](double c) {
      const double u = c / tile - std::floor(c / tile);
      return std::pow(4 * u * (1 - u), 2);
    };
    return (wave(count + 1e-4) - wave(count - 1e-4)) / 2e-4;
  }

  std::vector<double> scores_of(const std::vector<double>& weights, std::int64_t token) const {
    const std::int64_t hidden = config_.source.trained()->hidden, experts = config_.experts;
    std::vector<double> scores(index(experts));
    for (std::int64_t e = 0; e < experts; ++e) {
      double logit = 0;
      for (std::int64_t i = 0; i < hidden; ++i)
        logit += x_[index(token * hidden + i)] * weights[index(i * experts + e)];
      scores[index(e)] = std::exp(logit);
    }
    const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
    for (double& score : scores) score /= sum;
    return scores;
  }

  RouterConfig config_;
  std::vector<float> x_, y_;
  std::vector<std::int32_t> chosen_, counts_;
};

std::vector<float> gradient_of(System& system, const RouterConfig& config) {
  RouterTraining training(system, config, 5);
  training.forward(0);
  training.backward();
  return training.gradient.to_host();
}

double norm(const std::vector<float>& values) {
  return std::sqrt(std::inner_product(values.begin(), values.end(), values.begin(), 0.0));
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return std::sqrt(sum);
}

}  // namespace

TEST_CASE("the gradient is that of the losses as they are defined, by differences") {
  const auto cpu = make_cpu_system(2);
  for (const RoundingSurrogate surrogate : {RoundingSurrogate::kPeriodic, RoundingSurrogate::kSawtooth}) {
    for (const std::int64_t top_k : {1, 3}) {
      RouterConfig config = trained_router(150, 6, top_k);
      std::get<TrainedSource>(config.source.options).surrogate = surrogate;
      RouterTraining training(*cpu, config, 3);
      training.forward(0);
      training.backward();
      const std::vector<float> weights = training.weights.to_host(), gradient = training.gradient.to_host();
      const Losses losses(training);
      const double unit = norm(gradient) / std::sqrt(static_cast<double>(gradient.size()));
      REQUIRE(unit > 0);
      std::vector<double> moved(weights.begin(), weights.end());
      for (std::size_t i = 0; i < weights.size(); ++i) {
        constexpr double kStep = 1e-5;
        moved[i] = weights[i] + kStep;
        const double above = losses(moved);
        moved[i] = weights[i] - kStep;
        const double slope = (above - losses(moved)) / (2 * kStep);
        moved[i] = weights[i];
        INFO("top " << top_k << ", weight " << i << ": " << gradient[i] << " against " << slope);
        REQUIRE(std::abs(gradient[i] - slope) <= 1e-3 * unit);
      }
    }
  }
}

TEST_CASE("the rounding loss moves the gradient, but as a sawtooth it does not") {
  const auto cpu = make_cpu_system(2);
  RouterConfig config = trained_router(500, 8, 2);
  std::get<TrainedSource>(config.source.options).rounding_weight = 0;
  const std::vector<float> without = gradient_of(*cpu, config);
  std::get<TrainedSource>(config.source.options).rounding_weight = 1;
  CHECK(distance(gradient_of(*cpu, config), without) > 0.1 * norm(without));
  std::get<TrainedSource>(config.source.options).surrogate = RoundingSurrogate::kSawtooth;
  CHECK(distance(gradient_of(*cpu, config), without) < 1e-5 * norm(without));
}

TEST_CASE("training lowers the task loss of a batch that it has not seen") {
  const auto cpu = make_cpu_system(2);
  RouterConfig config = trained_router(512, 8, 2);
  std::get<TrainedSource>(config.source.options).rounding_weight = 0;
  std::get<TrainedSource>(config.source.options).steps = 0;
  std::int64_t calls = 0;
  const auto count = [&](std::int64_t) { ++calls; };
  const double before = train_router(*cpu, config, 1, count).task_loss;
  std::get<TrainedSource>(config.source.options).steps = 200;
  const double after = train_router(*cpu, config, 1, count).task_loss;
  CHECK(calls == 200);
  CHECK(before > 0.9);
  CHECK(after < 0.5 * before);
}

TEST_CASE("the balance loss evens the experts' loads") {
  const auto cpu = make_cpu_system(2);
  RouterConfig config = trained_router(1024, 8, 1);
  std::get<TrainedSource>(config.source.options).rounding_weight = 0;
  std::get<TrainedSource>(config.source.options).steps = 100;
  const auto spread = [&](double weight) {
    std::get<TrainedSource>(config.source.options).balance_weight = weight;
    const Routing routing = route(*cpu, train_router(*cpu, config, 2, [](std::int64_t) {}).logits, config);
    const std::vector<std::int32_t> counts = routing.counts.to_host();
    return *std::max_element(counts.begin(), counts.end()) - *std::min_element(counts.begin(), counts.end());
  };
  CHECK(spread(1.0) < spread(0.0) / 2);
}

TEST_CASE("training gives the same bits with any number of threads") {
  RouterConfig config = trained_router(777, 10, 3);
  std::get<TrainedSource>(config.source.options).steps = 20;
  const auto logits = [&](int threads) {
    const auto cpu = make_cpu_system(threads);
    return train_router(*cpu, config, 4, [](std::int64_t) {}).logits.to_host();
  };
  CHECK(logits(1) == logits(2));
}

TEST_CASE("what training will allocate is told beforehand") {
  const auto cpu = make_cpu_system(2);
  for (const std::int64_t tokens : {100, 9000}) {
    const RouterConfig config = trained_router(tokens, 40, 3);
    cpu->reset_peak();
    { const RouterTraining training(*cpu, config, 1); }
    CHECK(static_cast<double>(cpu->peak_bytes()) == Approx(static_cast<double>(training_bytes(config))).epsilon(0.02));
  }
}
