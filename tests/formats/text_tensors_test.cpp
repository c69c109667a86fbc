// JSON lines, JSON and CSV.
#include <cmath>
#include <limits>

#include "formats/files.hpp"
#include "formats/nested_list.hpp"
#include "formats/number_spool.hpp"

using namespace tatr;
using namespace tatr::test;

namespace {

using Shape = std::vector<std::int64_t>;
using Integers = std::vector<std::int64_t>;
using Doubles = std::vector<double>;
using Names = std::vector<std::string>;

constexpr std::int64_t kLarge = (std::int64_t{1} << 53) + 1;  // no double

/// NaN as -1, to be compared.
Doubles without_nan(Doubles values) {
  for (double& value : values) value = std::isnan(value) ? -1 : value;
  return values;
}

}  // namespace

TEST_CASE("JSON lines of single values are columns", "[formats]") {
  const Folder folder;
  const TensorSet set = open_tensors(
      folder.write("a.jsonl",
                   "{\"layer_id\": 0, \"count\": 9007199254740993, \"share\": 1, \"who\": \"x\", \"on\": true}\r\n"
                   "{\"layer_id\": 1, \"count\": -3, \"who\": null, \"share\": 0.5, \"on\": false}\n"
                   "{\"layer_id\": 2, \"count\": 4, \"share\": null, \"who\": \"y\", \"on\": true}\n\n \n"));
  CHECK(set.format == "JSON lines");
  CHECK(names_of(set) == Names{"layer_id", "count", "share", "on"});
  for (const TensorEntry& tensor : set.tensors) {
    CHECK(tensor.shape == Shape{3});
    CHECK(tensor.of_lines);
  }
  CHECK(tensor_of(set, "count").dtype == "I64");
  CHECK(values_of<std::int64_t>(tensor_of(set, "count")) == Integers{kLarge, -3, 4});
  CHECK(tensor_of(set, "share").dtype == "F64");
  CHECK(without_nan(values_of<double>(tensor_of(set, "share"))) == Doubles{1, 0.5, -1});
  CHECK(values_of<std::int64_t>(tensor_of(set, "on")) == Integers{1, 0, 1});
}

TEST_CASE("JSON lines of lists: one width, or joined", "[formats]") {
  const Folder folder;
  const TensorSet flat =
      open_tensors(folder.write("a.ndjson", "{\"token\":0,\"logits\":[1,2.5]}\n{\"token\":1,\"logits\":[3,null]}"));
  CHECK(names_of(flat) == Names{"logits"});
  CHECK(flat.tensors[0].shape == Shape{2, 2});
  CHECK(flat.tensors[0].of_lines);
  CHECK(without_nan(values_of<double>(flat.tensors[0])) == Doubles{1, 2.5, 3, -1});

  const TensorSet steps =
      open_tensors(folder.write("a.jsonl", "{\"ids\":[[1,2],[3,4],[5,6]]}\n{\"ids\":[[7,8],[9,10],[11,12]]}\n"));
  CHECK(steps.tensors[0].shape == Shape{2, 3, 2});
  CHECK(steps.tensors[0].of_lines);
  CHECK(values_of<std::int64_t>(steps.tensors[0]) == Integers{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});

  for (const char* lines : {"{\"ids\":[[1,2]]}\n{\"ids\":[]}\n{\"ids\":[[3,4],[5,6]]}\n",
                            "{\"ids\":[]}\n{\"ids\":[[1,2]]}\n{\"ids\":[[3,4],[5,6]]}\n"}) {
    const TensorSet joined = open_tensors(folder.write("a.jsonl", lines));
    CHECK(joined.tensors[0].shape == Shape{3, 2});
    CHECK(!joined.tensors[0].of_lines);
    CHECK(values_of<std::int64_t>(joined.tensors[0]) == Integers{1, 2, 3, 4, 5, 6});
  }
  const TensorSet one = open_tensors(folder.write("a.jsonl", "{\"ids\":[[1,2],[3,4]]}\n"));
  CHECK(one.tensors[0].shape == Shape{2, 2});
  CHECK(!one.tensors[0].of_lines);
  const TensorSet deep =
      open_tensors(folder.write("a.jsonl", "{\"ids\":[[[1],[2]]]}\n{\"ids\":[[[3],[4]],[[5],[6]]]}\n"));
  CHECK(deep.tensors[0].shape == Shape{3, 2, 1});
}

