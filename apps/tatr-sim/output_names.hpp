// What an option writes against what the name of its file says.
#pragma once

#include <string>

namespace tatr {

/// What a file can hold, told from the ending of its name.
enum class FileContent { kJson, kCsv, kMarkdown, kPage };

/// Throws UsageError, which names the option, where the ending of a name is that of another kind of file. Other
/// endings, and none, are free. To be called after check_apart: that an input would be lost matters more.
void check_name(const std::string& option, FileContent content, const std::string& path);

}  // namespace tatr
