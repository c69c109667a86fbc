#include "source/trace.hpp"

#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/error.hpp"
#include "core/half.hpp"
#include "formats/files.hpp"
#include "formats/npy.hpp"
#include "growth.hpp"

using namespace tatr;

namespace {

namespace fs = std::filesystem;
using test::bytes_of;
using test::entry;
using test::Folder;
using test::safetensors;

std::string length_prefix(std::uint64_t length) { return test::little_endian_bytes(length, sizeof length); }

/// One F32 tensor.
std::string logits_file(const std::string& shape, const std::vector<float>& values) {
  return safetensors("{" + entry("router_logits", "F32", shape, 0, values.size() * 4) + "}", bytes_of(values));
}

std::string npy(const std::string& header, const std::string& data, char major = 1) {
  std::string length = length_prefix(header.size()).substr(0, major == 1 ? 2 : 4);
  return std::string("\x93NUMPY") + major + '\0' + length + header + data;
}

TraceSource source_of(const std::string& path, std::vector<std::string> tensors = {"router_logits"},
                      std::int64_t first_token = 0) {
  TraceSource source;
  source.path = path;
  source.tensors = std::move(tensors);
  source.first_token = first_token;
  return source;
}

/// What is wrong with a trace, read as a run would read it; "" if nothing is.
std::string fault(const TraceSource& source, std::int64_t tokens = 0, std::int64_t experts = 0) {
  try {
    for (const std::string& tensor : inspect_trace(source).tensors) read_trace_layer(source, tensor, tokens, experts);
  } catch (const InputError& error) {
    const std::string text = error.what();
    REQUIRE(text.starts_with(source.path + ":"));
    return text.substr(source.path.size());
  }
  return "";
}

const float kNan = std::numeric_limits<float>::quiet_NaN();
const float kInf = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("safetensors logits: F32, BF16 and F16 hold the same values", "[trace]") {
  const Folder folder;
  const std::vector<float> values = {0, 1, -2, 0.5, 3, 1.5};
  std::vector<std::uint16_t> bf16;
  for (const float value : values) bf16.push_back(bfloat16_from_float(value));
  const std::vector<std::uint16_t> f16 = {0, 0x3c00, 0xc000, 0x3800, 0x4200, 0x3e00};
  const std::string f32_path = folder.write("f32", logits_file("[2,3]", values));
  const std::string bf16_path =
      folder.write("bf16", safetensors("{" + entry("router_logits", "BF16", "[2,3]", 0, 12) + "}", bytes_of(bf16)));
  const std::string f16_path =
      folder.write("f16", safetensors("{" + entry("router_logits", "F16", "[2,3]", 0, 12) + "}  ", bytes_of(f16)));
  for (const std::string& path : {f32_path, bf16_path, f16_path}) {
    const TraceInfo info = inspect_trace(source_of(path));
    CHECK(info.tokens == 2);
    CHECK(info.experts == 3);
    CHECK(info.top_k == 0);
    CHECK(info.tensors == std::vector<std::string>{"router_logits"});
    const TraceLayer layer = read_trace_layer(source_of(path), "router_logits", 2);
    CHECK(layer.logits == values);
    CHECK(layer.experts == 3);
    CHECK(layer.chosen.empty());
  }
}

TEST_CASE("only the rows asked for are read and checked", "[trace]") {
  const Folder folder;
  const std::string path = folder.write("t", logits_file("[4,2]", {kNan, 0, -1, 2, 3, 4, kInf, 5}));
  const TraceSource source = source_of(path, {"router_logits"}, 1);
  CHECK(inspect_trace(source).tokens == 3);
  CHECK(read_trace_layer(source, "router_logits", 2).logits == std::vector<float>{-1, 2, 3, 4});
  CHECK_HAS(fault(source, 3), "tensor 'router_logits', row 3, column 0 (byte ");
  CHECK_HAS(fault(source, 3), "Inf; allowed: finite fp32 numbers");
  CHECK_HAS(fault(source, 4), "4 tokens from first_token 1 on; allowed: at most 3");
  CHECK_HAS(fault(source_of(path)), "row 0, column 0");
  CHECK_HAS(fault(source_of(path)), "NaN");
  CHECK_HAS(fault(source_of(path, {"router_logits"}, 4)), "first_token 4; allowed: 0 to 3");
  CHECK_HAS(fault(source_of(path, {"router_logits"}, -1)), "first_token -1");
}

TEST_CASE("a trace larger than one read block comes whole", "[trace]") {
  const Folder folder;
  std::vector<float> values(700 * 1000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) - 1;
  const std::string path = folder.write("t", logits_file("[700,1000]", values));
  CHECK(read_trace_layer(source_of(path), "router_logits", 0).logits == values);
}

TEST_CASE("patterns and lists give layers in natural order, each once", "[trace]") {
  const Folder folder;
  std::string header = "{";
  std::vector<float> data;
  for (const int layer : {10, 2, 1}) {
    header += entry("layers." + std::to_string(layer) + ".router_logits", "F32", "[1,2]", data.size() * 4,
                    data.size() * 4 + 8) +
              ",";
    data.insert(data.end(), {static_cast<float>(layer), -1});
  }
  header += entry("norm", "F32", "[]", 24, 28) + "}";
  data.push_back(9);
  const std::string path = folder.write("t", safetensors(header, bytes_of(data)));
  const std::vector<std::string> all = {"layers.1.router_logits", "layers.2.router_logits", "layers.10.router_logits"};
  CHECK(inspect_trace(source_of(path, {"layers.*.router_logits"})).tensors == all);
  CHECK(inspect_trace(source_of(path, {"*10*", "layers.*"})).tensors == all);
  CHECK(inspect_trace(source_of(path, {"layers.2.router_logits"})).tensors.size() == 1);
  CHECK(read_trace_layer(source_of(path), all[2], 1).logits[0] == 10);
  CHECK(inspect_trace(source_of(path)).tensors == all);  // the default, by the names that are usual
  CHECK_HAS(fault(source_of(path, {"router_logit"})),
            "no tensor matches 'router_logit'; the file has 'layers.1.router_logits', ");
  CHECK_HAS(fault(source_of(path, {"layers.*", "x*"})), "no tensor matches 'x*'");
  CHECK_HAS(fault(source_of(path, {"*"})), "tensor 'norm': shape []; allowed: [tokens, experts]");
}

TEST_CASE("layers of different shapes are refused", "[trace]") {
  const Folder folder;
  const std::string header = "{" + entry("a", "F32", "[1,2]", 0, 8) + "," + entry("b", "F32", "[2,1]", 8, 16) + "}";
  const std::string path = folder.write("t", safetensors(header, std::string(16, '\0')));
  CHECK_HAS(fault(source_of(path, {"*"})), "tensor 'b': shape [2, 1] is not that of the layer 'a', [1, 2]");
}

TEST_CASE("top-k ids and scores", "[trace]") {
  const Folder folder;
  const auto make = [&](const std::vector<std::int16_t>& ids, const std::vector<float>& scores,
                        const std::string& metadata) {
    const std::string header = "{" + metadata + entry("layers.3.scores", "F32", "[2,2]", 0, 16) + "," +
                               entry("layers.3.indices", "I16", "[2,2]", 16, 24) + "}";
    return folder.write("t", safetensors(header, bytes_of(scores) + bytes_of(ids)));
  };
  const std::string metadata = R"("__metadata__":{"experts":"8"},)";
  const std::vector<float> scores = {0.5, 0.25, 1, 0};
  const TraceSource source = source_of(make({3, 0, 7, 1}, scores, metadata), {"layers.*"});
  const TraceInfo info = inspect_trace(source);
  CHECK(info.tensors == std::vector<std::string>{"layers.3"});
  CHECK(info.experts == 8);
  CHECK(info.top_k == 2);
  const TraceLayer layer = read_trace_layer(source, "layers.3", 2);
  CHECK(layer.chosen == std::vector<std::int32_t>{3, 0, 7, 1});
  CHECK(layer.scores == scores);
  CHECK(layer.logits.empty());
  CHECK_HAS(fault(source, 0, 16), "the config says 16 experts; allowed: 8");

  make({3, 0, 8, 1}, scores, metadata);
  CHECK_HAS(fault(source), "tensor 'layers.3.indices', row 1, column 0 (byte ");
  CHECK_HAS(fault(source), "expert 8; allowed: 0 to 7");
  make({3, -1, 7, 1}, scores, metadata);
  CHECK_HAS(fault(source), "row 0, column 1 (byte 200): expert -1 beside others; allowed: 0 to 7");
  make({3, 0, -1, -1}, scores, metadata);
  CHECK_HAS(fault(source), "row 1, column 0 (byte 202): expert -1, as padding has; allowed: 0 to 7, and tokens alone");
  make({3, 0, 7, 1}, {0.5, 0.25, 0, -0.0f}, metadata);
  CHECK_HAS(fault(source), "tensor 'layers.3.scores', row 1: no score but 0, as padding has");
  make({3, 3, 7, 1}, scores, metadata);
  CHECK_HAS(fault(source), "row 0, column 1");
  CHECK_HAS(fault(source), "second time");
  for (const float bad : {kNan, kInf, -0.25f, 1.5f}) {
    make({3, 0, 7, 1}, {0.5, 0.25, bad, 0}, metadata);
    CHECK_HAS(fault(source), "tensor 'layers.3.scores', row 1, column 0");
  }
  make({3, 0, 7, 1}, scores, "");
  CHECK(inspect_trace(source).experts == 0);
  CHECK_HAS(fault(source), "needs router.experts");
  CHECK(fault(source, 0, 8).empty());
  make({3, 0, 7, 1}, scores, R"("__metadata__":{"experts":"many"},)");
  CHECK_HAS(fault(source), "metadata 'experts': 'many'");
}

TEST_CASE("scores that are odd are read as shares or refused", "[trace]") {
  const Folder folder;
  const auto read = [&](const std::string& dtype, const std::string& values, const std::string& said = "") {
    const std::size_t size = values.size();
    const std::string header = "{" + entry("a.scores", dtype, "[1,2]", 0, size) + "," +
                               entry("a.indices", "U8", "[1,2]", size, size + 2) + "}";
    TraceSource source = source_of(folder.write("t", safetensors(header, values + std::string("\x03\x05"))), {"a"});
    if (said == "top_k") source.values = TraceValues::kTopK;
    if (said == "logits") source.values = TraceValues::kLogits;
    return source;
  };
  const auto f32 = [](std::uint32_t a, std::uint32_t b) { return bytes_of(std::vector<std::uint32_t>{a, b}); };
  const auto bits16 = [](std::uint16_t a, std::uint16_t b) { return bytes_of(std::vector<std::uint16_t>{a, b}); };
  const auto bits = [&](const TraceSource& source) {
    std::vector<std::uint32_t> result;
    for (const float score : read_trace_layer(source, "a", 1, 8).scores) {
      result.push_back(std::bit_cast<std::uint32_t>(score));
    }
    return result;
  };
  using Bits = std::vector<std::uint32_t>;
  CHECK(bits(read("F32", f32(0x80000000, 0x3f000000))) == Bits{0, 0x3f000000});  // -0
  CHECK(bits(read("BF16", bits16(0x8000, 0x3f00))) == Bits{0, 0x3f000000});
  CHECK(bits(read("F16", bits16(0x8000, 0x3800))) == Bits{0, 0x3f000000});
  CHECK(bits(read("F32", f32(1, 0x7fffff))) == Bits{1, 0x7fffff});                        // denormal
  CHECK(bits(read("F32", f32(0x3f800001, 0x3f800002))) == Bits{0x3f800000, 0x3f800000});  // above 1 by rounding
  CHECK(bits(read("F16", bits16(0x3c01, 0x3c02))) == Bits{0x3f800000, 0x3f800000});
  CHECK(bits(read("BF16", bits16(0x3f81, 0x3f82))) == Bits{0x3f800000, 0x3f800000});
  const auto refused = [&](const TraceSource& source) { return fault(source, 0, 8); };
  CHECK_HAS(refused(read("F32", f32(0x3f800003, 0))), "row 0, column 0");
  CHECK_HAS(refused(read("F16", bits16(0x3c03, 0))), "column 0");
  CHECK_HAS(refused(read("BF16", bits16(0, 0x3f83))), "column 1");
  CHECK_HAS(refused(read("F32", f32(0, 0x80000001))), "row 0, column 1");  // below 0
  for (const std::uint32_t nan : {0x7fc00000u, 0xffc00000u, 0x7f812345u, 0xffffffffu}) {
    CHECK_HAS(refused(read("F32", f32(nan, 0))), "NaN; allowed: scores from 0 to 1");
  }
  CHECK_HAS(refused(read("BF16", bits16(0xffff, 0))), "NaN");
  CHECK_HAS(refused(read("F16", bits16(0xfe00, 0))), "NaN");
  CHECK(refused(read("F32", f32(0, 0x3f000000), "top_k")).empty());
  CHECK_HAS(refused(read("F32", f32(0, 0x3f000000), "logits")), "top-k scores, but \"values\" says logits");
}

TEST_CASE("logits of -0 are read as 0, NaN of any bits is refused", "[trace]") {
  const Folder folder;
  const auto path = [&](const std::string& dtype, const std::string& bytes) {
    return folder.write("t", safetensors("{" + entry("router_logits", dtype, "[1,4]", 0, bytes.size()) + "}", bytes));
  };
  const auto zeros = [&](const std::string& file) {
    const std::vector<float> logits = read_trace_layer(source_of(file), "router_logits", 0).logits;
    return std::bit_cast<std::uint32_t>(logits[0]) == 0 && std::bit_cast<std::uint32_t>(logits[1]) == 0;
  };
  CHECK(zeros(path("F32", bytes_of(std::vector<float>{-0.0f, 0.0f, -1.0f, 2.0f}))));
  CHECK(zeros(path("F16", bytes_of(std::vector<std::uint16_t>{0x8000, 0, 0xbc00, 0x4000}))));
  CHECK(zeros(path("BF16", bytes_of(std::vector<std::uint16_t>{0x8000, 0, 0xbf80, 0x4000}))));
  const std::string header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 4)}";
  CHECK(zeros(folder.write("t", npy(header, bytes_of(std::vector<double>{-1e-320, -1e-60, -1, 2})))));
  for (const std::uint32_t nan : {0x7fc00001u, 0xffc00000u, 0x7f812345u, 0xffffffffu}) {
    CHECK_HAS(fault(source_of(path("F32", bytes_of(std::vector<std::uint32_t>{0, nan, 1, 2})))), "column 1");
  }
  for (const std::uint16_t nan : {0x7fc1, 0xff81, 0xffff}) {
    CHECK_HAS(fault(source_of(path("BF16", bytes_of(std::vector<std::uint16_t>{0, nan, 1, 2})))), "NaN");
  }
  for (const std::uint16_t nan : {0x7c01, 0xfe00, 0xffff}) {
    CHECK_HAS(fault(source_of(path("F16", bytes_of(std::vector<std::uint16_t>{0, nan, 1, 2})))), "NaN");
  }
}

