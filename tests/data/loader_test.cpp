#include "unireplk/data/loader.h"

#include <ATen/Context.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <latch>
#include <map>
#include <new>
#include <set>
#include <stdexcept>
#include <thread>

#include "support/captured_log.h"
#include "support/catch.h"
#include "unireplk/core/log.h"
#include "unireplk/io/state_file.h"

using namespace unireplk;
using namespace unireplk::data;
using Catch::Matchers::Contains;

namespace {

/// Items 0 .. size - 1; some cannot be read, one throws.
class Numbers : public Source {
 public:
  explicit Numbers(int64_t size, std::set<int64_t> bad = {}, int64_t throwing = -1)
      : size_(size), bad_(std::move(bad)), throwing_(throwing) {}

  int64_t size() const override { return size_; }
  Result<Record> read(int64_t index) const override {
    ++reads;
    if (index == throwing_) throw std::runtime_error("the disk is on fire");
    std::this_thread::sleep_for(std::chrono::microseconds(index * 37 % 400));  // so that workers finish out of order
    if (bad_.contains(index)) return Problem{format("item{}.jpg", index), "truncated", ""};
    return Record{.payload = at::tensor(index),
                  .target = {{"label", at::tensor(index)}},
                  .key = {},
                  .source = {.file = "numbers", .position = index}};
  }
  DataInfo info() const override {
    return {
        .fields = {{.name = "label", .dtype = at::kLong, .shape = {1}, .meaning = ""}}, .classes = {}, .constants = {}};
  }

  mutable std::atomic<int64_t> reads = 0;

 private:
  int64_t size_;
  std::set<int64_t> bad_;
  int64_t throwing_;
};

/// `noise`: four random values; `views` samples of each record.
class Noise : public Pipeline {
 public:
  explicit Noise(int32_t views = 1) : views_(views) {}

  Result<std::vector<Sample>> apply(const Record& record, const Draw& draw) const override {
    std::vector<Sample> samples;
    for (int32_t view = 0; view < views_; ++view) {
      RandomStream random = draw.stream(static_cast<uint32_t>(view));
      Sample sample{.fields = record.target, .key = {.item = record.key.item, .view = view}, .source = record.source};
      sample.fields["noise"] = at::tensor({random.uniform(), random.uniform(), random.uniform(), random.uniform()});
      samples.push_back(std::move(sample));
    }
    return samples;
  }
  DataInfo describe(DataInfo source) const override {
    source.fields.push_back({.name = "noise", .dtype = at::kDouble, .shape = {4}, .meaning = ""});
    return source;
  }

 private:
  int32_t views_;
};

struct Setting {
  int64_t size = 40;
  std::set<int64_t> bad = {};
  int64_t throwing = -1;
  Mode mode = Mode::kTrain;
  int64_t batch_size = 4;
  int64_t workers = 2;
  double max_bad_fraction = 0.5;
  int32_t views = 1;
  Rank rank = {};
  int64_t aug_repeats = 1;
};

/// A loader with everything it needs.
class Bench {
 public:
  explicit Bench(Setting s, std::unique_ptr<Transfer> transfer = nullptr, at::Device device = at::kCPU)
      : source(std::make_shared<Numbers>(s.size, s.bad, s.throwing)),
        sampler(s.mode == Mode::kTrain ? shuffled_sampler(s.size, s.batch_size, 3, s.rank.count, {s.aug_repeats})
                                       : sequential_sampler(s.size, s.batch_size, s.rank.count)),
        loader(
            make_dataset(source, std::make_shared<Noise>(s.views)), *sampler, s.mode,
            {.batch_size = s.batch_size, .workers = s.workers, .prefetch = 3, .max_bad_fraction = s.max_bad_fraction},
            {.device = device, .threads = 1, .seed = 11, .rank = s.rank}, std::chrono::minutes(1),
            std::move(transfer)) {}

  std::vector<Batch> rest() {
    std::vector<Batch> batches;
    while (auto batch = loader.next()) batches.push_back(*std::move(batch));
    return batches;
  }
  std::vector<Batch> epoch(int64_t epoch, int64_t step = 0) {
    loader.start(epoch, step);
    return rest();
  }

