#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <cstdio>

#include "models/shared_step.h"
#include "support/catch.h"
#include "support/child.h"
#include "support/temporary_folder.h"

/// Ranks that are processes of their own, joined by Gloo.
namespace unireplk::models {
namespace {

class GlooRank : public Collective {
 public:
  GlooRank(const std::string& meeting_file, Rank rank) : rank_(rank) {
    const auto options = c10d::ProcessGroupGloo::Options::create();
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
    const auto store = c10::make_intrusive<c10d::FileStore>(meeting_file, static_cast<int>(rank.count));
    group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store, static_cast<int>(rank.index),
                                                         static_cast<int>(rank.count), options);
  }

  Rank rank() const override { return rank_; }

  at::Tensor all_gather(const at::Tensor& mine) override {
    std::vector<std::vector<at::Tensor>> all(1);
    for (int64_t i = 0; i < rank_.count; ++i) all[0].push_back(at::empty_like(mine));
    std::vector<at::Tensor> given{mine.contiguous()};
    group_->allgather(all, given)->wait();
    return at::stack(all[0]);
  }

  at::Tensor all_reduce(const at::Tensor& mine) override {
    std::vector<at::Tensor> sum{mine.contiguous().clone()};
    group_->allreduce(sum)->wait();
    return sum[0];
  }

 private:
  Rank rank_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

/// A rank's part, held to the step of one process. \throws std::runtime_error naming what differs.
void check_rank(const std::string& meeting_file, Rank rank) {
  const auto collective = std::make_shared<GlooRank>(meeting_file, rank);
  const int64_t first = rank.index == 0 ? 0 : 2, end = rank.index == 0 ? 2 : 5;
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    auto got = step_of(first, end, dtype, collective);
    for (auto& [name, gradient] : got.gradients) gradient = collective->all_reduce(gradient);
    auto one = step_of(0, 5, at::kDouble, {});
    one.logits = one.logits.slice(0, first, end);
    const auto what = difference(got, one, dtype == at::kFloat);
    if (what.empty()) continue;
    std::fprintf(stderr, "rank %d: %s differs\n", static_cast<int>(rank.index), what.c_str());
    throw std::runtime_error(what);
  }
}

TEST_CASE("synchronise_norms: two processes with unequal batches equal one with all images", "[numeric]") {
  const test::TemporaryFolder folder;
  const auto meeting_file = (folder.path() / "meeting").string();
  test::Child first([&] { check_rank(meeting_file, {0, 2}); }), second([&] { check_rank(meeting_file, {1, 2}); });
  CHECK(first.wait() == 0);
  CHECK(second.wait() == 0);
}

}  // namespace
}  // namespace unireplk::models
