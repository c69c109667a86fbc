// Reads JSON event by event, so that no document is built, and gives the fields of each object with their numbers.
// Decides which JSON is made of fields and what is refused in it; leaves what is put together from fields to others.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "formats/record_table.hpp"

namespace tatr {

/// Who is given the fields.
class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;

  /// A list that stands alone, without a name.
  virtual void bare_list(RecordField& list) = 0;
  /// True: an object that stands alone is no record but gives its fields one by one as they end.
  virtual bool takes_single_fields() const { return false; }
  /// Called when a list, alone or of such an object, has grown long before it ends; may take its numbers out.
  virtual void long_list(RecordField&) {}
  virtual void single_field(RecordField&) {}
  virtual void record(std::span<const RecordField> fields, const std::string& place) = 0;
};

/// What `text` may be.
enum class JsonShape {
  kLine,      // one object: a record
  kDocument,  // a list of numbers, one object of fields, or a list of objects: records
};

/// `file` is named in errors; `line` is that of a kLine, else 0. Throws InputError, and what the visitor throws.
void read_json_fields(std::string_view text, JsonShape shape, const std::string& file, std::int64_t line,
                      FieldVisitor& visitor);

}  // namespace tatr
