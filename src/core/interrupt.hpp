// How a run is ended before its time: by Ctrl-C and SIGTERM, and by a device that does not finish. A signal asks the
// work to stop at its next step, so that nothing is left half-written; a second one ends the program at once. Where the
// work does not come to its next step (a library or a driver does not return), a guard thread ends the program all the
// same: kGraceSeconds after a signal, or once a guarded call has lasted longer than devices are given.
#pragma once

#include <functional>
#include <string>

namespace tatr {

/// Seconds that work has to come to its next step, from a signal on.
inline constexpr double kGraceSeconds = 1.5;

/// Installs the handlers and starts the guard. Once, before any work.
void watch_for_interrupts();

/// Whether a signal has come.
bool is_interrupted() noexcept;

/// Throws an Error with ExitCode::kInterrupted once a signal has come. Called between the steps of long work.
void stop_if_interrupted();

/// How long the host waits for a device, in seconds; 0: for ever. One limit for the program.
void set_device_timeout(double seconds) noexcept;
double device_timeout() noexcept;

/// Says that a device is still at work though nobody waits for it any more. From then on nothing that it might use is
/// freed, for freeing would wait; the program must end by leave().
void abandon_device() noexcept;
bool device_is_abandoned() noexcept;

/// Ends the program with what it printed flushed; without destructors where a device is abandoned.
[[noreturn]] void leave(int exit_code);

/// What the calling thread is doing, for the line of an error or of a forced end: "documented: layer 1 of 1: routing".
void set_activity(const std::string& doing);
std::string activity();

/// While one exists, the calling thread is in a call that may never return, such as a driver's. If it lasts longer than
/// device_timeout(), the guard ends the program with exit code 3 and a line that names the activity and `what`, which
/// is a literal. May be nested: the outermost counts.
class GuardedCall {
 public:
  explicit GuardedCall(const char* what) noexcept;
  ~GuardedCall();
  GuardedCall(const GuardedCall&) = delete;
  GuardedCall& operator=(const GuardedCall&) = delete;

 private:
  bool outermost_;
};

/// While one exists, a forced end first calls `save` on the guard's thread, beside work that is stuck, to write what is
/// complete; it returns what to say of that, or nothing. At most one at a time.
class LastWords {
 public:
  explicit LastWords(std::function<std::string()> save);
  ~LastWords();
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;
};

}  // namespace tatr
