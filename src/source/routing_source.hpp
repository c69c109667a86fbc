// Where routing inputs come from: one interface for all sources of options/sources.hpp. How a source is made, and what
// memory that takes, is in a file of its own (synthetic_source.cpp, trained_source.cpp, trace_source.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "router/routing_input.hpp"

namespace tatr {

/// What a source is made for.
struct SourceRequest {
  const RouterConfig& router;  // with the shape that a trace has
  std::uint64_t seed = 0;
  std::function<void(const std::string&)> progress = [](const std::string&) {};  // may throw
};

class RoutingSource {
 public:
  virtual ~RoutingSource() = default;

  /// Of the tensors that the layers are read from; one without a name where they are made.
  virtual std::vector<std::string> layers() const { return {""}; }

  /// Throws InputError.
  virtual RoutingInput read(System& system, std::size_t layer) = 0;

  /// Of a trained router: share of the target that the layer misses.
  virtual std::optional<double> task_loss() const { return std::nullopt; }

  /// Of all that was read of files so far; empty where there are none.
  virtual std::string digest() const { return {}; }
};

/// What there is to know of a source in code; routing_source.cpp has a row for each kind.
struct SourceCode {
  std::unique_ptr<RoutingSource> (*make)(const SourceRequest& request);
  // As the functions below say.
  std::size_t (*bytes)(const RouterConfig& router) = [](const RouterConfig&) { return std::size_t{0}; };
  std::size_t (*host_bytes)(const RouterConfig& router) = [](const RouterConfig&) { return std::size_t{0}; };
  bool (*has_all_scores)(const SourceConfig& source) = [](const SourceConfig&) { return true; };
};
extern const SourceCode kSyntheticCode, kTrainedCode, kTraceCode;

/// For SourceCode::make.
template <class Source>
std::unique_ptr<RoutingSource> make_source_of(const SourceRequest& request) {
  return std::make_unique<Source>(request);
}

/// The request must outlive the source. Throws InputError where a file cannot be opened.
std::unique_ptr<RoutingSource> make_source(const SourceRequest& request);

/// Whether each token has a score of every expert, not of its own top-k alone. Throws InputError.
bool has_all_scores(const SourceConfig& source);

/// Bytes of the system's memory that a source takes while it makes its input, beyond the input itself.
std::size_t source_bytes(const RouterConfig& router);

/// Bytes of the host's memory that a source takes to hold one layer.
std::size_t source_host_bytes(const RouterConfig& router);

}  // namespace tatr
