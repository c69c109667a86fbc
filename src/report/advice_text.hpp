// Advice as text, and as the result's key `advice`: choice, runner-up and front.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "analysis/advice.hpp"
#include "report/text.hpp"

namespace tatr {

/// The experiment is the one that was advised on.
std::string advice_text(const Advice& advice, const ExperimentRecord& experiment, const TextOptions& options);
nlohmann::ordered_json advice_json(const Advice& advice, const ExperimentRecord& experiment);

}  // namespace tatr
