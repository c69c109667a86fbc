// Ctrl-C and SIGTERM: the first asks the work to stop at its next step, so that nothing is left half-written.
#pragma once

namespace tatr {

void watch_for_interrupts();

/// Throws an Error with ExitCode::kInterrupted once a signal has come. Called between the steps of long work.
void stop_if_interrupted();

}  // namespace tatr
