// The privileged specification's address translation, word by word (4.3.2 and the chapters on
// Sv39, Sv48, Sv57, Svnapot, Svpbmt, Svadu), as a plain oracle: no TLB, no PMP, no haste.
#pragma once

#include <cstdint>
#include <functional>

namespace hv::test {

struct ReferenceWalk {
  enum class Kind { kFetch, kLoad, kStore };
  enum class Result { kMapped, kPageFault, kAccessFault };

  unsigned levels;  // 3, 4 or 5
  uint64_t root;    // physical address of the root table
  bool user;        // effective privilege: U, else S
  bool sum, mxr;
  bool hardware_ad;  // menvcfg.ADUE
  bool pbmt, napot;
  std::function<bool(uint64_t)> is_ram;
  std::function<uint64_t(uint64_t)> read;
  std::function<void(uint64_t, uint64_t)> write;

  Result translate(uint64_t va, Kind kind, uint64_t& pa) const {
    const auto bit = [](uint64_t value, unsigned number) { return (value >> number & 1) != 0; };
    const unsigned va_bits = 12 + 9 * levels;
    for (unsigned i = va_bits; i < 64; ++i)
      if (bit(va, i) != bit(va, va_bits - 1)) return Result::kPageFault;

    uint64_t a = root;  // step 1
    int i = static_cast<int>(levels) - 1;
    uint64_t pte, pte_address;
    for (;;) {
      pte_address = a + (va >> (12 + 9 * i) & 511) * 8;  // step 2
      if (!is_ram(pte_address)) return Result::kAccessFault;
      pte = read(pte_address);
      const bool v = bit(pte, 0), r = bit(pte, 1), w = bit(pte, 2), x = bit(pte, 3);
      if (!v || (!r && w)) return Result::kPageFault;  // step 3
      if ((pte >> 54 & 0x7f) != 0) return Result::kPageFault;
      if ((pte >> 61 & 3) != 0 && (!pbmt || (pte >> 61 & 3) == 3)) return Result::kPageFault;
      if (bit(pte, 63) && !napot) return Result::kPageFault;
      if (r || x) break;  // step 4
      // D, A, U, N and PBMT are reserved in what is no leaf.
      if (bit(pte, 4) || bit(pte, 6) || bit(pte, 7) || pte >> 61 != 0) return Result::kPageFault;
      if (--i < 0) return Result::kPageFault;
      a = (pte >> 10 & ((1ull << 44) - 1)) << 12;
    }
    const bool r = bit(pte, 1), w = bit(pte, 2), x = bit(pte, 3), u = bit(pte, 4);
    if (kind == Kind::kFetch && !x) return Result::kPageFault;  // step 5
    if (kind == Kind::kLoad && !r && !(mxr && x)) return Result::kPageFault;
    if (kind == Kind::kStore && !w) return Result::kPageFault;
    if (user && !u) return Result::kPageFault;
    if (!user && u && (kind == Kind::kFetch || !sum)) return Result::kPageFault;

    uint64_t ppn = pte >> 10 & ((1ull << 44) - 1);
    if (bit(pte, 63)) {  // Svnapot: 64 KiB only
      if (i != 0 || (ppn & 15) != 8) return Result::kPageFault;
      ppn = (ppn & ~15ull) | (va >> 12 & 15);
    }
    const uint64_t low = (1ull << 9 * i) - 1;  // step 6
    if ((ppn & low) != 0) return Result::kPageFault;

    const bool dirty_wanted = kind == Kind::kStore && !bit(pte, 7);  // step 7
    if (!bit(pte, 6) || dirty_wanted) {
      if (!hardware_ad) return Result::kPageFault;
      write(pte_address, pte | 1 << 6 | (kind == Kind::kStore ? 1 << 7 : 0));
    }
    pa = (ppn & ~low) << 12 | (va & ((low << 12) | 0xfff));  // step 8
    return Result::kMapped;
  }
};

}  // namespace hv::test
