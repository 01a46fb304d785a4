#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "unireplk/config/constraints.h"
#include "unireplk/data/dataset.h"
#include "unireplk/data/sampler.h"
#include "unireplk/tensor/context.h"
#include "unireplk/tensor/state.h"
#include "unireplk/tensor/transfer.h"

namespace unireplk::data {

struct LoaderConfig {
  int64_t batch_size = 64;
  int64_t workers = 2;
  int64_t prefetch = 4;
  double max_bad_fraction = 0.01;

  static void fields(auto& self, auto&& visit) {
    visit("batch_size", self.batch_size, config::at_least(1), "Samples of one micro-batch in each process.");
    visit("workers", self.workers, config::between(0, 1024), "Threads that decode; 0 decodes in the training thread.");
    visit("prefetch", self.prefetch, config::between(1, 1024), "Batches kept ready.");
    visit("max_bad_fraction", self.max_bad_fraction, config::fraction,
          "Share of unreadable samples of an epoch at which training stops.");
  }
};

/// Unreadable samples of the epoch begun last, with the first of them named.
struct BadSamples {
  int64_t count = 0;
  int64_t total = 0;  ///< samples asked for, bad ones included
  std::string first;
};

/// Batches of a data set in the sampler's order, decoded by worker threads. The number of workers changes no bit.
///
/// A bad sample is named once in the log and counted. In training the next good item stands in for it, in evaluation it
/// is left out. Padding becomes the first good item, marked as padding. Its state is the account of the epoch's bad
/// samples.
///
/// Where batches are copied to a device, the one after that which next() returns is on its way already, if it was
/// complete by then: what next() returns, throws and counts is the same.
class Loader : public Stateful {
 public:
  /// `sampler` must outlive the loader. Batches go to the device of the context.
  /// \param patience  how long next() waits until a warning names, once, the files that the workers are stuck on.
  /// \param transfer  how batches get to the device; null: as make_transfer() says.
  Loader(const Dataset& dataset, const Sampler& sampler, Mode mode, LoaderConfig config, Context context,
         std::chrono::milliseconds patience = std::chrono::minutes(1), std::unique_ptr<Transfer> transfer = nullptr);
  ~Loader() override;

  /// Begin at batch `step` of `epoch`; what was in flight is dropped. Has to come before the first next(). The account
  /// of bad samples begins anew with every epoch, and goes on in the middle of one.
  void start(int64_t epoch, int64_t step = 0);

  /// The next batch; nothing at the end of the epoch.
  ///
  /// \throws UserError when more than max_bad_fraction of this rank's samples of a training epoch are bad, or every
  ///         sample of an evaluation; and whatever source or pipeline have thrown. Batches come in order, so it does
  ///         not depend on the number of workers when this happens. Then call start() or drop the loader.
  std::optional<Batch> next();

  BadSamples bad() const;

  /// Seconds that next() has waited for data since construction.
  double seconds_waited() const;

  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace unireplk::data
