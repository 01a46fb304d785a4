#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "support/catch.h"
#include "unireplk/models/any_network.h"
#include "unireplk/train/optimizer.h"

namespace unireplk::train {

TEST_CASE("training: a forecaster learns 64 windows of two sines by heart", "[numeric]") {
  constexpr int64_t kInput = 32, kAhead = 8, kWindows = 64;
  models::AnyNetwork network(models::SeriesForecasterOptions{.backbone = {.depths = {1, 1, 1, 1},
                                                                          .dims = {8, 16, 16, 32},
                                                                          .kernel_sizes = {{3}, {3}, {7}, {3}},
                                                                          .layer_scale_init = 1},
                                                             .channels = 2,
                                                             .length = kInput,
                                                             .horizon = kAhead,
                                                             .group = 2,
                                                             .width = 32,
                                                             .dropout = 0});
  network.forecaster()->initialise(at::detail::createCPUGenerator(1));
  const auto time = at::arange(kWindows + kInput + kAhead - 1, at::kFloat);
  const auto rows = at::stack({(time * 0.4).sin(), (time * 0.15 + 1).sin() * 2}, 1).unfold(0, kInput + kAhead, 1);
  const auto windows = rows.transpose(1, 2);  // [64, L + H, 2]
  const models::ForecastInput input{.window = windows.narrow(1, 0, kInput).contiguous(),
                                    .marks = at::zeros({kWindows, kInput + kAhead, 4})};
  const auto target = windows.narrow(1, kInput, kAhead);
  const auto optimizer = make_adamw({.lr = 3e-3, .weight_decay = 0}, *network);
  network->train();
  double loss = 0;
  for (int step = 0; step < 200; ++step) {
    optimizer->zero_grad();
    const auto value = at::mse_loss(network.forecaster()->forward(input), target);
    value.backward();
    optimizer->step(optimizer->base(), {});
    loss = value.item<double>();
  }
  CHECK(loss < 0.01);
}

}  // namespace unireplk::train
