#include <omp.h>
#include <thrust/fill.h>
#include <thrust/system_error.h>

#include <string>
#include <utility>

#include "core/error.hpp"
#include "core/half.hpp"
#include "device/thrust_policy.cuh"
#include "libtatr/rounder.hpp"
#include "rounding/row_owner.hpp"

namespace tatr {

namespace {

/// What data were not that they should have been, counted where they are.
struct Faults {
  std::int32_t nan = 0;            // logits
  std::int32_t ids = 0;            // ids of no expert, or twice in a row
  std::int32_t without_place = 0;  // rows of tokens that have more than `width`
};

constexpr std::int32_t kManyFaults = 1 << 30;

/// Copies a logit to where the router reads it, as it reads it: finite, and rounded where the config says so.
template <class Given>
struct TakeLogit {
  const Given* given;
  float* fp32;          // or
  std::uint16_t* bf16;  // where there
  bool round;
  Faults* faults;

  TATR_HD static float value(float given) { return given; }
  TATR_HD static float value(std::uint16_t given) { return float_from_bits(std::uint32_t{given} << 16); }

  TATR_HD void operator()(std::int64_t i) const {
    constexpr float kMost = 3.40282347e38f, kMostBf16 = 3.38953139e38f;
    const float most = round ? kMostBf16 : kMost;
    float logit = value(given[i]);
    if (logit != logit) {
      if (faults->nan < kManyFaults) atomic_add(&faults->nan, 1);  // no more than threads run at once beyond it
      logit = -most;
    }
    logit = logit > most ? most : (logit < -most ? -most : logit);
    if (bf16 != nullptr) {
      bf16[i] = bfloat16_from_float(logit);
    } else {
      fp32[i] = round ? float_from_bits(std::uint32_t{bfloat16_from_float(logit)} << 16) : logit;
    }
  }
};

/// Copies a token's ids; in place of one that is no expert, or that stands there twice, the first expert that is not
/// among them.
struct TakeIds {
  const std::int32_t* given;  // [T, K]
  std::int32_t* taken;        // [T, K]
  std::int32_t experts, top_k;
  Faults* faults;

  TATR_HD static bool holds(const std::int32_t* ids, std::int32_t count, std::int32_t id) {
    for (std::int32_t i = 0; i < count; ++i) {
      if (ids[i] == id) return true;
    }
    return false;
  }

  TATR_HD void operator()(std::int64_t token) const {
    const std::int32_t* const from = given + token * top_k;
    std::int32_t* const to = taken + token * top_k;
    for (std::int32_t i = 0; i < top_k; ++i) {
      std::int32_t id = from[i];
      if (id < 0 || id >= experts || holds(to, i, id)) {
        atomic_add(&faults->ids, 1);
        for (id = 0; holds(to, i, id) || holds(from, top_k, id);) ++id;  // ends below E: fewer than K are held
      }
      to[i] = id;
    }
  }
};

/// Writes the i-th of everything that is wanted.
struct WriteOutputs {
  tatr_outputs outputs;
  RoundedView rounded;
  const std::int32_t* chosen;
  const float* gates;
  const std::int32_t* counts;
  std::int64_t assignments;
  std::int32_t experts;

  TATR_HD std::int64_t size() const {
    const std::int64_t rows = rounded.most_rows;  // no fewer than assignments
    return rows > experts + 1 ? rows : experts + 1;
  }

  template <class T>
  TATR_HD static void write(T* output, std::int64_t i, T value) {
    if (output != nullptr) output[i] = value;
  }

  TATR_HD void operator()(std::int64_t i) const {
    if (i < assignments) {
      write(outputs.chosen, i, chosen[i]);
      write(outputs.gates, i, gates[i]);
    }
    if (i < experts) {
      write(outputs.counts, i, counts[i]);
      write(outputs.targets, i, rounded.target[i]);
    }
    if (i <= experts) write(outputs.offsets, i, rounded.offsets[i]);
    if (i >= rounded.most_rows) return;
    const bool is_row = i < rounded.offsets[experts];
    write(outputs.token, i, is_row ? rounded.token[i] : -1);
    write(outputs.gate, i, is_row ? rounded.gate[i] : 0.0f);
    if (outputs.expert != nullptr) outputs.expert[i] = is_row ? owner_of(rounded.offsets, experts, i) : -1;
  }
};

TATR_HD bool wants_top_k(const tatr_outputs& outputs) {
  return outputs.topk_ids != nullptr || outputs.topk_weights != nullptr;
}

/// Writes the i-th of what is wanted by token.
struct WriteByToken {
  tatr_outputs outputs;
  RoundedView rounded;
  TokenRowsView by_token;
  std::int64_t tokens;
  std::int32_t experts;
  Faults* faults;

