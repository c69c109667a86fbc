// The expert layer, forward: gather, up-projection, SwiGLU, down-projection, combine by gates into token order. Owns
// the tensors and the order of the stages; the GEMMs are a back end's. Knows nothing of time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/system.hpp"
#include "gemm/grouped_gemm.hpp"
#include "rounding/rounding.hpp"

namespace tatr {

struct LayerShape {
  std::int64_t tokens = 0, experts = 0, hidden = 0, intermediate = 0;
  std::int64_t most_rows = 0;  // of any dispatch that will run
};

/// Bytes that an ExpertLayer allocates, `element_bytes` an element.
std::size_t layer_bytes(const LayerShape& shape, std::size_t element_bytes);

/// x [T, H], up-projection [E, 2I, H] (gate rows first) and down-projection [E, H, I], random and scaled to keep
/// activations near one; workspace for most_rows rows, shared by all dispatches.
class ExpertLayer {
 public:
  ExpertLayer(System& system, const LayerShape& shape, std::uint64_t seed);

  const LayerShape& shape() const { return shape_; }
  System& system() { return system_; }

 private:
  friend class LayerRun;
  friend class UniformYardstick;
  System& system_;
  LayerShape shape_;
  Buffer<std::byte> x_, up_weights_, down_weights_;
  Buffer<std::byte> gathered_, up_, activated_, down_, y_;
};

/// How a LayerRun computes. The fusions are taken by back ends that can; others keep their own stages.
struct LayerOptions {
  std::string backend = "auto";
  std::int64_t tile_rows = 128;
  bool fuse_gather = true;                        // gather in the up-projection's operand load
  bool fuse_swiglu = true;                        // SwiGLU in its epilogue
  std::vector<std::int32_t> tile_of_expert = {};  // [E] where experts differ, in place of tile_rows; else empty
  bool launch_per_tile = false;                   // then: a launch for each size, not one for all
};

/// The layer bound to one dispatch and one back end. Layer and dispatch must outlive it.
class LayerRun {
 public:
  LayerRun(ExpertLayer& layer, const Dispatch& dispatch, const LayerOptions& options);

  /// Measures the back end's variants on the data of the last run and keeps the fastest.
  void tune();

  /// A stage that is fused into the up-projection does nothing here.
  void gather();
  void up();
  void activate();
  void down();
  void combine();
  void run();

  /// Fills every stage's output with NaN.
  void poison_outputs();

  /// The last stage again with other gates, [R].
  void combine_with(const Buffer<float>& gates);

  /// Runs every stage on poisoned outputs and compares sampled elements of each with fp64 sums over the stage's own
  /// input. VerificationError names the back end, the stage and the error.
  void verify();

  const std::string& backend() const { return options_.backend; }
  bool fuses_gather() const { return fuses_gather_; }
  bool fuses_swiglu() const { return fuses_swiglu_; }
  std::optional<std::int64_t> granule_rows() const { return up_gemm_->granule_rows(); }
  std::optional<int> launches() const { return up_gemm_->launches(); }  // of each GEMM
  std::string up_variant() const { return up_gemm_->variant(); }
  std::string down_variant() const { return down_gemm_->variant(); }
  std::string note() const { return up_gemm_->note(); }

  /// y [T, H] of the last run, in the system's memory.
  const void* output() const;
  std::int64_t output_count() const;

 private:
  void verify_up();
  void verify_down();
  void verify_activation();
  void verify_gather();
  void verify_combine();
  /// A stage's output, of the rows that there are.
  struct Output {
    const char* stage;
    void* data;
    std::int64_t count;
  };
  std::vector<Output> outputs() const;
  void check_finite(const Output& output);

  ExpertLayer& layer_;
  const Dispatch& dispatch_;
  LayerOptions options_;
  bool fuses_gather_, fuses_swiglu_;

  std::vector<std::int32_t> offsets_;  // [E+1] on the host
  TokenRows by_token_;
  std::unique_ptr<GroupedGemm> up_gemm_, down_gemm_;
};

/// The two GEMMs of the layer with R/E rows for every expert, by strided batched cuBLAS: what whole, equal counts would
/// cost. GPU only. Writes over the layer's workspace.
class UniformYardstick {
 public:
  UniformYardstick(ExpertLayer& layer, const Dispatch& dispatch);
  void up() { up_gemm_->run(); }
  void down() { down_gemm_->run(); }

 private:
  std::unique_ptr<GroupedGemm> up_gemm_, down_gemm_;
};

}  // namespace tatr
