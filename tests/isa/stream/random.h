// The generator's random numbers: the same for a seed everywhere (splitmix64).
#pragma once

#include <cstdint>
#include <iterator>

namespace hv::test {

class Random {
 public:
  // The first number of a plain state would be the second one of the seed before it.
  explicit Random(uint64_t seed) : state_(seed * 0xd1342543de82ef95 + 1) { state_ = next(); }

  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  uint64_t below(uint64_t limit) { return next() % limit; }
  unsigned between(unsigned first, unsigned last) {
    return first + static_cast<unsigned>(below(last - first + 1));
  }
  bool percent(unsigned chance) { return below(100) < chance; }
  template <class List>
  auto pick(const List& list) {
    return std::begin(list)[below(std::size(list))];
  }

 private:
  uint64_t state_;
};

}  // namespace hv::test