  TATR_HD std::int64_t size() const { return rounded.most_rows > tokens + 1 ? rounded.most_rows : tokens + 1; }

  TATR_HD void operator()(std::int64_t i) const {
    if (i <= tokens && outputs.token_offsets != nullptr) outputs.token_offsets[i] = by_token.offsets[i];
    if (i < by_token.offsets[tokens] && outputs.token_rows != nullptr) outputs.token_rows[i] = by_token.rows[i];
    if (i < tokens && wants_top_k(outputs)) write_top_k(i);
  }

  TATR_HD void write_top_k(std::int64_t token) const {
    const std::int32_t first = by_token.offsets[token], count = by_token.offsets[token + 1] - first;
    if (count > outputs.width) atomic_add(&faults->without_place, count - outputs.width);
    for (std::int32_t i = 0; i < outputs.width; ++i) {
      const std::int64_t place = token * outputs.width + i;
      const std::int32_t row = i < count ? by_token.rows[first + i] : -1;
      if (outputs.topk_ids != nullptr) outputs.topk_ids[place] = row < 0 ? -1 : owner_of(rounded.offsets, experts, row);
      if (outputs.topk_weights != nullptr) outputs.topk_weights[place] = row < 0 ? 0.0f : rounded.gate[row];
    }
  }
};

/// Thrust throws what a CUDA call told it.
template <class Work>
void with_thrust_errors(const Work& work) {
  try {
    work();
  } catch (const thrust::system_error& error) {
    throw EnvironmentError(error.what());
  }
}

/// OpenMP's number of threads is the caller's, too.
class ThreadsOfCaller {
 public:
  ThreadsOfCaller() = default;
  ~ThreadsOfCaller() { omp_set_num_threads(before_); }
  ThreadsOfCaller(const ThreadsOfCaller&) = delete;
  ThreadsOfCaller& operator=(const ThreadsOfCaller&) = delete;

 private:
  int before_ = omp_get_max_threads();
};

}  // namespace

/// All that lies in the workspace.
struct Rounder::Rooms {
  Routing from_logits, from_top_k;
  RoundingScratch scratch;
  Buffer<std::int32_t> ids;  // [T, K]
  Buffer<Faults> faults;     // [1]

  Rooms(System& system, const RounderOptions& options)
      : from_logits(prepare_routing(system, options.router)),
        from_top_k(prepare_routing(system, options.router, Known::kGates)),
        scratch(system, options.router.tokens, options.router.experts, options.router.top_k,
                most_tile_of(options.strategy, options.tile)),
        ids(system, static_cast<std::size_t>(options.router.tokens * options.router.top_k)),
        faults(system, std::vector<Faults>(1)) {}

