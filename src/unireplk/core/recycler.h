#pragma once

#include <cstddef>
#include <map>
#include <memory_resource>
#include <mutex>
#include <vector>

namespace unireplk {

/// Memory that is kept when it is given back, for the next who wants about as much: work that repeats itself soon
/// allocates nothing. Blocks are rounded up to one of four sizes between powers of two. Thread-safe.
class Recycler : public std::pmr::memory_resource {
 public:
  /// \param most      bytes that are kept at most; what goes beyond goes back at once.
  /// \param upstream  where memory comes from; has to outlive this.
  explicit Recycler(size_t most, std::pmr::memory_resource* upstream = std::pmr::get_default_resource());
  ~Recycler() override;
  Recycler(const Recycler&) = delete;
  Recycler& operator=(const Recycler&) = delete;

 private:
  void* do_allocate(size_t bytes, size_t alignment) override;
  void do_deallocate(void* block, size_t bytes, size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  const size_t most_;
  std::pmr::memory_resource* const upstream_;
  std::mutex mutex_;
  size_t kept_ = 0;
  std::map<size_t, std::vector<void*>> free_;  ///< by size, the one given back last behind
};

}  // namespace unireplk
