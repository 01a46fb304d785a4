#include "unireplk/train/micro_batches.h"

#include "unireplk/core/error.h"

namespace unireplk::train {
namespace {

/// Samples [begin, begin + size), in memory of their own.
Batch piece_of(const Batch& batch, int64_t begin, int64_t size) {
  Batch piece;
  for (const auto& [name, field] : batch.fields) {
    if (const auto* stacked = std::get_if<at::Tensor>(&field)) {
      piece.fields.emplace(name, stacked->narrow(0, begin, size).clone());
    } else {
      const auto& list = std::get<std::vector<at::Tensor>>(field);
      piece.fields.emplace(name, std::vector<at::Tensor>(list.begin() + begin, list.begin() + begin + size));
    }
  }
  piece.keys.assign(batch.keys.begin() + begin, batch.keys.begin() + begin + size);
  piece.sources.assign(batch.sources.begin() + begin, batch.sources.begin() + begin + size);
  return piece;
}

}  // namespace

MicroBatches::MicroBatches(data::Loader& loader, int64_t batches_per_step, int64_t multiple)
    : loader_(loader), batches_per_step_(batches_per_step), multiple_(multiple) {}

void MicroBatches::start(int64_t epoch, int64_t step_in_epoch) {
  batch_.reset();
  next_piece_ = 0;
  loader_.start(epoch, step_in_epoch * batches_per_step_);
}

Batch MicroBatches::next() {
  if (next_piece_ == 0) {
    batch_ = loader_.next();
    UNIREPLK_CHECK(batch_, "the training data ended within an epoch");
    batch_size_ = batch_->size();
  }
  if (pieces_ == 1) return *std::exchange(batch_, std::nullopt);
  UNIREPLK_CHECK(batch_size_ % pieces_ == 0, "a batch of {} samples, to be cut in {} pieces", batch_size_, pieces_);
  Batch piece = piece_of(*batch_, next_piece_ * size(), size());
  next_piece_ = (next_piece_ + 1) % pieces_;
  if (next_piece_ == 0) batch_.reset();
  return piece;
}

bool MicroBatches::halve() {
  if (batch_size_ == 0 || batch_size_ % (2 * pieces_ * multiple_) != 0) return false;
  pieces_ *= 2;
  return true;
}

void MicroBatches::save(StateWriter& writer) const {
  loader_.save(writer);
  writer.integer("pieces", pieces_);
}

void MicroBatches::load(const StateReader& reader) {
  loader_.load(reader);
  pieces_ = reader.has("pieces") ? reader.integer("pieces") : 1;
}

}  // namespace unireplk::train
