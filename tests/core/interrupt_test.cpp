// What the guard does ends the program: each case runs in a child of its own.
#include "core/interrupt.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <string>
#include <thread>

#include "catch.hpp"
#include "core/error.hpp"
#include "core/output_file.hpp"

using namespace tatr;

namespace {

struct End {
  int code = -1;
  std::string said;  // on stderr
  double seconds = 0;
};

End end_of(const std::function<void()>& work) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    watch_for_interrupts();
    work();
    _exit(99);
  }
  close(ends[1]);
  End end;
  char buffer[4096];
  for (ssize_t count; (count = read(ends[0], buffer, sizeof buffer)) > 0;)
    end.said.append(buffer, static_cast<std::size_t>(count));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  end.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  end.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return end;
}

void sleep_long() { std::this_thread::sleep_for(std::chrono::seconds(20)); }

}  // namespace

TEST_CASE("a guarded call that does not return ends the program, with what it was doing") {
  const End end = end_of([] {
    set_device_timeout(0.3);
    set_activity("quick: layer 1 of 1: timing");
    const GuardedCall outer("cudaGraphLaunch");
    const GuardedCall inner("cudaMemcpyAsync");
    sleep_long();
  });
  CHECK(end.code == 3);
  CHECK(
      end.said ==
      "tatr-sim: error: quick: layer 1 of 1: timing: cudaGraphLaunch did not return within 0.3 s (--device-timeout)\n");
  CHECK(end.seconds < 3);
}

TEST_CASE("calls that return, and any with a timeout of 0, end nothing") {
  const End end = end_of([] {
    set_device_timeout(0.3);
    { const GuardedCall call("cudaMemcpyAsync"); }
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    set_device_timeout(0);
    const GuardedCall call("cudaMemcpyAsync");
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
  });
  CHECK(end.code == 99);
  CHECK(end.said.empty());
}

TEST_CASE("work that does not come to its next step is ended after the grace, and its last words are said") {
  const std::string path = "/tmp/tatr-interrupt-" + std::to_string(getpid()) + ".json";
  const End end = end_of([&] {
    OutputFile file(path);
    const LastWords words([] { return std::string("; 2 of 3 are kept"); });
    raise(SIGTERM);
    sleep_long();
  });
  CHECK(end.code == 130);
  CHECK(end.said == "tatr-sim: error: interrupted; 2 of 3 are kept\n");
  CHECK(end.seconds >= kGraceSeconds);
  CHECK(end.seconds < kGraceSeconds + 1);
  CHECK(access(path.c_str(), F_OK) != 0);
}

TEST_CASE("work that comes to its next step stops by itself") {
  const End end = end_of([] {
    CHECK_NOTHROW(stop_if_interrupted());
    raise(SIGINT);
    try {
      stop_if_interrupted();
    } catch (const Error& error) {
      _exit(static_cast<int>(error.code()));
    }
  });
  CHECK(end.code == 130);
  CHECK(end.seconds < kGraceSeconds);
}

TEST_CASE("last words that fail say so, and the program ends all the same") {
  const End end = end_of([] {
    const LastWords words([]() -> std::string { throw EnvironmentError("out.json: cannot be written"); });
    raise(SIGTERM);
    sleep_long();
  });
  CHECK(end.code == 130);
  CHECK(end.said == "tatr-sim: error: interrupted; out.json: cannot be written\n");
}
