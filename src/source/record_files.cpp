#include "source/record_files.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include "core/error.hpp"
#include "source/names.hpp"

namespace tatr {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostFiles = 1000;  // all are open at once
constexpr std::size_t kMostKept = 64;     // of one record, open for as long as the program runs
// ---- Which files

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with('.') && entry->is_regular_file(error)) names.push_back(name);
  }
  if (error) throw InputError(folder.string(), "cannot be listed: " + error.message());
  std::ranges::sort(names, natural_less);
  return names;
}

/// The records of a folder: all of one kind, or an index and what it names.
std::vector<std::string> records_in(const std::string& folder) {
  std::vector<std::string> names;
  std::string_view kind;
  std::vector<std::string> all = names_in(folder);
  const bool json_alone = std::ranges::none_of(all, [](const std::string& name) {
    const std::string_view end = format_ending(name);
    return !end.empty() && end != ".json";
  });
  for (std::string& name : all) {
    const std::string_view end = format_ending(name);
    if (end == ".index.json") return {std::move(name)};
    if (end.empty() || (end == ".json" && !json_alone)) continue;  // configs lie beside data
    if (!kind.empty() && kind != end) {
      throw InputError(folder, "holds " + std::string(kind) + " and " + std::string(end) +
                                   " files; allowed: one kind, or a pattern such as " +
                                   in_quotes(folder + "/*" + std::string(kind)));
    }
    kind = end;
    names.push_back(std::move(name));
  }
  if (names.empty()) {
    throw InputError(folder,
                     "the folder holds no record of a router; allowed: files named .safetensors, .npy, .npz, .jsonl, "
                     ".ndjson, .json or .csv, also with .gz or .zst");
  }
  return names;
}

std::vector<std::string> paths_of(const std::string& path) {
  std::error_code error;
  const bool is_pattern = fs::path(path).filename().string().find('*') != std::string::npos && !fs::exists(path, error);
  if (!is_pattern && !fs::is_directory(path, error)) return {path};
  const fs::path folder = is_pattern ? fs::path(path).parent_path() : fs::path(path);
  std::vector<std::string> names;
  if (is_pattern) {
    const std::string pattern = fs::path(path).filename().string();
    for (std::string& name : names_in(folder.empty() ? fs::path(".") : folder)) {
      if (matches(pattern, name)) names.push_back(std::move(name));
    }
    if (names.empty()) throw InputError(path, "no file matches");
  } else {
    names = records_in(path);
  }
  if (names.size() > kMostFiles) {
    throw InputError(path, std::to_string(names.size()) + " files; allowed: at most " + std::to_string(kMostFiles));
  }
  std::vector<std::string> paths;
  paths.reserve(names.size());
  for (const std::string& name : names) paths.push_back((folder / name).string());
  return paths;
}

// ---- What each file is

/// A name cut into texts and the numbers between them: one text more than numbers.
struct NameParts {
  std::vector<std::string> texts{""};
  std::vector<std::int64_t> numbers;
};

NameParts parts_of(const std::string& path) {
  const std::string name = fs::path(path).filename().string();
  NameParts parts;
  for (std::size_t i = 0; i < name.size();) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(name.data() + i, name.data() + name.size(), number);
    const bool digits = std::isdigit(static_cast<unsigned char>(name[i])) != 0 && error == std::errc();
    if (!digits) {
      parts.texts.back() += name[i++];
      continue;
    }
    parts.numbers.push_back(number);
    parts.texts.emplace_back();
    i = static_cast<std::size_t>(end - name.data());
  }
  return parts;
}

/// What the letters at the end of a text stand for.
EachFile meaning_of(const std::string& text) {
  std::string word;
  for (auto c = text.rbegin(); c != text.rend(); ++c) {
    const auto letter = static_cast<unsigned char>(*c);
    if (std::isalpha(letter) != 0) {
      word.insert(word.begin(), static_cast<char>(std::tolower(letter)));
    } else if (!word.empty()) {
      break;
    }
  }
  const auto is = [&](std::initializer_list<std::string_view> words) { return std::ranges::count(words, word) > 0; };
  if (is({"layer", "layers", "l", "moe", "block", "blk"})) return EachFile::kLayer;
  if (is({"rank", "ranks", "ep", "dp", "tp", "gpu", "device"})) return EachFile::kRank;
  if (is({"step", "steps", "iter", "iteration", "batch", "part", "chunk", "shard"})) return EachFile::kStep;
  return EachFile::kTold;
}

[[noreturn]] void refuse_meaning(const std::string& path, const std::string& why) {
  throw InputError(path, why + "; \"each_file\" in the source says what each file is: \"layer\", \"rank\" or \"step\"");
}

void set_meaning(RecordFiles& record, RecordFile& file, EachFile meaning, std::int64_t number) {
  if (meaning == EachFile::kLayer) {
    record.by_layer = true;
    file.layer = number;
  } else if (meaning == EachFile::kRank) {
    record.by_rank = true;
    file.rank = number;
  } else {
    record.by_step = true;
    file.step = number;
  }
}

