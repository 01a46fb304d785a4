#include "unireplk/data/loader.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "unireplk/core/log.h"
#include "unireplk/data/bad_item_log.h"
#include "unireplk/data/batch_job.h"
#include "unireplk/tensor/out_of_memory.h"

namespace unireplk::data {
namespace {

using Clock = std::chrono::steady_clock;

/// Share of an epoch that one chain of bad neighbours may reach before a slot gives up: next() fails then
/// anyway.
int64_t tries_of(int64_t size, double max_bad_fraction) {
  return static_cast<int64_t>(static_cast<double>(size) * max_bad_fraction) + 2;
}

}  // namespace

class Loader::Impl {
 public:
  Impl(const Dataset& dataset, const Sampler& sampler, Mode mode, LoaderConfig config, Context context,
       std::chrono::milliseconds patience, std::unique_ptr<Transfer> transfer)
      : dataset_(dataset),
        sampler_(sampler),
        config_(config),
        context_(context),
        patience_(patience),
        transfer_(transfer ? std::move(transfer) : make_transfer(context.device)),
        reader_{dataset_, mode, context.seed, tries_of(dataset_.size(), config.max_bad_fraction)},
        bad_(mode, dataset_.size(), config.max_bad_fraction),
        working_on_(static_cast<size_t>(config.workers), -1) {
    for (size_t w = 0; w < working_on_.size(); ++w) {
      workers_.emplace_back([this, w](std::stop_token stop) { work(stop, w); });
    }
  }

  ~Impl() {
    for (auto& worker : workers_) worker.request_stop();
    workers_.clear();  // joins before anything they use goes
  }

  void start(int64_t epoch, int64_t step) {
    ahead_.reset();
    const std::lock_guard lock(mutex_);
    queue_.clear();  // workers keep their job alive and finish it for nobody
    epoch_ = epoch;
    next_step_ = step;
    steps_ = sampler_.steps(epoch);
    UNIREPLK_CHECK(step >= 0 && step <= steps_, "loader: step {} of an epoch of {} steps", step, steps_);
    bad_.start_epoch(epoch, step * config_.batch_size, epoch_samples());
    is_started_ = true;
    work_.notify_all();
  }

  std::optional<Batch> next() {
    UNIREPLK_CHECK(is_started_, "loader: start() has to come before next()");
    std::optional<Batch> batch = ahead_ ? arrived() : read();
    if (batch) send_ahead();
    return batch;
  }

  BadItemLog& bad_items() { return bad_; }
  double seconds_waited() const { return seconds_waited_; }

 private:
  using JobPtr = std::shared_ptr<BatchJob>;

  /// Samples that this epoch asks this rank for; padding is not worth telling apart.
  int64_t epoch_samples() const {
    const int64_t share = (dataset_.size() + context_.rank.count - 1) / context_.rank.count;
    return std::min(share, steps_ * config_.batch_size);
  }

  /// Begin the next batch if the epoch has one and the queue has room. Under the lock.
  JobPtr new_job() {
    if (next_step_ >= steps_ || queue_.size() >= static_cast<size_t>(config_.prefetch)) return {};
    auto job = std::make_shared<BatchJob>();
    job->epoch = epoch_;
    try {
      job->keys = sampler_.batch(epoch_, next_step_++, context_.rank);
      job->slots.resize(job->keys.size());
    } catch (...) {  // reaches next() in its turn, as a batch of one failed slot
      job->keys = {{.padding = true}};
      job->slots = {Slot{.samples = {}, .bad = {}, .error = std::current_exception()}};
      job->taken = job->finished = 1;
    }
    queue_.push_back(job);
    if (job->is_ready()) ready_.notify_one();
    return job;
  }

  /// The first batch with a slot that nobody has taken. Under the lock.
  JobPtr job_with_work() {
    for (const auto& job : queue_) {
      if (job->has_work()) return job;
    }
    while (auto job = new_job()) {
      if (job->has_work()) return job;
    }
    return {};
  }

  void work(const std::stop_token& stop, size_t worker) {
    std::unique_lock lock(mutex_);
    JobPtr job;
    while (work_.wait(lock, stop, [&] { return (job = job_with_work()) != nullptr; })) {
      const size_t slot = job->taken++;
      const SampleKey key = job->keys[slot];
      working_on_[worker] = key.item;
      lock.unlock();
      Slot result = reader_.read(key, job->epoch);
      lock.lock();
      working_on_[worker] = -1;
      job->slots[slot] = std::move(result);
      if (++job->finished == job->keys.size()) ready_.notify_one();
    }
  }

  /// The batch at the front of the queue, complete; null at the end of the epoch.
  JobPtr take_ready() { return workers_.empty() ? read_here() : wait_for_workers(); }

  JobPtr read_here() {
    const std::lock_guard lock(mutex_);
    const JobPtr job = new_job();
    if (!job) return {};
    queue_.pop_front();
    for (; job->has_work(); ++job->taken) {
      job->slots[job->taken] = reader_.read(job->keys[job->taken], job->epoch);
    }
    return job;
  }

  JobPtr wait_for_workers() {
    std::unique_lock lock(mutex_);
    if (queue_.empty() && next_step_ >= steps_) return {};
    const auto is_ready = [&] { return !queue_.empty() && queue_.front()->is_ready(); };
    if (!ready_.wait_for(lock, patience_, is_ready)) {
      name_slow_files();
      ready_.wait(lock, is_ready);
    }
    JobPtr job = queue_.front();
    queue_.pop_front();
    work_.notify_all();
    return job;
  }

