#pragma once

#include <ATen/ATen.h>

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "unireplk/tensor/collective.h"

namespace unireplk::test {

/// Ranks that are threads of this process.
class ThreadRanks {
 public:
  explicit ThreadRanks(int64_t count) : count_(count), slots_(static_cast<size_t>(count)) {}

  /// Run `work` once for each rank, all at the same time. Rethrows what the first failed rank threw; the others fail at
  /// their next call.
  void run(const std::function<void(const std::shared_ptr<Collective>&)>& work) {
    std::vector<std::thread> threads;
    for (int64_t i = 0; i < count_; ++i) {
      threads.emplace_back([&, i] {
        try {
          work(std::make_shared<Member>(*this, i));
        } catch (...) {
          give_up(std::current_exception());
        }
      });
    }
    for (auto& thread : threads) thread.join();
    if (failure_) std::rethrow_exception(failure_);
  }

  int64_t calls() const { return calls_; }  ///< of all_gather and all_reduce, each counted once

 private:
  struct Member : Collective {
    Member(ThreadRanks& all, int64_t i) : ranks(all), index(i) {}

    Rank rank() const override { return {index, ranks.count_}; }
    at::Tensor all_gather(const at::Tensor& mine) override { return ranks.exchange(index, mine); }
    at::Tensor all_reduce(const at::Tensor& mine) override { return ranks.exchange(index, mine).sum(0); }

    ThreadRanks& ranks;
    int64_t index;
  };

  at::Tensor exchange(int64_t rank, const at::Tensor& mine) {
    std::unique_lock lock(mutex_);
    slots_[static_cast<size_t>(rank)] = mine.detach().clone();
    const int64_t call = calls_;
    if (++arrived_ == count_) {
      result_ = at::stack(slots_);
      arrived_ = 0;
      ++calls_;
      changed_.notify_all();
    } else {
      changed_.wait(lock, [&] { return calls_ != call || failure_; });
      if (calls_ == call) throw std::runtime_error("another rank failed");
    }
    return result_.clone();
  }

  void give_up(std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = failure;
    changed_.notify_all();
  }

  int64_t count_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<at::Tensor> slots_;
  at::Tensor result_;
  int64_t arrived_ = 0, calls_ = 0;
  std::exception_ptr failure_;
};

}  // namespace unireplk::test
