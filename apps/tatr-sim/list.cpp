// tatr-sim list: what a config may name, and what this machine has.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "commands.hpp"
#include "device/system.hpp"
#include "environment.hpp"

namespace tatr {

namespace {

struct Entry {
  const char* name;
  const char* meaning;
};

constexpr Entry kStrategies[] = {
    {"none", "plain top-k: every expert keeps its count"},
    {"down", "down to whole tiles; the lowest-ranked tokens are dropped"},
    {"up", "up to whole tiles; the next best tokens (or padding) are added"},
    {"nearest", "to the nearer multiple; an exact tie goes down"},
    {"adaptive", "up if the last tile is fuller than `threshold`, else down"},
    {"stochastic", "up with the probability of the last tile's filling"},
    {"score", "up with probability a / (a + b) of gates at stake and gained"},
    {"balance", "up or down so that the total stays near T K"},
    {"capacity", "at most `factor` times the mean, then as `then` says"},
    {"dynamic", "tile of each expert by its load, then as `then` says"},
    {"budget",
     "up only where the most gate mass is at stake, `tiles` says how many; or, of `candidates` tiles, the best"},
};

constexpr Entry kSources[] = {
    {"gaussian", "independent normal logits: near-uniform load"},
    {"zipf", "popularity falls with the expert's index to a power"},
    {"lognormal", "each expert has a fixed normal bias"},
    {"topics", "runs of tokens share a topic that prefers some experts"},
    {"hot", "a few experts get a boost"},
    {"trained", "a linear router, trained here with losses for balance and rounding"},
    {"trace", "real logits, or top-k ids and scores, from safetensors or .npy"},
};

template <std::size_t N>
void print_entries(const char* title, const Entry (&entries)[N]) {
  fmt::print("{}\n", title);
  for (const Entry& entry : entries) fmt::print("  {:<12}{}\n", entry.name, entry.meaning);
}

ExitCode list(const std::string& what) {
  const auto wanted = [&](const char* name) { return what.empty() || what == name; };
  if (wanted("strategies")) print_entries("Strategies", kStrategies);
  if (wanted("sources")) print_entries("Sources of router logits", kSources);
  if (wanted("backends")) {
    fmt::print("Back ends of the grouped GEMM in this build\n");
    for (const std::string& name : built_back_ends()) fmt::print("  {}\n", name);
  }
  if (wanted("devices")) {
    fmt::print("Devices\n  cpu         {} threads\n", describe_environment(*make_cpu_system()).threads);
    for (int i = 0; i < cuda_device_count(); ++i) {
      fmt::print("  cuda:{:<7}{}\n", i, describe_environment(*make_cuda_system(i)).device);
    }
  }
  return ExitCode::kDone;
}

}  // namespace

void add_list(CLI::App& app, Action& action) {
  const auto what = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("list", "List strategies, sources, back ends and devices");
  command->add_option("WHAT", *what, "What to list (default: all)")
      ->type_name("strategies|sources|backends|devices")
      ->check(CLI::IsMember({"strategies", "sources", "backends", "devices"}).description(""));
  command->callback([what, &action] { action = [what] { return list(*what); }; });
}

}  // namespace tatr
