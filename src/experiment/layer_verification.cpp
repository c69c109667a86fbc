#include "experiment/layer_verification.hpp"

#include "layer/verify.hpp"

namespace tatr {

VerifiedLayer::VerifiedLayer(const TimingRequest& request, System& system)
    : request_(request),
      layer_(system, layer_shape(request.config, system.device()), request.config.seed),
      output_errors_(request.settings.size()) {
  for (std::size_t i = 0; i < request.settings.size(); ++i) {
    const Rounded& rounded = request.rounded[i];
    passes_.push_back(std::make_unique<LayerPass>(
        layer_, rounded.dispatch, layer_options(request.config, request.settings[i], rounded.tile_of_expert)));
  }
}

void VerifiedLayer::verify() {
  std::optional<std::size_t> none;  // its rows are the same at every tile
  Steps checked(passes_.size());
  for (std::size_t i = 0; i < passes_.size(); ++i) {
    checked.next();
    request_.progress({"checking the outputs of " + name_of(request_.settings[i]), checked.words()});
    LayerPass& pass = *passes_[i];
    tatr::verify(pass);
    if (!none && request_.settings[i].strategy->kind == StrategyKind::kNone) none = i;
    if (!request_.config.layer->autotune) continue;
    pass.tune();
    tatr::verify(pass);  // what will be timed may be another variant
  }
  if (!none) return;
  OutputReference reference(layer_, *passes_[*none], request_.rounded[*none].dispatch);
  Steps compared(passes_.size());
  for (std::size_t i = 0; i < passes_.size(); ++i) {
    compared.next();
    request_.progress({"comparing the outputs of " + name_of(request_.settings[i]), compared.words()});
    output_errors_[i] = reference.compare(*passes_[i], request_.rounded[i].dispatch);
  }
}

void VerifiedLayer::add_output_error(std::size_t setting, LayerTiming& timing) const {
  const std::optional<OutputError>& error = output_errors_[setting];
  if (!error) return;
  timing.output_error = error->overall;
  timing.output_error_worst_percent = error->worst_percent;
  timing.output_error_dropped = error->dropped;
  timing.output_error_added = error->added;
  timing.output_error_rescaled = error->rescaled;
}

}  // namespace tatr
