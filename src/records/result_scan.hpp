// What tells one stored result from another, read without building its document: a file of many thousand results is
// looked through in seconds, and in the memory of its longest line. Decides nothing about them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tatr {

/// Of one experiment; as in result.schema.json.
struct ResultKey {
  std::string name, config_hash;
  std::string device;        // the environment's; of modelled times modelled_key (model/modelled_device.hpp)
  std::string model_digest;  // of the figures; empty: not modelled
  std::string schema_version;
  std::string trace_digest, calibration_digest;  // of its inputs; empty: not recorded, or it has none
};

/// The keys of a document's experiments, in order. Nothing where the text is no JSON, or no result of a schema
/// version that is read (result_upgrade.hpp) as far as keys go: parse and check it to hear why.
std::optional<std::vector<ResultKey>> scan_result(std::string_view text);

}  // namespace tatr
