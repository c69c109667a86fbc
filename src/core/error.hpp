// The errors of the program and the exit code each one stands for. Only main turns an error into an exit.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

namespace tatr {

enum class ExitCode : int {
  kDone = 0,
  kVerification = 1,  // a computed output was wrong, or a regression was found
  kUsage = 2,         // the command line, a config or an input file
  kEnvironment = 3,   // no device, no memory, no driver, no space
  kInterrupted = 130,
};

/// Base of all errors that main reports as one line: `tatr-sim: error: <what()>`.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// Where in a file an error is: a JSON pointer, where it is known. "file:/json/pointer" as text.
struct ErrorPlace {
  std::string file, pointer;

  ErrorPlace() = default;
  ErrorPlace(std::string in_file, std::string at = {}) : file(std::move(in_file)), pointer(std::move(at)) {}
  ErrorPlace(const char* in_file) : file(in_file) {}

  ErrorPlace child(const std::string& key) const { return {file, pointer + "/" + key}; }
  std::string text() const { return pointer.empty() ? file : file + ":" + pointer; }
};

/// A config, or a JSON file that goes with it, that cannot be used.
class ConfigError : public Error {
 public:
  ConfigError(ErrorPlace place, std::string problem)
      : Error(ExitCode::kUsage, place.text() + ": " + problem),
        place_(std::move(place)),
        problem_(std::move(problem)) {}
  /// `value` and `allowed` in words: "VALUE is not allowed; expected ALLOWED".
  ConfigError(ErrorPlace place, const std::string& value, const std::string& allowed)
      : ConfigError(std::move(place), value + " is not allowed; expected " + allowed) {
    value_ = value;
    allowed_ = allowed;
  }

  /// The same with more to say of it, in brackets.
  ConfigError with_note(const std::string& note) const {
    ConfigError error(place_, problem_ + " (" + note + ")");
    error.value_ = value_;
    error.allowed_ = allowed_;
    return error;
  }

  const ErrorPlace& place() const { return place_; }
  const std::string& problem() const { return problem_; }  // all but the place
  const std::string& value() const { return value_; }      // empty: the problem alone names it
  const std::string& allowed() const { return allowed_; }

 private:
  ErrorPlace place_;
  std::string problem_, value_, allowed_;
};

/// A data file (trace, result, calibration) that cannot be used; `where` is the file and, if known, the place in it.
class InputError : public Error {
 public:
  InputError(const std::string& where, const std::string& problem) : Error(ExitCode::kUsage, where + ": " + problem) {}
};

/// A data file that can be read in more than one way, or that looks like what it is not said to be: the config has to
/// say.
class AmbiguousInputError : public InputError {
 public:
  enum class Doubt { kAxes, kValues };  // what a dimension is; what numbers are

  AmbiguousInputError(Doubt doubt, const std::string& where, const std::string& problem)
      : InputError(where, problem), doubt_(doubt) {}
  Doubt doubt() const { return doubt_; }

 private:
  Doubt doubt_;
};

/// Wrong use of the command line.
class UsageError : public Error {
 public:
  explicit UsageError(const std::string& message) : Error(ExitCode::kUsage, message) {}
};

/// An output differs from its reference by more than the tolerance.
class VerificationError : public Error {
 public:
  explicit VerificationError(const std::string& message) : Error(ExitCode::kVerification, message) {}
};

/// The machine lacks something: a device, a driver, disk space, permission to write.
class EnvironmentError : public Error {
 public:
  explicit EnvironmentError(const std::string& message) : Error(ExitCode::kEnvironment, message) {}
};

/// A CUDA or cuBLAS call failed.
class CudaError : public EnvironmentError {
 public:
  using EnvironmentError::EnvironmentError;
};

/// The device did not finish within the time it is given (core/interrupt.hpp). Its work goes on: the program must end.
class DeviceTimeoutError : public EnvironmentError {
 public:
  explicit DeviceTimeoutError(const std::string& message, int marks_reached = -1)
      : EnvironmentError(message), marks_reached_(marks_reached) {}
  /// Of a stopwatch, how many of its marks the device has reached; negative: not known.
  int marks_reached() const { return marks_reached_; }

 private:
  int marks_reached_;
};

/// An allocation failed, or would; the experiment runner adds the experiment's name and goes on with the next one.
class OutOfMemoryError : public EnvironmentError {
 public:
  OutOfMemoryError(const std::string& device, std::size_t asked_bytes, std::size_t free_bytes)
      : OutOfMemoryError(asked_bytes, free_bytes,
                         device + ": out of memory: asked for " + std::to_string(asked_bytes) + " bytes, " +
                             std::to_string(free_bytes) + " bytes free") {}
  /// Of all that an experiment needs, told before it begins.
  static OutOfMemoryError before_work(const std::string& device, std::size_t needed_bytes, std::size_t free_bytes) {
    return {needed_bytes, free_bytes,
            device + ": not enough memory: needs " + std::to_string(needed_bytes) + " bytes, " +
                std::to_string(free_bytes) + " bytes can be had"};
  }
  std::size_t asked_bytes() const { return asked_bytes_; }
  std::size_t free_bytes() const { return free_bytes_; }

 private:
  OutOfMemoryError(std::size_t asked_bytes, std::size_t free_bytes, const std::string& message)
      : EnvironmentError(message), asked_bytes_(asked_bytes), free_bytes_(free_bytes) {}

  std::size_t asked_bytes_;
  std::size_t free_bytes_;
};

}  // namespace tatr
