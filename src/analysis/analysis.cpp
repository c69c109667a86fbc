#include "analysis/analysis.hpp"

#include "analysis/documented.hpp"
#include "analysis/network.hpp"
#include "analysis/ranking.hpp"
#include "analysis/training_effect.hpp"

namespace tatr {

void analyse(ExperimentRecord& record) {
  record.network = summarise_network(record);
  if (record.calibration) record.reach = reach_words(*record.calibration, is_ranking(record.network));
  record.documented = compare_documented(record);
  for (std::string& warning : ranking_warnings(record)) record.warnings.push_back(std::move(warning));
}

void analyse(RunRecord& run) { run.training = training_effects(run.experiments); }

}  // namespace tatr
