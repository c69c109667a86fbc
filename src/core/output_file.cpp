#include "core/output_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <utility>
#include <vector>

#include "core/error.hpp"

namespace tatr {

namespace {

[[noreturn]] void fail_at(const std::string& path, const char* doing, int reason) {
  throw EnvironmentError((path == "-" ? "standard output" : path) + ": cannot be " + doing + ": " +
                         std::strerror(reason));
}

/// False, with errno, if not every byte could be written.
bool write_bytes(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

/// Blocks for `bytes` after `offset`; false, with errno, if the disk has no room. File systems that cannot reserve are
/// trusted.
bool reserve_blocks(int descriptor, off_t offset, std::size_t bytes) {
  errno = bytes == 0 ? 0 : posix_fallocate(descriptor, offset, static_cast<off_t>(bytes));
  return errno != ENOSPC && errno != EDQUOT && errno != EFBIG;
}

/// The names of temporary files that exist, where a signal handler finds them: fixed places, each set once it is whole.
class PartialFiles {
 public:
  PartialFiles() = default;
  ~PartialFiles() {
    for (char* const name : retired_) std::free(name);
  }
  PartialFiles(const PartialFiles&) = delete;
  PartialFiles& operator=(const PartialFiles&) = delete;

  void add(const std::string& path) {
    for (std::atomic<char*>& place : places_) {
      char* none = nullptr;
      char* const copy = strdup(path.c_str());
      if (place.compare_exchange_strong(none, copy)) return;
      std::free(copy);
    }
  }
  void remove(const std::string& path) {
    for (std::atomic<char*>& place : places_) {
      char* const held = place;
      if (held == nullptr || path != held) continue;
      place = nullptr;
      const std::lock_guard lock(mutex_);
      retired_.push_back(held);
    }
  }
  void unlink_all() noexcept {
    for (std::atomic<char*>& place : places_) {
      if (const char* const held = place) unlink(held);
    }
  }

 private:
  std::array<std::atomic<char*>, 16> places_{};
  std::mutex mutex_;
  std::vector<char*> retired_;  // not freed before the end: a handler may be reading one
};

PartialFiles partial_files;

bool is_regular(int descriptor) {
  struct stat status {};
  return fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

off_t size_of(int descriptor) {
  struct stat status {};
  return fstat(descriptor, &status) == 0 ? status.st_size : 0;
}

constexpr const char* kPartial = ".partial-";

/// Whether `name` is that of a temporary file of `file`: its name, kPartial, digits.
bool is_partial_of(const std::string& file, const std::string& name) {
  const std::string head = file + kPartial;
  return name.size() > head.size() && name.compare(0, head.size(), head) == 0 &&
         name.find_first_not_of("0123456789", head.size()) == std::string::npos;
}

/// Locks a temporary file for as long as it is written. The kernel lets go of the lock when the process ends, however
/// it does: what is not locked is left over. File systems that cannot lock are trusted: false only where another
/// process holds it.
bool lock_partial(int descriptor) { return flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK; }

/// Whether the name still leads to the open file, which another process may have taken for left over.
bool is_still(const std::string& path, int descriptor) {
  struct stat named {
  }, opened{};
  return stat(path.c_str(), &named) == 0 && fstat(descriptor, &opened) == 0 && named.st_ino == opened.st_ino &&
         named.st_dev == opened.st_dev;
}

/// Creates a temporary file that this process holds the lock of, or -1 with errno.
int create_partial(const std::string& path) {
  for (int tries = 0; tries < 1000; ++tries) {
    const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) return -1;
    if (lock_partial(descriptor) && is_still(path, descriptor)) {
      if (ftruncate(descriptor, 0) == 0) return descriptor;
      const int reason = errno;
      close(descriptor);
      errno = reason;
      return -1;
    }
    close(descriptor);  // removed between its opening and its lock; or another process is looking whose it is
    usleep(1000);
  }
  errno = EBUSY;  // another process of this number, on another machine or in another container
  return -1;
}

/// Removes the temporary files that processes left of `path` when they were killed, but none that is being written.
/// Where locks are not known to hold (network file systems of old), nothing is removed.
void remove_left_over(const std::string& path) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(path).parent_path();
  const std::string file = fs::path(path).filename().string();
  std::error_code error;
  for (fs::directory_iterator entry(folder.empty() ? "." : folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!is_partial_of(file, entry->path().filename().string())) continue;
    const std::string left = entry->path().string();
    const int descriptor = open(left.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) continue;
    if (is_regular(descriptor) && flock(descriptor, LOCK_EX | LOCK_NB) == 0 && is_still(left, descriptor))
      unlink(left.c_str());
    close(descriptor);
  }
}

/// A new name lasts once its folder is on the disk, too. Folders that cannot be opened or synced are trusted.
void sync_folder_of(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const int descriptor = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  fsync(descriptor);
  close(descriptor);
}

}  // namespace

void check_apart(const std::vector<std::string>& outputs, const std::vector<std::string>& inputs) {
  namespace fs = std::filesystem;
  const auto place = [](const std::string& path) {
    std::error_code error;
    if (path.empty() || path == "-" || (fs::exists(path, error) && !fs::is_regular_file(path, error)))
      return fs::path();
    return fs::weakly_canonical(path, error);
  };
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const fs::path own = place(outputs[i]);
    if (own.empty()) continue;
    for (std::size_t j = 0; j < i; ++j) {
      if (place(outputs[j]) == own) throw UsageError(outputs[i] + ": is named for two outputs; give each its own file");
    }
    for (const std::string& input : inputs) {
      if (place(input) == own) throw UsageError(outputs[i] + ": is an input, which the output would replace");
    }
  }
}

