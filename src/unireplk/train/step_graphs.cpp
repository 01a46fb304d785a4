#include "unireplk/train/step_graphs.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_zero.h>
#include <ATen/ops/empty_like.h>
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
std::string key_of(const std::string& work, const Batch& batch) {
  std::string key = work;
  for (const auto& [name, field] : batch.fields) {
    const auto& tensor = std::get<at::Tensor>(field);
    key += format(";{}:{}[{}][{}]", name, at::toString(tensor.scalar_type()), fmt::join(tensor.sizes(), ","),
                  fmt::join(tensor.strides(), ","));
  }
  return key;
}

/// Whether an error says so, be it in words for people.
bool lacks_memory(const std::exception& error) {
  return is_out_of_memory(error) || dynamic_cast<const MemoryError*>(&error) != nullptr;
}

}  // namespace

/// A shape of batches, and what is done with them. Once `work` is there, the others are what it reads and writes.
struct StepGraphs::Shape {
  int64_t rehearsals = 0;
  bool is_refused = false;  ///< memory does not hold a recording
  Batch batch;
  StepValues values;  ///< of the latest replay
  std::vector<const void*> places;
  std::unique_ptr<RecordedWork> work;

  ~Shape() { drop(); }

  bool may_be_recorded() const { return !work && !is_refused && rehearsals >= kRehearsals; }

  void drop() {
    work.reset();  // before its memory
    batch = {};
    values = {};
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

StepValues StepGraphs::run_step(const Batch& batch, const Work& step) {
  return run(batch, "step", "step", [this, step](const Batch& given) {
    const FreshGradients fresh(parameters_);  // that nobody keeps
    return step(given);
  });
}

StepValues StepGraphs::run_pass(const Batch& batch, int64_t per_step, const Work& pass) {
  if (!recorder_) return pass(batch);
  return run(batch, "pass", format("pass of {}", per_step), [this, pass](const Batch& given) {
    FreshGradients fresh(parameters_);
    StepValues values = pass(given);
    fresh.add();
    return values;
  });
}

/// \param name  of the work, for people.
StepValues StepGraphs::run(const Batch& batch, const std::string& name, const std::string& key, const Work& work) {
  Shape* shape = recorder_ ? shape_of(batch, key) : nullptr;
  if (shape && shape->work && shape->places != places()) {
    shape->drop();
    shape->rehearsals = 0;
  }
  if (shape && shape->may_be_recorded() && gradients_lie_still()) {
    record(*shape, batch, name, work);  // after which it may be gone
    if (!recorder_) shape = nullptr;
  }
  if (!recorder_) return work(batch);
  if (shape && shape->work) return replay(*shape, batch);
  if (shape) ++shape->rehearsals;
  return rehearse(batch, work);
}

void StepGraphs::clear() {
  shapes_.clear();
  for (size_t i = 0; i < parameters_.size(); ++i) {
    parameters_[i].mutable_grad().reset();
    gradients_[i].reset();
  }
}

void StepGraphs::drop_recordings() {
  for (const auto& [key, shape] : shapes_) shape->drop();
}

size_t StepGraphs::count() const {
  return static_cast<size_t>(
      std::ranges::count_if(shapes_, [](const auto& entry) { return entry.second->work != nullptr; }));
}

/// Why work on a batch cannot be recorded; empty when it can.
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
StepGraphs::Shape* StepGraphs::shape_of(const Batch& batch, const std::string& work) {
  if (const auto reason = obstacle(batch); !reason.empty()) {
    tell_once(reason);
    return nullptr;
  }
  const auto key = key_of(work, batch);
  const auto found = shapes_.find(key);
  if (found != shapes_.end()) return found->second.get();
  if (shapes_.size() == kMostShapes) {
    tell_once(format("batches come in more than {} shapes", kMostShapes));
    return nullptr;
  }
  return shapes_.emplace(key, std::make_unique<Shape>()).first->second.get();
}

StepValues StepGraphs::rehearse(const Batch& batch, const Work& work) {
  StepValues values;
  recorder_->rehearse([&] { values = work(batch); });
  return values;
}

void StepGraphs::record(Shape& shape, const Batch& batch, const std::string& name, const Work& work) {
  std::string failure;
  bool is_memory = false;
  try {
    shape.batch = batch.with_each([](const at::Tensor& t) { return t.detach().clone(); });
    shape.places = places();
    shape.work = recorder_->record([&shape, work] { shape.values = work(shape.batch); }, drawn_from_);
  } catch (const std::exception& error) {
    failure = short_message(error);
    is_memory = lacks_memory(error);
  }
  if (failure.empty() && !gradients_lie_still()) failure = "a parameter had its first gradient";
  put_gradients_back();
  if (is_memory) return refuse(shape, format("memory does not hold a recording of the {} ({})", name, failure));
  if (!failure.empty()) return give_up(format("the {} could not be recorded: {}", name, failure));
  log_info("recorded the {} of batches of {} samples", name, batch.size());
}

StepValues StepGraphs::replay(Shape& shape, const Batch& batch) {
  // A step that has been replayed must not fail for want of memory, or it would begin again. What it tells is known
  // beforehand where recording has run the work on the host, as it has for every device.
  const StepValues values = shape.values.with_each([](const at::Tensor& value) { return at::empty_like(value); });
  {
    const at::NoGradGuard no_grad;
    for (const auto& [name, field] : batch.fields) {
      at::Tensor(shape.batch.tensor(name)).copy_(std::get<at::Tensor>(field), /*non_blocking=*/true);
    }
  }
  shape.work->replay();
  for (const auto* changed : {&parameters_, &buffers_}) {  // caches of weights look at versions
    for (const auto& tensor : *changed) tensor.unsafeGetTensorImpl()->bump_version();
  }
  if (!values.loss.defined()) return shape.values.with_each([](const at::Tensor& value) { return value.clone(); });
  at::_foreach_copy_(values.tensors(), shape.values.tensors());
  return values;
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

void StepGraphs::give_up(const std::string& reason) {
  shapes_.clear();
  recorder_.reset();
  std::ranges::fill(gradients_, at::Tensor());
  log_warning("train.cuda_graphs: {}. Steps run without graphs from here on; the key may as well be left out", reason);
}

/// From here on batches of a shape run without recordings. Those of others are void now, and made anew.
void StepGraphs::refuse(Shape& shape, const std::string& reason) {
  drop_recordings();
  shape.is_refused = true;
  log_warning("train.cuda_graphs: {}; batches of this shape run without graphs", reason);
}

void StepGraphs::tell_once(const std::string& reason) {
  if (std::exchange(has_told_, true)) return;
  log_warning("train.cuda_graphs: {}; such batches run without graphs", reason);
}

}  // namespace unireplk::train
