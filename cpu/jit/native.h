// Compiled code and what it refers to. All harts share it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <vector>

#include "cpu/decoded_op.h"

namespace hv {

struct NativeTrace;

// A way out of compiled code to a place in the same page. Harts jump to `code` at any time; it
// leads out as long as the place has no code. Translations writes it.
struct NativeLink {
  std::atomic<const void*> code{nullptr};
  uint16_t page_offset = 0;
  NativeTrace* from = nullptr;
  NativeTrace* to = nullptr;  // under CodePages::mutex()
};

// An instruction of a path at which the path may have to be left, and what is in host registers
// then that the hart does not have yet: masks of guest registers.
struct NativePoint {
  const NativeTrace* trace;
  uint32_t dirty;
  uint32_t float_dirty;
  uint32_t word;
  uint16_t index;  // instructions of the path before it
  uint16_t page_offset;
};

// A system instruction of a path.
struct NativeSystem {
  DecodedOp fields;
  uint32_t word;
  uint32_t index;  // instructions of the path before it
  uint16_t page_offset;
  uint8_t length;
};

// The code of one path.
//
//   kReady <--> kSuspect --> kDead
//      +--------------------->^
//
// kReady: links and places may lead here. kSuspect: its page has been written; no link leads here,
// harts forget their places in the page at their next fence.i, and the next hart that wants the
// trace compares. kDead: other bytes are there now, or its memory is to be used again; it is in no
// table, and goes when each hart has let go of it. Changes under CodePages::mutex(); whoever runs
// its code meanwhile may do so until it leaves by itself, which is no later than at a fence.i.
struct NativeTrace {
  enum class State : uint8_t { kSuspect, kReady, kDead };
  std::atomic<State> state{State::kSuspect};
  const void* code = nullptr;
  // Which of the host's registers (jit::kPool, jit::float_register) a guest's register has; -1:
  // none.
  std::array<int8_t, 32> host{}, float_host{};
  uint64_t physical = 0;  // of its first instruction
  uint64_t filling = 0;   // Translations::kept_from()
  // Guest bytes, by physical address.
  struct Source {
    uint64_t physical;
    std::vector<uint8_t> bytes;
  };
  std::vector<Source> sources;
  // The code points at these. Lists, because most are short or empty, and an empty std::deque has
  // 576 bytes.
  std::forward_list<NativeLink> links;
  std::forward_list<NativePoint> points;
  std::forward_list<DecodedOp> operands;
  std::forward_list<NativeSystem> systems;
  // Links of others that lead here.
  std::vector<NativeLink*> inbound;

  bool ready() const { return state.load(std::memory_order_acquire) == State::kReady; }
  bool dead() const { return state.load(std::memory_order_acquire) == State::kDead; }
};

// Where compiled code looks for the code of a place in another page. Direct-mapped by pc; a table
// for each hart.
struct NativePlace {
  uint64_t pc;
  uint64_t context;  // Hart::fetch_generation
  const void* code;
  uint64_t page;  // physical
};
inline constexpr unsigned kNativePlaceBits = 15;
inline constexpr size_t kNativePlaces = size_t{1} << kNativePlaceBits;

// Contexts have places of their own, for they come again.
inline constexpr uint32_t kNativePcFactor = 0x9e3779b1, kNativeContextFactor = 0x2545f491;
inline size_t native_place_index(uint64_t pc, uint64_t context) {
  return (static_cast<uint32_t>(pc) * kNativePcFactor +
          static_cast<uint32_t>(context) * kNativeContextFactor) >>
         (32 - kNativePlaceBits);
}

// Why compiled code came back.
enum class NativeExit : uint64_t {
  kPlace,      // go on at pc; `detail` is the NativeLink, or nullptr
  kRequest,    // the same, and hart.requests is not 0
  kInterpret,  // the interpreter has to run the instruction at pc
  kException,  // the exception is in the hart; `detail` is the NativePoint
};

}  // namespace hv
