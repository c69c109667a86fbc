#pragma once

#include <cstdint>
#include <string_view>

#include "options/fields.hpp"

namespace tatr {

/// Each (topic, expert) gets strength * N(0, 1); `run` consecutive tokens share a topic.
struct TopicsSource {
  std::int64_t topics = 64;
  double strength = 1.0;
  std::int64_t run = 512;

  static constexpr std::string_view kName = "topics";
  static constexpr std::string_view kHelp = "runs of tokens share a topic that prefers some experts";
  static constexpr std::string_view kWords =
      "synthetic, {topics} topics of strength {strength} in runs of {run} tokens (deviation {deviation})";
  static constexpr bool kSynthetic = true;

  template <class Fields>
  static void list(Fields& fields) {
    fields.add("topics", &TopicsSource::topics, Bounds{.least = 1, .most = 4096}, "Number of topics");
    fields.add("strength", &TopicsSource::strength, Bounds{.least = 0, .most = 100},
               "Each pair of topic and expert gets strength * N(0, 1)");
    fields.add("run", &TopicsSource::run, Bounds{.least = 1, .most = 1048576}, "Consecutive tokens that share a topic");
  }
};

}  // namespace tatr
