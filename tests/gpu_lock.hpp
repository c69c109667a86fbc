// One test at a time on a GPU, whoever starts it: timings and memory are not for sharing, and a kernel that
// fails or hangs can take others with it. tests/cli/program.py takes the same locks.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>

namespace tatr::test {

/// A GPU's name on this machine: its index, or what CUDA_VISIBLE_DEVICES has in its place.
inline std::string gpu_name(int index) {
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  std::istringstream names(visible != nullptr ? visible : "");
  std::string name;
  for (int i = 0; i <= index; ++i) {
    if (!std::getline(names, name, ',') || name.empty()) return std::to_string(index);
  }
  std::replace(name.begin(), name.end(), '/', '-');
  return name;
}

/// Held from when the GPU is free until it goes, or the process ends.
class GpuLock {
 public:
  explicit GpuLock(int index) {
    const std::string path = std::filesystem::temp_directory_path() / ("tatr-gpu-" + gpu_name(index) + ".lock");
    file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);  // not to be made anew: another user's cannot be, in /tmp
    if (file_ < 0) file_ = open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
    if (file_ < 0) {
      std::fprintf(stderr, "no lock %s: other tests may use this GPU\n", path.c_str());
      return;
    }
    if (flock(file_, LOCK_EX | LOCK_NB) == 0) return;
    std::fprintf(stderr, "waiting for the GPU: another test holds %s\n", path.c_str());
    while (flock(file_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~GpuLock() {
    if (file_ >= 0) close(file_);
  }
  GpuLock(const GpuLock&) = delete;
  GpuLock& operator=(const GpuLock&) = delete;

 private:
  int file_;
};

}  // namespace tatr::test
