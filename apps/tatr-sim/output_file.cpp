#include "output_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "core/error.hpp"

namespace tatr {

OutputFile::OutputFile(std::string path) : path_(std::move(path)) {
  if (path_ == "-") {
    descriptor_ = STDOUT_FILENO;
    return;
  }
  struct stat status {};
  if (stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    if (S_ISDIR(status.st_mode)) throw EnvironmentError(path_ + ": cannot write: it is a directory");
    descriptor_ = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail("open");
    return;
  }
  temporary_ = path_ + ".partial-" + std::to_string(getpid());
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) {
    temporary_.clear();
    fail("create");
  }
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0 && descriptor_ != STDOUT_FILENO) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void OutputFile::fail(const std::string& doing) const {
  throw EnvironmentError((path_ == "-" ? "standard output" : path_) + ": cannot " + doing + ": " +
                         std::strerror(errno));
}

void OutputFile::commit(const std::string& content) {
  if (descriptor_ == STDOUT_FILENO) std::fflush(stdout);
  for (std::size_t done = 0; done < content.size();) {
    const ssize_t count = write(descriptor_, content.data() + done, content.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write");
    done += static_cast<std::size_t>(count);
  }
  if (temporary_.empty()) return;
  if (fsync(descriptor_) != 0) fail("write");
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail("replace");
  temporary_.clear();
}

}  // namespace tatr
