// Instructions that touch privilege, CSRs or translation. Engines end a block after each of them
// and have pc (of the instruction itself) and instret (before it) stored in the hart.
#pragma once

#include <cstdint>

#include "cpu/hart.h"

namespace hv {

enum class SysResult {
  kNext,       // done: go on with the following instruction
  kException,  // the exception is in the hart
  kRedirect,   // done: hart.pc holds where to go on
  kWait,       // done, and the hart may sleep (WFI): leave the engine; pc moves to the next
};

enum class CsrAccess : uint8_t { kReadWrite, kReadSet, kReadClear };

// csrrw[i], csrrs[i], csrrc[i]. `write` false for rs1 = x0 / zimm = 0 of set and clear; `read`
// false for csrrw with rd = x0. rd may be kRegSink. `instruction` is the word for mtval.
SysResult exec_csr(Hart& hart, CsrAccess access, unsigned csr, unsigned rd, uint64_t operand,
                   bool read, bool write, uint32_t instruction);
SysResult exec_ecall(Hart& hart);
SysResult exec_ebreak(Hart& hart);
SysResult exec_mret(Hart& hart, uint32_t instruction);
SysResult exec_sret(Hart& hart, uint32_t instruction);
SysResult exec_wfi(Hart& hart, uint32_t instruction);
// wrs.nto and wrs.sto (Zawrs). Both end by themselves after a while, as every hart may.
enum class WaitLimit : uint8_t { kNone, kShort };
// Whether it ends without a nap or an exception: looks for some 10 us.
bool wrs_ends_soon(const Hart& hart, WaitLimit limit);
SysResult exec_wrs(Hart& hart, WaitLimit limit, uint32_t instruction);
// rs1/rs2 = 0 mean "all"; also sinval.vma.
SysResult exec_sfence_vma(Hart& hart, unsigned rs1, unsigned rs2, uint32_t instruction);
// sfence.w.inval and sfence.inval.ir.
SysResult exec_sfence_order(Hart& hart, uint32_t instruction);
// cbo.clean, .flush, .inval, .zero: permission by menvcfg/senvcfg. False: exception in the hart.
enum class Cbo : uint8_t { kInval, kClean, kFlush, kZero };
bool exec_cbo(Hart& hart, Cbo kind, uint64_t address, uint32_t instruction);

// CSR views for debuggers and tests, without side effects on privilege checks; false: no such CSR.
bool debug_read_csr(Hart& hart, unsigned csr, uint64_t& value);
bool debug_write_csr(Hart& hart, unsigned csr, uint64_t value);

}  // namespace hv
