#include "formats/record_table.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <string_view>
#include <utility>

#include "core/error.hpp"

namespace tatr {
namespace {

using Kind = RecordField::Kind;

constexpr std::array<std::string_view, 3> kLayerNames = {"layer", "layer_id", "layer_idx"};

std::string place_of(const std::string& place, const std::string& field) { return place + ", " + in_quotes(field); }

/// A list that says nothing of how deep it is.
bool is_bare(const std::vector<std::int64_t>& shape) { return shape.size() == 1 && shape[0] == 0; }

}  // namespace

void RecordTable::add(std::span<const RecordField> fields, const std::string& place) {
  if (records_ == 0) make_rules(fields, place);
  std::vector<Lists>* lists = has_lists_ ? &lists_of_layer(fields, place) : nullptr;
  std::size_t numbers = 0, index = 0;
  std::vector<bool> seen(rules_.size());
  for (const RecordField& field : fields) {
    const std::size_t at = rule_of(field, index++, place);
    seen[at] = true;
    Rule& rule = rules_[at];
    if (rule.list != (field.kind == Kind::kList)) {
      throw InputError(place_of(place, field.name), std::string(rule.list ? "no list" : "a list") +
                                                        "; allowed: " + (rule.list ? "a list" : "a single value") +
                                                        ", as in the first record");
    }
    if (rule.list) {
      add_list((*lists)[*rule.column], field, place);
      numbers += field.numbers.size();
    } else if (!has_lists_) {
      add_single(rule, field, place);
      ++numbers;
    }
  }
  const auto missing = std::ranges::find(seen, false);
  if (missing != seen.end()) {
    throw InputError(place, "lacks " + in_quotes(rules_[static_cast<std::size_t>(missing - seen.begin())].name) +
                                "; allowed: records with the fields of the first");
  }
  spool_.added(numbers);
  ++records_;
}

void RecordTable::make_rules(std::span<const RecordField> fields, const std::string& place) {
  if (fields.empty()) throw InputError(place, "an object without fields; allowed: fields of numbers");
  for (const RecordField& field : fields) {
    rule_indices_.emplace(field.name, rules_.size());
    rules_.push_back({.name = field.name, .list = field.kind == Kind::kList, .column = {}});
    has_lists_ |= rules_.back().list;
  }
  for (const std::string_view name : kLayerNames) {
    const auto found = rule_indices_.find(std::string(name));
    if (!has_lists_ || found == rule_indices_.end() || rules_[found->second].list || layer_rule_) continue;
    layer_rule_ = found->second;
  }
  std::size_t lists = 0;
  for (Rule& rule : rules_) {
    if (rule.list) {
      rule.column = lists++;
    } else if (!has_lists_) {
      rule.column = new_column();
    }
  }
}

/// `guess` is where it is if all records have one order.
std::size_t RecordTable::rule_of(const RecordField& field, std::size_t guess, const std::string& place) const {
  if (guess < rules_.size() && rules_[guess].name == field.name) return guess;
  const auto found = rule_indices_.find(field.name);
  if (found != rule_indices_.end()) return found->second;
  throw InputError(place_of(place, field.name), "is not in the first record; allowed: records with its fields");
}

void RecordTable::add_single(Rule& rule, const RecordField& field, const std::string& place) {
  Numbers& column = spool_.column(*rule.column);
  if (rule.text) return;
  switch (field.kind) {
    case Kind::kNumber:
      rule.number = true;
      column.add(field.numbers);
      break;
    case Kind::kText:
      if (rule.number) {
        throw InputError(place_of(place, field.name),
                         in_quotes(field.text) + "; allowed: a number, as in the records before");
      }
      rule.text = true;
      break;
    default:
      column.add(std::numeric_limits<double>::quiet_NaN());
  }
}

std::vector<RecordTable::Lists>& RecordTable::lists_of_layer(std::span<const RecordField> fields,
                                                             const std::string& place) {
  std::int64_t layer = 0;
  std::string prefix;
  if (layer_rule_) {
    const std::string& name = rules_[*layer_rule_].name;
    const auto field = std::ranges::find(fields, name, &RecordField::name);
    if (field == fields.end()) throw InputError(place, "lacks " + in_quotes(name) + ", which the first record has");
    if (field->kind != Kind::kNumber || field->numbers.are_floats()) {
      throw InputError(place_of(place, name), in_quotes(field->text) + "; allowed: a whole number, as of a layer");
    }
    layer = std::bit_cast<std::int64_t>(field->numbers.bits()[0]);
    prefix = "layers." + std::to_string(layer) + ".";
  }
  const auto [entry, is_new] = layer_places_.emplace(layer, layers_.size());
  if (is_new) {
    std::vector<Lists> lists;
    for (const Rule& rule : rules_) {
      if (rule.list) lists.push_back({.name = prefix + rule.name, .column = new_column(), .shape = {}});
    }
    layers_.push_back(std::move(lists));
  }
  return layers_[entry->second];
}

void RecordTable::add_list(Lists& lists, const RecordField& field, const std::string& place) {
  if (lists.records == 0) {
    lists.shape = field.shape;
  } else if (field.shape != lists.shape) {
    const bool was_bare = is_bare(lists.shape);
    if (was_bare && field.shape.size() > 1) lists.shape = field.shape;
    const bool fits = is_bare(field.shape) ||
                      std::ranges::equal(std::span(field.shape).subspan(1), std::span(lists.shape).subspan(1));
    if (!fits || lists.shape.size() == 1) {
      throw InputError(place_of(place, field.name),
                       "a list of shape " + shape_text(field.shape) + "; allowed: " + shape_text(lists.shape) +
                           ", as in the records before" + (lists.shape.size() > 1 ? ", but for the first number" : ""));
    }
    lists.equal = false;
  }
  lists.rows += field.shape[0];
  ++lists.records;
  spool_.column(lists.column).add(field.numbers);
}

std::size_t RecordTable::new_column() {
  const std::optional<std::size_t> column = spool_.add_column();
  if (!column) throw InputError(path_, "more than " + std::to_string(NumberSpool::kMostColumns) + " tensors");
  return *column;
}

std::vector<TensorEntry> RecordTable::finish() {
  std::vector<std::size_t> columns;
  std::vector<const Lists*> lists;
  std::vector<const Rule*> singles;
  for (const auto& layer : layers_) {
    for (const Lists& own : layer) {
      lists.push_back(&own);
      columns.push_back(own.column);
    }
  }
  for (const Rule& rule : rules_) {
    if (has_lists_ || !rule.number) continue;
    singles.push_back(&rule);
    columns.push_back(*rule.column);
  }
  if (columns.empty()) throw InputError(path_, "no field holds numbers; allowed: numbers, and lists of numbers");
  std::vector<TensorEntry> tensors = spool_.finish(columns);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    TensorEntry& tensor = tensors[i];
    if (!has_lists_) {
      tensor.name = singles[i]->name;
      tensor.shape = {records_};
      tensor.of_lines = true;
      continue;
    }
    const Lists& own = *lists[i];
    tensor.name = own.name;
    tensor.shape = own.shape;
    tensor.of_lines = own.shape.size() == 1 || (own.equal && own.records > 1);
    if (tensor.of_lines) {
      tensor.shape.insert(tensor.shape.begin(), own.records);
    } else {
      tensor.shape[0] = own.rows;
    }
  }
  return tensors;
}

}  // namespace tatr