  std::shared_ptr<Numbers> source;
  std::unique_ptr<Sampler> sampler;
  Loader loader;
};

/// What became of the batches that a transfer has sent.
struct Sent {
  int64_t sent = 0, arrived = 0, dropped = 0;
};

/// Sends batches nowhere, and keeps account.
class CountedTransfer : public Transfer {
 public:
  explicit CountedTransfer(Sent& counts) : counts_(counts) {}

  std::unique_ptr<BatchInFlight> send(const Batch& batch) override {
    ++counts_.sent;
    return std::make_unique<InFlight>(counts_, batch);
  }

 private:
  class InFlight : public BatchInFlight {
   public:
    InFlight(Sent& counts, Batch batch) : counts_(counts), batch_(std::move(batch)) {}
    ~InFlight() override { counts_.dropped += has_arrived_ ? 0 : 1; }

    Batch arrive() override {
      ++counts_.arrived;
      has_arrived_ = true;
      return batch_;
    }

   private:
    Sent& counts_;
    Batch batch_;
    bool has_arrived_ = false;
  };

  Sent& counts_;
};

/// Wait until workers have read so many items, and had time to hand in the last.
void wait_for_reads(const Bench& bench, int64_t items) {
  while (bench.source->reads < items) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
}

bool equal(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    for (const auto* name : {"noise", "label"}) {
      if (!a[i].tensor(name).equal(b[i].tensor(name))) return false;
    }
  }
  return true;
}

std::vector<int64_t> items_of(const std::vector<Batch>& batches) {
  std::vector<int64_t> items;
  for (const auto& batch : batches) {
    for (const auto& key : batch.keys) items.push_back(key.padding ? -1 : key.item);
  }
  return items;
}

struct QuietLog {
  QuietLog() { set_log_level(LogLevel::kError); }
  ~QuietLog() { set_log_level(LogLevel::kInfo); }
};

}  // namespace

TEST_CASE("loader: the number of workers changes no bit") {
  const QuietLog quiet;
  const std::set<int64_t> bad{5, 6, 17};
  Bench none({.bad = bad, .workers = 0});
  const auto expected = none.epoch(2);
  REQUIRE(expected.size() == 10);
  for (const int64_t workers : {1, 4, 9}) {
    Bench some({.bad = bad, .workers = workers});
    CHECK(equal(some.epoch(2), expected));
    CHECK(some.loader.bad().count == 3);
    CHECK(some.loader.bad().first == none.loader.bad().first);
  }
}

TEST_CASE("loader: starts anywhere in an epoch") {
  Bench bench({});
  const auto whole = bench.epoch(3);
  const auto tail = bench.epoch(3, 7);
  CHECK(equal(tail, {whole.begin() + 7, whole.end()}));
  CHECK(bench.epoch(3, 10).empty());
  CHECK_FALSE(equal(bench.epoch(4), whole));
}

TEST_CASE("loader: start drops what was in flight") {
  Bench bench({.workers = 4});
  const auto expected = bench.epoch(1);
  bench.loader.start(0);
  REQUIRE(bench.loader.next());
  CHECK(equal(bench.epoch(1), expected));
}

TEST_CASE("loader: prefetches no more than asked") {
  Bench bench({.workers = 2});
  bench.loader.start(0);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(bench.source->reads <= 3 * 4);
  CHECK(bench.rest().size() == 10);
}

TEST_CASE("loader: can be dropped in the middle of an epoch") {
  Bench bench({.workers = 3});
  bench.loader.start(0);
  CHECK(bench.loader.next());
}

TEST_CASE("loader: in training the next good item stands in for a bad one") {
  const QuietLog quiet;
  const int64_t workers = GENERATE(0, 2);
  Bench good({.workers = workers});
  Bench bench({.bad = {5, 6, 39}, .workers = workers});
  auto expected = items_of(good.epoch(0));
  for (auto& item : expected) item = item == 5 || item == 6 ? 7 : item == 39 ? 0 : item;
  CHECK(items_of(bench.epoch(0)) == expected);
  CHECK(bench.loader.bad().count == 3);
  CHECK(bench.loader.bad().total == 40);
  CHECK_THAT(bench.loader.bad().first, Contains("jpg: truncated."));
}

