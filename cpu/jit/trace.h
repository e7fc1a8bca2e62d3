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

  // What optimize() has made of it; page_offset, length and word stay the instruction's.
  enum class Form : uint8_t {
    kOp,
    // Sets rd to `constant`; a branch compares rs1 with it.
    kConstant,
    // Does nothing but count.
    kNothing,
  };
  Form form = Form::kOp;
  uint64_t constant = 0;
};

// Hart thread only, like what it is made from.
struct Trace {
  std::vector<TraceOp> ops;
  // Behind the last op the path is at its beginning again.
  bool loops = false;
};

}  // namespace hv
