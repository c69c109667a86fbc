// What every System has in common that computes on the CPU, whoever its memory belongs to.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "core/memory.hpp"
#include "device/system.hpp"

namespace tatr {

class RecordedFunction final : public Recording {
 public:
  explicit RecordedFunction(std::function<void()> work) : work_(std::move(work)) {}
  void replay() override { work_(); }

 private:
  std::function<void()> work_;
};

/// A System, or a kind of one, but for where its memory comes from.
template <class Base>
class OnHost : public Base {
 public:
  explicit OnHost(int threads) : threads_(threads) {}

  bool is_cuda() const override { return false; }
  std::string name() const override { return "cpu"; }
  const DeviceInfo& device() const override { return device_; }
  int threads() const override { return threads_; }
  void synchronize() override {}
  std::size_t available_bytes() const override { return available_host_bytes(); }
  std::unique_ptr<Recording> record(std::function<void()> work) override {
    return std::make_unique<RecordedFunction>(std::move(work));
  }

 protected:
  void copy_bytes_to_host(void* host, const void* data, std::size_t bytes) override { std::memcpy(host, data, bytes); }
  void copy_bytes_from_host(void* data, const void* host, std::size_t bytes) override {
    std::memcpy(data, host, bytes);
  }
  void copy_bytes(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }

 private:
  int threads_;
  DeviceInfo device_;
};

}  // namespace tatr
