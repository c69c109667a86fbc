// The timing protocol on a fake clock: no device, no waiting.
#include "measure/sampler.hpp"

#include <string>

#include "catch.hpp"
#include "core/error.hpp"

using namespace tatr;

namespace {

/// Time passes only as the candidates say; every event is written down.
class FakeWatch final : public Stopwatch {
 public:
  double now_ms = 0;
  std::string log;
  int reached = -1;  // the marks of a device that does not finish

  void flush_caches() override {
    log += 'f';
    now_ms += 1000;  // must never count
  }
  void start() override { marks_.clear(); }
  void mark() override { marks_.push_back(now_ms); }
  std::vector<double> elapsed_ms() override {
    if (reached >= 0) throw DeviceTimeoutError("the device did not finish", reached);
    std::vector<double> elapsed;
    for (std::size_t i = 1; i < marks_.size(); ++i) elapsed.push_back(marks_[i] - marks_[i - 1]);
    return elapsed;
  }

 private:
  std::vector<double> marks_;
};

Candidate work(FakeWatch& watch, char name, std::vector<double> stage_ms) {
  Candidate candidate{std::string(1, name), {}};
  for (const double ms : stage_ms) {
    candidate.stages.push_back({"stage", [&watch, name, ms] {
                                  watch.log += name;
                                  watch.now_ms += ms;
                                }});
  }
  return candidate;
}

SamplingRules rules(int least, int most) {
  SamplingRules rules;
  rules.least_rounds = least;
  rules.most_rounds = most;
  rules.least_warm_up_ms = 1;
  return rules;
}

}  // namespace

TEST_CASE("candidates are interleaved, each behind a flush, after a warm-up that leaves no samples") {
  FakeWatch watch;
  const auto series = sample_interleaved({work(watch, 'A', {3}), work(watch, 'B', {5})}, rules(2, 2), watch);
  CHECK(watch.log ==
        "fAfB"
        "fAfBfAfB");
  CHECK(series[0].total_ms == std::vector<double>{3, 3});
  CHECK(series[1].total_ms == std::vector<double>{5, 5});
}

TEST_CASE("each round is announced before it, and none of the warm-up") {
  FakeWatch watch;
  sample_interleaved(
      {work(watch, 'A', {3}), work(watch, 'B', {5})}, rules(2, 2), watch, [&] { watch.log += '|'; },
      [&] { watch.log += '.'; });
  CHECK(watch.log == "fAfB|.fAfB.fAfB");
}

TEST_CASE("warm caches are not flushed") {
  FakeWatch watch;
  SamplingRules warm = rules(1, 1);
  warm.cold_caches = false;
  sample_interleaved({work(watch, 'A', {3})}, warm, watch);
  CHECK(watch.log == "AA");
}

TEST_CASE("the warm-up lasts as long as the rules say, but ends") {
  FakeWatch watch;
  SamplingRules slow = rules(1, 1);
  slow.least_warm_up_ms = 10;
  sample_interleaved({work(watch, 'A', {3})}, slow, watch);
  CHECK(watch.log ==
        "fAfAfAfA"
        "fA");
  watch.log.clear();
  slow.most_warm_up_rounds = 3;
  sample_interleaved({work(watch, 'A', {0})}, slow, watch);
  CHECK(watch.log ==
        "fAfAfA"
        "fA");
}

TEST_CASE("stages are timed apart and together, and all raw samples are kept") {
  FakeWatch watch;
  const auto series = sample_interleaved({work(watch, 'A', {1, 2, 4})}, rules(3, 3), watch);
  CHECK(series[0].stage_ms == std::vector<std::vector<double>>{{1, 1, 1}, {2, 2, 2}, {4, 4, 4}});
  CHECK(series[0].total_ms == std::vector<double>{7, 7, 7});
}

TEST_CASE("sampling stops early once the medians are precise, but not before the least") {
  FakeWatch watch;
  CHECK(sample_interleaved({work(watch, 'A', {3})}, rules(10, 50), watch)[0].total_ms.size() == 10);
  Candidate noisy{"N", {}};
  int turn = 0;
  noisy.stages.push_back({"stage", [&] { watch.now_ms += 1 + turn++ % 2; }});
  CHECK(sample_interleaved({noisy}, rules(10, 50), watch)[0].total_ms.size() == 50);
}

TEST_CASE("drift of whole rounds and too many outliers are warnings") {
  Series steady, slowing;
  for (int i = 0; i < 20; ++i) {
    steady.total_ms.push_back(i == 7 ? 20 : 10);  // a single slow round is no drift
    slowing.total_ms.push_back(10 + 0.2 * i);
  }
  CHECK(round_drift({steady}) == 0);
  CHECK(round_drift({slowing}) == Approx((10 + 0.2 * 17.1) / (10 + 0.2 * 1.9) - 1));
  CHECK(round_drift({}) == 0);
  CHECK_FALSE(drift_warning(0.1));
  CHECK(drift_warning(round_drift({slowing}))->find("10 %") != std::string::npos);
  CHECK_FALSE(outlier_warning(steady.total_ms));
  steady.total_ms[2] = steady.total_ms[12] = 30;
  CHECK(outlier_warning(steady.total_ms));
}

TEST_CASE("a device that does not finish is told with the candidate and the stage that it is in") {
  FakeWatch watch;
  Candidate candidate{"nearest at tile 128", {}};
  for (const char* stage : {"gather", "up-projection", "combine"}) candidate.stages.push_back({stage, [] {}});
  const auto told = [&](int reached) {
    watch.reached = reached;
    try {
      sample_interleaved({candidate}, rules(2, 2), watch);
    } catch (const DeviceTimeoutError& error) {
      CHECK(error.code() == ExitCode::kEnvironment);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  CHECK(told(0) == "nearest at tile 128, gather: the device did not finish");  // in the flush, which belongs to none
  CHECK(told(1) == "nearest at tile 128, gather: the device did not finish");
  CHECK(told(2) == "nearest at tile 128, up-projection: the device did not finish");
  CHECK(told(3) == "nearest at tile 128, combine: the device did not finish");
}
