// What the compiler translates: a path of blocks through one page that was seen to run.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/decoded_op.h"
#include "cpu/op.h"

namespace hv {

// One instruction of a path.
struct TraceOp {
  Op kind;
  DecodedOp fields;      // as decode() gives them; handler and pc_halfwords unused
  uint16_t page_offset;  // of the instruction
  uint8_t length;
  // The branch went to its target when the path was recorded, and the path goes on there.
  bool taken = false;
  uint32_t word;  // the instruction's bits
};

// Hart thread only, like what it is made from.
struct Trace {
  std::vector<TraceOp> ops;
  // Behind the last op the path is at its beginning again.
  bool loops = false;
};

}  // namespace hv
