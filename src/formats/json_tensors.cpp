#include "formats/json_tensors.hpp"

#include <optional>
#include <utility>

#include "core/error.hpp"
#include "formats/json_fields.hpp"
#include "formats/line_reader.hpp"
#include "formats/number_spool.hpp"
#include "formats/record_table.hpp"

namespace tatr {
namespace {

class Records : public FieldVisitor {
 public:
  explicit Records(const std::string& path) : table_(path) {}

  void bare_list(RecordField&) override {}  // lines are objects
  void record(std::span<const RecordField> fields, const std::string& place) override {
    table_.add(fields, place);
    any_ = true;
  }

  bool any() const { return any_; }
  std::vector<TensorEntry> finish() { return table_.finish(); }

 private:
  RecordTable table_;
  bool any_ = false;
};

/// A document's arrays go to the spool as they come.
class Document : public FieldVisitor {
 public:
  Document(const std::string& path, std::map<std::string, std::string>& metadata)
      : spool_(path), records_(path), metadata_(metadata) {}

  void long_list(RecordField& list) override { move_numbers(list); }
  void bare_list(RecordField& list) override { finish_list(list); }
  bool takes_single_fields() const override { return true; }
  void single_field(RecordField& field) override {
    if (field.kind == RecordField::Kind::kList) {
      finish_list(field);
    } else {
      metadata_[field.name] = field.text;
    }
  }
  void record(std::span<const RecordField> fields, const std::string& place) override {
    records_.record(fields, place);
  }

  std::vector<TensorEntry> finish() {
    if (records_.any()) return records_.finish();
    std::vector<std::size_t> columns;
    for (std::size_t i = 0; i < lists_.size(); ++i) columns.push_back(i);
    std::vector<TensorEntry> tensors = spool_.finish(columns);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      tensors[i].name = std::move(lists_[i].name);
      tensors[i].shape = std::move(lists_[i].shape);
    }
    return tensors;
  }

 private:
  struct List {
    std::string name;
    std::vector<std::int64_t> shape;
  };

  void move_numbers(RecordField& list) {
    if (!column_) column_ = spool_.add_column();  // there are no more keys than columns
    spool_.column(*column_).add(list.numbers);
    spool_.added(list.numbers.size());
    list.numbers.clear();
  }
  void finish_list(RecordField& list) {
    move_numbers(list);
    column_.reset();
    lists_.push_back({list.name, list.shape});
  }

  NumberSpool spool_;
  Records records_;
  std::map<std::string, std::string>& metadata_;
  std::optional<std::size_t> column_;  // of the list that is being read
  std::vector<List> lists_;
};

}  // namespace

std::vector<TensorEntry> read_json_lines(const BinaryFile& file, const TensorLimits& limits) {
  LineReader lines(file, limits);
  Records records(file.path());
  for (std::string_view line; lines.next(line);) {
    read_json_fields(line, JsonShape::kLine, file.path(), lines.number(), records);
  }
  if (!records.any()) throw InputError(file.path(), "has no lines; allowed: an object on each line");
  return records.finish();
}

std::vector<TensorEntry> read_json_tensors(const BinaryFile& file, const TensorLimits& limits,
                                           std::map<std::string, std::string>& metadata) {
  if (file.size_bytes() > limits.json_bytes) {
    throw InputError(file.path(), bytes_text(file.size_bytes()) + "; allowed for a JSON document: at most " +
                                      bytes_text(limits.json_bytes) + " (JSON lines, .jsonl, may be of any size)");
  }
  const std::string text = file.first_bytes(static_cast<std::size_t>(file.size_bytes()));
  Document document(file.path(), metadata);
  read_json_fields(text, JsonShape::kDocument, file.path(), 0, document);
  return document.finish();
}

}  // namespace tatr
