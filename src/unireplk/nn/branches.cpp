#include "unireplk/nn/branches.h"

#include <algorithm>

#include "unireplk/core/error.h"

namespace unireplk::nn {
namespace {

constexpr int64_t kLargestInTable = 17;

int64_t largest_odd(int64_t n) { return n % 2 == 0 ? n - 1 : n; }

std::vector<Branch> branches_beyond_table(int64_t kernel_size) {
  const int64_t near = std::max<int64_t>(3, kernel_size / 4);
  const int64_t far = largest_odd((kernel_size - 1) / 2);
  return {{5, 1}, {largest_odd((kernel_size + 1) / 2), 2}, {3, near}, {3, (near + far) / 2}, {3, far}};
}

}  // namespace

std::string Branch::name() const { return format("k{}_{}", kernel, dilation); }

std::vector<Branch> default_branches(int64_t kernel_size) {
  if (kernel_size < 5 || kernel_size % 2 == 0) {
    throw UserError({"", format("no dilated branches for kernel size {}: expected an odd size >= 5", kernel_size), ""});
  }
  switch (kernel_size) {
    case 5:
      return {{3, 1}, {3, 2}};
    case 7:
      return {{5, 1}, {3, 2}, {3, 3}};
    case 9:
      return {{5, 1}, {5, 2}, {3, 3}, {3, 4}};
    case 11:
      return {{5, 1}, {5, 2}, {3, 3}, {3, 4}, {3, 5}};
    case 13:
      return {{5, 1}, {7, 2}, {3, 3}, {3, 4}, {3, 5}};
    case 15:
      return {{5, 1}, {7, 2}, {3, 3}, {3, 5}, {3, 7}};
    case kLargestInTable:
      return {{5, 1}, {9, 2}, {3, 4}, {3, 5}, {3, 7}};
    default:
      return branches_beyond_table(kernel_size);
  }
}

void check_branches(int64_t kernel_size, const std::vector<Branch>& branches) {
  for (auto branch = branches.begin(); branch != branches.end(); ++branch) {
    const auto [kernel, dilation] = *branch;
    const auto what = format("branch [{}, {}] (kernel, dilation) beside kernel size {}", kernel, dilation, kernel_size);
    if (kernel < 1 || kernel % 2 == 0) throw UserError({"", what + ": expected an odd kernel", ""});
    if (dilation < 1) throw UserError({"", what + ": expected a dilation >= 1", ""});
    // Divided rather than multiplied: hostile numbers must not overflow.
    if (kernel > kernel_size || (kernel > 1 && dilation > (kernel_size - 1) / (kernel - 1))) {
      throw UserError({"", what + format(": does not fit, dilation * (kernel - 1) + 1 must be at most {}", kernel_size),
                       "Take a smaller dilation or kernel."});
    }
    if (std::find(branches.begin(), branch, *branch) != branch) throw UserError({"", what + ": given twice", ""});
  }
}

}  // namespace unireplk::nn
