#include "unireplk/tensor/transfer.h"

#include <ATen/ATen.h>

#include "support/catch.h"

using namespace unireplk;

namespace {

constexpr int64_t kValues = 1 << 22;  // 16 MB: a copy takes long enough to be overtaken

/// A field of one number throughout, and a list.
Batch batch_of(int64_t number) {
  Batch batch{.fields = {}, .keys = {{.item = number}}, .sources = {{.file = "made", .position = number}}};
  batch.fields.emplace("x", at::full({kValues}, static_cast<float>(number)));
  batch.fields.emplace("list", std::vector<at::Tensor>{at::full({}, number), at::full({3, 2}, number).t()});
  return batch;
}

/// Keeps the current stream of the GPU busy for some milliseconds.
void queue_work(const at::Tensor& square) {
  at::Tensor product = square;
  for (int i = 0; i < 20; ++i) product = product.mm(square);
}

bool is_skipped_without_gpu() {
  if (at::hasCUDA()) return false;
  WARN("SKIPPED: no CUDA device");
  return true;
}

}  // namespace

TEST_CASE("Transfer: a CPU needs none") { CHECK(make_transfer(at::kCPU) == nullptr); }

TEST_CASE("Transfer: on a GPU, batches arrive whole and in order, with work queued between them", "[cuda]") {
  if (is_skipped_without_gpu()) return;
  const at::Device device(at::kCUDA, 0);
  const auto transfer = make_transfer(device);
  const at::Tensor square = at::ones({2048, 2048}, at::TensorOptions(device)).div_(2048);
  auto ahead = transfer->send(batch_of(0));
  std::vector<at::Tensor> wrong;  // how many values of each batch are not what they should be
  for (int64_t i = 0; i < 50; ++i) {
    const Batch batch = ahead->arrive();
    ahead = transfer->send(batch_of(i + 1));
    REQUIRE(batch.tensor("x").is_cuda());
    CHECK(batch.keys[0].item == i);
    CHECK(batch.sources[0].position == i);
    queue_work(square);  // the batch is read when the host has long gone on
    wrong.push_back(batch.tensor("x").ne(static_cast<double>(i)).sum());
    const auto& list = std::get<std::vector<at::Tensor>>(batch.fields.at("list"));
    REQUIRE(list.size() == 2);
    CHECK(list[1].sizes() == at::IntArrayRef({2, 3}));
    wrong.push_back(list[0].ne(i).sum() + list[1].ne(i).sum());
  }
  CHECK(at::stack(wrong).sum().item<int64_t>() == 0);
}

TEST_CASE("Transfer: on a GPU, a batch that is dropped on its way spoils no memory", "[cuda]") {
  if (is_skipped_without_gpu()) return;
  const at::Device device(at::kCUDA, 0);
  const auto transfer = make_transfer(device);
  const at::Tensor square = at::ones({2048, 2048}, at::TensorOptions(device)).div_(2048);
  std::vector<at::Tensor> wrong;
  for (int64_t i = 1; i <= 20; ++i) {
    queue_work(square);  // which the copy waits for
    transfer->send(batch_of(-1));
    const at::Tensor next = at::full({kValues}, static_cast<double>(i), at::TensorOptions(device));  // in its memory
    queue_work(square);
    wrong.push_back(next.ne(static_cast<double>(i)).sum());
  }
  CHECK(at::stack(wrong).sum().item<int64_t>() == 0);
}