TEST_CASE("loader: copies of an item are drawn each by itself, for any number of workers and after any start") {
  Bench bench({.workers = 0, .aug_repeats = 3});
  const auto batches = bench.epoch(2);
  REQUIRE(batches.size() == 10);  // as without copies
  std::map<int64_t, std::set<std::vector<double>>> noise_of;
  for (const auto& batch : batches) {
    const auto* noise = batch.tensor("noise").const_data_ptr<double>();
    for (const auto& key : batch.keys) {
      noise_of[key.item].insert({noise, noise + 4});
      noise += 4;
    }
  }
  CHECK(noise_of.size() == 14);  // 13 of them three times
  CHECK(std::ranges::count_if(noise_of, [](const auto& copies) { return copies.second.size() == 3; }) == 13);

  // The first copy is what the item is without copies.
  Bench once({});
  const auto plain = once.epoch(2);
  CHECK(batches[0].tensor("noise")[0].equal(plain[0].tensor("noise")[0]));
  CHECK(batches[0].tensor("noise")[3].equal(plain[0].tensor("noise")[1]));

  for (const int64_t workers : {1, 4}) {
    Bench some({.workers = workers, .aug_repeats = 3});
    CHECK(equal(some.epoch(2), batches));
    CHECK(equal(some.epoch(2, 7), {batches.begin() + 7, batches.end()}));
  }
}

TEST_CASE("loader: every copy of a bad item counts") {
  const QuietLog quiet;
  const auto order = items_of(Bench({}).epoch(0));
  Bench bench({.bad = {order[0], order[1]}, .aug_repeats = 3});
  CHECK(bench.epoch(0).size() == 10);
  CHECK(bench.loader.bad().count == 6);
  CHECK(bench.loader.bad().total == 40);
}

TEST_CASE("loader: in evaluation a bad item is left out") {
  const QuietLog quiet;
  Bench bench({.size = 10, .bad = {0, 4, 5, 6, 7}, .mode = Mode::kEvaluation, .max_bad_fraction = 0.0});
  CHECK(items_of(bench.epoch(0)) == std::vector<int64_t>{1, 2, 3, 8, 9});
  CHECK(bench.loader.bad().count == 5);
  CHECK(bench.loader.bad().total == 10);
}

TEST_CASE("loader: too many bad items end the training with their names") {
  const QuietLog quiet;
  std::string first;
  for (const int64_t workers : {0, 1, 4}) {
    Bench bench({.bad = {1, 8, 30}, .workers = workers, .max_bad_fraction = 0.05});
    bench.loader.start(0);
    std::string message;
    try {
      bench.rest();
    } catch (const UserError& error) {
      message = error.what();
    }
    CHECK_THAT(message, Contains("data.loader.max_bad_fraction: 3 of the 40 samples of this epoch cannot be read, more "
                                 "than 0.05 allows, first:\n  item"));
    CHECK_THAT(message, Contains("item8.jpg: truncated."));
    if (first.empty()) first = message;
    CHECK(message == first);
  }
  std::set<int64_t> all;
  for (int64_t i = 0; i < 40; ++i) all.insert(i);
  Bench hopeless({.bad = all, .max_bad_fraction = 1.0});
  CHECK_THROWS_AS(hopeless.epoch(0), UserError);
  Bench nothing({.bad = all, .mode = Mode::kEvaluation});
  CHECK_THROWS_WITH(nothing.epoch(0), Contains("none of 40 samples can be read, first:\n  item0.jpg: truncated."));
}

TEST_CASE("loader: an epoch that is gone on with remembers its bad items") {
  const QuietLog quiet;
  const Setting setting{.bad = {1, 8, 30}, .workers = 2, .max_bad_fraction = 0.05};
  const auto batches_until_it_gives_up = [](Bench& bench) {
    int64_t count = 0;
    try {
      while (bench.loader.next()) ++count;
    } catch (const UserError&) {
      return count;
    }
    return int64_t{-1};
  };
  Bench unbroken(setting);
  unbroken.loader.start(0);
  const int64_t expected = batches_until_it_gives_up(unbroken);
  REQUIRE(expected > 1);

  const int64_t half = expected - 1;  // some of the three are behind it
  Bench first(setting);
  first.loader.start(0);
  for (int64_t i = 0; i < half; ++i) REQUIRE(first.loader.next());
  REQUIRE(first.loader.bad().count > 0);
  io::StateBuffer state;
  first.loader.save(state);

  Bench second(setting);
  second.loader.load(state);
  second.loader.start(0, half);
  CHECK(second.loader.bad().count == first.loader.bad().count);
  CHECK(second.loader.bad().total == half * setting.batch_size);
  CHECK(half + batches_until_it_gives_up(second) == expected);
  second.loader.start(1);
  CHECK(second.loader.bad().count == 0);
}

