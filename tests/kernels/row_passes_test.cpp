#include "unireplk/kernels/row_passes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <tuple>

#include "kernels/forced.h"
#include "kernels/maps.h"
#include "kernels/numbers.h"
#include "support/catch.h"
#include "unireplk/kernels/instruction_set.h"

namespace unireplk::kernels {
namespace {

/// The types of the two maps that are read and of the one that is written.
template <class TypeOfA, class TypeOfB, class TypeOfResult>
struct Types {
  using A = TypeOfA;
  using B = TypeOfB;
  using To = TypeOfResult;
};

using AllFloat = Types<float, float, float>;
using Forward = Types<float, BFloat16, float>;  // of the end of a block, with a float32 map around it
using Backward = Types<float, BFloat16, BFloat16>;
using AllNarrow = Types<BFloat16, BFloat16, BFloat16>;

template <class TypesOfMaps>
struct RowInputs {
  explicit RowInputs(const RowsShape& rows)
      : shape(rows),
        a(as_held<typename TypesOfMaps::A>(
            filled<double>(rows.images * rows.pixels * rows.channels, Filling::kNormal, 1))),
        b(as_held<typename TypesOfMaps::B>(
            filled<double>(rows.images * rows.pixels * rows.channels, Filling::kAroundTen, 2))),
        centre(filled<double>(rows.channels, Filling::kAroundTen, 3)),
        factor(filled<double>(rows.images * rows.channels, Filling::kNormal, 4)),
        slope(filled<double>(rows.images * rows.channels, Filling::kNormal, 5)),
        shift(filled<double>(rows.images * rows.channels, Filling::kNormal, 6)) {}