TEST_CASE("what looks like no logits is refused unless the config says it is", "[trace]") {
  const Folder folder;
  const auto source_with = [&](const std::string& shape, const std::vector<float>& values) {
    return source_of(folder.write("t", logits_file(shape, values)));
  };
  const std::vector<std::vector<float>> odd = {{0.25f, 0.75f, 0.5f, 0.5f}, {90, 40, 61, 7}};
  for (const auto& values : odd) {
    TraceSource source = source_with("[2,2]", values);
    CHECK_HAS(fault(source), "tensor 'router_logits': ");
    CHECK_HAS(fault(source), "\"values\": \"logits\" in the source says so");
    CHECK_THROWS_AS(TraceReader(source).check_start(), InputError);
    source.values = TraceValues::kLogits;
    CHECK(fault(source).empty());
    CHECK(read_trace_layer(source, "router_logits", 0).logits == values);
    CHECK_NOTHROW(TraceReader(source).check_start());
    source.values = TraceValues::kTopK;
    CHECK_HAS(fault(source), "has no ids beside it");
  }
  std::vector<float> padded;
  for (int i = 0; i < 24; ++i) padded.push_back(i < 16 ? static_cast<float>(i % 5) - 2.0f : 0.0f);
  TraceSource source = source_with("[3,8]", padded);
  CHECK_HAS(fault(source), "tensor 'router_logits', row 2: the same logit for all experts, as padding has");
  source.first_token = 1;
  CHECK_HAS(fault(source), "row 2: ");  // of the file
  CHECK(fault(source, 1).empty());
}

