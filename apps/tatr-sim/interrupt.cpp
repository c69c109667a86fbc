#include "interrupt.hpp"

#include <csignal>

#include "core/error.hpp"

namespace tatr {

namespace {

volatile std::sig_atomic_t interrupted = 0;

void on_signal(int number) {
  interrupted = 1;
  std::signal(number, SIG_DFL);  // a second one ends the program at once
}

}  // namespace

void watch_for_interrupts() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe shows as a failed write
  std::signal(SIGXFSZ, SIG_IGN);  // so does a limit on the size of files
}

void stop_if_interrupted() {
  if (interrupted != 0) throw Error(ExitCode::kInterrupted, "interrupted; no result was written");
}

}  // namespace tatr
