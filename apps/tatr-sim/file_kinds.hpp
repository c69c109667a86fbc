// What a file is that a command was given, so that a refusal can say which command takes it.
#pragma once

#include <string>
#include <vector>

namespace tatr {

enum class FileKind {
  kMissing,
  kFolder,
  kConfig,
  kConfigs,  // several: a list, or one a line
  kResult,
  kResults,  // one a line
  kDevice,
  kCalibration,
  kModelConfig,  // of Hugging Face
  kSchema,
  kPage,
  kTable,
  kYaml,
  kToml,
  kUnknown
};

/// By what the file holds, of large ones by how they begin. A file that cannot be read is kUnknown.
FileKind kind_of_file(const std::string& path);

/// Files that a path which is not there may have meant, as one would write them, the likeliest first.
std::vector<std::string> near_files(const std::string& path);

}  // namespace tatr
