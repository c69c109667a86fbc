#include "core/control_groups.hpp"

#include <fstream>

namespace tatr {

namespace {

/// The group `path` and those above it, below `root`.
void visit_upwards(const std::string& root, std::string path, bool is_version_2,
                   const std::function<void(const std::string&, bool)>& visit) {
  while (true) {
    visit(root + path, is_version_2);
    if (path.empty() || path == "/") return;
    path.erase(path.rfind('/'));
  }
}

}  // namespace

void for_each_own_group(const std::string& proc, const std::string& cgroup, const std::string& controller,
                        const std::function<void(const std::string& folder, bool is_version_2)>& visit) {
  std::ifstream file(proc + "/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // ID:CONTROLLERS:PATH; version 2 has ID 0 and no controllers
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",",
                      path = line.substr(second + 1);
    if (controllers == ",,") visit_upwards(cgroup, path, true, visit);
    if (controllers.find("," + controller + ",") == std::string::npos) continue;
    visit_upwards(std::string(cgroup).append("/").append(controller), path, false, visit);
  }
}

}  // namespace tatr