TEST_CASE("loader: an exception in a worker reaches next") {
  const int64_t workers = GENERATE(0, 3);
  Bench bench({.throwing = 12, .mode = Mode::kEvaluation, .workers = workers});
  bench.loader.start(0);
  for (int i = 0; i < 3; ++i) CHECK(bench.loader.next());
  CHECK_THROWS_WITH(bench.loader.next(), "the disk is on fire");
}

TEST_CASE("loader: an exception of the sampler reaches next") {
  const int64_t workers = GENERATE(0, 2);
  Bench bench({.workers = workers});
  const auto other = shuffled_sampler(40, 4, 0, 2);
  Loader loader(make_dataset(bench.source, std::make_shared<Noise>()), *other, Mode::kTrain, {.workers = workers}, {});
  loader.start(0);
  CHECK_THROWS_AS(loader.next(), ContractError);
}

TEST_CASE("loader: padding is marked, and counted nowhere") {
  const QuietLog quiet;
  Bench bench({.size = 4, .bad = {0}, .mode = Mode::kEvaluation, .batch_size = 2, .rank = {2, 3}});
  const auto batches = bench.epoch(0);
  REQUIRE(batches.size() == 1);
  CHECK(items_of(batches) == std::vector<int64_t>{2, -1});
  CHECK(batches[0].keys[1].item == 1);  // item 0 is bad
  CHECK(bench.loader.bad().count == 0);
  CHECK(bench.loader.bad().total == 1);
}

TEST_CASE("loader: all views of an item come together") {
  Bench bench({.mode = Mode::kEvaluation, .views = 3});
  const auto batches = bench.epoch(0);
  REQUIRE(batches.front().size() == 12);
  CHECK(batches.front().keys[4].item == 1);
  CHECK(batches.front().keys[4].view == 1);
}

TEST_CASE("loader: counts the time it waits") {
  Bench bench({.workers = 0});
  CHECK(bench.loader.seconds_waited() == 0.0);
  bench.epoch(0);
  CHECK(bench.loader.seconds_waited() > 0.0);
}

TEST_CASE("loader: names what its workers are stuck on") {
  /// Item 0 is read when the test lets it.
  class Stuck : public Numbers {
   public:
    Stuck() : Numbers(8) {}
    Result<Record> read(int64_t index) const override {
      if (index == 0) gate.wait();
      return Numbers::read(index);
    }
    SourceRef where(int64_t index) const override { return {.file = format("photo{}.jpg", index)}; }
    mutable std::latch gate{1};
  };
  const auto source = std::make_shared<Stuck>();
  const auto sampler = sequential_sampler(8, 4);
  Loader loader(make_dataset(source, std::make_shared<Noise>()), *sampler, Mode::kEvaluation, {.workers = 2}, {},
                std::chrono::milliseconds(20));
  const test::CapturedLog log;
  loader.start(0);
  std::jthread opener([&] {
    while (log.text().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    source->gate.count_down();
  });
  CHECK(loader.next());
  CHECK_THAT(log.text(), Contains("waiting for data for 0.02 s; workers are reading ") && Contains("photo0.jpg") &&
                             Contains(". Check the disk or network behind these files"));
}

TEST_CASE("loader: a batch sent ahead of its turn changes nothing that is handed over or counted") {
  const QuietLog quiet;
  const int64_t workers = GENERATE(0, 1, 4);
  const auto mode = GENERATE(Mode::kTrain, Mode::kEvaluation);
  const Setting setting{.bad = {4, 5, 6, 7, 30}, .mode = mode, .workers = workers};
  Sent counts;
  Bench judge(setting), bench(setting, std::make_unique<CountedTransfer>(counts));
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    judge.loader.start(epoch, 1);
    bench.loader.start(epoch, 1);
    while (true) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));  // so that workers have something ready
      const auto expected = judge.loader.next(), batch = bench.loader.next();
      REQUIRE(batch.has_value() == expected.has_value());
      CHECK(bench.loader.bad().count == judge.loader.bad().count);
      CHECK(bench.loader.bad().first == judge.loader.bad().first);
      if (!batch) break;
      CHECK(equal({*batch}, {*expected}));
    }
  }
  CHECK(counts.arrived == counts.sent);
  CHECK(counts.dropped == 0);
}

