// A shared library that is opened at run time, so that a machine without it runs everything else.
#pragma once

#include <initializer_list>
#include <string>

namespace tatr {

/// Stays open until the program ends: what was found in it may be called at any time.
class RuntimeLibrary {
 public:
  /// The first of the names that the loader finds; none is no error.
  explicit RuntimeLibrary(std::initializer_list<const char*> names);

  bool is_there() const { return handle_ != nullptr; }

  /// Null where the library or the name is not there.
  template <class Function>
  Function find(const char* name) const {
    return reinterpret_cast<Function>(address_of(name));
  }

 private:
  void* address_of(const char* name) const;

  void* handle_ = nullptr;
};

}  // namespace tatr
