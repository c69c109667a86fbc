#include "device/library.hpp"

#include <dlfcn.h>

namespace tatr {

RuntimeLibrary::RuntimeLibrary(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if ((handle_ = dlopen(name, RTLD_NOW | RTLD_GLOBAL)) != nullptr) return;
  }
}

void* RuntimeLibrary::address_of(const char* name) const { return handle_ == nullptr ? nullptr : dlsym(handle_, name); }

}  // namespace tatr
