#include "unireplk/train/step_graphs.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_zero.h>
#include <ATen/ops/zeros_like.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/core/log.h"
#include "unireplk/tensor/out_of_memory.h"
#include "unireplk/train/fresh_gradients.h"

namespace unireplk::train {
namespace {

/// What a recording depends on: equal texts, equal operations.
std::string key_of(const Batch& batch, int64_t per_step) {
  std::string key = format("{}", per_step);
  for (const auto& [name, field] : batch.fields) {
    const auto& tensor = std::get<at::Tensor>(field);
    key += format(";{}:{}[{}][{}]", name, at::toString(tensor.scalar_type()), fmt::join(tensor.sizes(), ","),
                  fmt::join(tensor.strides(), ","));
  }
  return key;
}

}  // namespace

/// A shape of batches. Once `work` is there, the others are what it reads and writes.
struct StepGraphs::Shape {
  int64_t rehearsals = 0;
  Batch batch;
  tasks::Losses losses;  ///< of the latest replay
  std::vector<const void*> places;
  std::unique_ptr<RecordedWork> work;

  ~Shape() { forget(); }

  void forget() {
    work.reset();  // before its memory
    batch = {};
    losses = {};
    rehearsals = 0;
  }
};

StepGraphs::StepGraphs(std::unique_ptr<GraphRecorder> recorder, torch::nn::Module& network, at::Generator drawn_from)
    : recorder_(std::move(recorder)),
      parameters_(network.parameters()),
      buffers_(network.buffers()),
      drawn_from_(std::move(drawn_from)) {
  UNIREPLK_CHECK(recorder_ && !parameters_.empty(), "step graphs: expected a recorder, and a network with parameters");
  gradients_.resize(parameters_.size());
}

StepGraphs::~StepGraphs() = default;

void StepGraphs::zero_gradients() {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> defined;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& gradient = parameters_[i].mutable_grad();
    if (!recorder_) gradient.reset();
    if (!gradient.defined()) continue;
    if (!gradient.is_same(gradients_[i])) gradient = gradients_[i] = at::zeros_like(parameters_[i].detach());
    defined.push_back(gradient);
  }
  if (!defined.empty()) at::_foreach_zero_(defined);
}

tasks::Losses StepGraphs::run(const Batch& batch, int64_t per_step, const Pass& pass) {
  Shape* shape = recorder_ ? shape_of(batch, per_step) : nullptr;
  if (shape && shape->work && shape->places != places()) shape->forget();
  if (shape && !shape->work && shape->rehearsals >= kRehearsals && gradients_lie_still()) {
    record(*shape, batch, pass);  // after which it may be gone
    if (!recorder_) shape = nullptr;
  }
  if (!recorder_) return pass(batch);
  if (shape && shape->work) return replay(*shape, batch);
  if (shape) ++shape->rehearsals;
  return rehearse(batch, pass);
}

void StepGraphs::clear() {
  shapes_.clear();
  for (size_t i = 0; i < parameters_.size(); ++i) {
    parameters_[i].mutable_grad().reset();
    gradients_[i].reset();
  }
}

size_t StepGraphs::count() const {
  return static_cast<size_t>(
      std::ranges::count_if(shapes_, [](const auto& entry) { return entry.second->work != nullptr; }));
}

/// Why a pass over a batch cannot be recorded; empty when it can.
std::string StepGraphs::obstacle(const Batch& batch) const {
  const at::Device device = parameters_.front().device();
  for (const auto& [name, field] : batch.fields) {
    const auto* tensor = std::get_if<at::Tensor>(&field);
    if (!tensor) return format("the field \"{}\" of a batch is a list", name);
    if (tensor->device() != device) return format("the field \"{}\" of a batch is not on {}", name, device.str());
    if (!tensor->is_non_overlapping_and_dense()) return format("the field \"{}\" of a batch has gaps", name);
  }
  return "";
}

