#include "formats/foreign.hpp"

#include <array>
#include <utility>

#include "core/error.hpp"

namespace tatr {
namespace {

using namespace std::string_view_literals;

constexpr std::array<std::pair<std::string_view, Foreign>, 8> kFirstBytes = {{
    {"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46"sv, Foreign::kPyTorch},  // before PyTorch 1.6: a pickle of its magic number
    {"\x80\x02"sv, Foreign::kPickle},
    {"\x80\x03"sv, Foreign::kPickle},
    {"\x80\x04"sv, Foreign::kPickle},
    {"\x80\x05"sv, Foreign::kPickle},
    {"PAR1"sv, Foreign::kParquet},
    {"\x89HDF\r\n\x1a\n"sv, Foreign::kHdf5},
    {"ARROW1"sv, Foreign::kArrow},
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
    case Foreign::kNone:
      break;
  }
  return "of no format that is known";
}

}  // namespace

Foreign foreign_format(std::string_view first_bytes) {
  for (const auto& [start, format] : kFirstBytes) {
    if (first_bytes.starts_with(start)) return format;
  }
  return Foreign::kNone;
}

void refuse_foreign(const std::string& path, Foreign format) {
  const bool converted = format == Foreign::kPyTorch || format == Foreign::kPickle || format == Foreign::kParquet;
  std::string text = std::string("is ") + name_of(format);
  if (converted) text += ", which scripts/convert_trace.py IN OUT.safetensors converts";
  throw InputError(path, text +
                             "; allowed: .safetensors, .safetensors.index.json, .npy, .npz, .jsonl or .ndjson, .json, "
                             ".csv, and each of them with .gz or .zst behind it");
}

}  // namespace tatr