  template <class Policy>
  void forget_faults(const Policy& policy) {
    thrust::fill_n(policy, faults.data(), 1, Faults{});
  }
};

Rounder::Rounder(RounderOptions options) : options_(std::move(options)) {
  if (std::holds_alternative<BudgetWaves>(options_.strategy.get<BudgetOptions>().tiles)) {
    throw ConfigError(options_.strategy.place.child("tiles"),
                      "waves are not known without the layer's shape; expected a number of tiles");
  }
  system_ =
      options_.cuda ? borrow_cuda(*options_.cuda) : borrow_cpu(options_.cpu_threads.value_or(omp_get_max_threads()));
  workspace_bytes_ = tatr::workspace_bytes(*system_, [&](System& planned) {
    Rooms rooms(planned, options_);
    most_rows_ = view_of(rooms.scratch).most_rows;
  });
}

Rounder::~Rounder() = default;

void Rounder::prepare(void* workspace, std::size_t bytes, CUstream_st* stream) {
  const CurrentDevice current(*system_);
  rooms_.reset();
  system_->use_stream(stream);
  system_->lend(workspace, bytes);
  rooms_ = std::make_unique<Rooms>(*system_, options_);
}

Rounder::Rooms& Rounder::rooms_for(const tatr_outputs& outputs, CUstream_st* stream) {
  if (rooms_ == nullptr) throw UsageError("the rounder has no workspace yet: call tatr_prepare");
  if (wants_top_k(outputs) && outputs.width < 1) {
    throw UsageError("outputs.width is " + std::to_string(outputs.width) + "; expected at least 1");
  }
  system_->use_stream(stream);
  return *rooms_;
}

void Rounder::round_logits(const void* logits, const tatr_outputs& outputs, CUstream_st* stream) {
  const CurrentDevice current(*system_);
  const ThreadsOfCaller threads;
  Rooms& rooms = rooms_for(outputs, stream);
  Routing& routing = rooms.from_logits;
  const auto take = [&](const auto& policy, const auto* given) {
    using Given = std::remove_cvref_t<decltype(*given)>;
    for_each_index(policy, options_.router.tokens * options_.router.experts,
                   TakeLogit<Given>{given, routing.logits.data(), routing.bf16.data(),
                                    options_.router.logits == LogitType::kBf16, rooms.faults.data()});
  };
  with_thrust_errors([&] {
    with_policy(*system_, [&](auto policy) {
      rooms.forget_faults(policy);
      options_.bf16 ? take(policy, static_cast<const std::uint16_t*>(logits))
                    : take(policy, static_cast<const float*>(logits));
    });
    route_again(*system_, routing, options_.router);
    round(routing, outputs);
  });
}

void Rounder::round_top_k(const std::int32_t* ids, const float* scores, const tatr_outputs& outputs,
                          CUstream_st* stream) {
  const CurrentDevice current(*system_);
  const ThreadsOfCaller threads;
  Rooms& rooms = rooms_for(outputs, stream);
  Routing& routing = rooms.from_top_k;
  routing.known = scores != nullptr ? Known::kGates : Known::kChoices;
  check_strategy(options_.strategy, routing.known);
  const TakeIds take{ids, rooms.ids.data(), routing.experts, routing.top_k, rooms.faults.data()};
  with_thrust_errors([&] {
    with_policy(*system_, [&](auto policy) {
      rooms.forget_faults(policy);
      for_each_index(policy, routing.tokens, take);
    });
    route_top_k_again(*system_, routing, rooms.ids.data(), scores, options_.router);
    round(routing, outputs);
  });
}

void Rounder::round(const Routing& routing, const tatr_outputs& outputs) {
  Rooms& rooms = *rooms_;
  round_into(routing, {options_.strategy, options_.tile, options_.seed, options_.layer}, *system_, rooms.scratch);
  const RoundedView rounded = view_of(rooms.scratch);
  const WriteOutputs write{outputs,
                           rounded,
                           routing.chosen.data(),
                           routing.gates.data(),
                           routing.counts.data(),
                           std::int64_t{routing.tokens} * routing.top_k,
                           routing.experts};
  with_policy(*system_, [&](auto policy) { for_each_index(policy, write.size(), write); });
  if (!wants_top_k(outputs) && outputs.token_offsets == nullptr && outputs.token_rows == nullptr) return;
  const TokenRowsView by_token = list_rows_by_token(*system_, rooms.scratch);
  const WriteByToken by_width{outputs, rounded, by_token, routing.tokens, routing.experts, rooms.faults.data()};
  with_policy(*system_, [&](auto policy) { for_each_index(policy, by_width.size(), by_width); });
}

void Rounder::check(CUstream_st* stream) {
  const CurrentDevice current(*system_);
  if (rooms_ == nullptr) throw UsageError("the rounder has no workspace yet: call tatr_prepare");
  system_->use_stream(stream);
  const Faults faults = rooms_->faults.to_host().front();
  const auto complain = [](std::int32_t count, const char* what) {
    if (count > 0) throw UsageError(std::to_string(count) + what);
  };
  complain(faults.nan, " logits were NaN");
  complain(faults.ids, " ids were no expert, or twice in a row");
  complain(faults.without_place, " rows found no place in topk_ids; give it a larger width");
  check_rounded(options_.strategy, rooms_->scratch);
}

}  // namespace tatr
