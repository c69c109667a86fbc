// Where routing inputs come from: one interface for all sources of options/sources.hpp. How a source is made, and what
// memory that takes, is in a file of its own (synthetic_source.cpp, trained_source.cpp, trace_source.cpp,
// counts_source.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/steps.hpp"
#include "router/known.hpp"
#include "router/routing_input.hpp"

namespace tatr {

/// What is known of a source before anything is routed.
struct SourceShape {
  std::int64_t tokens = 0;   // of a group, the most of any
  std::int64_t experts = 0;  // 0: the file does not say
  std::int64_t top_k = 0;    // 0: likewise
  std::size_t layers = 1, groups = 1;
  Known known = Known::kScores;
  std::string reading;  // what files are taken for: "6 layers of 8192 tokens, 256 experts, fp16 logits"; else empty
  std::vector<std::string> notes;  // what a user may not expect of that reading
  std::string model = {};          // what the files say they are of; empty: nothing
};

/// What a source is made for.
struct SourceRequest {
  const RouterConfig& router;                                        // with the shape that a file has
  std::uint64_t seed = 0;                                            // of the first group; group g has seed + g
  std::function<void(const Doing&)> progress = [](const Doing&) {};  // may throw
};

/// One group of one layer.
struct SourceRead {
  RoutingInput input;
  std::int64_t tokens = 0;  // at least 1
  std::int64_t masked = 0;  // tokens that were left out
};

class RoutingSource {
 public:
  virtual ~RoutingSource() = default;

  /// Throws InputError where the config asks for more than there is.
  virtual SourceShape shape() const = 0;

  /// Of the tensors that the layers are read from; one without a name where they are made.
  virtual std::vector<std::string> layers() const { return {""}; }

  /// `group` is one of the shape's. Throws InputError.
  virtual SourceRead read(System& system, std::size_t layer, std::size_t group) = 0;

  /// Of a trained router: share of the target that the layer misses.
  virtual std::optional<double> task_loss() const { return std::nullopt; }

  /// Of all that was read of files so far, where layer by layer each group was read once; empty where there are none.
  virtual std::string digest() const { return {}; }

  /// What casts doubt on what was read so far.
  virtual std::vector<std::string> warnings() const { return {}; }
};

/// A source that draws its logits: one layer, and a group for each seed.
class DrawnSource : public RoutingSource {
 public:
  SourceShape shape() const override;

 protected:
  explicit DrawnSource(const SourceRequest& request) : request_(request) {}
  const SourceRequest& request_;
};

/// What there is to know of a source in code; routing_source.cpp has a row for each kind.
struct SourceCode {
  std::unique_ptr<RoutingSource> (*make)(const SourceRequest& request);
  // As the functions below say.
  std::size_t (*bytes)(const RouterConfig& router) = [](const RouterConfig&) { return std::size_t{0}; };
  std::size_t (*host_bytes)(const RouterConfig& router) = [](const RouterConfig&) { return std::size_t{0}; };
  void (*check_start)(const RouterConfig& router) = [](const RouterConfig&) {};
};
extern const SourceCode kSyntheticCode, kTrainedCode, kTraceCode, kCountsCode;

/// For SourceCode::make.
template <class Source>
std::unique_ptr<RoutingSource> make_source_of(const SourceRequest& request) {
  return std::make_unique<Source>(request);
}

/// The request must outlive the source. Throws InputError where a file cannot be opened.
std::unique_ptr<RoutingSource> make_source(const SourceRequest& request);

/// Of files only what tells their shape is read. Throws InputError.
SourceShape shape_of(const RouterConfig& router);

/// Looks at the first values of files, so that what is no record of a router is refused before any work. InputError.
void check_source_start(const RouterConfig& router);

/// Bytes of the system's memory that a source takes while it makes its input, beyond the input itself.
std::size_t source_bytes(const RouterConfig& router);

/// Bytes of the host's memory that a source takes to hold one group of one layer.
std::size_t source_host_bytes(const RouterConfig& router);

}  // namespace tatr
