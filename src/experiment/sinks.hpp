// Where results go. A runner gives every sink each experiment as it ends, and at the end, or when the run is ended by
// force, has it write what there is.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "core/output_file.hpp"
#include "experiment/table_files.hpp"
#include "records/records.hpp"

namespace tatr {

class ResultSink {
 public:
  virtual ~ResultSink() = default;

  /// Whether end() wants all experiments; without such a sink none is kept.
  virtual bool wants_all() const { return false; }

  /// Before work: about how much will be written, compact. Throws EnvironmentError where there is no room.
  virtual void reserve(std::size_t) {}

  /// An experiment that finished, alone in its run. `place`: among the configs.
  virtual void add(std::size_t, const RunRecord&) {}

  /// Whether end() may wait for a reader; such sinks end after the others.
  virtual bool prints() const { return false; }

  /// Once, with all experiments in the order of their configs, failed ones too, if any finished. Throws
  /// EnvironmentError.
  virtual void end(const RunRecord&) {}
};

/// One JSON document. What cannot be put in place is kept beside it.
class JsonSink final : public ResultSink {
 public:
  explicit JsonSink(const std::string& path) : path_(path), file_(path) {}
  bool wants_all() const override { return true; }
  void reserve(std::size_t bytes) override { file_.reserve(2 * bytes); }  // it is indented
  void end(const RunRecord& run) override;

 private:
  std::string path_;
  OutputFile file_;
};

/// JSON lines, each on the disk before the next experiment begins.
class LinesSink final : public ResultSink {
 public:
  explicit LinesSink(LineFile& file) : file_(file) {}
  void reserve(std::size_t bytes) override { file_.check_room(bytes); }
  void add(std::size_t place, const RunRecord& run) override;

 private:
  LineFile& file_;
};

/// CSV and Markdown. Where lines are written, each experiment alone; else all of a run as one document.
class TablesSink final : public ResultSink {
 public:
  TablesSink(TableFiles& tables, bool one_by_one) : tables_(tables), one_by_one_(one_by_one) {}
  bool wants_all() const override { return !one_by_one_; }
  void reserve(std::size_t bytes) override { tables_.reserve(bytes); }
  void add(std::size_t place, const RunRecord& run) override;
  void end(const RunRecord& run) override;

 private:
  TableFiles& tables_;
  bool one_by_one_;
};

/// The text report.
class TextSink final : public ResultSink {
 public:
  /// `print` takes the whole report. Throws EnvironmentError where it gets lost.
  TextSink(std::function<std::string(const RunRecord&)> render, std::function<void(const std::string&)> print)
      : render_(std::move(render)), print_(std::move(print)) {}
  bool wants_all() const override { return true; }
  bool prints() const override { return true; }
  void end(const RunRecord& run) override { print_(render_(run)); }

 private:
  std::function<std::string(const RunRecord&)> render_;
  std::function<void(const std::string&)> print_;
};

}  // namespace tatr
