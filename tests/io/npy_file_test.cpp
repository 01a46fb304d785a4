#include "unireplk/io/npy_file.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>

#include "support/catch.h"
#include "support/files.h"
#include "support/npy_bytes.h"
#include "support/temporary_folder.h"
#include "unireplk/core/error.h"

namespace unireplk::io {

TEST_CASE("read_npy: the tensor outlives what read it, and the file's name") {
  const test::TemporaryFolder folder;
  const auto file = folder / "a.npy";
  test::write_file(file, test::npy_bytes<float>({2, 3}, {1, 2, 3, 4, 5, 6}));
  const auto array = read_npy(file);
  std::filesystem::remove(file);
  CHECK(at::equal(array, at::tensor({1.f, 2.f, 3.f, 4.f, 5.f, 6.f}).view({2, 3})));
}

TEST_CASE("read_npy: a file that lies is named") {
  const test::TemporaryFolder folder;
  const auto file = folder / "a.npy";
  test::write_file(file, test::npy_bytes<float>({2, 3}, {1, 2, 3, 4, 5, 6}) + "x");
  CHECK_THROWS_WITH(read_npy(file), Catch::Contains("a.npy: expected 24 bytes of data"));
}

}  // namespace unireplk::io
