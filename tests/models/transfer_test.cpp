#include "unireplk/models/transfer.h"

#include <ATen/ATen.h>

#include "models/filled.h"
#include "support/catch.h"
#include "support/golden.h"
#include "unireplk/core/error.h"

namespace unireplk::models {
namespace {

using Catch::Matchers::Contains;

const TransferRow& row(const std::vector<TransferRow>& rows, const std::string& name) {
  const auto found = std::ranges::find(rows, name, &TransferRow::name);
  REQUIRE(found != rows.end());
  return *found;
}

int64_t count(const std::vector<TransferRow>& rows, Fate fate) {
  return std::ranges::count(rows, fate, &TransferRow::fate);
}

TEST_CASE("transfer: with another number of classes all but the head is loaded") {
  auto network = blank(small(5));
  const auto given = weights(small(3));
  const TensorsByName by_name(given.begin(), given.end());
  const auto rows = transfer(*network, given, {.place = "net.pth"});
  REQUIRE(rows.size() == given.size());
  CHECK(count(rows, Fate::kFresh) == 2);
  CHECK(row(rows, "head.weight").reason == "another shape");
  CHECK_THAT(row(rows, "head.weight").detail, Contains("[5, 8]") && Contains("[3, 8]"));
  for (const auto& [name, tensor] : state_dict(*network)) {
    INFO(name);
    const bool is_right = name.starts_with("head.") ? is_blank(tensor) : at::equal(tensor, by_name.at(name));
    CHECK(is_right);
  }
}

TEST_CASE("transfer: what `skip` names starts anew") {
  auto network = blank(small());
  const auto rows = transfer(*network, weights(small()), {.place = "net.pth", .skip = {"head", "stages.3"}});
  for (const auto& [name, tensor] : state_dict(*network)) {
    const bool skipped = name.starts_with("head.") || name.starts_with("stages.3.");
    INFO(name);
    CHECK((row(rows, name).fate == Fate::kFresh) == skipped);
    if (skipped) CHECK(is_blank(tensor));
  }
  CHECK_THROWS_WITH(transfer(*network, weights(small()), {.place = "net.pth", .skip = {"neck"}}),
                    Contains("init.skip") && Contains("\"neck\""));
}

TEST_CASE("transfer: a stem for other channels sees n equal channels as it saw three") {
  const auto given = weights(small());
  auto reference = filled(small());
  reference->eval();
  const at::NoGradGuard no_graph;
  const auto grey = at::rand({2, 1, 64, 64});
  const auto expected = reference->forward(grey.expand({-1, 3, -1, -1}));
  for (const int64_t channels : {1, 2, 4}) {
    auto network = blank(small(3, channels));
    CHECK_THROWS_WITH(transfer(*network, given, {.place = "net.pth"}),
                      Contains("downsample_layers.0.0.weight") && Contains("init.stem"));
    CHECK(is_blank(state_dict(*network).front().second));
    const auto rows = transfer(*network, given, {.place = "net.pth", .stem = StemRule::kSum});
    CHECK(count(rows, Fate::kAdapted) == 1);
    network->eval();
    const auto found = network->forward(grey.expand({-1, channels, -1, -1}));
    CHECK((found - expected).abs().max().item<double>() < 1e-5 * expected.abs().max().item<double>());
  }
}

TEST_CASE("transfer: a stem of one channel may be the mean of three") {
  const auto given = weights(small());
  auto network = blank(small(3, 1));
  transfer(*network, given, {.place = "net.pth", .stem = StemRule::kMean});
  const auto stem = state_dict(*network).front().second;
  CHECK(at::allclose(stem.mul(3), given.front().second.sum(1, /*keepdim=*/true), 1e-5, 1e-7));
}

TEST_CASE("transfer: names are changed as `map` says") {
  const auto given = weights(small(), "encoder.");
  auto network = blank(small());
  CHECK_THROWS_WITH(transfer(*network, given, {.place = "net.pth"}), Contains("init.map"));
  const auto rows = transfer(*network, given, {.place = "net.pth", .rename = {{"encoder.", ""}}});
  CHECK(count(rows, Fate::kLoaded) == static_cast<int64_t>(given.size()));
  CHECK_THROWS_WITH(transfer(*network, given, {.place = "net.pth", .rename = {{"decoder.", ""}}}),
                    Contains("init.map") && Contains("\"decoder.\""));
  const auto wrapped = transfer(*network, weights(small(), "module."), {.place = "net.pth"});
  CHECK(count(wrapped, Fate::kLoaded) == static_cast<int64_t>(given.size()));
}

TEST_CASE("transfer: a network that differs elsewhere is refused, or loaded in part when asked") {
  auto deeper = small();
  deeper.depths = {1, 2, 1, 1};
  deeper.kernel_sizes = {{0}, {3, 3}, {7}, {13}};
  auto network = blank(deeper);
  auto given = weights(small());
  given.emplace_back("extra.weight", at::ones({2}));
  CHECK_THROWS_WITH(transfer(*network, given, {.place = "net.pth"}),
                    Contains("net.pth") && Contains("not in the file: stages.1.1.") && Contains("extra.weight") &&
                        Contains("init.partial"));
  for (const auto& [name, tensor] : state_dict(*network)) CHECK(is_blank(tensor));
  const auto rows = transfer(*network, given, {.place = "net.pth", .partial = true});
  CHECK(row(rows, "stages.1.1.gamma").reason == "not in the file");
  CHECK(row(rows, "extra.weight").fate == Fate::kUnused);
  CHECK(row(rows, "stages.1.0.gamma").fate == Fate::kLoaded);
}

TEST_CASE("transfer: weights of something else, or in deploy form, are refused") {
  auto network = blank(small());
  CHECK_THROWS_WITH(transfer(*network, {{"conv1.weight", at::ones({3})}}, {.place = "resnet.pth", .partial = true}),
                    Contains("resnet.pth") && Contains("none of its tensors fits"));
  auto deploy = small();
  deploy.deploy = true;
  CHECK_THROWS_WITH(transfer(*network, weights(deploy), {.place = "net.pth", .partial = true}),
                    Contains("deploy form"));
}

}  // namespace
}  // namespace unireplk::models
