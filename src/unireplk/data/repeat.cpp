#include "unireplk/data/repeat.h"

#include <utility>

namespace unireplk::data {
namespace {

class Repeat : public Source {
 public:
  Repeat(std::unique_ptr<Source> once, int64_t times) : once_(std::move(once)), times_(times) {}

  int64_t size() const override { return once_->size() * times_; }
  SourceRef where(int64_t index) const override { return once_->where(index % once_->size()); }
  std::optional<int64_t> label(int64_t index) const override { return once_->label(index % once_->size()); }
  std::vector<int64_t> labels(int64_t index) const override { return once_->labels(index % once_->size()); }
  DataInfo info() const override { return once_->info(); }
  std::vector<std::filesystem::path> files() const override { return once_->files(); }

  Result<Record> read(int64_t index) const override {
    auto record = once_->read(index % once_->size());
    if (record) record->key.item = index;
    return record;
  }

 private:
  std::unique_ptr<Source> once_;
  int64_t times_;
};

}  // namespace

std::unique_ptr<Source> make_repeat(const RepeatConfig& config) {
  return std::make_unique<Repeat>(config.source.make(), config.times);
}

}  // namespace unireplk::data