TEST_CASE("only a trace's first megabyte is looked at before work", "[trace]") {
  const Folder folder;
  std::vector<float> values(2000 * 200, -1.0f);
  for (std::size_t i = 0; i < values.size(); i += 3) values[i] = 0.5f;
  values.back() = kNan;
  const TraceSource source = source_of(folder.write("t", logits_file("[2000,200]", values)));
  CHECK_NOTHROW(TraceReader(source).check_start());
  CHECK_HAS(fault(source), "row 1999, column 199");
  values.front() = kNan;
  folder.write("t", logits_file("[2000,200]", values));
  CHECK_THROWS_AS(TraceReader(source).check_start(), InputError);
}

TEST_CASE("top-k: halves that do not fit", "[trace]") {
  const Folder folder;
  const auto path = [&](const std::string& header, std::size_t size) {
    return folder.write("t", safetensors(header, std::string(size, '\0')));
  };
  const std::string ids = entry("a.topk_ids", "U8", "[2,1]", 0, 2);
  CHECK_HAS(fault(source_of(path("{" + entry("a.scores", "F16", "[2,1]", 0, 4) + "}", 4), {"a"})),
            "tensor 'a.scores': its other half is missing");
  const TraceSource lone = source_of(path("{" + ids + "}", 2), {"a"});  // ids alone are a layer without scores
  CHECK(inspect_trace(lone).known == Known::kChoices);
  CHECK(read_trace_layer(lone, "a", 0, 4).scores.empty());
  CHECK_HAS(fault(source_of(path("{" + ids + "," + entry("a.probs", "F16", "[1,2]", 2, 6) + "}", 6), {"a"})),
            "tensor 'a.probs': shape [1, 2]; allowed: [2, 1]");
  CHECK_HAS(fault(source_of(path("{" + ids + "," + entry("a.probs", "U16", "[2,1]", 2, 6) + "}", 6), {"a"})),
            "dtype U16; allowed: F16, BF16, F32, F64");
  CHECK(fault(source_of(
                  path("{" + entry("indices", "U8", "[2,1]", 0, 2) + "," + entry("scores", "BF16", "[2,1]", 2, 6) + "}",
                       6),
                  {"topk"}),
              0, 4)
            .empty());
}