/// What the numbers that differ stand for: by the words before them, and where those say nothing by `each`.
std::vector<std::pair<std::size_t, EachFile>> roles_of(const std::string& path, const std::vector<NameParts>& names,
                                                       EachFile each) {
  std::vector<std::pair<std::size_t, EachFile>> roles;  // place among the numbers, and meaning
  for (std::size_t i = 0; i < names.front().numbers.size(); ++i) {
    const bool differs =
        std::ranges::any_of(names, [&](const NameParts& name) { return name.numbers[i] != names.front().numbers[i]; });
    if (differs) roles.emplace_back(i, meaning_of(names.front().texts[i]));
  }
  if (each != EachFile::kTold && roles.size() == 1) roles.front().second = each;
  std::vector<EachFile> seen;
  for (auto& [place, meaning] : roles) {
    if (meaning == EachFile::kTold) meaning = std::exchange(each, EachFile::kTold);
    if (meaning == EachFile::kTold) refuse_meaning(path, "the names of its files do not tell what each is");
    if (std::ranges::count(seen, meaning) != 0)
      refuse_meaning(path, "two numbers in the names of its files mean the same");
    seen.push_back(meaning);
  }
  return roles;
}

void tell_meanings(RecordFiles& record, const std::vector<std::string>& paths, EachFile each) {
  std::vector<NameParts> names;
  names.reserve(paths.size());
  for (const std::string& path : paths) names.push_back(parts_of(path));
  const bool alike =
      std::ranges::all_of(names, [&](const NameParts& name) { return name.texts == names.front().texts; });
  if (!alike && each == EachFile::kTold)
    refuse_meaning(record.path, "the names of its files differ by more than a number");
  if (!alike) {
    for (std::size_t i = 0; i < paths.size(); ++i) {
      set_meaning(record, record.files[i], each, static_cast<std::int64_t>(i));
    }
    return;
  }
  const auto roles = roles_of(record.path, names, each);
  for (std::size_t i = 0; i < paths.size(); ++i) {
    for (const auto& [place, meaning] : roles) set_meaning(record, record.files[i], meaning, names[i].numbers[place]);
  }
  std::ranges::stable_sort(record.files, {}, [](const RecordFile& file) {
    return std::tuple(file.step, file.rank, file.layer.value_or(0));
  });
}

/// A rank that is missing in a step would be tokens that are missing.
void check_ranks(const RecordFiles& record) {
  if (!record.by_step || !record.by_rank) return;
  using Part = std::pair<std::int64_t, std::int64_t>;  // rank and layer
  std::map<std::int64_t, std::set<Part>> parts;        // by step
  for (const RecordFile& file : record.files) parts[file.step].insert({file.rank, file.layer.value_or(0)});
  for (const auto& [step, own] : parts) {
    if (own == parts.begin()->second) continue;
    throw InputError(record.path, "step " + std::to_string(step) + " does not have the files of step " +
                                      std::to_string(parts.begin()->first) + "; allowed: the same ranks in each step");
  }
}

/// As many files as the machine allows, where a record needs more than are allowed by default.
void allow_many_files(std::size_t files) {
  rlimit limit{};
  if (files <= kMostKept || getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // where it fails, opening them says so
}

// ---- What was opened last

/// By which it is seen that a file is not what it was.
struct Stamp {
  std::string path;
  std::uintmax_t size = 0;
  fs::file_time_type written;
  bool operator==(const Stamp&) const = default;
};

std::vector<Stamp> stamps_of(const std::vector<std::string>& paths) {
  std::vector<Stamp> stamps;
  for (const std::string& path : paths) {
    std::error_code error;
    stamps.push_back({path, fs::file_size(path, error), fs::last_write_time(path, error)});
  }
  return stamps;
}

/// Stamps are too coarse to see that a file changed right after it was written.
bool have_settled(const std::vector<Stamp>& stamps) {
  const auto recent = fs::file_time_type::clock::now() - std::chrono::seconds(2);
  return std::ranges::all_of(stamps, [&](const Stamp& stamp) { return stamp.written < recent; });
}

struct Kept {
  std::string path;
  std::vector<Stamp> stamps;
  EachFile each = EachFile::kTold;
  std::weak_ptr<const RecordFiles> record;
  std::shared_ptr<const RecordFiles> held;  // one of few files, so that it stays when nobody else has it
};

/// A config is read, checked and run one after the other, each from the start: compressed files are unpacked once.
std::shared_ptr<const RecordFiles> open_or_keep(const std::string& path, EachFile each,
                                                const std::vector<std::string>& paths) {
  static std::mutex mutex;
  static std::array<Kept, 4> kept;
  static std::size_t next = 0;
  const std::lock_guard lock(mutex);
  const std::vector<Stamp> stamps = stamps_of(paths);
  for (const Kept& one : kept) {
    if (one.path != path || one.each != each || one.stamps != stamps) continue;
    if (auto record = one.record.lock()) return record;
  }
  allow_many_files(paths.size());
  auto record = std::make_shared<RecordFiles>();
  record->path = path;
  for (const std::string& one : paths) record->files.push_back({open_tensors(one), {}});
  if (paths.size() > 1) tell_meanings(*record, paths, each);
  check_ranks(*record);
  const bool sharded = path.ends_with(".index.json");  // its files have no stamps
  if (have_settled(stamps) && !sharded) {
    kept[next++ % kept.size()] = {path, stamps, each, record, stamps.size() <= kMostKept ? record : nullptr};
  }
  return record;
}

}  // namespace

std::shared_ptr<const RecordFiles> open_record(const std::string& path, EachFile each) {
  return open_or_keep(path, each, paths_of(path));
}

}  // namespace tatr