OutputFile::OutputFile(std::string path) : path_(std::move(path)) {
  if (path_ == "-") {
    descriptor_ = STDOUT_FILENO;
    return;
  }
  struct stat status {};
  if (stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    descriptor_ = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail("written");
    return;
  }
  remove_left_over(path_);
  temporary_ = path_ + kPartial + std::to_string(getpid());
  descriptor_ = create_partial(temporary_);
  if (descriptor_ < 0) {
    temporary_.clear();
    fail("created");
  }
  partial_files.add(temporary_);
}

OutputFile::~OutputFile() {
  if (!temporary_.empty()) {
    unlink(temporary_.c_str());  // while it is locked
    partial_files.remove(temporary_);
  }
  if (descriptor_ >= 0 && descriptor_ != STDOUT_FILENO) close(descriptor_);
}

void OutputFile::fail(const char* doing) const { fail_at(path_, doing, errno); }

void OutputFile::reserve(std::size_t bytes) {
  if (!temporary_.empty() && !reserve_blocks(descriptor_, 0, bytes)) fail("written");
}

void OutputFile::write(std::string_view bytes) {
  if (descriptor_ == STDOUT_FILENO) std::fflush(stdout);
  if (!write_bytes(descriptor_, bytes)) fail("written");
}

void OutputFile::commit() {
  if (temporary_.empty()) return;
  if (ftruncate(descriptor_, lseek(descriptor_, 0, SEEK_CUR)) != 0 || fsync(descriptor_) != 0) fail("written");
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail("replaced");
  partial_files.remove(temporary_);
  temporary_.clear();
  flock(descriptor_, LOCK_UN);  // whoever appends to it next has a lock of its own
  sync_folder_of(path_);
}

LineFile::LineFile(std::string path) : path_(std::move(path)) {
  descriptor_ = path_ == "-" ? STDOUT_FILENO : open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("opened");
  regular_ = path_ != "-" && is_regular(descriptor_);
  if (regular_ && flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(descriptor_);
    throw EnvironmentError(path_ + ": cannot be written: another process is writing it");
  }
  if (regular_) sync_folder_of(path_);
}

LineFile::~LineFile() {
  if (regular_ && size_of(descriptor_) == 0) unlink(path_.c_str());
  if (descriptor_ != STDOUT_FILENO) close(descriptor_);
}

void LineFile::fail(const char* doing) const { fail_at(path_, doing, errno); }

bool LineFile::is_empty() const { return !regular_ || size_of(descriptor_) == 0; }

std::string LineFile::read_all() const {
  std::string content(static_cast<std::size_t>(size_of(descriptor_)), '\0');
  std::size_t held = 0;
  while (held < content.size()) {
    const ssize_t count = pread(descriptor_, content.data() + held, content.size() - held, static_cast<off_t>(held));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("read");
    if (count == 0) break;
    held += static_cast<std::size_t>(count);
  }
  content.resize(held);
  return content;
}

