#include "formats/temporary_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/error.hpp"

namespace tatr {
namespace {

constexpr std::size_t kBufferBytes = 1 << 20;

std::string temporary_folder() {
  const char* said = std::getenv("TMPDIR");
  return said != nullptr && *said != '\0' ? said : "/tmp";
}

/// Negative where it cannot be made. Not every file system has files that never had a name.
int open_unnamed(const std::string& folder) {
  const int descriptor = ::open(folder.c_str(), O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor >= 0) return descriptor;
  std::string name = folder + "/tatr-sim-XXXXXX";
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(name.c_str());
  return named;
}

}  // namespace

TemporaryFile::TemporaryFile(std::string path) : path_(std::move(path)), folder_(temporary_folder()) {
  const int descriptor = open_unnamed(folder_);
  if (descriptor < 0) fail("made", errno);
  descriptor_ = std::make_shared<const Descriptor>(descriptor);
}

void TemporaryFile::write(std::span<const std::byte> bytes) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  size_bytes_ += static_cast<std::int64_t>(bytes.size());
  if (buffer_.size() >= kBufferBytes) flush();
}

std::shared_ptr<const Descriptor> TemporaryFile::written() {
  flush();
  buffer_ = {};
  return descriptor_;
}

void TemporaryFile::flush() {
  for (std::span<const std::byte> rest(buffer_); !rest.empty();) {
    const ssize_t count = ::write(descriptor_->get(), rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("written", errno);
    rest = rest.subspan(static_cast<std::size_t>(count));
  }
  buffer_.clear();
}

void TemporaryFile::fail(const char* doing, int error) const {
  throw EnvironmentError(path_ + ": a temporary file for its contents in " + folder_ + " cannot be " + doing + ": " +
                         std::strerror(error) + " (TMPDIR in the environment names another folder)");
}

}  // namespace tatr
