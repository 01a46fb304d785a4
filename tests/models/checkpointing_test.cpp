#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <ATen/record_function.h>

#include "models/filled.h"
#include "support/catch.h"
#include "support/golden.h"

namespace unireplk::models {
namespace {

/// How to train the network of these tests.
struct Run {
  bool checkpointing = false;
  at::ScalarType dtype = at::kFloat;
  uint64_t seed = 1;          ///< of drop path in the first round; counts up
  int rounds = 1;             ///< forward and backward passes into the same gradients
  double drop_path = 0.5;     ///< of the last block
  bool frozen_start = false;  ///< neither the input nor anything in front of block 2 gets a gradient
  bool autocast = false;      ///< bfloat16 in the forward pass
};

/// What training leaves behind.
struct Outcome {
  double loss = 0;
  NamedTensors tensors;  ///< gradients and buffers by name
  int gates = 0;         ///< calls in backward of what trace_of() names
};

/// Blocks of every kind.
UniRepLKNet network_for(const Run& run) {
  return filled({.depths = {2, 1, 2, 1},
                 .dims = {8, 12, 16, 24},
                 .kernel_sizes = {{3, 0}, {13}, {7, 5}, {17}},
                 .num_classes = 5,
                 .drop_path = run.drop_path,
                 .checkpointing = run.checkpointing},
                run.dtype);
}

void freeze_start(const UniRepLKNetImpl& network) {
  for (const auto& [name, tensor] : state_dict(network)) {
    if (name.starts_with("downsample_layers.0.") || name.starts_with("stages.0.")) tensor.requires_grad_(false);
  }
}

/// bfloat16 where autocast wants it, while alive.
struct Autocast {
  explicit Autocast(bool on) {
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, on);
  }
  ~Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
};

int gate_calls = 0;

constexpr int64_t kImages = 4;

/// What is counted to see how many blocks run: an operator and the first size of what it takes.
struct Trace {
  std::string_view name;
  int64_t size;
};

/// Gates of squeeze-excitation in float64. Elsewhere that is an operator without a record, and the one with GELU
/// flattens its gamma [1, 1, 1, C]; what linear layers flatten is of all images.
Trace trace_of(const Run& run) {
  return run.dtype == at::kFloat ? Trace{"aten::flatten", 1} : Trace{"aten::sigmoid", kImages};
}

Trace counted;

/// Counts calls of an operator while alive.
struct GateCounter {
  explicit GateCounter(const Trace& trace) {
    counted = trace;
    gate_calls = 0;
    const auto count = [](const at::RecordFunction& call) {
      if (call.name() == counted.name && call.inputs()[0].toTensor().size(0) == counted.size) ++gate_calls;
      return std::unique_ptr<at::ObserverContext>();
    };
    handle = at::addThreadLocalCallback(at::RecordFunctionCallback(count).needsInputs(true));
  }
  ~GateCounter() { at::removeCallback(handle); }
  GateCounter(const GateCounter&) = delete;
  GateCounter& operator=(const GateCounter&) = delete;

