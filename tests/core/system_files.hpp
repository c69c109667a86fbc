// Made-up files in place of /proc and /sys/fs/cgroup.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace tatr::test {

/// A folder of them, removed at the end. `name` tells tests of one process apart.
class SystemFiles {
 public:
  explicit SystemFiles(const std::string& name)
      : root_(std::filesystem::temp_directory_path() / ("tatr-" + name + "-" + std::to_string(getpid()))) {}
  ~SystemFiles() { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::string proc() const { return (root_ / "proc").string(); }
  std::string cgroup() const { return (root_ / "cgroup").string(); }

 private:
  std::filesystem::path root_;
};

}  // namespace tatr::test
