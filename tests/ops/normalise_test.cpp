#include "unireplk/ops/normalise.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/zeros.h>

#include "support/catch.h"
#include "unireplk/core/error.h"

namespace unireplk::ops {
namespace {

at::Tensor by_operators(const at::Tensor& image, const at::Tensor& mean, const at::Tensor& deviation) {
  const auto map = image.permute({0, 3, 1, 2}).to(at::kFloat);
  return map.div(255).sub(mean.reshape({-1, 1, 1})).div(deviation.reshape({-1, 1, 1}));
}

}  // namespace

TEST_CASE("normalise: gives the bits of LibTorch's own operators", "[numeric]") {
  const int64_t channels = GENERATE(1, 2, 3, 5);
  const auto mean = at::rand({channels}), deviation = at::rand({channels}).add_(0.1);
  const auto every_byte = at::arange(256).to(at::kByte).reshape({1, 16, 16, 1}).repeat({1, 1, 1, channels});
  const auto image = at::randint(256, {3, 7, 11, channels}, at::kByte);
  for (const auto& bytes : {every_byte, image, image.permute({0, 2, 1, 3}), image.slice(2, 1, 9)}) {
    const auto map = normalise(bytes, mean, deviation);
    CHECK(map.equal(by_operators(bytes, mean, deviation)));
  }
  CHECK(normalise(image, mean, deviation).is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST_CASE("normalise: refuses what is no batch of bytes with that many channels", "[numeric]") {
  const auto three = at::rand({3});
  CHECK_THROWS_AS(normalise(at::zeros({1, 4, 4, 3}), three, three), ContractError);
  CHECK_THROWS_AS(normalise(at::zeros({1, 4, 4, 1}, at::kByte), three, three), ContractError);
  CHECK_THROWS_AS(normalise(at::zeros({4, 4, 3}, at::kByte), three, three), ContractError);
}

}  // namespace unireplk::ops
