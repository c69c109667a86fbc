#include "formats/foreign.hpp"

#include <array>
#include <filesystem>
#include <utility>

#include "core/error.hpp"

namespace tatr {
namespace {

using namespace std::string_view_literals;

constexpr std::array<std::pair<std::string_view, Foreign>, 10> kFirstBytes = {{
    {"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46"sv, Foreign::kPyTorch},  // before PyTorch 1.6: a pickle of its magic number
    {"\x80\x02"sv, Foreign::kPickle},
    {"\x80\x03"sv, Foreign::kPickle},
    {"\x80\x04"sv, Foreign::kPickle},
    {"\x80\x05"sv, Foreign::kPickle},
    {"PAR1"sv, Foreign::kParquet},
    {"\x89HDF\r\n\x1a\n"sv, Foreign::kHdf5},
    {"ARROW1"sv, Foreign::kArrow},
    {"GGUF"sv, Foreign::kGguf},
    {"\x08\x08\x12\x07pyt"sv, Foreign::kOnnx},
}};

const char* name_of(Foreign format) {
  switch (format) {
    case Foreign::kPyTorch:
      return "a PyTorch file";
    case Foreign::kPickle:
      return "a Python pickle";
    case Foreign::kParquet:
      return "a Parquet file";
    case Foreign::kHdf5:
      return "an HDF5 file";
    case Foreign::kArrow:
      return "an Arrow file";
    case Foreign::kGguf:
      return "a GGUF file";
    case Foreign::kOnnx:
      return "an ONNX file";
    case Foreign::kNone:
      break;
  }
  return "of no format that is known";
}

/// How to go on with it.
std::string advice_for(const std::string& path, Foreign format) {
  const std::string out = std::filesystem::path(path).filename().replace_extension(".safetensors").string();
  switch (format) {
    case Foreign::kPyTorch:
    case Foreign::kPickle:
    case Foreign::kParquet:
      return ", which scripts/convert_trace.py " + path + " " + out + " converts";
    case Foreign::kArrow:
      return ": written as Parquet (pyarrow.parquet.write_table), scripts/convert_trace.py FILE.parquet " + out +
             " converts it";
    case Foreign::kHdf5:
      return ": numpy.save of its array makes a .npy";
    case Foreign::kGguf:
    case Foreign::kOnnx:
      return ": weights of a model, not what its router did; record router logits (docs/traces.md)";
    case Foreign::kNone:
      break;
  }
  return {};
}

}  // namespace

Foreign foreign_format(std::string_view first_bytes) {
  for (const auto& [start, format] : kFirstBytes) {
    if (first_bytes.starts_with(start)) return format;
  }
  return Foreign::kNone;
}

void refuse_foreign(const std::string& path, Foreign format) {
  throw InputError(path, std::string("is ") + name_of(format) + advice_for(path, format) +
                             "; allowed: .safetensors, .safetensors.index.json, .npy, .npz, .jsonl or .ndjson, .json, "
                             ".csv, and each of them with .gz or .zst behind it");
}

}  // namespace tatr
