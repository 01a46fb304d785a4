#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/record_function.h>

#include <algorithm>

#include "nn/print_branch.h"
#include "support/catch.h"
#include "support/golden.h"
#include "support/tolerances.h"
#include "unireplk/core/error.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/nn/block.h"
#include "unireplk/nn/init.h"

namespace unireplk::nn {
namespace {

using Catch::Matchers::Contains;
using test::relative_difference;

Block filled(const BlockOptions& options, const std::string& prefix) {
  Block block(options);
  auto entries = models::state_dict(*block);
  for (auto& entry : entries) entry.first = prefix + entry.first;
  test::fill(entries);
  return block;
}

at::Tensor map_input(at::IntArrayRef shape, at::ScalarType dtype) {
  return test::formula_input(shape).to(dtype).contiguous(at::MemoryFormat::ChannelsLast);
}

TEST_CASE("Block: every part equals the reference", "[golden]") {
  const auto golden = test::golden_tensors("features");
  const auto [name, channels, kernel] =
      GENERATE(table<std::string, int64_t, int64_t>({{"stages.0.0", 40, 3}, {"stages.1.0", 80, 13}}));
  const bool training = GENERATE(false, true);
  const auto dtype = GENERATE(at::kFloat, at::kDouble);
  const auto prefix = "a." + name + (training ? ".train." : ".eval.");
  CAPTURE(prefix, dtype);
  auto block = filled({.channels = channels, .kernel_size = kernel, .tensor = dtype}, name + ".");
  block->train(training);
  const auto x = golden.find(prefix + "input")->to(dtype).contiguous(at::MemoryFormat::ChannelsLast);
  int parts = 0;
  const PartObserver observer = [&](std::string_view part, const at::Tensor& value) {
    CAPTURE(part);
    ++parts;
    const auto* expected = golden.find(prefix + std::string(part));
    REQUIRE(expected);
    CHECK(relative_difference(value, *expected) <= test::kOutputF32);  // goldens are rounded to float32
  };
  const auto y = block->forward(x, {}, Pass{.observer = &observer});
  CHECK(parts == 7);
  CHECK(relative_difference(y, *golden.find(prefix + "output")) <= test::kOutputF32);
}

TEST_CASE("Block: merged equals unfused for any kernel size", "[numeric]") {
  const int64_t kernel = GENERATE(0, 3, 5, 7, 9, 11, 13, 15, 17, 19, 31);
  const auto [dtype, limit] =
      GENERATE(table<at::ScalarType, double>({{at::kFloat, test::kMergeF32}, {at::kDouble, test::kMergeF64}}));
  CAPTURE(kernel, dtype);
  const BlockOptions options{.channels = 8, .kernel_size = kernel, .layer_scale_init = 0, .tensor = dtype};
  auto block = filled(options, "stages.0.0.");
  block->eval();
  const auto x = map_input({2, 8, 20, 18}, dtype);
  const auto judge = block->unfused(x).detach();
  const at::NoGradGuard no_graph;
  CHECK(relative_difference(block->forward(x) - x, judge) <= limit);  // the cache
  block->merge();
  CHECK(block->is_merged());
  CHECK(relative_difference(block->unfused(x), judge) <= limit);
  const auto once = block->unfused(x);
  block->merge();
  CHECK(at::equal(block->unfused(x), once));
}

TEST_CASE("Block: layer scale is folded", "[numeric]") {
  auto block = filled({.channels = 8, .kernel_size = 7, .tensor = at::kDouble}, "stages.0.0.");
  block->eval();
  const auto x = map_input({1, 8, 9, 9}, at::kDouble);
  const auto before = block->forward(x).detach();
  block->merge();
  CHECK_FALSE(block->gamma.defined());
  CHECK(relative_difference(block->forward(x), before) <= test::kMergeF64);
}

TEST_CASE("Block: own branches, down to none", "[numeric]") {
  const auto branches =
      GENERATE(std::vector<Branch>{}, std::vector<Branch>{{3, 1}}, std::vector<Branch>{{5, 3}, {3, 6}, {1, 4}});
  auto block = filled({.channels = 8, .kernel_size = 13, .branches = branches, .tensor = at::kDouble}, "stages.0.0.");
  block->eval();
  CHECK(block->dwconv_dilated->branches == branches);
  const auto x = map_input({1, 8, 14, 14}, at::kDouble);
  const auto before = block->forward(x).detach();
  block->merge();
  CHECK(relative_difference(block->forward(x), before) <= test::kMergeF64);
}

TEST_CASE("Block: a kernel merged with one dilation wrong is far from the branch graph", "[numeric]") {
  auto block = filled({.channels = 8, .kernel_size = 13, .layer_scale_init = 0, .tensor = at::kDouble}, "stages.0.0.");
  block->eval();
  const auto x = map_input({1, 8, 14, 14}, at::kDouble);
  const auto judge = block->unfused(x).detach();
  block->dwconv_dilated->branches[3].dilation = 3;  // of 4
  block->merge();
  CHECK(relative_difference(block->unfused(x), judge) > 1e-3);
}

TEST_CASE("Block: the eval cache follows every weight change", "[numeric]") {
  auto block = filled({.channels = 8, .kernel_size = 7}, "stages.0.0.");
  block->eval();
  const auto x = map_input({1, 8, 9, 9}, at::kFloat);
  const auto cached = [&] {
    const at::NoGradGuard no_graph;
    return block->forward(x);
  };
  const auto graph = [&] { return block->forward(x).detach(); };
  const auto first = cached();
  CHECK(relative_difference(first, graph()) <= test::kMergeF32);
  CHECK(at::equal(cached(), first));

  SECTION("in-place update of a branch") {
    const at::NoGradGuard no_graph;
    block->dwconv_dilated->dil_convs[1]->weight.mul_(-3);
  }
  SECTION("in-place update of the expansion") {
    const at::NoGradGuard no_graph;
    block->pwconv1->weight.mul_(-1);
  }
  SECTION("running statistics") { block->norm->running_var.fill_(0.01); }
  SECTION("layer scale replaced behind the parameter") { block->gamma.set_data(block->gamma.detach() * 5); }
  SECTION("a training step's statistics") {
    block->train();
    block->forward(x * 9);
    block->eval();
  }
  CHECK_FALSE(at::equal(cached(), first));
  CHECK(relative_difference(cached(), graph()) <= test::kMergeF32);
}

TEST_CASE("Block: packed weights of the deploy form follow every weight change", "[numeric]") {
  const int64_t kernel_size = GENERATE(3, 7);
  auto block = filled({.channels = 8, .kernel_size = kernel_size}, "stages.0.0.");
  block->eval();
  block->merge();
  const auto x = map_input({2, 8, 9, 9}, at::kFloat);
  const at::NoGradGuard no_graph;
  const auto graph = [&] { return x + block->unfused(x); };
  const auto first = block->forward(x);
  CHECK(relative_difference(first, graph()) <= test::kMergeF32);
  CHECK(at::equal(block->forward(x), first));

  SECTION("mixer") { (block->dwconv.is_empty() ? block->dwconv_dilated->lk_origin : block->dwconv)->bias.add_(1); }
  SECTION("pwconv1") { block->pwconv1->bias.add_(1); }
  SECTION("grn") { block->grn->gamma.add_(1); }
  SECTION("pwconv2") { block->pwconv2->bias.add_(1); }
  CHECK_FALSE(at::equal(block->forward(x), first));
  CHECK(relative_difference(block->forward(x), graph()) <= test::kMergeF32);
}

TEST_CASE("Block: fused branches equal the branches one by one", "[numeric]") {
  const bool training = GENERATE(true, false);
  const auto [kernel, side] = GENERATE(table<int64_t, int64_t>({{7, 9}, {13, 14}, {19, 11}, {13, 7}}));
  CAPTURE(training, kernel, side);
  const auto make = [&, kernel_size = kernel] {
    auto block = filled({.channels = 8, .kernel_size = kernel_size, .layer_scale_init = 0}, "stages.0.0.");
    block->train(training);
    return block;
  };
  auto fused = make(), judge = make();
  const auto x = map_input({3, 8, side, side}, at::kFloat);
  const PartObserver watcher = [](std::string_view, const at::Tensor&) {};
  const auto run = [&](Block& block, const Pass& pass) {
    auto leaf = x.clone().requires_grad_();
    const auto y = block->forward(leaf, {}, pass);
    (y * test::formula_input(y.sizes(), "weights")).sum().backward();
    return std::make_pair(y, leaf.grad());
  };
  const auto [y, dx] = run(fused, {});
  const auto [judge_y, judge_dx] = run(judge, Pass{.observer = &watcher});  // watched, it runs part by part
  CHECK(relative_difference(y, judge_y) <= test::kOutputF32);
  CHECK(relative_difference(dx, judge_dx) <= test::kGradientF32);
  const auto expected = models::state_dict(*judge);
  for (const auto& [name, value] : models::state_dict(*fused)) {
    CAPTURE(name);
    const auto same = std::find_if(expected.begin(), expected.end(), [&](const auto& e) { return e.first == name; });
    if (value.is_floating_point()) {
      CHECK(relative_difference(value, same->second) <= test::kOutputF32);  // weights and running statistics
    } else {
      CHECK(at::equal(value, same->second));
    }
  }
  for (const auto& item : fused->named_parameters()) {
    CAPTURE(item.key());
    const auto gradient = judge->named_parameters()[item.key()].grad();
    if (gradient.norm().item<double>() < 1e-4) continue;  // zero but for rounding
    CHECK(relative_difference(item.value().grad(), gradient) <= test::kGradientF32);
  }
}

TEST_CASE("Block: kept branches change no bit", "[numeric]") {
  const auto x = map_input({2, 8, 14, 14}, at::kFloat);
  std::vector<at::Tensor> gradients;
  for (const bool keep : {false, true}) {
    auto block = filled({.channels = 8, .kernel_size = 13, .keep_branches = keep}, "stages.0.0.");
    block->train();
    const auto leaf = x.clone().requires_grad_();
    block->forward(leaf).square().sum().backward();
    gradients.push_back(leaf.grad());
  }
  CHECK(gradients[0].equal(gradients[1]));
}

TEST_CASE("Block: norms in different modes run one by one", "[numeric]") {
  auto block = filled({.channels = 8, .kernel_size = 7}, "stages.0.0.");
  block->train();
  block->dwconv_dilated->dil_bns[0]->eval();
  const auto frozen = block->dwconv_dilated->dil_bns[0]->running_mean.clone();
  const auto moving = block->dwconv_dilated->origin_bn->running_mean.clone();
  block->forward(map_input({2, 8, 9, 9}, at::kFloat));
  CHECK(at::equal(block->dwconv_dilated->dil_bns[0]->running_mean, frozen));
  CHECK_FALSE(at::equal(block->dwconv_dilated->origin_bn->running_mean, moving));
}

TEST_CASE("Block: norms in different modes equal the graph of parts", "[numeric]") {
  const auto make = [] {
    auto block = filled({.channels = 8, .kernel_size = 7, .layer_scale_init = 0}, "stages.0.0.");
    block->train();
    block->norm->eval();
    return block;
  };
  auto mixed = make(), judge = make();
  const auto x = map_input({2, 8, 9, 9}, at::kFloat);
  const PartObserver watcher = [](std::string_view, const at::Tensor&) {};
  CHECK(relative_difference(mixed->forward(x), judge->forward(x, {}, Pass{.observer = &watcher})) <= test::kOutputF32);
}

TEST_CASE("Block: training with one value for each channel is refused, without images it is not", "[numeric]") {
  const int64_t kernel = GENERATE(0, 3, 7);
  const auto dtype = GENERATE(at::kFloat, at::kDouble);
  auto block = filled({.channels = 8, .kernel_size = kernel, .tensor = dtype}, "stages.0.0.");
  block->train();
  const auto one = map_input({1, 8, 1, 1}, dtype);
  CHECK_THROWS_WITH(block->forward(one), Contains("expected at least 2 values for each channel, got 1"));
  CHECK(block->forward(map_input({2, 8, 1, 1}, dtype)).isfinite().all().item<bool>());
  CHECK(block->forward(at::empty({0, 8, 9, 9}, dtype)).sizes() == at::IntArrayRef{0, 8, 9, 9});
  block->eval();
  CHECK(block->forward(one).isfinite().all().item<bool>());
  CHECK(block->forward(at::empty({0, 8, 9, 9}, dtype)).sizes() == at::IntArrayRef{0, 8, 9, 9});
}

TEST_CASE("Block: maps stay channels_last", "[numeric]") {
  const int64_t kernel = GENERATE(3, 13);
  const bool training = GENERATE(true, false);
  CAPTURE(kernel, training);
  auto block = filled({.channels = 16, .kernel_size = kernel}, "stages.0.0.");
  block->train(training);
  const PartObserver observer = [&](std::string_view part, const at::Tensor& value) {
    CAPTURE(part);
    const bool hidden = part == "pwconv1" || part == "act.0" || part == "act";  // NHWC
    CHECK(value.is_contiguous(hidden ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast));
  };
  const auto y = block->forward(map_input({2, 16, 12, 10}, at::kFloat), {}, Pass{.observer = &observer});
  CHECK(y.is_contiguous(at::MemoryFormat::ChannelsLast));
}

/// Elements of tensors copied while a CopyCounter lives. A bias spread over the rows of a product is none.
int64_t copied_elements = 0;

struct CopyCounter {
  CopyCounter() {
    copied_elements = 0;
    handle = at::addThreadLocalCallback(at::RecordFunctionCallback([](const at::RecordFunction& call) {
                                          if (std::string_view(call.name()) == "aten::copy_") {
                                            const auto source = call.inputs()[1].toTensor();
                                            if (source.is_non_overlapping_and_dense())
                                              copied_elements += source.numel();
                                          }
                                          return std::unique_ptr<at::ObserverContext>();
                                        }).needsInputs(true));
  }
  ~CopyCounter() { at::removeCallback(handle); }
  CopyCounter(const CopyCounter&) = delete;
  CopyCounter& operator=(const CopyCounter&) = delete;

