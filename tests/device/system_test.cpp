#include "device/system.hpp"

#include "catch.hpp"
#include "core/error.hpp"

using namespace tatr;

TEST_CASE("a system counts the bytes in use and their peak") {
  const auto cpu = make_cpu_system(1);
  {
    Buffer<int> a(*cpu, 10);
    Buffer<double> b(*cpu, 5);
    CHECK(cpu->bytes_in_use() == 80);
    Buffer<int> c(std::move(a));
    CHECK(c.size() == 10);
    CHECK(cpu->bytes_in_use() == 80);
  }
  CHECK(cpu->bytes_in_use() == 0);
  CHECK(cpu->peak_bytes() == 80);
}

TEST_CASE("buffers go to a system and back") {
  const auto cpu = make_cpu_system(1);
  const std::vector<int> values = {3, 1, 4, 1, 5};
  const Buffer<int> buffer(*cpu, values);
  CHECK(buffer.to_host() == values);
  CHECK(buffer.to_host(2, 2) == std::vector<int>{4, 1});
  CHECK(Buffer<int>(*cpu, 0).to_host().empty());
}

TEST_CASE("nothing is copied from nowhere to nowhere") {  // to the sanitizers null is a fault, even for 0 bytes
  const auto cpu = make_cpu_system(1);
  cpu->copy_to_host(nullptr, nullptr, 0);
  cpu->copy_from_host(nullptr, nullptr, 0);
  cpu->copy(nullptr, nullptr, 0);
  const Buffer<float> none(*cpu, std::vector<float>{});
  CHECK(none.to_host().empty());
  CHECK(Buffer<float>().to_host().empty());
  CHECK(cpu->bytes_in_use() == 0);
}

TEST_CASE("a buffer that is moved from or to itself keeps its values once") {
  const auto cpu = make_cpu_system(1);
  Buffer<int> a(*cpu, std::vector<int>{1, 2}), b;
  b = std::move(a);
  CHECK(b.to_host() == std::vector<int>{1, 2});
  Buffer<int>& same = b;
  b = std::move(same);
  CHECK(b.to_host() == std::vector<int>{1, 2});
  b = Buffer<int>();
  CHECK(b.size() == 0);
}

TEST_CASE("an allocation beyond all memory is an OutOfMemoryError that tells both sizes") {
  const auto cpu = make_cpu_system(1);
  try {
    cpu->allocate(std::size_t{1} << 60);
    FAIL("no error");
  } catch (const OutOfMemoryError& error) {
    CHECK(error.code() == ExitCode::kEnvironment);
    CHECK(error.asked_bytes() == std::size_t{1} << 60);
    CHECK(std::string(error.what()).find("bytes free") != std::string::npos);
  }
}

TEST_CASE("a GPU that is not there is an EnvironmentError, not a crash") {
  CHECK_THROWS_AS(make_cuda_system(1000), EnvironmentError);
}