/// Null for batches that are not recorded.
StepGraphs::Shape* StepGraphs::shape_of(const Batch& batch, int64_t per_step) {
  if (const auto reason = obstacle(batch); !reason.empty()) {
    tell_once(reason);
    return nullptr;
  }
  const auto key = key_of(batch, per_step);
  const auto found = shapes_.find(key);
  if (found != shapes_.end()) return found->second.get();
  if (shapes_.size() == kMostShapes) {
    tell_once(format("batches come in more than {} shapes", kMostShapes));
    return nullptr;
  }
  return shapes_.emplace(key, std::make_unique<Shape>()).first->second.get();
}

tasks::Losses StepGraphs::rehearse(const Batch& batch, const Pass& pass) {
  tasks::Losses losses;
  recorder_->rehearse([&] { losses = run_freshly(batch, pass); });
  return losses;
}

/// Run a pass for gradients of its own, and add these to what parameters have.
tasks::Losses StepGraphs::run_freshly(const Batch& batch, const Pass& pass) const {
  FreshGradients fresh(parameters_);
  tasks::Losses losses = pass(batch);
  fresh.add();
  return losses;
}

void StepGraphs::record(Shape& shape, const Batch& batch, const Pass& pass) {
  std::string failure;
  try {
    shape.batch = batch.with_each([](const at::Tensor& t) { return t.detach().clone(); });
    shape.places = places();
    shape.work =
        recorder_->record([this, &shape, pass] { shape.losses = run_freshly(shape.batch, pass); }, drawn_from_);
  } catch (const std::exception& error) {
    failure = short_message(error);
  }
  if (failure.empty() && !gradients_lie_still()) failure = "a parameter had its first gradient";
  put_gradients_back();
  if (!failure.empty()) return give_up("the pass could not be recorded: " + failure);
  log_info("recorded the pass of micro-batches of {} samples", batch.size());
}

tasks::Losses StepGraphs::replay(Shape& shape, const Batch& batch) {
  {
    const at::NoGradGuard no_grad;
    for (const auto& [name, field] : batch.fields) {
      at::Tensor(shape.batch.tensor(name)).copy_(std::get<at::Tensor>(field), /*non_blocking=*/true);
    }
  }
  shape.work->replay();
  for (const auto& buffer : buffers_) buffer.unsafeGetTensorImpl()->bump_version();  // caches of weights look at it
  tasks::Losses losses{.total = shape.losses.total.clone(), .parts = {}};
  for (const auto& [name, value] : shape.losses.parts) losses.parts.emplace_back(name, value.clone());
  return losses;
}

bool StepGraphs::gradients_lie_still() const {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].grad().is_same(gradients_[i])) return false;
  }
  return true;
}

void StepGraphs::put_gradients_back() {
  for (size_t i = 0; i < parameters_.size(); ++i) parameters_[i].mutable_grad() = gradients_[i];
}

/// Where everything lies that outlives a pass.
std::vector<const void*> StepGraphs::places() const {
  std::vector<const void*> places;
  const auto add = [&](const at::Tensor& tensor) {
    places.push_back(tensor.defined() ? tensor.const_data_ptr() : nullptr);
  };
  for (const auto& parameter : parameters_) {
    add(parameter);
    add(parameter.grad());
  }
  for (const auto& buffer : buffers_) add(buffer);
  return places;
}

/// From here on steps run without recordings.
void StepGraphs::give_up(const std::string& reason) {
  shapes_.clear();
  recorder_.reset();
  std::ranges::fill(gradients_, at::Tensor());
  log_warning("train.cuda_graphs: {}. Steps run without graphs from here on; the key may as well be left out", reason);
}

void StepGraphs::tell_once(const std::string& reason) {
  if (std::exchange(has_told_, true)) return;
  log_warning("train.cuda_graphs: {}; such batches run without graphs", reason);
}

}  // namespace unireplk::train