/// Visits each whole line; returns the bytes up to the end of the last one.
std::size_t LineFile::for_each_line(const std::function<void(std::string_view)>& visit) const {
  std::vector<char> block(1 << 20);
  std::string line;  // so much of it as is read
  std::size_t whole = 0;
  for (off_t at = 0;;) {
    const ssize_t count = pread(descriptor_, block.data(), block.size(), at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("read");
    if (count == 0) return whole;
    at += count;
    std::string_view rest(block.data(), static_cast<std::size_t>(count));
    for (std::size_t end = 0; (end = rest.find('\n')) != std::string_view::npos; rest.remove_prefix(end + 1)) {
      line.append(rest.substr(0, end));
      visit(line);
      whole += line.size() + 1;
      line.clear();
    }
    line.append(rest);
  }
}

void LineFile::recover(const std::function<void(std::string_view)>& visit, const std::function<void()>& check) {
  if (!regular_) return;
  const std::size_t whole = for_each_line(visit);
  if (check) check();
  if (static_cast<off_t>(whole) < size_of(descriptor_) && ftruncate(descriptor_, static_cast<off_t>(whole)) != 0) {
    fail("written");
  }
}

void LineFile::keep_lines(const std::function<bool(std::string_view)>& keep) {
  if (!regular_) return;
  const std::string path = std::filesystem::canonical(path_).string();  // a link stays one
  const std::string temporary = path + kPartial + std::to_string(getpid());
  struct stat status {};
  if (fstat(descriptor_, &status) != 0) fail("read");
  // Appended to from now on, and locked before anyone can see it under the file's name.
  const int kept = open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, status.st_mode & 0777U);
  if (kept < 0) fail_at(temporary, "created", errno);
  partial_files.add(temporary);
  bool done = flock(kept, LOCK_EX | LOCK_NB) == 0;
  try {
    for_each_line([&](std::string_view line) {
      if (!keep(line)) return;
      done = done && write_bytes(kept, line) && write_bytes(kept, "\n");
    });
    if (!done || fsync(kept) != 0 || rename(temporary.c_str(), path.c_str()) != 0) fail("replaced");
  } catch (...) {
    close(kept);
    unlink(temporary.c_str());
    partial_files.remove(temporary);
    throw;
  }
  partial_files.remove(temporary);
  close(descriptor_);
  descriptor_ = kept;
  sync_folder_of(path);
}

void LineFile::check_room(std::size_t bytes) {
  if (!regular_) return;
  const off_t size = size_of(descriptor_);
  const bool room = reserve_blocks(descriptor_, size, bytes);
  const int reason = errno;
  if (ftruncate(descriptor_, size) != 0) fail("written");
  if (!room) fail_at(path_, "written", reason);
}

void LineFile::append(std::string line) {
  line += '\n';
  if (descriptor_ == STDOUT_FILENO) std::fflush(stdout);
  const off_t size = size_of(descriptor_);
  if (!write_bytes(descriptor_, line) || (regular_ && fsync(descriptor_) != 0)) {
    const int reason = errno;
    static_cast<void>(!regular_ || ftruncate(descriptor_, size));  // a torn line is cut off when the file is next read
    throw EnvironmentError((path_ == "-" ? "standard output" : path_) + ": cannot be written: " +
                           std::strerror(reason) + (path_ == "-" ? "" : keep_aside(line, path_)));
  }
  struct stat status {};
  if (regular_ && fstat(descriptor_, &status) == 0 && status.st_nlink == 0) {
    throw EnvironmentError(path_ + ": was removed while it was written" + keep_aside(read_all(), path_));
  }
}

void remove_partial_files() noexcept { partial_files.unlink_all(); }

std::string keep_aside(std::string_view content, const std::string& path) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
  const std::filesystem::path name = std::filesystem::path(path).filename();
  const std::string aside = (folder / ("tatr-sim-" + std::to_string(getpid()) + "-" + name.string())).string();
  try {
    OutputFile file(aside);
    file.write(content);
    file.commit();
    return "; it is kept in " + aside;
  } catch (const EnvironmentError& failure) {
    return std::string("; nor could it be kept aside: ") + failure.what();
  }
}

}  // namespace tatr