TEST_CASE("JSON lines of many layers are put together by layer", "[formats]") {
  const Folder folder;
  for (const std::string name : {"layer", "layer_id", "layer_idx"}) {
    const auto line = [&](int layer, const std::string& ids) {
      return "{\"step\":7,\"" + name + "\":" + std::to_string(layer) + ",\"ids\":" + ids + ",\"scores\":[[0.5]]}\n";
    };
    const TensorSet set = open_tensors(
        folder.write("a.jsonl", line(10, "[[1]]") + line(2, "[[2],[3]]") + line(10, "[[4]]") + line(2, "[[5]]")));
    CHECK(names_of(set) == Names{"layers.10.ids", "layers.10.scores", "layers.2.ids", "layers.2.scores"});
    CHECK(set.tensors[0].shape == Shape{2, 1, 1});
    CHECK(values_of<std::int64_t>(set.tensors[0]) == Integers{1, 4});
    CHECK(set.tensors[2].shape == Shape{3, 1});
    CHECK(values_of<std::int64_t>(set.tensors[2]) == Integers{2, 3, 5});
    CHECK(values_of<double>(set.tensors[3]) == Doubles{0.5, 0.5});
  }
}

TEST_CASE("JSON lines that do not fit are refused with the line", "[formats]") {
  const Folder folder;
  const auto refused = [&](const std::string& lines) { return fault(folder.write("a.jsonl", lines)); };
  CHECK_HAS(refused("{\"a\":1}\n{\"b\":1}\n"), ": line 2, 'b': is not in the first record; allowed");
  CHECK_HAS(refused("{\"a\":1,\"b\":2}\n{\"a\":1}\n"),
            ": line 2: lacks 'b'; allowed: records with the fields of the first");
  CHECK_HAS(refused("{\"a\":1}\n{\"a\":1,\"b\":[]}\n"), ": line 2, 'b': is not in the first record");
  CHECK_HAS(refused("{\"a\":[1]}\n{\"a\":1}\n"), ": line 2, 'a': no list; allowed: a list, as in the first record");
  CHECK_HAS(refused("{\"a\":1}\n{\"a\":[1]}\n"), ": line 2, 'a': a list; allowed: a single value");
  CHECK_HAS(refused("{\"a\":1}\n{\"a\":\"x\"}\n"), ": line 2, 'a': 'x'; allowed: a number, as in the records before");
  CHECK_HAS(refused("{\"a\":[1,2]}\n{\"a\":[1,2,3]}\n"),
            ": line 2, 'a': a list of shape [3]; allowed: [2], as in the records before");
  CHECK_HAS(refused("{\"a\":[1,2]}\n{\"a\":[]}\n"), ": line 2, 'a': a list of shape [0]; allowed: [2]");
  CHECK_HAS(refused("{\"a\":[]}\n{\"a\":[2]}\n"), ": line 2, 'a': a list of shape [1]; allowed: [0]");
  CHECK_HAS(refused("{\"a\":[[1,2]]}\n{\"a\":[[1],[2]]}\n"),
            "shape [2, 1]; allowed: [1, 2], as in the records before, but for the first number");
  CHECK_HAS(refused("{\"a\":[[1,2]]}\n{\"a\":[1,2]}\n"), ": line 2, 'a': a list of shape [2]; allowed: [1, 2]");
  CHECK_HAS(refused("{\"a\":[[1,2],[3]]}\n"), ": line 1, /a/1: a list of 1; allowed: 2, as in those before it");
  CHECK_HAS(refused("{\"a\":[[1,2],3]}\n"), ": line 1, /a/1: a number among lists; allowed: lists");
  CHECK_HAS(refused("{\"a\":[1,[3]]}\n"), ": line 1, /a/1: a list among numbers; allowed: numbers");
  CHECK_HAS(refused("{\"a\":[[],1]}\n"), ": line 1, /a/1: a number among lists");
  CHECK_HAS(refused("{\"a\":[[[[[1]]]]]}\n"), "a list within 4 others");
  CHECK_HAS(refused("{\"a\":[1,\"x\"]}\n"), ": line 1, /a/1: text 'x' in a list; allowed: numbers and null");
  CHECK_HAS(refused("{\"a\":[{}]}\n"), ": line 1, /a/0: an object; allowed: numbers and null");
  CHECK_HAS(refused("{\"b\":1,\"a\":{\"c\":1}}\n"),
            ": line 1, /a: an object; allowed: numbers, text, null, and lists of numbers");
  CHECK_HAS(refused("{\"a\":1,\"a\":2}\n"), "key 'a' for the second time");
  CHECK_HAS(refused("{\"layer\":\"x\",\"a\":[1]}\n"), ": line 1, 'layer': 'x'; allowed: a whole number, as of a layer");
  CHECK_HAS(refused("{\"layer\":0.5,\"a\":[1]}\n"), ": line 1, 'layer': '0.5'; allowed: a whole number");
  CHECK_HAS(refused("{\"layer\":0,\"a\":[1]}\n{\"a\":[1]}\n"), ": line 2: lacks 'layer'");
  CHECK_HAS(refused("{\"a\":\"x\"}\n"), ": no field holds numbers; allowed");
  CHECK_HAS(refused("{}\n"), ": line 1: an object without fields");
  CHECK_HAS(refused("[1]\n"), ": line 1: a list; allowed: an object on each line");
  CHECK_HAS(refused("7\n"), ": line 1: '7'; allowed: an object");
  CHECK_HAS(refused("\n\n"), ": has no lines; allowed");
  CHECK_HAS(refused("{\"a\":1}\n\n{\"a\":1}\n"), ": line 2: empty; allowed: empty lines at the end of the file alone");
  CHECK_HAS(refused("{\"a\":1}\n{\"a\":1\n"), ": line 2, column 7: not valid JSON: ");
  CHECK_HAS(refused("{\"a\":1}{\"a\":1}\n"), ": line 1, column 8: not valid JSON: ");
  CHECK_HAS(refused("{\"a\":[1, NaN]}\n"), ": line 1, column 10: not valid JSON: ");
  CHECK_HAS(refused("{\"a\":[1, NaN]}\n"), "(null stands for NaN, and there is no Infinity)");
  CHECK_HAS(refused("{\"a\":1e999}\n"), "a number is too large for a double");
  TensorLimits limits;
  limits.line_bytes = 1 << 20;
  const std::string long_line = "{\"a\":1}\n{\"a\":" + std::string(5 << 20, ' ') + "1}\n";
  CHECK_HAS(fault(folder.write("a.jsonl", long_line), limits), ": line 2: too long; allowed: at most 1 MiB");
  CHECK(fault(folder.write("a.jsonl", long_line)).empty());
}

