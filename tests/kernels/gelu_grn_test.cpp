#include "unireplk/kernels/gelu_grn.h"

#include <algorithm>
#include <cmath>

#include "kernels/exact_gelu.h"
#include "kernels/forced.h"
#include "kernels/maps.h"
#include "kernels/numbers.h"
#include "support/catch.h"
#include "unireplk/kernels/instruction_set.h"

namespace unireplk::kernels {
namespace {

/// h and its derivative for each x, as the kernels have them.
struct Curve {
  explicit Curve(const std::vector<float>& x) : value(x.size()), slope(x.size()) {
    const auto count = static_cast<int64_t>(x.size());
    const RowsShape shape{1, count, 1};
    const float zero = 0, one = 1;
    float sum = 0;
    Space space(row_sums_workspace(shape, 1));
    const std::vector<float> ones(x.size(), 1.0F);
    gelu_scale(shape, x.data(), &zero, &one, nullptr, value.data(), Parallel());
    gelu_combine(shape, ones.data(), &one, x.data(), &zero, &zero, slope.data(), &sum, space.span(), Parallel());
  }
  std::vector<float> value, slope;
};

TEST_CASE("gelu: close to the exact one over the whole range", "[numeric]") {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  std::vector<float> x;
  for (int i = -160000; i <= 160000; ++i) x.push_back(static_cast<float>(i) * 1e-4F);
  const Curve got(x);
  double worst_value = 0, worst_tail = 0, worst_end = 0, worst_slope = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = gelu(x[i]), error = std::abs(got.value[i] - expected);
    worst_slope = std::max(worst_slope, std::abs(got.slope[i] - gelu_slope(x[i])));
    if (x[i] >= -1) worst_value = std::max(worst_value, error / std::max(std::abs(expected), 1e-30));
    if (x[i] < -1 && x[i] > -12.5) worst_tail = std::max(worst_tail, error / std::abs(expected));
    if (x[i] <= -12.5) worst_end = std::max(worst_end, error);
  }
  CHECK(worst_value < 7e-7);
  CHECK(worst_tail < 1e-5);
  CHECK(worst_end < 1e-34);
  CHECK(worst_slope < 5e-7);
}

TEST_CASE("gelu: the ends, and not-a-number", "[numeric]") {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const Curve got(std::vector<float>{0.0F, -0.0F, 1e30F, -1e30F, inf, nan, 1e-30F});
  CHECK(got.value[0] == 0);
  CHECK(got.value[1] == 0);
  CHECK(got.value[2] == 1e30F);
  CHECK(got.value[3] == 0);
  CHECK(got.value[4] == inf);
  CHECK(std::isnan(got.value[5]));
  CHECK(std::isnan(got.slope[5]));
  CHECK(got.value[6] == Approx(5e-31).epsilon(1e-6));
  CHECK(got.slope[2] == 1);
  CHECK(got.slope[3] == 0);
}

struct GrnResults {
  std::vector<float> squares, y, products, sums, dz, dbias;
};

template <class Number>
struct GrnInputs {
  explicit GrnInputs(const RowsShape& rows)
      : shape(rows),
        z(as_held<Number>(filled<double>(rows.images * rows.pixels * rows.channels, Filling::kNormal, 1))),
        dy(as_held<Number>(filled<double>(rows.images * rows.pixels * rows.channels, Filling::kNormal, 2))),
        bias(filled<double>(rows.channels, Filling::kNormal, 3)),
        shift(filled<double>(rows.channels, Filling::kNormal, 4)),
        factor(filled<double>(rows.images * rows.channels, Filling::kNormal, 5)),
        slope(filled<double>(rows.images * rows.channels, Filling::kNormal, 6)) {}

  RowsShape shape;
  std::vector<double> z, dy, bias, shift, factor, slope;
};

template <class Number>
GrnResults run(const GrnInputs<Number>& in, const Parallel& parallel) {
  const auto z = held<Number>(in.z), dy = held<Number>(in.dy);
  const auto bias = narrow(in.bias), shift = narrow(in.shift), factor = narrow(in.factor), slope = narrow(in.slope);
  const auto table = not_a_number<float>(factor.size()), row = not_a_number<float>(bias.size());
  auto y = not_a_number<Number>(z.size()), dz = y;
  GrnResults out{.squares = table, .y = {}, .products = table, .sums = row, .dz = {}, .dbias = row};
  const auto space = [&] { return Space(row_sums_workspace(in.shape, 2)); };
  gelu_squares(in.shape, z.data(), bias.data(), out.squares.data(), space().span(), parallel);
  gelu_scale(in.shape, z.data(), bias.data(), factor.data(), shift.data(), y.data(), parallel);
  gelu_products(in.shape, dy.data(), z.data(), bias.data(), out.products.data(), out.sums.data(), space().span(),
                parallel);
  gelu_combine(in.shape, dy.data(), factor.data(), z.data(), bias.data(), slope.data(), dz.data(), out.dbias.data(),
               space().span(), parallel);
  out.y = widened(y);
  out.dz = widened(dz);
  return out;
}

TEMPLATE_TEST_CASE("gelu and grn passes: equal plain loops in float64", "[numeric]", float, BFloat16) {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const auto [images, pixels, channels] = GENERATE(table<int64_t, int64_t, int64_t>(
      {{1, 1, 1}, {2, 9, 5}, {3, 65, 17}, {2, 196, 40}, {1, 700, 3}, {2, 49, 640}, {0, 4, 8}, {2, 0, 8}, {2, 4, 0}}));
  CAPTURE(images, pixels, channels);
  const GrnInputs<TestType> in({images, pixels, channels});
  const auto got = run(in, Parallel());
  std::vector<double> squares(in.factor.size()), products(in.factor.size()), sums(in.bias.size()),
      dbias(in.bias.size()), y(in.z.size()), dz(in.z.size());
  for (int64_t i = 0; i < images * pixels * channels; ++i) {
    const auto at = static_cast<size_t>(i), c = static_cast<size_t>(i % channels);
    const auto row = static_cast<size_t>(i / (pixels * channels) * channels) + c;
    const double x = in.z[at] + in.bias[c], h = gelu(x);
    squares[row] += h * h;
    products[row] += in.dy[at] * h;
    sums[c] += in.dy[at];
    y[at] = h * in.factor[row] + in.shift[c];
    dz[at] = (in.dy[at] * in.factor[row] + h * in.slope[row]) * gelu_slope(x);
    dbias[c] += dz[at];
  }
  CHECK(relative_error(got.squares, squares) <= 1e-6);
  CHECK(relative_error(got.y, y) <= kRounding<TestType> + 1e-6);
  CHECK(relative_error(got.products, products) <= 2e-6);
  CHECK(relative_error(got.sums, sums) <= 2e-6);
  CHECK(relative_error(got.dz, dz) <= kRounding<TestType> + 2e-6);
  CHECK(relative_error(got.dbias, dbias) <= 2e-6);
}

TEMPLATE_TEST_CASE("gelu and grn passes: the same bits for any number of threads", "[numeric]", float, BFloat16) {
  const GrnInputs<TestType> in({3, 196, 80});
  const auto one = run(in, Parallel()), three = run(in, threads(3));
  CHECK(one.squares == three.squares);
  CHECK(one.y == three.y);
  CHECK(one.products == three.products);
  CHECK(one.sums == three.sums);
  CHECK(one.dz == three.dz);
  CHECK(one.dbias == three.dbias);
}

}  // namespace
}  // namespace unireplk::kernels