  /// Once in the life of the loader. Under the lock.
  void name_slow_files() {
    if (std::exchange(has_warned_, true)) return;
    std::vector<std::string> files;
    for (const int64_t item : working_on_) {
      if (item >= 0) files.push_back(dataset_.source->where(item).text());
    }
    log_warning("waiting for data for {} s; workers are reading {}. Check the disk or network behind these files",
                std::chrono::duration<double>(patience_).count(),
                files.empty() ? "nothing" : format("{}", fmt::join(files, ", ")));
  }

  /// The next batch, from the queue; nothing at the end of the epoch.
  std::optional<Batch> read() {
    while (true) {
      const auto begin = Clock::now();
      const auto job = take_ready();
      seconds_waited_ += std::chrono::duration<double>(Clock::now() - begin).count();
      if (!job) {
        bad_.finish_epoch();
        return {};
      }
      count_bad(*job);
      auto samples = samples_of(*job);
      if (!samples.empty()) return to_device(make_batch(std::move(samples), dataset_.info));
    }
  }

  Batch to_device(const Batch& batch) {
    if (transfer_) return transfer_->send(batch)->arrive();
    return context_.device.is_cpu() ? batch : batch.to(context_.device);
  }

  /// A batch that the device gets before it is asked for, or what came in the way of that.
  struct Ahead {
    JobPtr job;
    Batch on_host;
    std::unique_ptr<BatchInFlight> batch;  ///< null: the device had no memory for it beside the one before
    std::exception_ptr error;
  };

  /// Send the batch after the one that is handed over, if it is there. Nothing is counted yet, and no error told.
  void send_ahead() {
    if (!transfer_) return;
    JobPtr job = take_complete();
    if (!job) return;
    ahead_.emplace(Ahead{.job = job, .on_host = {}, .batch = nullptr, .error = nullptr});
    try {
      ahead_->on_host = make_batch(samples_of(*job), dataset_.info);
      ahead_->batch = transfer_->send(ahead_->on_host);
    } catch (const std::exception& error) {  // reaches next() in its turn
      const bool may_fit_later = !ahead_->on_host.fields.empty() && is_out_of_memory(error);
      if (!may_fit_later) ahead_->error = std::current_exception();
    }
  }

  Batch arrived() {
    const Ahead ahead = *std::exchange(ahead_, std::nullopt);
    count_bad(*ahead.job);
    if (ahead.error) std::rethrow_exception(ahead.error);
    return ahead.batch ? ahead.batch->arrive() : to_device(ahead.on_host);
  }

  /// The batch at the front of the queue if it is complete, and good to be sent.
  JobPtr take_complete() {
    const std::lock_guard lock(mutex_);
    if (queue_.empty() || !queue_.front()->is_ready() || !queue_.front()->has_samples()) return {};
    JobPtr job = queue_.front();
    queue_.pop_front();
    work_.notify_all();
    return job;
  }

  /// \throws what a slot has met, and UserError when too many samples are bad.
  void count_bad(const BatchJob& job) {
    for (size_t i = 0; i < job.slots.size(); ++i) {
      if (job.slots[i].error) std::rethrow_exception(job.slots[i].error);
      if (!job.keys[i].padding) bad_.add(job.slots[i].bad);
    }
  }

  static std::vector<Sample> samples_of(BatchJob& job) {
    std::vector<Sample> samples;
    for (Slot& slot : job.slots) std::move(slot.samples.begin(), slot.samples.end(), std::back_inserter(samples));
    return samples;
  }

  const Dataset dataset_;
  const Sampler& sampler_;
  const LoaderConfig config_;
  const Context context_;
  const std::chrono::milliseconds patience_;
  const std::unique_ptr<Transfer> transfer_;  ///< null: batches stay where they are, or are copied on the spot
  const SlotReader reader_;

  // Of the thread that calls next().
  std::optional<Ahead> ahead_;
  BadItemLog bad_;
  double seconds_waited_ = 0;
  bool has_warned_ = false;

  std::mutex mutex_;
  std::condition_variable_any work_;  // a slot may be free
  std::condition_variable ready_;     // the batch at the front may be complete
  std::deque<JobPtr> queue_;          // in the order of the epoch, at most `prefetch`
  std::vector<int64_t> working_on_;   // item of each worker; -1: none
  bool is_started_ = false;
  int64_t epoch_ = 0;
  int64_t next_step_ = 0;
  int64_t steps_ = 0;
  std::vector<std::jthread> workers_;
};

Loader::Loader(const Dataset& dataset, const Sampler& sampler, Mode mode, LoaderConfig config, Context context,
               std::chrono::milliseconds patience, std::unique_ptr<Transfer> transfer)
    : impl_(std::make_unique<Impl>(dataset, sampler, mode, config, context, patience, std::move(transfer))) {}

Loader::~Loader() = default;

void Loader::start(int64_t epoch, int64_t step) { impl_->start(epoch, step); }

std::optional<Batch> Loader::next() { return impl_->next(); }

BadSamples Loader::bad() const { return impl_->bad_items().total(); }

double Loader::seconds_waited() const { return impl_->seconds_waited(); }

void Loader::save(StateWriter& writer) const { impl_->bad_items().save(writer); }

void Loader::load(const StateReader& reader) { impl_->bad_items().load(reader); }

}  // namespace unireplk::data
