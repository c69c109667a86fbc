// Advice as text, and as the result's key `advice`: choice, runner-up and front.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "analysis/advice.hpp"
#include "report/text.hpp"

namespace tatr {

struct AdviceTextOptions {
  bool colour = false;
  bool details = false;      // the whole front, with what was left out and why
  std::string computed_on;   // what gave the times, or what would: "CPU, 2 threads"
  std::string left_out;      // what of the config was not tried, and why; may be empty
  std::string command;       // the next one, without what it sets: "tatr-sim run c.json"
  std::string command_note;  // why it sets what it does beside the advice; may be empty
};

/// What was tried and assumed first, the answer last. The experiment is the one that was advised on.
std::string advice_text(const Advice& advice, const ExperimentRecord& experiment, const AdviceTextOptions& options);
nlohmann::ordered_json advice_json(const Advice& advice, const ExperimentRecord& experiment);

}  // namespace tatr