  at::CallbackHandle handle;
};

TEST_CASE("Block: a forward pass copies no map", "[numeric]") {
  const bool training = GENERATE(true, false);
  auto block = filled({.channels = 16, .kernel_size = 13}, "stages.0.0.");
  block->train(training);
  const auto x = map_input({2, 16, 12, 10}, at::kFloat);
  const CopyCounter counter;
  block->forward(x);
  CHECK(copied_elements < x.numel());
}

TEST_CASE("Block: refuses sizes that do not exist") {
  CHECK_THROWS_WITH(Block(BlockOptions{.channels = 8, .kernel_size = 12}),
                    Contains("kernel size 12") && Contains("odd"));
  CHECK_THROWS_WITH(Block(BlockOptions{.channels = 8, .kernel_size = 1}), Contains("kernel size 1"));
  CHECK_THROWS_WITH(Block(BlockOptions{.channels = 3}), Contains("at least 4 channels, got 3"));
  CHECK_THROWS_WITH(filled({.channels = 8, .kernel_size = 7}, "stages.0.0.")->forward(at::zeros({1, 9, 4, 4})),
                    Contains("expected x [N, 8, H, W], got [1, 9, 4, 4]"));
}

TEST_CASE("initialise: draws N(0, 0.02) from its generator alone", "[numeric]") {
  Block block(BlockOptions{.channels = 64, .kernel_size = 13});
  initialise(*block, at::make_generator<at::CPUGeneratorImpl>(3));
  const auto weight = block->pwconv1->weight.detach();
  CHECK(weight.std().item<double>() == Approx(0.02).epsilon(0.03));
  CHECK(weight.mean().item<double>() == Approx(0).margin(0.001));
  CHECK(weight.abs().max().item<double>() < 0.15);
  CHECK(block->pwconv1->bias.eq(0).all().item<bool>());
  CHECK(block->gamma.eq(1e-6).all().item<bool>());
  CHECK(block->grn->gamma.eq(0).all().item<bool>());
  CHECK(block->norm->running_var.eq(1).all().item<bool>());
  Block other(BlockOptions{.channels = 64, .kernel_size = 13});
  initialise(*other, at::make_generator<at::CPUGeneratorImpl>(3));
  CHECK(at::equal(other->pwconv2->weight, block->pwconv2->weight));
  CHECK(at::equal(other->dwconv_dilated->dil_convs[4]->weight, block->dwconv_dilated->dil_convs[4]->weight));
}

}  // namespace
}  // namespace unireplk::nn