TEST_CASE("a JSON document: lists, an object of lists, or records", "[formats]") {
  const Folder folder;
  const auto read = [&](const std::string& text) { return open_tensors(folder.write("a.json", text)); };
  const TensorSet bare = read("\xef\xbb\xbf [[[1, 2]], [[3, 4]]]\n");
  CHECK(bare.format == "JSON");
  CHECK(names_of(bare) == Names{""});
  CHECK(bare.tensors[0].shape == Shape{2, 1, 2});
  CHECK(!bare.tensors[0].of_lines);
  CHECK(values_of<std::int64_t>(bare.tensors[0]) == Integers{1, 2, 3, 4});
  CHECK(read("[1.5]").tensors[0].shape == Shape{1});
  CHECK(read("[]").tensors[0].shape == Shape{0});
  CHECK(read("[[],[]]").tensors[0].shape == Shape{2, 0});

  const TensorSet named =
      read(R"({"experts": 8, "b": [[1, 2], [3, 4]], "model": "x", "rate": 0.50, "a": [null, 1], "no": null})");
  CHECK(names_of(named) == Names{"b", "a"});
  CHECK(named.tensors[0].shape == Shape{2, 2});
  CHECK(without_nan(values_of<double>(named.tensors[1])) == Doubles{-1, 1});
  CHECK(named.metadata ==
        std::map<std::string, std::string>{{"experts", "8"}, {"model", "x"}, {"rate", "0.50"}, {"no", "null"}});

  const TensorSet records = read(R"([{"layer": 0, "counts": [1, 2]}, {"layer": 1, "counts": [3, 4]}])");
  CHECK(names_of(records) == Names{"layers.0.counts", "layers.1.counts"});
  CHECK(records.metadata.empty());

  const auto refused = [&](const std::string& text) { return fault(folder.write("a.json", text)); };
  CHECK_HAS(refused(R"({"a": {"b": [1]}})"), ": /a: an object; allowed: numbers, text, null, and lists of numbers");
  CHECK_HAS(refused(R"({"a": [1], "a": [1]})"), "key 'a' for the second time");
  CHECK_HAS(refused(R"({"a": [[1, 2], [3]]})"), ": /a/1: a list of 1; allowed: 2");
  CHECK_HAS(refused("[[1, 2],\n [3]]"), ": /1: a list of 1; allowed: 2");
  CHECK_HAS(refused(R"([{"a": 1}, {"a": [[1], 2]}])"), ": /1/a/1: a number among lists");
  CHECK_HAS(refused(R"([{"a": 1}, {"b": 1}])"), ": /1, 'b': is not in the first record");
  CHECK_HAS(refused(R"([{"a": 1}, 5])"), ": /1: '5'; allowed: objects");
  CHECK_HAS(refused(R"([{"a": 1}, [5]])"), ": /1: a list among objects; allowed: objects");
  CHECK_HAS(refused(R"([1, {"a": 1}])"), ": /1: an object; allowed: numbers and null");
  CHECK_HAS(refused("\"x\""), ": 'x'; allowed: an object, or a list");
  CHECK_HAS(refused("[1,\n 2,\n x]"), ": line 3, column 2: not valid JSON");
  CHECK_HAS(refused(" "), "not valid JSON");
  CHECK_HAS(refused("[" + std::string(100'000, '[')), "a list within 4 others");
  TensorLimits limits;
  limits.json_bytes = 4;
  CHECK_HAS(fault(folder.write("a.json", "[1,2]"), limits),
            ": 5 bytes; allowed for a JSON document: at most 4 bytes (JSON lines, .jsonl, may be of any size)");
}

TEST_CASE("a long JSON list comes whole, integers before a fraction included", "[formats]") {
  const Folder folder;
  constexpr int kCount = 3'000'000;  // more than is held in memory
  std::string text = "{\"a\":[";
  for (int i = 0; i < kCount; ++i) text += std::to_string(i % 10) + ",";
  const TensorSet set = open_tensors(folder.write("a.json", text + "0.5],\"b\":[1]}"));
  const Doubles values = values_of<double>(tensor_of(set, "a"));
  REQUIRE(values.size() == kCount + 1);
  bool same = values.back() == 0.5;
  for (int i = 0; i < kCount; ++i) same &= values[static_cast<std::size_t>(i)] == i % 10;
  CHECK(same);
  CHECK(values_of<std::int64_t>(tensor_of(set, "b")) == Integers{1});
}

TEST_CASE("CSV with a header has columns, without one is one array", "[formats]") {
  const Folder folder;
  const TensorSet named =
      open_tensors(folder.write("a.csv",
                                "\xef\xbb\xbf,layer_id, \"expert, id\" ,name,count,share\r\n0,1,2,\"a, "
                                "\"\"b\"\"\",9007199254740993,1\r\n1,-1,+2,,3,\r\n\r\n"));
  CHECK(named.format == "CSV");
  CHECK(names_of(named) == Names{"column 1", "layer_id", "expert, id", "count", "share"});
  for (const TensorEntry& tensor : named.tensors) CHECK(tensor.shape == Shape{2});
  CHECK(values_of<std::int64_t>(tensor_of(named, "count")) == Integers{kLarge, 3});
  CHECK(values_of<std::int64_t>(tensor_of(named, "expert, id")) == Integers{2, 2});
  CHECK(without_nan(values_of<double>(tensor_of(named, "share"))) == Doubles{1, -1});

  const TensorSet matrix = open_tensors(folder.write("a.csv", "1, 2,3\n4,5e-1,nan\n"));
  CHECK(names_of(matrix) == Names{""});
  CHECK(matrix.tensors[0].shape == Shape{2, 3});
  CHECK(matrix.tensors[0].dtype == "F64");
  CHECK(without_nan(values_of<double>(matrix.tensors[0])) == Doubles{1, 2, 3, 4, 0.5, -1});
  const TensorSet one = open_tensors(folder.write("a.csv", "7"));
  CHECK(one.tensors[0].shape == Shape{1, 1});
  CHECK(one.tensors[0].dtype == "I64");
}

TEST_CASE("CSV that does not fit is refused with line and column", "[formats]") {
  const Folder folder;
  const auto refused = [&](const std::string& text) { return fault(folder.write("a.csv", text)); };
  CHECK_HAS(refused("1,2\n3\n"), ": line 2: 1 columns; allowed: 2, as in the first line");
  CHECK_HAS(refused("a,b\n3,4,5\n"), ": line 2: 3 columns; allowed: 2");
  CHECK_HAS(refused("1,2\n3,x\n"), ": line 2, column 2: 'x'; allowed: numbers, as the first line is no header");
  CHECK_HAS(refused("1,2\n3,\n"), ": line 2, column 2: ''; allowed: numbers");
  CHECK_HAS(refused("a,b\n1,2\n3,x\n"), ": line 3, 'b': 'x'; allowed: a number, as in the records before");
  CHECK_HAS(refused("a,b,a\n1,2,3\n"), ": line 1, column 3: name 'a' for the second time");
  CHECK_HAS(refused("a,b\n"), ": has a header alone; allowed");
  CHECK_HAS(refused("a\nx\n"), ": no field holds numbers");
  CHECK_HAS(refused("a,\"b\n1,2\n"), ": line 1, column 2: a quote without its end");
  CHECK_HAS(refused("a,\"b\"c\n1,2\n"), ": line 1, column 2: text after a quote; allowed: a comma");
  CHECK_HAS(refused("1,2\n\n3,4\n"), ": line 2: empty");
  CHECK_HAS(refused("1,1e999\n"), ": line 1, column 2: '1e999'; allowed: numbers that a double can hold");
  CHECK_HAS(refused("a\n1e999\n"), ": line 2, column 1: '1e999'; allowed");
  CHECK_HAS(refused("\n"), ": has no lines");
}

TEST_CASE("columns that grow past memory are laid out whole", "[formats]") {
  NumberSpool spool("x", 8);
  const std::size_t a = *spool.add_column(), b = *spool.add_column(), c = *spool.add_column();
  Integers of_a;
  Doubles of_b;
  for (std::int64_t i = 0; i < 50; ++i) {
    spool.column(a).add(kLarge + i);
    of_a.push_back(kLarge + i);
    if (i < 30) {
      spool.column(b).add(i);
    } else {
      spool.column(b).add(static_cast<double>(i) / 4);
    }
    of_b.push_back(static_cast<double>(i) / (i < 30 ? 1 : 4));
    spool.column(c).add(std::int64_t{1});
    spool.added(3);
  }
  const std::vector<TensorEntry> entries = spool.finish({b, a});
  REQUIRE(entries.size() == 2);
  CHECK(values_of<double>(entries[0]) == of_b);
  CHECK(values_of<std::int64_t>(entries[1]) == of_a);
  CHECK(entries[1].file->size_bytes() == 800);
}
