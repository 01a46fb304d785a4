#include "unireplk/train/checkpoint_writer.h"

#include <chrono>
#include <exception>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/core/log.h"

namespace unireplk::train {
namespace {

/// The state of a section at one moment.
class StateCopy : public Stateful {
 public:
  explicit StateCopy(const Stateful& original) { original.save(state_); }

  void save(StateWriter& writer) const override { state_.write_to(writer); }
  void load(const StateReader&) override { throw ContractError("a copy of a state takes no other"); }

 private:
  io::StateBuffer state_;
};

}  // namespace

void CheckpointWriter::save(int64_t step, const std::vector<Section>& sections, bool is_best) {
  finish();
  std::vector<std::pair<std::string, StateCopy>> copies;
  for (const auto& section : sections) copies.emplace_back(section.name, StateCopy(*section.state));
  writing_ = std::async(std::launch::async, [this, step, copies = std::move(copies), is_best]() mutable {
    std::vector<Section> copied;
    for (auto& [name, state] : copies) copied.push_back({name, &state});
    store_.save(step, copied, is_best);
  });
}

void CheckpointWriter::check() {
  if (writing_.valid() && writing_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) finish();
}

void CheckpointWriter::finish() {
  if (writing_.valid()) writing_.get();
}

void CheckpointWriter::settle() noexcept {
  try {
    finish();
  } catch (const std::exception& error) {
    log_warning("the last checkpoint could not be written: {}", error.what());
  }
}

}  // namespace unireplk::train
