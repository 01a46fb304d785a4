#include "unireplk/tensor/context.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include "support/catch.h"
#include "unireplk/core/error.h"

using namespace unireplk;

TEST_CASE("resolve_device: takes what it knows") {
  CHECK(resolve_device("cpu") == at::Device(at::kCPU));
  CHECK(resolve_device("auto") == (at::hasCUDA() ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU)));
}

TEST_CASE("resolve_device: says what it expected") {
  for (const std::string text :
       {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "CPU", "", "cuda:99999999999999999999"}) {
    CHECK_THROWS_AS(resolve_device(text), UserError);
    CHECK_THROWS_WITH(resolve_device(text), "device: expected auto, cpu, cuda or cuda:N, got \"" + text + "\".");
  }
}

TEST_CASE("resolve_device: refuses a device that is not here") {
  if (at::hasCUDA()) {
    CHECK_THROWS_WITH(resolve_device("cuda:127"), Catch::Contains("got cuda:127"));
    CHECK_THROWS_WITH(resolve_device("cuda:1000"), Catch::Contains("got cuda:1000"));
  } else {
    CHECK_THROWS_WITH(resolve_device("cuda"), Catch::Contains("found none. Write cpu or auto"));
    CHECK_THROWS_WITH(resolve_device("cuda:0"), Catch::Contains("found none"));
  }
}

TEST_CASE("describe_device: names threads and instruction set of the CPU") {
  at::set_num_threads(1);
  CHECK_THAT(describe_device(at::kCPU), Catch::StartsWith("cpu (1 thread, ") && Catch::EndsWith(")"));
}

TEST_CASE("describe_device: names the GPU and its memory", "[cuda]") {
  if (!at::hasCUDA()) {
    WARN("SKIPPED: no CUDA device");
    return;
  }
  CHECK(resolve_device("cuda") == at::Device(at::kCUDA, 0));
  CHECK_THAT(describe_device(resolve_device("cuda:0")), Catch::StartsWith("cuda:0 (") && Catch::EndsWith(" GiB)"));
}
