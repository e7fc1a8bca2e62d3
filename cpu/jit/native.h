// Compiled code and what it leaves behind for its engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/decoded_op.h"

namespace hv {

// A way out of compiled code to a place in the same page. `target` is where the code jumps: to
// another path's code once that is known, else to the common way out.
struct NativeLink {
  const void* target;
  uint16_t page_offset;
};

// Where an instruction of a path that may fail stands.
struct NativePoint {
  uint16_t page_offset;
  uint16_t index;  // instructions of the path before it
  uint32_t word;
};

// The code of one path.
struct NativeTrace {
  const void* code = nullptr;
  size_t code_bytes = 0;
  // hart.code_generation for which the guest's bytes were last known to be those compiled.
  uint64_t verified = 0;
  // Guest bytes, by physical address.
  struct Source {
    uint64_t physical;
    std::vector<uint8_t> bytes;
  };
  std::vector<Source> sources;
  // The code points at these.
  std::vector<std::unique_ptr<NativeLink>> links;
  std::vector<std::unique_ptr<NativePoint>> points;
  std::vector<std::unique_ptr<DecodedOp>> operands;
};

// Why compiled code came back.
enum class NativeExit : uint64_t {
  kPlace,      // go on at pc; `detail` is the NativeLink, or nullptr
  kRequest,    // the same, and hart.requests is not 0
  kInterpret,  // the same, but the interpreter has to run the instruction at pc
  kException,  // the exception is in the hart; `detail` is the NativePoint
};

}  // namespace hv