TEST_CASE("loader: one complete batch is sent ahead, and start drops it") {
  Sent counts;
  Bench bench({.workers = 2}, std::make_unique<CountedTransfer>(counts)), judge({});
  bench.loader.start(0);
  wait_for_reads(bench, 3 * 4);
  REQUIRE(bench.loader.next());
  CHECK((counts.sent == 2 && counts.arrived == 1));
  CHECK(equal(bench.epoch(1), judge.epoch(1)));
  CHECK(counts.dropped == 1);

  bench.loader.start(0, 9);  // the last one
  counts = {};
  CHECK(bench.rest().size() == 1);
  CHECK((counts.sent == 1 && counts.arrived == 1));
}

TEST_CASE("loader: a batch sent ahead is dropped with the loader") {
  Sent counts;
  {
    Bench bench({.workers = 2}, std::make_unique<CountedTransfer>(counts));
    bench.loader.start(0);
    wait_for_reads(bench, 3 * 4);
    REQUIRE(bench.loader.next());
  }
  CHECK(counts.dropped == 1);
}

TEST_CASE("loader: errors reach next in their turn where batches are sent ahead") {
  const QuietLog quiet;
  Sent counts;
  Bench burning({.throwing = 12, .mode = Mode::kEvaluation}, std::make_unique<CountedTransfer>(counts));
  burning.loader.start(0);
  wait_for_reads(burning, 3 * 4);
  for (int i = 0; i < 3; ++i) CHECK(burning.loader.next());
  CHECK_THROWS_WITH(burning.loader.next(), "the disk is on fire");

  /// Sends the first batch, and fails then.
  class Failing : public CountedTransfer {
   public:
    using CountedTransfer::CountedTransfer;
    std::unique_ptr<BatchInFlight> send(const Batch& batch) override {
      if (was_used_) throw std::runtime_error("no memory left");
      was_used_ = true;
      return CountedTransfer::send(batch);
    }

   private:
    bool was_used_ = false;
  };
  Bench failing({}, std::make_unique<Failing>(counts));
  failing.loader.start(0);
  wait_for_reads(failing, 3 * 4);
  CHECK(failing.loader.next());
  CHECK_THROWS_WITH(failing.loader.next(), "no memory left");
}

TEST_CASE("loader: a batch that does not fit beside a step is sent in its turn") {
  /// Has memory for one batch at a time.
  class Narrow : public CountedTransfer {
   public:
    using CountedTransfer::CountedTransfer;
    std::unique_ptr<BatchInFlight> send(const Batch& batch) override {
      if (++calls_ == 2) throw std::bad_alloc();
      return CountedTransfer::send(batch);
    }

   private:
    int calls_ = 0;
  };
  Sent counts;
  Bench narrow({}, std::make_unique<Narrow>(counts)), judge({});
  narrow.loader.start(0);
  wait_for_reads(narrow, 3 * 4);
  std::vector<Batch> batches{narrow.loader.next().value()};
  for (auto& batch : narrow.rest()) batches.push_back(std::move(batch));
  CHECK(equal(batches, judge.epoch(0)));
  CHECK(counts.dropped == 0);
}

TEST_CASE("loader: on a GPU, the batches are those of the CPU", "[cuda]") {
  if (!at::hasCUDA()) {
    WARN("SKIPPED: no CUDA device");
    return;
  }
  const QuietLog quiet;
  const int64_t workers = GENERATE(0, 2);
  const Setting setting{.bad = {5, 6}, .workers = workers};
  Bench judge(setting), bench(setting, nullptr, at::Device(at::kCUDA, 0));
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    auto batches = bench.epoch(epoch);
    for (auto& batch : batches) {
      CHECK(batch.tensor("noise").is_cuda());
      batch = batch.to(at::kCPU);
    }
    CHECK(equal(batches, judge.epoch(epoch)));
  }
}

TEST_CASE("loader: next before start is refused") {
  Bench bench({});
  CHECK_THROWS_AS(bench.loader.next(), ContractError);
}

TEST_CASE("make_batch: leaves out what the samples lack") {
  const DataInfo info = Noise().describe(Numbers(1).info());
  Sample sample{.fields = {{"noise", at::full({4}, 1.0, at::kDouble)}}, .key = {}, .source = {}};
  const Batch batch = make_batch({sample}, info);
  CHECK(batch.has("noise"));
  CHECK_FALSE(batch.has("label"));
}