TEST_CASE("broken safetensors are refused with the place", "[trace]") {
  const Folder folder;
  const auto broken = [&](const std::string& bytes) { return fault(source_of(folder.write("t.safetensors", bytes))); };
  const auto header = [&](const std::string& text, std::size_t size = 0) {
    return broken(safetensors(text, std::string(size, '\0')));
  };
  const auto one = [&](const std::string& dtype, const std::string& shape, std::size_t begin, std::size_t end,
                       std::size_t size) {
    return header("{" + entry("router_logits", dtype, shape, begin, end) + "}", size);
  };
  CHECK(one("F32", "[2,3]", 0, 24, 24).empty());

  CHECK_HAS(fault(source_of((folder.path / "missing").string())), "there is no such file");
  fs::create_directory(folder.path / "empty");
  CHECK_HAS(fault(source_of((folder.path / "empty").string())), "the folder holds no record of a router");
  CHECK_HAS(fault(source_of("/dev/null")), "is not a regular file");
  CHECK_HAS(broken(""), "is empty");
  CHECK_HAS(broken("abc"), "byte 0: truncated: 8 bytes are needed");
  CHECK_HAS(broken(length_prefix(9) + "{}"), "byte 0: not a safetensors file, or truncated: a header of 9 bytes");
  CHECK_HAS(broken(length_prefix(~std::uint64_t{0}) + "{}"), "18446744073709551615");

  CHECK_HAS(header(""), "byte 8: the header is not valid JSON");
  CHECK_HAS(header("{\"a\":"), "not valid JSON");
  CHECK_HAS(header("{}x"), "byte 10: the header is not valid JSON");
  CHECK_HAS(header("\xff\xfe"), "not valid JSON");
  CHECK(header("{\"" + std::string(100'000, 'x')).size() < 300);
  CHECK_HAS(header("[]"), "header: found a list; allowed: one object");
  CHECK_HAS(header("7"), "found 7");
  CHECK_HAS(header("{}"), "the file has no tensors");
  CHECK_HAS(header("{}", 3), "byte 10: 3 bytes follow the last tensor");
  CHECK_HAS(header("{\"a\":null}"), "header, 'a': found null");
  CHECK_HAS(header(std::string(100'000, '[')), "found a list");
  CHECK_HAS(header("{\"a\":{\"shape\":" + std::string(100'000, '[')), "found a list");
  std::string deep;
  for (int i = 0; i < 50'000; ++i) deep += "{\"a\":";
  CHECK_HAS(header(deep), "unknown key 'a'");
  CHECK_HAS(header("{\"__metadata__\":{\"a\":1}}"), "allowed: an object whose values are all text");
  CHECK_HAS(header("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}"), "duplicate key 'a'");
  const std::string good = entry("a", "U8", "[1]", 0, 1);
  CHECK_HAS(header("{" + good + "," + good + "}", 1), "duplicate key 'a'");
  CHECK_HAS(header("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}"), "duplicate key 'dtype'");
  CHECK_HAS(header("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}"), "lacks data_offsets");
  CHECK_HAS(header("{\"a\\u0007b\":{\"type\":1}}"), "'a\\x07b'");

  CHECK_HAS(one("F99", "[2,3]", 0, 24, 24), "unknown dtype 'F99'");
  CHECK(one("F64", "[2,3]", 0, 48, 48).empty());
  CHECK_HAS(one("BOOL", "[2,3]", 0, 6, 6), "dtype BOOL; allowed: F16, BF16, F32, F64");
  CHECK_HAS(one("F32", "[6]", 0, 24, 24), "shape [6]; allowed: [tokens, experts]");
  CHECK_HAS(one("F32", "[1,2,3]", 0, 24, 24), "shape [1, 2, 3] may be read in two ways; allowed");
  CHECK_HAS(one("F32", "[0,3]", 0, 0, 0), "shape [0, 3]; allowed");
  CHECK_HAS(one("F32", "[-1,3]", 0, 24, 24), "found -1");
  CHECK_HAS(one("F32", "[1.5,3]", 0, 24, 24), "found 1.5");
  CHECK_HAS(one("F32", "[99999999999999999999,1]", 0, 24, 24), "found 99999999999999999999");
  CHECK_HAS(one("F32", "[1e999,1]", 0, 24, 24), "not valid JSON: a number is too large for a double");
  CHECK_HAS(one("F32", "[-1e999,1]", 0, 24, 24), "a number is too large for a double");
  CHECK_HAS(header("{\"a\":1" + std::string(400, '0') + "}"), "a number is too large for a double");
  for (const char* text : {"", "{", "{\"a\":1e999}", "{]", "{\"a\":tru}", "\"\\ud800\"", "{\"a\" 1}", "nul", "-"}) {
    CHECK(header(text).find("json.exception") == std::string::npos);
    CHECK(header(text).find("parse error") == std::string::npos);
  }
  CHECK_HAS(one("F32", "[4294967296,4294967296]", 0, 24, 24), "more than 2^63 - 1 bits");
  CHECK_HAS(one("F32", "[2,4]", 0, 24, 24), "is 32 bytes, but its data_offsets [0, 24] hold 24");
  CHECK_HAS(one("F32", "[2,3]", 24, 0, 24), "allowed: [begin, end] with begin <= end");
  CHECK_HAS(one("F32", "[2,3]", 0, 24, 23), "truncated: its data should end at byte ");
  CHECK_HAS(one("F32", "[1000000000,1000]", 0, 4'000'000'000'000, 24), "truncated");
  CHECK_HAS(one("F32", "[2,3]", 8, 32, 32), "allowed: 0, where the tensor before it ends");
  CHECK_HAS(one("F32", "[2,3]", 9'223'372'036'854'775'783u, 9'223'372'036'854'775'807u, 24), "pass 2^63 - 1");
  CHECK_HAS(header("{" + entry("a", "F32", "[2]", 0, 8) + "," + entry("b", "F32", "[2]", 4, 12) + "}", 12),
            "tensor 'b': its data starts at byte 4 of the data; allowed: 8");
}

TEST_CASE(".npy logits: one layer, many layers, three types", "[trace]") {
  const Folder folder;
  const auto header = [](const std::string& descr, const std::string& shape) {
    return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }   \n";
  };
  const std::vector<double> f8 = {0, 1, -2, 3, 4, 1.0 / 3};
  const std::vector<float> f4(f8.begin(), f8.end());
  const std::string two = folder.write("two", npy(header("<f8", "(3, 2)"), bytes_of(f8)));
  CHECK(read_trace_layer(source_of(two), "router_logits", 0).logits == f4);
  const std::string three = folder.write("three", npy(header("<f4", "(3, 1, 2)"), bytes_of(f4), 3));
  CHECK_HAS(
      fault(source_of(three)),
      "tensor 'router_logits': shape [3, 1, 2] may be read in two ways; allowed: [layers, "
      "tokens, experts] or [tokens, layers, experts], or [steps, tokens, experts] of sequences or steps; \"axes\" in "
      "the source says which");
  TraceSource layers = source_of(three);
  layers.axes = {Axis::kLayers, Axis::kTokens, Axis::kExperts};
  const TraceInfo info = inspect_trace(layers);
  CHECK(info.tensors.size() == 3);
  CHECK(info.tokens == 1);
  CHECK(info.experts == 2);
  CHECK(read_trace_layer(layers, info.tensors[1], 1).logits == std::vector<float>{-2, 3});
  layers.tensors = {"layers.2.*"};
  CHECK(inspect_trace(layers).tensors == std::vector<std::string>{"layers.2.router_logits"});
  const std::string f2 = folder.write("f2", npy(header("<f2", "(1, 1)"), "\x01\x3c"));
  CHECK(read_trace_layer(source_of(f2), "router_logits", 1).logits[0] == 1 + 0x1p-10f);
  const std::string big = folder.write("big", npy(header("<f8", "(1, 2)"), bytes_of(std::vector<double>{0, 1e39})));
  CHECK_HAS(fault(source_of(big)), "row 0, column 1");
  CHECK_HAS(fault(source_of(big)), "1e+39; allowed: finite fp32 numbers");
}

TEST_CASE("broken .npy files are refused with the place", "[trace]") {
  const Folder folder;
  const auto broken = [&](const std::string& bytes) { return fault(source_of(folder.write("t.npy", bytes))); };
  const auto header = [&](const std::string& text, std::size_t size = 8) {
    return broken(npy(text, std::string(size, '\0')));
  };
  const std::string rest = "'fortran_order': False, 'shape': (1, 2)}";
  CHECK(header("{'descr': '<f4', " + rest).empty());
  CHECK(header("{\"shape\":(1,2,),'descr':'<f4','fortran_order':False}\n").empty());
  CHECK_HAS(broken("something else"), "byte 0: not an .npy file");
  CHECK_HAS(broken("\x93NUMPY"), "truncated");
  CHECK_HAS(broken(npy("{}", "", 4)), "byte 6: .npy version 4");
  CHECK_HAS(broken(std::string("\x93NUMPY\x01\x00\xff\xff{}", 12)), "byte 8: truncated");
  CHECK_HAS(broken(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{}", 14)), "a header of 4294967295 bytes");
  CHECK_HAS(header(""), "has the end of the header; allowed: '{'");
  CHECK_HAS(header("{}"), "an incomplete dictionary");
  CHECK_HAS(header("{'descr': '<f4', " + rest + " x"), "text after the dictionary");
  CHECK_HAS(header("{'descr': '<f4', 'descr': '<f4', " + rest), "a duplicate key 'descr'");
  CHECK_HAS(header("{'other': '<f4', " + rest), "key 'other'");
  CHECK_HAS(header("{'descr': '<f4"), "without a closing quote");
  CHECK_HAS(header("{'descr': [('a', '<f4')], " + rest), "text in quotes");
  CHECK_HAS(header("{'descr': '>f4', " + rest), "dtype '>f4', which is big-endian; allowed: little-endian");
  CHECK_HAS(header("{'descr': '<i8', " + rest, 16),
            "a trace of top-k ids without metadata 'experts' needs router.experts");
  CHECK_HAS(header("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2)}"), "Fortran order");
  CHECK_HAS(header("{'descr': '<f4', 'fortran_order': 0, 'shape': (1, 2)}"), "True or False");
  const auto shape = [&](const std::string& text, std::size_t size = 8) {
    return header("{'descr': '<f4', 'fortran_order': False, 'shape': " + text + "}", size);
  };
  CHECK_HAS(shape("(2,)"), "shape [2]; allowed: [tokens, experts], each from 1 to ");
  CHECK_HAS(shape("()", 4), "shape []");
  CHECK_HAS(shape("(0, 2)", 0), "shape [0, 2]; allowed");
  CHECK_HAS(shape("(0, 1, 2)", 0), "shape [0, 1, 2]; allowed: [layers, tokens, experts]");
  CHECK_HAS(shape("(1, -2)"), "a whole number");
  CHECK_HAS(shape("(99999999999999999999, 2)"), "past 2^63 - 1");
  CHECK_HAS(shape("(4294967296, 4294967296)"), "more than 2^63 - 1 bytes");
  CHECK_HAS(shape("(1, 3)"), "truncated: shape [1, 3] of F32 needs 12 bytes from here, the file has 8");
  CHECK_HAS(shape("(1, 1)"), "needs 4 bytes from here, the file has 8");
}

TEST_CASE("a written .npy holds what was given", "[trace][npy]") {
  const Folder folder;
  const std::string path = (folder.path / "a.npy").string();
  const std::vector<float> values = {-1, 2, 3, 4, 5, 6};
  write_npy(path, std::vector<std::int64_t>{2, 3}, values);
  CHECK(read_trace_layer(source_of(path), "router_logits", 0).logits == values);
  write_npy(path, std::vector<std::int64_t>{3}, std::vector<std::int32_t>{-1, 0, 7});  // replaces it
  std::ifstream stream(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  CHECK(bytes.size() == 128 + 12);
  CHECK(bytes.substr(10, 58) == "{'descr': '<i4', 'fortran_order': False, 'shape': (3,), } ");
  CHECK(bytes.substr(128) == bytes_of(std::vector<std::int32_t>{-1, 0, 7}));
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);  // no temporary file is left
  write_npy(path, std::vector<std::int64_t>{0, 2}, std::vector<float>{});
  CHECK_THROWS_AS(write_npy(path, std::vector<std::int64_t>{2}, values), std::invalid_argument);
}

TEST_CASE("a .npy that cannot be written names path and reason", "[trace][npy]") {
  const Folder folder;
  const auto failure = [](const std::string& path) -> std::string {
    try {
      write_npy(path, std::vector<std::int64_t>{1}, std::vector<std::int32_t>{1});
    } catch (const EnvironmentError& error) {
      return error.what();
    }
    return "";
  };
  CHECK_HAS(failure((folder.path / "none" / "a.npy").string()), "a.npy: cannot be created: No such file or directory");
  CHECK_HAS(failure(folder.path.string()), ": cannot be written: Is a directory");
}

TEST_CASE("a trace of many layers is opened once, and reading it grows as they do") {
  const Folder folder;
  const auto write = [&](std::size_t layers) {
    std::string header = "{";
    for (std::size_t i = 0; i < layers; ++i) {
      header += (i == 0 ? "" : ",") + entry("layers." + std::to_string(i) + ".x", "F32", "[1,2]", 8 * i, 8 * i + 8);
    }
    return folder.write(std::to_string(layers), safetensors(header + "}", std::string(8 * layers, '\0')));
  };
  const auto read_all = [&](std::size_t layers) -> std::function<void()> {
    return [source = source_of(write(layers), {"layers.*.x"})] {
      TraceReader reader(source);
      for (const std::string& tensor : reader.info().tensors) reader.read(tensor, {0, 1});
    };
  };
  CHECK(test::more_than_linear(400, read_all) == "");
  TraceReader reader(source_of(write(3), {"layers.*.x"}));
  CHECK(reader.read("layers.2.x", {}).logits == std::vector<float>{0, 0});
  CHECK_THROWS_AS(reader.read("layers.3.x", {}), InputError);
}
