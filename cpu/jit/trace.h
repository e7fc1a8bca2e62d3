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
  // A load or store of trace.groups[group]: -1, of none; how far from the group's first byte; the
  // group's TLB probe is here.
  int16_t group = -1;
  uint16_t group_offset = 0;
  bool probes = false;
};

namespace jit {

// An access to fflags, frm or fcsr that has code of its own.
bool is_float_control(const TraceOp& op);
// An access to sstatus whose usual ways have code of their own; one that changes at most SIE.
bool is_status(const TraceOp& op);
bool is_plain_status(const TraceOp& op);
// Served by a call of the row's body, as a rule, which may change FS, frm and what addresses lead
// to.
inline bool runs_system_code(const TraceOp& op) {
  return op_has(op.kind, op_flags::kSystem) && op_has(op.kind, op_flags::kEndsBlock) &&
         !is_float_control(op) && !is_plain_status(op);
}

}  // namespace jit

// Loads and stores around one address: one probe of the TLB, if they are in one page, gives them
// all the host's address.
struct ProbeGroup {
  uint16_t bytes;  // from the first to the last that they access
  bool stores;
  // The address is the same in each round of a loop, and so is the host's.
  bool carried;
  // Where the host's address of the first byte is kept, 0 if they need a probe each; groups that
  // are not needed at the same time may share one. In a strip (cpu/jit/emitter_loop.cpp) what
  // leads from the guest's addresses to the host's, if the group steps.
  uint8_t slot;
  // Each round of a loop adds this to the address, which is `begin` from x[stepper] at the loop's
  // top; 0: it does not step.
  int16_t step = 0;
  uint8_t stepper = 0;
  int32_t begin = 0;
};

// Hart thread only, like what it is made from.
struct Trace {
  std::vector<TraceOp> ops;
  // Virtual address of the first one when the path was recorded. Only for people: others may run
  // the code elsewhere.
  uint64_t pc = 0;
  std::vector<ProbeGroup> groups;
  // Behind the last op the path is at its beginning again.
  bool loops = false;
  // The loop has a second copy that does not probe for some of the groups.
  bool strips = false;
};

}  // namespace hv
