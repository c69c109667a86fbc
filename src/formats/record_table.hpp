// Puts records, as lines of text are, together to tensors. Decides what becomes a tensor and its shape; knows nothing
// of how a record is written.
//
// Where all fields are single values, each field of numbers is a column [records]; fields of text are left out. Where
// some are lists, each of those is a tensor: lists of numbers [records, width]; deeper ones [records, n, …] if n is the
// same in all of more than one record, else joined, [sum of n, …]. A field layer, layer_id or layer_idx beside them
// says whose lists they are: the tensors are `layers.<value>.<field>`, put together from the records of that value.
// Other single values beside lists are left out.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "formats/number_spool.hpp"
#include "formats/tensor_file.hpp"

namespace tatr {

struct RecordField {
  enum class Kind { kNull, kText, kNumber, kList };

  std::string name;
  Kind kind = Kind::kNull;
  Numbers numbers;                  // one of kNumber, all of kList
  std::vector<std::int64_t> shape;  // of a list: at least one dimension
  std::string text;                 // a single value as text
};

class RecordTable {
 public:
  explicit RecordTable(std::string path) : path_(path), spool_(std::move(path)) {}

  /// Adds a record; `place` says where it is: "file: line 3". No two of its fields have one name, and all records have
  /// the fields of the first. Throws InputError.
  void add(std::span<const RecordField> fields, const std::string& place);

  /// The tensors, in the order of the first record's fields, layer by layer as they came. Throws InputError where there
  /// are none.
  std::vector<TensorEntry> finish();

 private:
  struct Rule {
    std::string name;
    bool list = false;
    bool text = false;                  // a single value that was text once
    bool number = false;                // a single value that was a number once
    std::optional<std::size_t> column;  // of single values
  };
  /// The lists of one field, of one layer.
  struct Lists {
    std::string name;
    std::size_t column = 0;
    std::int64_t records = 0;
    std::int64_t rows = 0;            // the sum of first dimensions
    std::vector<std::int64_t> shape;  // of the first record's
    bool equal = true;                // all have the shape of the first
  };

  void make_rules(std::span<const RecordField> fields, const std::string& place);
  std::size_t rule_of(const RecordField& field, std::size_t guess, const std::string& place) const;
  void add_single(Rule& rule, const RecordField& field, const std::string& place);
  std::vector<Lists>& lists_of_layer(std::span<const RecordField> fields, const std::string& place);
  void add_list(Lists& lists, const RecordField& field, const std::string& place);
  std::size_t new_column();

  const std::string path_;
  NumberSpool spool_;
  std::int64_t records_ = 0;
  std::vector<Rule> rules_;
  std::map<std::string, std::size_t> rule_indices_;
  bool has_lists_ = false;
  std::optional<std::size_t> layer_rule_;
  std::map<std::int64_t, std::size_t> layer_places_;  // in layers_
  std::vector<std::vector<Lists>> layers_;            // one for each rule of lists
};

}  // namespace tatr