  RowsShape shape;
  std::vector<double> a, b, centre, factor, slope, shift;
};

struct RowResults {
  std::vector<float> sums, lone_sums, products, mean, variance, combined;
};

template <class TypesOfMaps>
RowResults run(const RowInputs<TypesOfMaps>& in, const Parallel& parallel) {
  const auto a = held<typename TypesOfMaps::A>(in.a);
  const auto b = held<typename TypesOfMaps::B>(in.b);
  const auto centre = narrow(in.centre), factor = narrow(in.factor), slope = narrow(in.slope), shift = narrow(in.shift);
  const auto table = not_a_number<float>(factor.size()), row = not_a_number<float>(centre.size());
  auto to = not_a_number<typename TypesOfMaps::To>(a.size());
  RowResults out{.sums = table, .lone_sums = table, .products = table, .mean = row, .variance = row, .combined = {}};
  const auto space = [&] { return Space(row_sums_workspace(in.shape, 2)); };
  sum_rows(in.shape, a.data(), b.data(), centre.data(), out.sums.data(), out.products.data(), space().span(), parallel);
  sum_rows(in.shape, a.data(), {}, nullptr, out.lone_sums.data(), nullptr, space().span(), parallel);
  if (!b.empty()) row_moments(in.shape, b.data(), out.mean.data(), out.variance.data(), space().span(), parallel);
  combine_rows(in.shape,
               {.a = a.data(),
                .factor = factor.data(),
                .b = b.data(),
                .centre = centre.data(),
                .slope = slope.data(),
                .shift = shift.data()},
               to.data(), parallel);
  out.combined = widened(to);
  return out;
}

TEMPLATE_TEST_CASE("row passes: equal plain loops in float64", "[numeric]", AllFloat, Forward, Backward, AllNarrow) {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const auto [images, pixels, channels] = GENERATE(table<int64_t, int64_t, int64_t>(
      {{1, 1, 1}, {2, 9, 5}, {3, 65, 17}, {2, 196, 40}, {1, 700, 3}, {2, 49, 640}, {0, 4, 8}, {2, 0, 8}, {2, 4, 0}}));
  CAPTURE(images, pixels, channels);
  const RowInputs<TestType> in({images, pixels, channels});
  const auto got = run(in, Parallel());
  const double count = static_cast<double>(images * pixels);
  std::vector<double> sums(in.factor.size()), products(in.factor.size()), mean(in.centre.size()),
      variance(in.centre.size()), combined(in.a.size());
  const auto for_each = [&, channels = channels, pixels = pixels](auto visit) {
    for (size_t i = 0; i < in.a.size(); ++i) {
      const size_t c = i % static_cast<size_t>(channels);
      visit(i, c, i / static_cast<size_t>(pixels * channels) * static_cast<size_t>(channels) + c);
    }
  };
  for_each([&](size_t i, size_t c, size_t row) {
    sums[row] += in.a[i];
    products[row] += in.a[i] * (in.b[i] - in.centre[c]);
    mean[c] += in.b[i] / count;
    combined[i] = in.a[i] * in.factor[row] + (in.b[i] - in.centre[c]) * in.slope[row] + in.shift[row];
  });
  for_each([&](size_t i, size_t c, size_t) { variance[c] += std::pow(in.b[i] - mean[c], 2) / count; });
  CHECK(relative_error(got.sums, sums) <= 2e-6);
  CHECK(relative_error(got.lone_sums, sums) <= 2e-6);
  CHECK(relative_error(got.products, products) <= 2e-6);
  if (!in.a.empty()) {  // moments are of at least one pixel
    CHECK(relative_error(got.mean, mean) <= 1e-6);
    CHECK(relative_error(got.variance, variance) <= 1e-5);
  }
  CHECK(relative_error(got.combined, combined) <= kRounding<typename TestType::To> + 2e-6);
}

TEMPLATE_TEST_CASE("row passes: the same bits for any number of threads", "[numeric]", AllFloat, Forward, Backward,
                   AllNarrow) {
  const RowInputs<TestType> in({3, 196, 80});
  const auto one = run(in, Parallel()), two = run(in, threads(2)), three = run(in, threads(3));
  for (const auto* other : {&two, &three}) {
    CHECK(one.sums == other->sums);
    CHECK(one.lone_sums == other->lone_sums);
    CHECK(one.products == other->products);
    CHECK(one.mean == other->mean);
    CHECK(one.variance == other->variance);
    CHECK(one.combined == other->combined);
  }
}

/// The nearest number that has no lower half; of two the one whose last bit is 0. Beyond the largest there is infinity,
/// as if it were the next one.
float nearest(float value) {
  if (!std::isfinite(value)) return value;
  const uint32_t below = std::bit_cast<uint32_t>(value) & 0xFFFF0000U, above = below + 0x10000U;
  const auto number = [](uint32_t bits) {
    const auto as_float = std::bit_cast<float>(bits);
    return std::isinf(as_float) ? std::copysign(std::ldexp(1.0, 128), static_cast<double>(as_float)) : as_float;
  };
  const double down = std::abs(value - number(below)), up = std::abs(number(above) - value);
  const bool is_odd = (below >> 16) % 2 == 1;
  return std::bit_cast<float>(up < down || (up == down && is_odd) ? above : below);
}

TEST_CASE("combine_rows: rounds to the nearest bf16, for every upper half", "[numeric]") {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const int64_t channels = GENERATE(64, 3);  // the last vector is whole or not
  CAPTURE(channels);
  std::vector<float> values;
  for (uint32_t upper = 0; upper < 0x10000; ++upper) {
    for (const uint32_t lower : {0U, 1U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
      values.push_back(std::bit_cast<float>(upper << 16 | lower));
    }
  }
  const RowsShape shape{1, static_cast<int64_t>(values.size()) / channels, channels};
  REQUIRE(shape.pixels * channels == static_cast<int64_t>(values.size()));
  const auto zeros = held<BFloat16>(std::vector<double>(values.size()));
  const std::vector<float> none(static_cast<size_t>(channels));
  auto to = not_a_number<BFloat16>(values.size());
  combine_rows(shape, {.a = values.data(), .b = zeros.data(), .centre = none.data(), .slope = none.data()}, to.data(),
               Parallel());
  size_t wrong = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const float got = widened(to[i]), expected = nearest(values[i]);
    wrong += std::isnan(expected) ? !std::isnan(got) : got != expected;
  }
  CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("row passes: what is not finite stays in its channel, nothing beside a map is touched", "[numeric]",
                   float, BFloat16) {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (int64_t channels = 1; channels <= 35; ++channels) {
    CAPTURE(channels);
    const auto count = static_cast<size_t>(2 * channels);
    std::vector<double> values(count, 1);
    values[0] = nan;
    values[count - 1] = -inf;
    const auto a = held<TestType>(values);
    auto to = held<TestType>(std::vector<double>(count + 1, 7));
    const std::vector<float> factor(static_cast<size_t>(channels), 2);
    combine_rows({1, 2, channels}, {.a = a.data(), .factor = factor.data()}, to.data(), Parallel());
    const auto got = widened(to);
    CHECK(std::isnan(got[0]));
    CHECK(got[count - 1] == -std::numeric_limits<float>::infinity());
    CHECK(std::all_of(got.begin() + 1, got.begin() + static_cast<int64_t>(count) - 1,
                      [](float value) { return value == 2; }));
    CHECK(got[count] == 7);
  }
}

}  // namespace
}  // namespace unireplk::kernels
