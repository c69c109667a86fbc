// What a recorded trace is read as: axes, masks, probabilities, several files, groups. Values and formats:
// trace_test.cpp and tests/formats.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/error.hpp"
#include "formats/files.hpp"
#include "router/routing.hpp"
#include "source/groups.hpp"
#include "source/probabilities.hpp"
#include "source/record_view.hpp"
#include "source/trace.hpp"

using namespace tatr;
using test::bytes_of;
using test::Folder;
using test::npy;

namespace {

const float kNan = std::numeric_limits<float>::quiet_NaN();

TraceSource source_of(const std::string& path) {
  TraceSource source;
  source.path = path;
  return source;
}

std::string trace_fault(const TraceSource& source, const TraceFacts& facts = {}) {
  try {
    TraceReader reader(source, facts);
    for (const std::string& tensor : reader.info().tensors) reader.read(tensor, {0, facts.tokens});
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

std::vector<float> counting(std::size_t count) {
  std::vector<float> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(static_cast<float>(i) - 5);
  return values;
}

TraceLayer read(const TraceSource& source, std::size_t layer, const TraceFacts& facts = {}) {
  TraceReader reader(source, facts);
  return reader.read(reader.info().tensors.at(layer), {});
}

}  // namespace

TEST_CASE("axes are taken as said, or as the only ones that can be", "[trace][axes]") {
  const Folder folder;
  const std::vector<float> values = counting(24);
  TraceSource source = source_of(folder.write("a.npy", npy("<f4", "(2, 4, 3)", bytes_of(values))));
  CHECK_HAS(trace_fault(source), "may be read in two ways");
  CHECK(TraceReader(source, {.tokens = 3}).info().tensors.size() == 2);  // 2 are too few tokens
  source.values = TraceValues::kLogits;
  source.axes = {Axis::kTokens, Axis::kLayers, Axis::kExperts};
  CHECK(TraceReader(source).info().tokens == 2);
  CHECK(read(source, 1).logits == std::vector<float>{-2, -1, 0, 10, 11, 12});  // rows 1 of 4
  source.axes = {Axis::kLayers, Axis::kTokens, Axis::kExperts};
  CHECK(read(source, 1).logits == std::vector<float>(values.begin() + 12, values.end()));
  source.axes = {Axis::kSteps, Axis::kTokens, Axis::kExperts};
  CHECK(TraceReader(source).info().steps == std::vector<std::int64_t>{4, 4});
  CHECK(read(source, 0).logits == values);
  source.axes = {Axis::kTokens, Axis::kSteps, Axis::kExperts};  // steps are joined, whatever lies between
  CHECK(read(source, 0).logits ==
        std::vector<float>{-5, -4, -3, 7, 8, 9, -2, -1, 0, 10, 11, 12, 1, 2, 3, 13, 14, 15, 4, 5, 6, 16, 17, 18});
  for (const std::vector<Axis>& bad : {std::vector{Axis::kExperts, Axis::kTokens, Axis::kLayers},
                                       {Axis::kTokens, Axis::kLayers, Axis::kTopK},
                                       {Axis::kSteps, Axis::kLayers, Axis::kExperts}}) {
    source.axes = bad;
    CHECK_HAS(trace_fault(source), "\"axes\" says [");
  }
  source.axes = {Axis::kTokens, Axis::kExperts};
  CHECK_HAS(trace_fault(source), "shape [2, 4, 3]; allowed: [tokens, experts]");
  TraceSource large = source_of(folder.write("b.npy", npy("<f4", "(2, 600, 1)", bytes_of(counting(1200)))));
  CHECK(TraceReader(large).info().tokens == 600);  // no network has 600 layers
  large.path = folder.write("c.npy", npy("<f4", "(600, 2, 1)", bytes_of(counting(1200))));
  CHECK(TraceReader(large).info().tensors.size() == 2);
}

TEST_CASE("rows that are far apart in a file are read as those that are not", "[trace][axes]") {
  const Folder folder;
  for (const std::int64_t experts : {3, 1500}) {  // read together, and one by one
    const std::vector<float> values = counting(static_cast<std::size_t>(40 * 3 * experts));
    TraceSource source =
        source_of(folder.write("a.npy", npy("<f4", "(40, 3, " + std::to_string(experts) + ")", bytes_of(values))));
    source.values = TraceValues::kLogits;
    source.axes = {Axis::kTokens, Axis::kLayers, Axis::kExperts};
    for (std::size_t layer = 0; layer < 3; ++layer) {
      const TraceLayer own = read(source, layer);
      bool same = true;
      for (std::size_t i = 0; i < own.logits.size(); ++i) {
        const std::size_t row = i / static_cast<std::size_t>(experts), column = i % static_cast<std::size_t>(experts);
        same = same && own.logits[i] == values[(row * 3 + layer) * static_cast<std::size_t>(experts) + column];
      }
      CHECK(own.tokens == 40);
      CHECK(same);
    }
  }
}

TEST_CASE("masked tokens are left out and counted", "[trace][mask]") {
  const Folder folder;
  std::vector<float> logits = counting(6 * 8);
  std::fill_n(logits.begin() + 8, 8, kNan);
  std::fill_n(logits.begin() + 24, 8, 0.0f);
  std::fill_n(logits.begin() + 40, 8, -3.0f);
  TraceSource source = source_of(folder.write("a.npy", npy("<f4", "(6, 8)", bytes_of(logits))));
  CHECK_HAS(trace_fault(source),
            "row 1: no score but NaN, as padding has; allowed: tokens alone; \"mask\": \"padding\"");
  source.mask = "padding";
  const TraceLayer layer = read(source, 0);
  CHECK(layer.tokens == 3);
  CHECK(layer.masked == 3);
  CHECK(layer.logits.size() == 24);
  CHECK(layer.logits[8] == logits[16]);
  logits[8] = 1;  // one number among them
  source.path = folder.write("b.npy", npy("<f4", "(6, 8)", bytes_of(logits)));
  CHECK_HAS(trace_fault(source), "row 1, column 1 (byte ");
  source.path = folder.write("c.npy", npy("<f4", "(1, 8)", bytes_of(std::vector<float>(8))));
  CHECK_HAS(trace_fault(source), "rows 0 to 0 are all masked");
  CHECK_NOTHROW(TraceReader(source).check_start());  // tokens may come later
}

TEST_CASE("a mask by name marks tokens, or padding where that is said", "[trace][mask]") {
  const Folder folder;
  const std::string header = "{" + test::entry("router_logits", "F32", "[3,2]", 0, 24) + "," +
                             test::entry("attention_mask", "U8", "[3]", 24, 27) + "}";
  TraceSource source = source_of(folder.write(
      "a.safetensors",
      test::safetensors(header, bytes_of(std::vector<float>{1, 2, kNan, 4, 5, 6}) + std::string("\x01\x00\x01", 3))));
  source.mask = "attention_mask";
  source.values = TraceValues::kLogits;
  CHECK(read(source, 0).logits == std::vector<float>{1, 2, 5, 6});  // what is masked is not looked at
  CHECK(read(source, 0).masked == 1);
  source.mask_marks = MaskMarks::kPadding;
  CHECK_HAS(trace_fault(source), "row 1, column 0");
  source.mask = "mask";
  CHECK_HAS(trace_fault(source), "no tensor is named 'mask', the mask of the source");

  const std::string turned = "{" + test::entry("router_logits", "F32", "[3,2,2]", 0, 48) + "," +
                             test::entry("attention_mask", "U8", "[3,2]", 48, 54) + "}";
  TraceSource steps = source_of(folder.write(
      "b.safetensors", test::safetensors(turned, bytes_of(counting(12)) + std::string("\1\1\1\1\1\0", 6))));
  steps.mask = "attention_mask";
  steps.axes = {Axis::kTokens, Axis::kSteps, Axis::kExperts};  // rows are step by step, the mask is not
  CHECK_HAS(trace_fault(steps), "allowed: steps before tokens");
}

TEST_CASE("ids of padding: -1, one past the last expert, or the largest of an unsigned type", "[trace][mask]") {
  const Folder folder;
  const auto of = [&](const std::string& descr, const std::string& bytes) {
    TraceSource source = source_of(folder.write("a.npy", npy(descr, "(2, 2)", bytes)));
    source.mask = "padding";
    return source;
  };
  const TraceFacts eight{.experts = 8};
  for (const TraceSource& source :
       {of("|i1", "\x03\x05\xff\xff"), of("<i4", bytes_of(std::vector<std::int32_t>{3, 5, 8, 8})),
        of("|u1", "\x03\x05\xff\xff"), of("<u2", bytes_of(std::vector<std::uint16_t>{3, 5, 0xffff, 0xffff}))}) {
    const TraceLayer layer = read(source, 0, eight);
    CHECK(layer.chosen == std::vector<std::int32_t>{3, 5});
    CHECK(layer.scores.empty());
    CHECK(layer.masked == 1);
    TraceSource without = source;
    without.mask.clear();
    CHECK_HAS(trace_fault(without, eight), "as padding has; allowed: 0 to 7, and tokens alone; \"mask\": \"padding\"");
  }
  CHECK_HAS(trace_fault(of("|u1", "\x03\x05\xfe\xfe"), eight), "expert 254");  // no mark of padding
  CHECK_HAS(trace_fault(of("|i1", "\x03\x05\x01\xff"), eight), "expert -1 beside others");
  TraceSource of_255 = source_of(folder.write("b.npy", npy("|u1", "(2, 1)", "\x03\xff")));
  of_255.mask = "padding";
  CHECK(read(of_255, 0, {.experts = 256}).masked == 0);  // a choice of expert 255
}

TEST_CASE("probabilities route as the logits that they came from", "[trace][probabilities]") {
  CHECK(logit_of_probability(0.25, Scoring::kSoftmax) == static_cast<float>(std::log(0.25)));
  CHECK(logit_of_probability(1, Scoring::kSoftmax) == 0);
  CHECK(logit_of_probability(0, Scoring::kSoftmax) < logit_of_probability(0x1p-149, Scoring::kSoftmax));
  CHECK(logit_of_probability(0.5, Scoring::kSigmoid) == 0);
  CHECK(logit_of_probability(0.75, Scoring::kSigmoid) == Approx(std::log(3.0)));
  CHECK(std::isfinite(logit_of_probability(1, Scoring::kSigmoid)));
  CHECK(std::isfinite(logit_of_probability(0, Scoring::kSigmoid)));
  for (double p = 1e-9; p < 1; p *= 1.37) {
    CHECK(logit_of_probability(p, Scoring::kSoftmax) == Approx(std::log(p)).epsilon(1e-6));
  }
  const Folder folder;
  const std::vector<float> probabilities = {0.5, 0.25, 0.25, 0, 0.125, 0.125, 0.25, 0.5};
  TraceSource source = source_of(folder.write("a.npy", npy("<f4", "(2, 4)", bytes_of(probabilities))));
  CHECK_HAS(trace_fault(source), "\"values\": \"probabilities\"");
  source.values = TraceValues::kProbabilities;
  CHECK(read(source, 0).logits[1] == static_cast<float>(std::log(0.25)));
  CHECK(TraceReader(source).info().values == "fp32 probabilities");
  source.path = folder.write("b.npy", npy("<f4", "(1, 4)", bytes_of(std::vector<float>{0.5, 0.25, 0, 0})));
  CHECK_HAS(trace_fault(source), "row 0: probabilities that add up to 0.75; allowed: 1, as a softmax gives");
  CHECK(trace_fault(source, {.scoring = Scoring::kSigmoid}).empty());
  source.path = folder.write("c.npy", npy("<f4", "(1, 2)", bytes_of(std::vector<float>{1.5, -0.5})));
  CHECK_HAS(trace_fault(source), "row 0, column 0 (byte 67): 1.5; allowed: probabilities from 0 to 1");
  const std::string header = "{" + test::entry("a.router_probs", "F32", "[2,4]", 0, 32) + "}";
  TraceSource named = source_of(folder.write("d.safetensors", test::safetensors(header, bytes_of(probabilities))));
  CHECK(read(named, 0).logits[0] == static_cast<float>(std::log(0.5)));  // its name and its numbers agree
  named.path = folder.write("e.safetensors", test::safetensors(header, bytes_of(counting(8))));
  CHECK_HAS(trace_fault(named), "\"values\" in the source says what these are");
}

TEST_CASE("scores with a scaling factor are told as such, and divided by it", "[trace][scores]") {
  const Folder folder;
  const auto file = [&](const std::vector<float>& scores) {
    const std::string header = "{" + test::entry("topk_weights", "F32", "[2,2]", 0, 16) + "," +
                               test::entry("topk_ids", "U8", "[2,2]", 16, 20) + "}";
    return source_of(folder.write("a.safetensors", test::safetensors(header, bytes_of(scores) + "\x01\x02\x03\x04")));
  };
  const TraceFacts eight{.experts = 8};
  TraceSource source = file({2.0f, 0.5f, 1.25f, 1.25f});
  CHECK_HAS(trace_fault(source, eight),
            "scores that add up to 2.5 in every row, as a routed scaling factor makes them");
  CHECK_HAS(trace_fault(source, eight), "\"score_scale\": 2.5 in the source divides by it");
  source.score_scale = 2.5;
  CHECK(read(source, 0, eight).scores == std::vector<float>{0.8f, 0.2f, 0.5f, 0.5f});
  CHECK_HAS(trace_fault(file({2.0f, 0.5f, 1.25f, 0.25f}), eight), "row 0, column 0 (byte ");  // no constant
}

TEST_CASE("rows that repeat are told with their range", "[trace]") {
  const Folder folder;
  std::vector<float> logits = counting(200 * 3);
  for (std::size_t row = 10; row < 10 + 64; ++row)
    std::copy_n(logits.begin() + 30, 3, logits.begin() + static_cast<std::ptrdiff_t>(3 * row));
  for (std::size_t row = 100; row < 163; ++row)
    std::copy_n(logits.begin() + 300, 3, logits.begin() + static_cast<std::ptrdiff_t>(3 * row));
  const TraceLayer layer = read(source_of(folder.write("a.npy", npy("<f4", "(200, 3)", bytes_of(logits)))), 0);
  REQUIRE(layer.equal.size() == 1);  // 64 are many, 63 are not
  CHECK(layer.equal[0].first == 10);
  CHECK(layer.equal[0].last == 73);
}

TEST_CASE("rows that repeat are tokens: masked ones between them count for nothing", "[trace][mask]") {
  const Folder folder;
  std::vector<float> logits = counting(160 * 8);
  for (std::size_t row = 2; row < 102; ++row)
    std::fill_n(logits.begin() + static_cast<std::ptrdiff_t>(8 * row), 8, 0.0f);
  for (const std::size_t row : {1, 102})
    std::copy_n(logits.begin(), 8, logits.begin() + static_cast<std::ptrdiff_t>(8 * row));
  TraceSource source = source_of(folder.write("a.npy", npy("<f4", "(160, 8)", bytes_of(logits))));
  source.mask = "padding";
  const TraceLayer layer = read(source, 0);
  CHECK(layer.masked == 100);
  CHECK(layer.equal.empty());  // three tokens repeat, over a hundred rows
}

TEST_CASE("probabilities of the chosen alone are refused", "[trace][probabilities]") {
  const Folder folder;
  std::vector<float> chosen = {0.5f, 0.5f, 0, 0, 0, 0.25f, 0, 0.75f};
  TraceSource source = source_of(folder.write("a.npy", npy("<f4", "(2, 4)", bytes_of(chosen))));
  source.values = TraceValues::kProbabilities;
  CHECK_HAS(trace_fault(source, {.top_k = 2}), "no token has more than 2 probabilities above 0");
  CHECK(trace_fault(source, {.top_k = 1}).empty());
  chosen[1] = chosen[2] = 0.25f;
  source.path = folder.write("b.npy", npy("<f4", "(2, 4)", bytes_of(chosen)));
  CHECK(trace_fault(source, {.top_k = 2}).empty());
}

TEST_CASE("files of ranks and steps are joined, of layers not", "[trace][files]") {
  const Folder folder;
  const auto write = [&](const std::string& name, float value) {
    folder.write(name, npy("<f4", "(1, 2)", bytes_of(std::vector<float>{value, 0.5f})));
  };
  for (const int layer : {0, 1}) {
    for (const int rank : {10, 2}) {
      write("moe_layer" + std::to_string(layer) + "_rank" + std::to_string(rank) + ".npy",
            static_cast<float>(100 * layer + rank));
    }
  }
  const TraceSource source = source_of(folder.path.string());
  const TraceReader reader(source);
  CHECK(reader.info().tensors == std::vector<std::string>{"layers.0.router_logits", "layers.1.router_logits"});
  CHECK(reader.info().tokens == 2);
  CHECK(read(source, 1).logits == std::vector<float>{102, 0.5f, 110, 0.5f});
  write("moe_layer1_rank11.npy", 3);
  CHECK_HAS(trace_fault(source), "its files do not all have the layer 'layers.0.router_logits'");

  const Folder both;
  const auto rows = [&](const std::string& name, std::int64_t count) {
    both.write(name, npy("<f4", "(" + std::to_string(count) + ", 2)",
                         bytes_of(counting(static_cast<std::size_t>(2 * count)))));
  };
  rows("step0_rank0.npy", 1);
  rows("step0_rank1.npy", 2);
  rows("step1_rank0.npy", 3);
  rows("step1_rank1.npy", 1);
  CHECK(TraceReader(source_of(both.path.string())).info().steps == std::vector<std::int64_t>{3, 4});

  const Folder steps;
  steps.write("batch-0.npy", npy("<f4", "(1, 2)", bytes_of(std::vector<float>{1, 2.5f})));
  steps.write("batch-1.npy", npy("<f4", "(2, 2)", bytes_of(std::vector<float>{3, 4.5f, 5, 6})));
  CHECK(TraceReader(source_of(steps.path.string())).info().steps == std::vector<std::int64_t>{1, 2});
  steps.write("batch-2.npy", npy("<f4", "(1, 3)", bytes_of(std::vector<float>{1, 2.5f, 3})));
  CHECK_HAS(trace_fault(source_of(steps.path.string())), "does not continue");
  steps.write("batch-2.csv", "1,2\n");
  CHECK_HAS(trace_fault(source_of(steps.path.string())), "a pattern such as");
  CHECK_HAS(trace_fault(source_of((steps.path / "x*.npy").string())), "no file matches");
}

TEST_CASE("groups of tokens: by their number, or by steps", "[trace][batches]") {
  const std::string path = "t";
  const std::optional<Batches> none, all = Batches{}, two = Batches{2};
  const std::vector<std::int64_t> no_steps, steps = {3, 5, 2};
  const auto sizes = [](const std::vector<RowRange>& groups) {
    std::vector<std::int64_t> sizes;
    for (const RowRange& group : groups) sizes.insert(sizes.end(), {group.first, group.count});
    return sizes;
  };
  using Sizes = std::vector<std::int64_t>;
  CHECK(sizes(groups_of_tokens({path, 0, none, 10, no_steps})) == Sizes{0, 10});
  CHECK(sizes(groups_of_tokens({path, 4, none, 10, steps})) == Sizes{0, 4});
  CHECK(sizes(groups_of_tokens({path, 4, all, 10, no_steps})) == Sizes{0, 4, 4, 4});
  CHECK(sizes(groups_of_tokens({path, 4, all, 10, steps})) == Sizes{0, 4, 4, 4});
  CHECK(sizes(groups_of_tokens({path, 0, two, 10, steps})) == Sizes{0, 3, 3, 5});
  CHECK_THROWS_AS(groups_of_tokens({path, 0, all, 10, no_steps}), InputError);
  CHECK_THROWS_AS(groups_of_tokens({path, 6, two, 10, no_steps}), InputError);
  CHECK_THROWS_AS(groups_of_tokens({path, 11, all, 10, no_steps}), InputError);
  CHECK_THROWS_AS(groups_of_tokens({path, 1, all, 2000, no_steps}), InputError);
}
