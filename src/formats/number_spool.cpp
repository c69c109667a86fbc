#include "formats/number_spool.hpp"

#include <bit>
#include <utility>

namespace tatr {
namespace {

std::uint64_t as_float(std::uint64_t integer) {
  return std::bit_cast<std::uint64_t>(static_cast<double>(std::bit_cast<std::int64_t>(integer)));
}

}  // namespace

void Numbers::add(std::int64_t value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  bits_.push_back(floats_ ? as_float(bits) : bits);
}

void Numbers::add(double value) {
  if (!floats_) become_floats();
  bits_.push_back(std::bit_cast<std::uint64_t>(value));
}

void Numbers::add(const Numbers& others) {
  if (others.floats_ && !floats_) become_floats();
  if (floats_ == others.floats_) {
    bits_.insert(bits_.end(), others.bits_.begin(), others.bits_.end());
  } else {
    for (const std::uint64_t bits : others.bits_) bits_.push_back(as_float(bits));
  }
}

void Numbers::clear() { bits_.clear(); }

void Numbers::reset() {
  bits_.clear();
  floats_ = false;
}

void Numbers::become_floats() {
  for (std::uint64_t& bits : bits_) bits = as_float(bits);
  floats_ = true;
}

NumberSpool::NumberSpool(std::string path, std::size_t most_held) : path_(std::move(path)), most_held_(most_held) {}

std::optional<std::size_t> NumberSpool::add_column() {
  if (columns_.size() >= kMostColumns) return std::nullopt;
  columns_.emplace_back();
  return columns_.size() - 1;
}

void NumberSpool::added(std::size_t numbers) {
  held_ += numbers;
  if (held_ >= most_held_) spill();
}

void NumberSpool::spill() {
  if (!spilled_) spilled_.emplace(path_);
  for (Column& column : columns_) {
    if (column.held.size() == 0) continue;
    column.chunks.push_back({spilled_->size_bytes(), column.held.size(), column.held.are_floats()});
    spilled_->write(std::as_bytes(std::span(column.held.bits())));
    column.held.clear();
  }
  held_ = 0;
}

std::vector<TensorEntry> NumberSpool::finish(const std::vector<std::size_t>& columns) {
  TemporaryFile out(path_);
  std::optional<BinaryFile> spilled;
  if (spilled_) spilled.emplace(path_, *spilled_, "byte");
  std::vector<TensorEntry> entries;
  std::vector<std::uint64_t> block;
  for (const std::size_t index : columns) {
    const Column& column = columns_[index];
    const bool floats = column.held.are_floats();
    TensorEntry entry{.name = {}, .dtype = floats ? "F64" : "I64", .shape = {}, .offset_bytes = out.size_bytes()};
    for (const Chunk& chunk : column.chunks) {
      block.resize(chunk.numbers);
      spilled->read(chunk.offset_bytes, std::as_writable_bytes(std::span(block)));
      if (floats && !chunk.floats) {
        for (std::uint64_t& bits : block) bits = as_float(bits);
      }
      out.write(std::as_bytes(std::span(block)));
    }
    out.write(std::as_bytes(std::span(column.held.bits())));
    entry.size_bytes = out.size_bytes() - entry.offset_bytes;
    entries.push_back(std::move(entry));
  }
  columns_.clear();
  spilled_.reset();
  const auto file = std::make_shared<BinaryFile>(path_, out, "byte of the numbers");
  for (TensorEntry& entry : entries) entry.file = file;
  return entries;
}

}  // namespace tatr
