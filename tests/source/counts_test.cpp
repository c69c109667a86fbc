#include "source/counts.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/error.hpp"
#include "formats/files.hpp"

using namespace tatr;
using test::Folder;
using test::npy;

namespace {

CountsSource source_of(const std::string& path, std::vector<Axis> axes = {}) {
  CountsSource source;
  source.path = path;
  source.axes = std::move(axes);
  return source;
}

std::string counts_fault(const CountsSource& source, std::int64_t experts = 0) {
  try {
    read_counts(source, experts);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

using Steps = std::vector<Counts>;

}  // namespace

TEST_CASE("arrays of counts: experts, layers, steps", "[counts]") {
  const Folder folder;
  const std::string six = test::bytes_of(std::vector<std::int64_t>{1, 2, 3, 4, 5, 6});
  const CountsRecord one = read_counts(source_of(folder.write("one.npy", npy("<i8", "(6,)", six))), 0);
  CHECK(one.experts == 6);
  CHECK(one.layers.size() == 1);
  CHECK(one.layers[0].steps == Steps{{1, 2, 3, 4, 5, 6}});
  const CountsRecord two = read_counts(source_of(folder.write("two.npy", npy("<i8", "(2, 3)", six))), 3);
  CHECK(two.layers[1].name == "layers.1.counts");
  CHECK(two.layers[1].steps == Steps{{4, 5, 6}});
  const std::string path = folder.write("three.npy", npy("<i8", "(3, 1, 2)", six));
  const CountsRecord three = read_counts(source_of(path), 0);
  CHECK(three.steps == 3);
  CHECK(three.layers[0].steps == Steps{{1, 2}, {3, 4}, {5, 6}});
  const CountsRecord turned = read_counts(source_of(path, {Axis::kLayers, Axis::kSteps, Axis::kExperts}), 0);
  CHECK(turned.layers.size() == 3);
  CHECK(turned.layers[2].steps == Steps{{5, 6}});
  CHECK_HAS(counts_fault(source_of(path), 3), "the config says 3 experts; allowed: 2, as in the file");
  CHECK_HAS(counts_fault(source_of(path, {Axis::kTokens, Axis::kSteps, Axis::kExperts})), "\"axes\" says");
  CHECK_HAS(counts_fault(source_of(path, {Axis::kLayers, Axis::kExperts})),
            "shape [3, 1, 2]; allowed: [layers, experts]");
}

TEST_CASE("counts are whole, of any type", "[counts]") {
  const Folder folder;
  const auto of = [&](const std::string& descr, const std::string& bytes) {
    return source_of(folder.write("a.npy", npy(descr, "(2,)", bytes)));
  };
  using test::bytes_of;
  CHECK(read_counts(of("<f2", bytes_of(std::vector<std::uint16_t>{0x3c00, 0x6800})), 0).layers[0].steps ==
        Steps{{1, 2048}});
  CHECK(read_counts(of("<f4", bytes_of(std::vector<float>{7, 9})), 0).layers[0].steps == Steps{{7, 9}});
  CHECK(read_counts(of("|u1", "\x05\xff"), 0).layers[0].steps == Steps{{5, 255}});
  CHECK(read_counts(of("<u4", bytes_of(std::vector<std::uint32_t>{1u << 30, 1})), 0).layers[0].steps ==
        Steps{{1 << 30, 1}});
  CHECK_HAS(counts_fault(of("<f4", bytes_of(std::vector<float>{7, 9.5f}))),
            "a.npy, element 1: 9.5; allowed: counts of tokens: whole numbers from 0 to 1073741824");
  CHECK_HAS(counts_fault(of("<i4", bytes_of(std::vector<std::int32_t>{-1, 2}))), "element 0: -1");
  CHECK_HAS(counts_fault(of("<i4", bytes_of(std::vector<std::int32_t>{2, (1 << 30) + 1}))), "element 1: 1073741825");
  CHECK_HAS(counts_fault(of("<i4", bytes_of(std::vector<std::int32_t>{0, 0}))), "no expert has any tokens");
}

TEST_CASE("zeros and ones in rows are a mask of choices, unless it is said that they are counts", "[counts]") {
  const Folder folder;
  const std::string mask = folder.write("a.npy", npy("|b1", "(3, 2)", std::string("\1\0\0\1\1\0", 6)));
  CHECK_HAS(counts_fault(source_of(mask)), "zeros and ones alone, as a mask of each token's choices has them");
  CHECK(read_counts(source_of(mask, {Axis::kLayers, Axis::kExperts}), 0).layers.size() == 3);
  CHECK(read_counts(source_of(folder.write("b.npy", npy("|u1", "(2,)", "\1\1"))), 0).layers.size() == 1);
  CHECK(read_counts(source_of(folder.write("c.npy", npy("|u1", "(2, 2)", std::string("\2\0\1\1", 4)))), 0)
            .layers.size() == 2);
}

TEST_CASE("arrays are counts by default only where their names leave no doubt", "[counts]") {
  const Folder folder;
  const auto fault_of = [&](const std::string& name, const std::string& text) {
    return counts_fault(source_of(folder.write(name, text)));
  };
  CHECK_HAS(fault_of("a.csv", "layer_id,expert_id,load\n0,0,5\n0,1,3\n"),
            "allowed for lines of counts: expert_id and count");
  CHECK_HAS(fault_of("b.csv", "layer,e0,e1\n0,5,3\n1,4,4\n"), "allowed for lines of counts");
  CHECK_HAS(fault_of("c.csv", "0,1,2\n5,6,7\n7,6,5\n"), "its first line is 0, 1, 2, …");
  CHECK_HAS(fault_of("d.jsonl", "{\"topk_ids\": [[1, 2]]}\n{\"topk_ids\": [[3, 4], [5, 6]]}\n"),
            "is named as a top-k is");
  CHECK_HAS(fault_of("e.json", "{\"experts\": [0, 1], \"counts\": [7, 9]}"),
            "\"tensor\" in the source says which are counts");
  CHECK_HAS(fault_of("f.jsonl", "{\"counts\": [1, 2]}\n{\"counts\": [3, 4]}\n"),
            "lines of counts may be steps or layers");
  const std::string lines =
      "{\"layer\": 3, \"counts\": [1, 2]}\n{\"layer\": 3, \"counts\": [3, 4]}\n"
      "{\"layer\": 5, \"counts\": [5, 6]}\n{\"layer\": 5, \"counts\": [7, 8]}\n";
  const CountsRecord record = read_counts(source_of(folder.write("g.jsonl", lines)), 0);
  CHECK(record.steps == 2);
  REQUIRE(record.layers.size() == 2);
  CHECK(record.layers[1].steps == Steps{{5, 6}, {7, 8}});
  CountsSource one = source_of(folder.write("h.json", "{\"experts\": [0, 1], \"counts\": [7, 9]}"));
  one.tensors = {"counts"};
  CHECK(read_counts(one, 0).layers[0].steps == Steps{{7, 9}});
}

TEST_CASE("lines of counts", "[counts]") {
  const Folder folder;
  const std::string lines = "layer_id,expert_id,count\n3,0,5\n3,1,7\n12,1,2\n12,0,10\n";
  const CountsRecord record = read_counts(source_of(folder.write("a.csv", lines)), 0);
  CHECK(record.layers.size() == 2);
  CHECK(record.layers[0].name == "layers.3");
  CHECK(record.layers[0].steps == Steps{{5, 7}});
  CHECK(record.layers[1].steps == Steps{{10, 2}});
  const std::string steps =
      "{\"step\": 1, \"expert\": 0, \"tokens\": 4}\n{\"step\": 1, \"expert\": 1, \"tokens\": 0}\n"
      "{\"step\": 0, \"expert\": 1, \"tokens\": 3}\n{\"step\": 0, \"expert\": 0, \"tokens\": 1}\n";
  CHECK(read_counts(source_of(folder.write("a.jsonl", steps)), 0).layers[0].steps == Steps{{1, 3}, {4, 0}});
  const std::string some = "expert,count\n0,5\n2,7\n";
  CHECK_HAS(counts_fault(source_of(folder.write("b.csv", some))), "router.experts in the config says it");
  CHECK(read_counts(source_of(folder.write("b.csv", some)), 4).layers[0].steps == Steps{{5, 0, 7, 0}});
  CHECK_HAS(counts_fault(source_of(folder.write("b.csv", some)), 2), "expert 2; allowed: 0 to 1");
  CHECK_HAS(counts_fault(source_of(folder.write("b.csv", some + "2,1\n")), 4), "a second count of expert 2");
  CHECK_HAS(counts_fault(source_of(folder.write("b.csv", "expert,expert_id,count\n0,0,5\n"))), "which mean the same");
}

TEST_CASE("files of layers and of steps; what has no tokens is left out", "[counts]") {
  const Folder folder;
  const auto array = [](const std::string& shape, std::vector<std::int32_t> values) {
    return npy("<i4", shape, test::bytes_of(values));
  };
  folder.write("layer_2.npy", array("(2,)", {1, 2}));
  folder.write("layer_10.npy", array("(2,)", {3, 4}));
  folder.write("layer_1.npy", array("(2,)", {0, 0}));  // dense
  const CountsRecord layers = read_counts(source_of(folder.path.string()), 0);
  CHECK(layers.layers.size() == 2);
  CHECK(layers.idle_layers == 1);
  CHECK(layers.layers[1].steps == Steps{{3, 4}});

  const Folder steps;
  steps.write("step_0.npy", array("(1, 2)", {1, 2}));
  steps.write("step_9.npy", array("(1, 2)", {0, 0}));  // idle
  steps.write("step_11.npy", array("(1, 2)", {5, 6}));
  const CountsRecord record = read_counts(source_of(steps.path.string()), 0);
  CHECK(record.steps == 2);
  CHECK(record.idle_steps == 1);
  CHECK(record.layers[0].steps == Steps{{1, 2}, {5, 6}});

  const Folder ranks;
  ranks.write("rank0.npy", array("(2,)", {1, 2}));
  ranks.write("rank1.npy", array("(2,)", {1, 2}));
  CHECK_HAS(counts_fault(source_of(ranks.path.string())), "counts of ranks do not tell whether they add up");
  const Folder others;
  others.write("a1.npy", array("(2,)", {1, 2}));
  others.write("a2.npy", array("(2,)", {1, 2}));
  CHECK_HAS(counts_fault(source_of(others.path.string())), "\"each_file\" in the source says what each file is");
  CountsSource said = source_of((others.path / "a*.npy").string());
  said.each_file = EachFile::kLayer;
  CHECK(read_counts(said, 0).layers.size() == 2);
}
