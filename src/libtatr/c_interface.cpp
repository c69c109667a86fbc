// The functions of tatr.h: nothing but the way from C to Rounder and from errors to words.
#include <exception>
#include <memory>
#include <string>

#include "core/error.hpp"
#include "core/version.hpp"
#include "device/system.hpp"
#include "libtatr/rounder.hpp"
#include "libtatr/rounder_options.hpp"
#include "libtatr/tatr.h"

struct tatr_rounder {
  explicit tatr_rounder(const tatr::RounderOptions& options) : rounder(options) {}
  tatr::Rounder rounder;
};

namespace {

thread_local std::string last_error;

tatr_status status_of(tatr::ExitCode code) {
  return code == tatr::ExitCode::kEnvironment ? TATR_ENVIRONMENT : TATR_BAD_ARGUMENT;
}

template <class Work>
tatr_status guarded(const Work& work) noexcept {
  tatr_status status = TATR_OK;
  std::string words;
  try {
    work();
    return TATR_OK;
  } catch (const tatr::Error& error) {
    status = status_of(error.code());
    words = error.what();
  } catch (const std::bad_alloc&) {
    status = TATR_ENVIRONMENT;
    words = "not enough memory of the host";
  } catch (const std::exception& error) {
    status = TATR_INTERNAL;
    words = std::string("internal error: ") + error.what();
  }
  last_error.swap(words);
  return status;
}

void require(bool there, const char* what) {
  if (!there) throw tatr::UsageError(std::string(what) + " is null");
}

/// Of version 1 there is one size: a later one will take smaller ones for what they are.
tatr_outputs outputs_of(const tatr_outputs* given) {
  require(given != nullptr, "outputs");
  if (given->size != sizeof(tatr_outputs)) {
    throw tatr::UsageError("outputs.size is " + std::to_string(given->size) + "; expected sizeof(tatr_outputs), " +
                           std::to_string(sizeof(tatr_outputs)));
  }
  return *given;
}

}  // namespace

const char* tatr_version() { return tatr::program_version(); }

int32_t tatr_interface_version() { return TATR_INTERFACE_VERSION; }

int32_t tatr_device_count() { return tatr::cuda_device_count(); }

const char* tatr_last_error() { return last_error.c_str(); }

tatr_status tatr_create(tatr_rounder** rounder, const char* options) {
  return guarded([&] {
    require(rounder != nullptr, "rounder");
    *rounder = nullptr;
    require(options != nullptr, "options");
    *rounder = std::make_unique<tatr_rounder>(tatr::read_rounder_options(options)).release();
  });
}

void tatr_destroy(tatr_rounder* rounder) { delete rounder; }

size_t tatr_workspace_bytes(const tatr_rounder* rounder) {
  return rounder != nullptr ? rounder->rounder.workspace_bytes() : 0;
}

int64_t tatr_most_rows(const tatr_rounder* rounder) { return rounder != nullptr ? rounder->rounder.most_rows() : 0; }

tatr_status tatr_prepare(tatr_rounder* rounder, void* workspace, size_t bytes, void* stream) {
  return guarded([&] {
    require(rounder != nullptr, "rounder");
    require(workspace != nullptr, "workspace");
    rounder->rounder.prepare(workspace, bytes, static_cast<CUstream_st*>(stream));
  });
}

tatr_status tatr_round_logits(tatr_rounder* rounder, const void* logits, const tatr_outputs* outputs, void* stream) {
  return guarded([&] {
    require(rounder != nullptr, "rounder");
    require(logits != nullptr, "logits");
    rounder->rounder.round_logits(logits, outputs_of(outputs), static_cast<CUstream_st*>(stream));
  });
}

tatr_status tatr_round_top_k(tatr_rounder* rounder, const int32_t* ids, const float* scores,
                             const tatr_outputs* outputs, void* stream) {
  return guarded([&] {
    require(rounder != nullptr, "rounder");
    require(ids != nullptr, "ids");
    rounder->rounder.round_top_k(ids, scores, outputs_of(outputs), static_cast<CUstream_st*>(stream));
  });
}

tatr_status tatr_check(tatr_rounder* rounder, void* stream) {
  return guarded([&] {
    require(rounder != nullptr, "rounder");
    rounder->rounder.check(static_cast<CUstream_st*>(stream));
  });
}
