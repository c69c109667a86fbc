#include "records/result_scan.hpp"

#include <nlohmann/json.hpp>

#include "model/modelled_device.hpp"
#include "records/result_upgrade.hpp"

namespace tatr {

namespace {

/// Follows the parser down to where the keys are. A path has the names of members, and * for items of lists.
class KeyHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool binary(binary_t&) override { return false; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

  bool string(string_t& value) override {
    if (depth_ > kDeepest) return true;
    if (path_ == "/schema_version") version_ = value;
    if (path_ == "/environment/device") device_ = value;
    if (keys_.empty() || path_.rfind(kExperiment, 0) != 0) return true;
    const std::string_view rest = std::string_view(path_).substr(kExperiment.size());
    ResultKey& key = keys_.back();
    if (rest == "/name") key.name = value;
    if (rest == "/config_hash") key.config_hash = value;
    if (rest == "/model/device") key.device = value;
    if (rest == "/model/digest") key.model_digest = value;
    if (rest == "/inputs/trace/digest") key.trace_digest = value;
    if (rest == "/inputs/calibration/digest") key.calibration_digest = value;
    return true;
  }

  bool start_object(std::size_t) override {
    if (path_ == kExperiment && depth_ == 2) keys_.emplace_back();
    enter("");
    return true;
  }
  bool start_array(std::size_t) override {
    has_list_ = has_list_ || path_ == "/experiments";
    enter("/*");
    return true;
  }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }

  bool key(string_t& name) override {
    if (depth_ > kDeepest) return true;
    path_.resize(before_.back());
    path_.append("/").append(name);
    return true;
  }

  std::optional<std::vector<ResultKey>> take() {
    bool whole = reads_version(version_) && !device_.empty() && has_list_;
    for (ResultKey& key : keys_) {
      whole = whole && !key.name.empty() && !key.config_hash.empty();
      key.device = key.model_digest.empty() ? device_ : modelled_key(key.device, key.model_digest);
      key.schema_version = version_;
    }
    return whole ? std::optional(std::move(keys_)) : std::nullopt;
  }

 private:
  static constexpr std::string_view kExperiment = "/experiments/*";
  static constexpr int kDeepest = 5;  // of the objects that hold a key; what lies deeper only counts levels

  void enter(const char* item) {
    if (++depth_ > kDeepest) return;
    before_.push_back(path_.size());
    path_ += item;
  }
  bool leave() {
    if (depth_-- > kDeepest) return true;
    path_.resize(before_.back());
    before_.pop_back();
    return true;
  }

  int depth_ = 0;
  bool has_list_ = false;
  std::string path_, version_, device_;
  std::vector<std::size_t> before_;  // lengths of the path where each open object or list began
  std::vector<ResultKey> keys_;
};

}  // namespace

std::optional<std::vector<ResultKey>> scan_result(std::string_view text) {
  KeyHandler handler;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &handler)) return std::nullopt;
  return handler.take();
}

}  // namespace tatr