  at::CallbackHandle handle;
};

at::Tensor loss_of(UniRepLKNet& network, const at::Tensor& x, uint64_t seed, bool autocast) {
  const Autocast scope(autocast);
  const auto logits = network->forward(x, at::make_generator<at::CPUGeneratorImpl>(seed));
  return at::cross_entropy_loss(logits.to(x.scalar_type()), at::arange(x.size(0), at::kLong));
}

Outcome train(const Run& run) {
  auto network = network_for(run);
  network->train();
  const auto x = test::formula_input({kImages, 3, 40, 36}).to(run.dtype).requires_grad_(!run.frozen_start);
  if (run.frozen_start) freeze_start(*network);
  Outcome outcome;
  for (int i = 0; i < run.rounds; ++i) {
    const auto loss = loss_of(network, x, run.seed + static_cast<uint64_t>(i), run.autocast);
    outcome.loss += loss.item<double>();
    const GateCounter counter(trace_of(run));
    loss.backward();
    outcome.gates += gate_calls;
  }
  for (const auto& [name, tensor] : state_dict(*network)) {
    outcome.tensors.emplace_back(name, tensor.requires_grad() ? tensor.grad() : tensor);
  }
  if (x.requires_grad()) outcome.tensors.emplace_back("input", x.grad());
  return outcome;
}

void check_equal(const Outcome& ours, const Outcome& expected) {
  CHECK(ours.loss == expected.loss);
  REQUIRE(ours.tensors.size() == expected.tensors.size());
  for (size_t i = 0; i < ours.tensors.size(); ++i) {
    CAPTURE(ours.tensors[i].first);
    REQUIRE(ours.tensors[i].second.defined());
    CHECK(at::equal(ours.tensors[i].second, expected.tensors[i].second));
  }
}

/// Once as it is and once with checkpoints, which must show in nothing but the work done.
void check_equal_with_checkpoints(Run run, int recomputed) {
  const auto expected = train(run);
  run.checkpointing = true;
  const auto ours = train(run);
  CHECK(ours.gates - expected.gates == recomputed);
  check_equal(ours, expected);
}

constexpr int kBlocks = 6;

TEST_CASE("checkpointing: loss, gradients and running statistics are the same to the bit", "[numeric]") {
  const auto dtype = GENERATE(at::kFloat, at::kDouble);
  const uint64_t seed = GENERATE(uint64_t{1}, uint64_t{2});
  CAPTURE(dtype, seed);
  check_equal_with_checkpoints({.dtype = dtype, .seed = seed}, kBlocks);
}

TEST_CASE("checkpointing: gradients add up over micro-steps", "[numeric]") {
  check_equal_with_checkpoints({.rounds = 3}, 3 * kBlocks);
}

TEST_CASE("checkpointing: a frozen start of the network is not run again", "[numeric]") {
  check_equal_with_checkpoints({.frozen_start = true}, kBlocks - 2);
}

TEST_CASE("checkpointing: recomputes in the precision of the first pass", "[numeric]") {
  check_equal_with_checkpoints({.autocast = true}, kBlocks);
  CHECK(train({.autocast = true}).loss != train({}).loss);
}

TEST_CASE("checkpointing: running statistics move once a step", "[numeric]") {
  const int rounds = GENERATE(1, 2);
  int norms = 0;
  for (const auto& [name, tensor] : train({.checkpointing = true, .rounds = rounds}).tensors) {
    if (!name.ends_with("num_batches_tracked")) continue;
    CAPTURE(name);
    CHECK(tensor.item<int64_t>() == rounds);
    ++norms;
  }
  CHECK(norms == 6 + 5 + (1 + 5) + (1 + 3) + (1 + 5));  // pwconv2, block-level norms, dilated blocks
}

TEST_CASE("drop path: repeats with its seed and differs with another", "[numeric]") {
  const bool checkpointing = GENERATE(false, true);
  CAPTURE(checkpointing);
  const auto first = train({.checkpointing = checkpointing});
  check_equal(train({.checkpointing = checkpointing}), first);
  CHECK(train({.checkpointing = checkpointing, .seed = 2}).loss != first.loss);
}

TEST_CASE("drop path: a dropped branch gets no gradient, checkpointed or not", "[numeric]") {
  const bool checkpointing = GENERATE(false, true);
  CAPTURE(checkpointing);
  // Four samples all drop the last block with probability 0.996.
  for (const auto& [name, tensor] : train({.checkpointing = checkpointing, .drop_path = 0.999}).tensors) {
    if (name == "stages.3.0.pwconv2.0.weight") CHECK(tensor.eq(0).all().item<bool>());
    if (name == "stages.0.0.pwconv2.0.weight") CHECK(tensor.ne(0).any().item<bool>());
  }
}

}  // namespace
}  // namespace unireplk::models
