#include "core/interrupt.hpp"

#include <semaphore.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/output_file.hpp"

namespace tatr {

namespace {

constexpr std::int64_t kNever = 0;

/// What the guard must know of a thread.
struct ThreadState {
  std::atomic<std::int64_t> call_since{kNever};  // monotonic ns
  std::atomic<const char*> call{""};
  std::mutex mutex;
  std::string activity;  // under the mutex

  std::string doing() {
    const std::lock_guard lock(mutex);
    return activity;
  }
};

/// All that outlives every thread: never destroyed, for the guard runs until the end.
struct Guard {
  std::atomic<int> signals{0};
  std::atomic<double> timeout_s{60.0};
  std::atomic<bool> abandoned{false};
  sem_t wake;
  std::mutex mutex;
  std::vector<std::shared_ptr<ThreadState>> threads;  // under the mutex
  std::mutex words_mutex;                             // held while they are said: their owner must not go before
  std::function<std::string()> last_words;
};

Guard& guard() {
  static Guard* const only = new Guard;
  return *only;
}

ThreadState& this_thread() {
  thread_local const std::shared_ptr<ThreadState> state = [] {
    auto made = std::make_shared<ThreadState>();
    const std::lock_guard lock(guard().mutex);
    guard().threads.push_back(made);
    return made;
  }();
  return *state;
}

timespec now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return time;
}

std::int64_t now_ns() {
  const timespec time = now(CLOCK_MONOTONIC);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// Only what a signal handler may do.
void on_signal(int) {
  const int saved = errno;
  if (guard().signals.fetch_add(1) > 0) {
    remove_partial_files();
    _exit(static_cast<int>(ExitCode::kInterrupted));
  }
  sem_post(&guard().wake);
  errno = saved;
}

[[noreturn]] void end_by_force(ExitCode code, std::string message) {
  const std::lock_guard lock(guard().words_mutex);
  try {
    if (guard().last_words) message += guard().last_words();
  } catch (const std::exception& error) {
    message += std::string("; ") + error.what();
  }
  remove_partial_files();
  std::fprintf(stderr, "tatr-sim: error: %s\n", message.c_str());
  std::_Exit(static_cast<int>(code));
}

void look_at_calls() {
  const double timeout_s = device_timeout();
  if (timeout_s <= 0) return;
  std::vector<std::shared_ptr<ThreadState>> threads;
  {
    const std::lock_guard lock(guard().mutex);
    threads = guard().threads;
  }
  for (const auto& thread : threads) {
    const std::int64_t since = thread->call_since;
    if (since == kNever || static_cast<double>(now_ns() - since) * 1e-9 <= timeout_s) continue;
    char limit[32];
    std::snprintf(limit, sizeof limit, "%g s", timeout_s);
    end_by_force(ExitCode::kEnvironment, thread->doing() + ": " + thread->call.load() + " did not return within " +
                                             limit + " (--device-timeout)");
  }
}

[[noreturn]] void run_guard() {
  constexpr long kTickNs = 250'000'000;
  std::int64_t signalled = kNever;
  while (true) {
    timespec until = now(CLOCK_REALTIME);
    until.tv_nsec += kTickNs;
    until.tv_sec += until.tv_nsec / 1'000'000'000;
    until.tv_nsec %= 1'000'000'000;
    sem_timedwait(&guard().wake, &until);
    if (is_interrupted()) {
      if (signalled == kNever) signalled = now_ns();
      if (static_cast<double>(now_ns() - signalled) * 1e-9 >= kGraceSeconds)
        end_by_force(ExitCode::kInterrupted, "interrupted");
    }
    look_at_calls();
  }
}

}  // namespace

void watch_for_interrupts() {
  sem_init(&guard().wake, 0, 0);
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe shows as a failed write
  std::signal(SIGXFSZ, SIG_IGN);  // so does a limit on the size of files
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::thread(run_guard).detach();
}

bool is_interrupted() noexcept { return guard().signals > 0; }

void stop_if_interrupted() {
  if (is_interrupted()) throw Error(ExitCode::kInterrupted, "interrupted");
}

void set_device_timeout(double seconds) noexcept { guard().timeout_s = seconds; }
double device_timeout() noexcept { return guard().timeout_s; }

void abandon_device() noexcept { guard().abandoned = true; }
bool device_is_abandoned() noexcept { return guard().abandoned; }

void leave(int exit_code) {
  std::fflush(nullptr);
  if (device_is_abandoned()) std::_Exit(exit_code);
  std::exit(exit_code);
}

void set_activity(const std::string& doing) {
  ThreadState& thread = this_thread();
  const std::lock_guard lock(thread.mutex);
  thread.activity = doing;
}

std::string activity() { return this_thread().doing(); }

GuardedCall::GuardedCall(const char* what) noexcept : outermost_(this_thread().call_since == kNever) {
  if (!outermost_) return;
  this_thread().call = what;
  this_thread().call_since = now_ns();
}

GuardedCall::~GuardedCall() {
  if (outermost_) this_thread().call_since = kNever;
}

LastWords::LastWords(std::function<std::string()> save) {
  const std::lock_guard lock(guard().words_mutex);
  guard().last_words = std::move(save);
}

LastWords::~LastWords() {
  const std::lock_guard lock(guard().words_mutex);
  guard().last_words = nullptr;
}

}  // namespace tatr
