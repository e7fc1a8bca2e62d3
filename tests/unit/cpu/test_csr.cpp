// Expected results: privileged specification chapters 2 to 4, Sstc, Zicbom; where these leave a
// choice, what QEMU 10 reads back.
#include <catch2/catch.hpp>

#include "cpu/csr.h"
#include "tests/unit/cpu/bare_hart.h"

using namespace hv;
using hv::test::BareHart;

namespace {

constexpr uint64_t kOnes = ~0ull;
constexpr unsigned kSie = 0x104, kSip = 0x144, kSatp = 0x180, kMstatus = 0x300, kMideleg = 0x303,
                   kMie = 0x304, kMip = 0x344, kMenvcfg = 0x30a, kMcounteren = 0x306,
                   kStimecmp = 0x14d;
constexpr Priv kU = Priv::kUser, kS = Priv::kSupervisor, kM = Priv::kMachine;

}  // namespace

TEST_CASE("What all ones and zero leave in each register") {
  struct Row {
    unsigned csr;
    const char* name;
    uint64_t ones, zero;
  };
  constexpr uint64_t kXl = 0xaull << 32;  // UXL = SXL = 2
  const Row row = GENERATE(
      // SD, XL, TSR TW TVM MXR SUM MPRV, FS, MPP, SPP, MPIE SPIE MIE SIE
      Row{0x300, "mstatus", 1ull << 63 | kXl | 0x7e79aa, kXl},
      Row{0x100, "sstatus", 1ull << 63 | 2ull << 32 | 0xc6122, 2ull << 32},
      Row{0x302, "medeleg", 0xb3ff, 0}, Row{0x303, "mideleg", 0x222, 0},
      Row{0x304, "mie", 0xaaa, 0}, Row{0x340, "mscratch", kOnes, 0},
      Row{0x140, "sscratch", kOnes, 0}, Row{0x341, "mepc", ~1ull, 0}, Row{0x141, "sepc", ~1ull, 0},
      Row{0x342, "mcause", kOnes, 0}, Row{0x142, "scause", kOnes, 0}, Row{0x343, "mtval", kOnes, 0},
      Row{0x143, "stval", kOnes, 0}, Row{0x306, "mcounteren", 0x7ffff, 0},
      Row{0x106, "scounteren", 0x7ffff, 0}, Row{0x320, "mcountinhibit", 0x7fffd, 0},
      Row{0x30a, "menvcfg", 7ull << 61 | 0xf1, 0}, Row{0x10a, "senvcfg", 0xf1, 0},
      Row{0x323, "mhpmevent3", ~0ull >> 8, 0}, Row{0x332, "mhpmevent18", ~0ull >> 8, 0},
      Row{0x333, "mhpmevent19", 0, 0}, Row{0xb12, "mhpmcounter18", kOnes, 0},
      Row{0xb1f, "mhpmcounter31", 0, 0}, Row{0x7a0, "tselect", 0, 0},
      Row{0x7a1, "tdata1", 15ull << 60, 15ull << 60}, Row{0x7a2, "tdata2", kOnes, 0},
      Row{0x7a3, "tdata3", 0, 0}, Row{0x14d, "stimecmp", kOnes, 0});
  BareHart h;
  INFO(row.name);
  CHECK(csr_name(row.csr) == row.name);
  REQUIRE(h.csrw(row.csr, kOnes));
  CHECK(h.csrr(row.csr) == row.ones);
  REQUIRE(h.csrw(row.csr, 0));
  CHECK(h.csrr(row.csr) == row.zero);
}

TEST_CASE("Numbers without a register, and writes to read-only ones, are illegal") {
  const unsigned csr = GENERATE(0x000u, 0x010u, 0x200u, 0x240u, 0x3a1u, 0x3b0u + 63, 0x747u, 0x5a8u,
                                0x7a5u, 0x7c0u, 0xb01u, 0xda0u, 0xf10u, 0xfffu);
  BareHart h;
  CHECK_FALSE(h.csrr(csr));
  CHECK(h.hart.exception_cause == Cause::kIllegalInstruction);
  CHECK(h.hart.exception_tval == BareHart::kWord);
  CHECK_FALSE(h.csrw(csr, 0));
  for (unsigned read_only : {0xc00u, 0xc01u, 0xf11u, 0xf14u}) {
    CHECK(h.csrr(read_only));
    CHECK_FALSE(h.csrw(read_only, 0));
    CHECK_FALSE(h.csrs(read_only, 0));  // rs1 is not x0: a write, whatever its value
  }
}

TEST_CASE("A register's number gives its lowest privilege") {
  BareHart h;
  h.enter(kS);
  CHECK(h.csrr(kSstatus));
  CHECK_FALSE(h.csrr(kMstatus));
  CHECK_FALSE(h.csrr(0xf14));
  h.enter(kU);
  CHECK_FALSE(h.csrr(kSstatus));
}

TEST_CASE("mstatus.MPP keeps its value when a reserved one is written") {
  BareHart h;
  for (const uint64_t legal : {0ull, 1ull, 3ull}) {
    REQUIRE(h.csrw(kMstatus, legal << 11));
    REQUIRE(h.csrw(kMstatus, 2ull << 11));
    CHECK((*h.csrr(kMstatus) >> 11 & 3) == legal);
  }
}

TEST_CASE("SD follows FS; sstatus is a view of mstatus") {
  BareHart h;
  for (const uint64_t fs : {0ull, 1ull, 2ull, 3ull}) {
    REQUIRE(h.csrw(kMstatus, fs << 13));
    CHECK(*h.csrr(kSstatus) >> 63 == (fs == 3));
    CHECK((*h.csrr(kSstatus) >> 13 & 3) == fs);
    CHECK(h.hart.fp_enabled == (fs != 0));
  }
  REQUIRE(h.csrw(kMstatus, kMstatusMie | kMstatusTw | kMstatusSum));
  REQUIRE(h.csrw(kSstatus, kMstatusSie));
  CHECK((*h.csrr(kMstatus) & (kMstatusMie | kMstatusTw | kMstatusSum | kMstatusSie)) ==
        (kMstatusMie | kMstatusTw | kMstatusSie));
}

TEST_CASE("Trap vectors: reserved modes are not taken") {
  const unsigned csr = GENERATE(0x305u, 0x105u);
  BareHart h;
  REQUIRE(h.csrw(csr, 0x8000'1001));
  CHECK(h.csrr(csr) == 0x8000'1001);
  for (const uint64_t mode : {2ull, 3ull}) {
    REQUIRE(h.csrw(csr, 0x9000'0000 | mode));
    CHECK((*h.csrr(csr) & 3) <= 1);
  }
}

TEST_CASE("Without C the exception pc is 4-aligned") {
  BareHart h("rv64,c=off");
  REQUIRE(h.csrw(0x341, 0x8000'0007));
  CHECK(h.csrr(0x341) == 0x8000'0004);
  REQUIRE(h.csrw(0x141, kOnes));
  CHECK(h.csrr(0x141) == ~3ull);
}

TEST_CASE("satp takes the modes that the hart has and ignores others whole") {
  BareHart h("rv64,sv57=off");
  constexpr uint64_t kOther = 0xffffull << 44 | 0xfff'ffff'ffff;
  for (const uint64_t mode : {8ull, 9ull}) {
    REQUIRE(h.csrw(kSatp, mode << 60 | kOther));
    CHECK(h.csrr(kSatp) == (mode << 60 | kOther));
    for (const uint64_t bad : {10ull, 1ull, 7ull, 11ull, 15ull}) {
      REQUIRE(h.csrw(kSatp, bad << 60 | 0x12345));
      CHECK(h.csrr(kSatp) == (mode << 60 | kOther));
    }
  }
  REQUIRE(h.csrw(kSatp, 0));
  CHECK(h.csrr(kSatp) == 0);
}

TEST_CASE("TVM takes satp and SFENCE.VMA away from S-mode") {
  BareHart h;
  h.hart.csr.mstatus |= kMstatusTvm;
  h.enter(kS);
  CHECK_FALSE(h.csrr(kSatp));
  CHECK_FALSE(h.csrw(kSatp, 0));
  CHECK(exec_sfence_vma(h.hart, 0, 0, 77) == SysResult::kException);
  CHECK(h.hart.exception_tval == 77);
  CHECK(exec_sfence_order(h.hart, 77) == SysResult::kNext);
  h.enter(kM);
  CHECK(h.csrr(kSatp));
  CHECK(exec_sfence_vma(h.hart, 0, 0, 77) == SysResult::kNext);
  h.hart.csr.mstatus = 0;
  h.enter(kU);
  CHECK(exec_sfence_vma(h.hart, 0, 0, 77) == SysResult::kException);
  CHECK(exec_sfence_order(h.hart, 77) == SysResult::kException);
}

TEST_CASE("Counters need mcounteren from S and scounteren too from U") {
  const unsigned bit = GENERATE(0u, 1u, 2u);
  BareHart h;
  const unsigned csr = 0xc00 + bit;
  auto allowed = [&](Priv priv) {
    h.enter(priv);
    return h.csrr(csr).has_value();
  };
  CHECK(allowed(kM));
  CHECK_FALSE(allowed(kS));
  CHECK_FALSE(allowed(kU));
  h.hart.csr.scounteren = 7;
  CHECK_FALSE(allowed(kU));
  h.hart.csr.mcounteren = 1ull << bit;
  CHECK(allowed(kS));
  CHECK(allowed(kU));
  h.hart.csr.scounteren = 7 & ~(1ull << bit);
  CHECK(allowed(kS));
  CHECK_FALSE(allowed(kU));
}

TEST_CASE("minstret: writing takes the place of counting; inhibited counters stand still") {
  BareHart h;
  h.hart.instret = 1000;
  REQUIRE(h.csrw(0xb02, 5));
  h.hart.instret = 1001;  // the write itself has retired
  CHECK(h.csrr(0xb02) == 5);
  h.hart.instret = 1011;
  CHECK(h.csrr(0xb02) == 15);
  CHECK(h.csrr(0xc02) == 15);
  REQUIRE(h.csrw(0x320, 4));
  h.hart.instret = 1100;
  CHECK(h.csrr(0xb02) == 15);
  REQUIRE(h.csrw(0xb02, 3));
  CHECK(h.csrr(0xb02) == 3);
  REQUIRE(h.csrw(0x320, 0));
  h.hart.instret = 1110;
  CHECK(h.csrr(0xb02) == 13);
}

TEST_CASE("sie and sip show and change delegated interrupts only") {
  BareHart h;
  REQUIRE(h.csrw(kMie, kOnes));
  CHECK(h.csrr(kSie) == 0);
  REQUIRE(h.csrw(kMideleg, 0x202));
  CHECK(h.csrr(kSie) == 0x202);
  REQUIRE(h.csrw(kSie, 0));
  CHECK(h.csrr(kMie) == (0xaaa & ~0x202));
  h.hart.mip = kMipSsip | kMipStip | kMipSeip;
  h.hart.clock = &h.clock;
  CHECK(h.csrr(kSip) == (kMipSsip | kMipSeip));
  REQUIRE(h.csrw(kSip, 0));
  CHECK(h.hart.mip == (kMipStip | kMipSeip));  // SSIP alone is writable
  REQUIRE(h.csrs(kSip, kOnes));
  CHECK(h.hart.mip == (kMipSsip | kMipStip | kMipSeip));
  REQUIRE(h.csrw(kMideleg, 0));
  REQUIRE(h.csrc(kSip, kOnes));
  CHECK(h.hart.mip == (kMipSsip | kMipStip | kMipSeip));
}

TEST_CASE("mip: M-mode's SEIP bit and the controller's line are kept apart") {
  BareHart h;
  h.hart.mip = kMipSeip;  // the line
  CHECK(*h.csrr(kMip) & kMipSeip);
  REQUIRE(h.csrc(kMip, kMipSeip));
  CHECK(*h.csrr(kMip) & kMipSeip);
  // Setting another bit must not latch what the line showed.
  REQUIRE(h.csrs(kMip, kMipSsip));
  h.hart.mip.fetch_and(~kMipSeip);
  CHECK(h.csrr(kMip) == kMipSsip);
  REQUIRE(h.csrs(kMip, kMipSeip));
  CHECK(h.csrr(kMip) == (kMipSsip | kMipSeip));
  REQUIRE(h.csrw(kMip, 0));
  CHECK(h.csrr(kMip) == 0);
}

TEST_CASE("mip: STIP is M-mode's unless Sstc drives it; machine bits are never writable") {
  BareHart h;
  REQUIRE(h.csrw(kMip, kOnes));
  CHECK(h.csrr(kMip) == (kMipSsip | kMipStip | kMipSeip));
  REQUIRE(h.csrw(kMip, 0));
  REQUIRE(h.csrs(kMenvcfg, kEnvcfgStce));
  REQUIRE(h.csrw(kMip, kMipStip));
  CHECK(h.csrr(kMip) == 0);
  REQUIRE(h.csrw(kStimecmp, 0));
  CHECK(h.csrr(kMip) == kMipStip);
  REQUIRE(h.csrw(kMip, 0));
  CHECK(h.csrr(kMip) == kMipStip);
  REQUIRE(h.csrw(kStimecmp, kOnes));
  CHECK(h.csrr(kMip) == 0);
}

TEST_CASE("stimecmp from S needs menvcfg.STCE and mcounteren.TM") {
  BareHart h;
  auto allowed = [&] {
    h.enter(kS);
    const bool result = h.csrr(kStimecmp).has_value();
    h.enter(kM);
    return result;
  };
  CHECK_FALSE(allowed());
  REQUIRE(h.csrw(kMcounteren, 2));
  CHECK_FALSE(allowed());
  REQUIRE(h.csrs(kMenvcfg, kEnvcfgStce));
  CHECK(allowed());
  REQUIRE(h.csrw(kMcounteren, 5));
  CHECK_FALSE(allowed());
  CHECK(h.csrr(kStimecmp));
}

TEST_CASE("The fields of absent extensions are read-only zero") {
  BareHart h("rv64,sstc=off,svadu=off,svpbmt=off,zicbom=off,zicboz=off");
  REQUIRE(h.csrw(kMenvcfg, kOnes));
  CHECK(h.csrr(kMenvcfg) == 1);
  CHECK_FALSE(h.csrr(kStimecmp));
}

TEST_CASE("CBIE keeps its value when the reserved one is written") {
  BareHart h;
  REQUIRE(h.csrw(kMenvcfg, 1 << 4));
  REQUIRE(h.csrw(kMenvcfg, 2 << 4));
  CHECK((*h.csrr(kMenvcfg) >> 4 & 3) != 2);
}

TEST_CASE("Cache-block instructions ask menvcfg from S and senvcfg too from U") {
  struct Row {
    Cbo kind;
    uint64_t field;
  };
  const Row row =
      GENERATE(Row{Cbo::kInval, 1 << 4}, Row{Cbo::kInval, 3 << 4}, Row{Cbo::kClean, 1 << 6},
               Row{Cbo::kFlush, 1 << 6}, Row{Cbo::kZero, 1 << 7});
  BareHart h;
  h.open_pmp();
  auto allowed = [&](Priv priv) {
    h.enter(priv);
    const bool result = exec_cbo(h.hart, row.kind, BareHart::kRam + 0x1000, BareHart::kWord);
    if (!result) {
      CHECK(h.hart.exception_cause == Cause::kIllegalInstruction);
      CHECK(h.hart.exception_tval == BareHart::kWord);
    }
    h.enter(kM);
    return result;
  };
  REQUIRE(h.csrw(kMenvcfg, 0));
  CHECK(allowed(kM));
  CHECK_FALSE(allowed(kS));
  REQUIRE(h.csrw(0x10a, row.field));
  CHECK_FALSE(allowed(kU));
  REQUIRE(h.csrw(kMenvcfg, row.field));
  CHECK(allowed(kS));
  CHECK(allowed(kU));
  REQUIRE(h.csrw(0x10a, 0xf1 & ~row.field));
  CHECK(allowed(kU) == (row.kind == Cbo::kInval && row.field == 1 << 4));
}

// Smstateen, "State Enable Extension": SE0, ENVCFG.
TEST_CASE("mstateen gives S-mode senvcfg and the sstateen registers") {
  BareHart h("rv64,smstateen=on");
  for (unsigned i = 0; i < 4; ++i) {
    REQUIRE(h.csrr(0x30c + i) == 0);
    REQUIRE(h.csrw(0x30c + i, kOnes));
    CHECK(h.csrr(0x30c + i) == (i == 0 ? 3ull << 62 : 1ull << 63));
    REQUIRE(h.csrw(0x10c + i, kOnes));
    CHECK(h.csrr(0x10c + i) == 0);
    REQUIRE(h.csrw(0x30c + i, 0));
  }
  const auto from_s = [&](unsigned csr) {
    h.enter(kS);
    const bool read = h.csrr(csr).has_value(), written = h.csrw(csr, 0);
    CHECK(read == written);
    h.enter(kM);
    return read;
  };
  CHECK_FALSE(from_s(0x10a));
  CHECK(h.csrr(0x10a));
  REQUIRE(h.csrw(0x30c, 1ull << 62));
  CHECK(from_s(0x10a));
  for (unsigned i = 0; i < 4; ++i) {
    CHECK_FALSE(from_s(0x10c + i));
    REQUIRE(h.csrw(0x30c + i, 1ull << 63));
    CHECK(from_s(0x10c + i));
  }
  CHECK_FALSE(from_s(0x30c));
  BareHart without;
  CHECK_FALSE(without.csrr(0x30c));
  CHECK_FALSE(without.csrr(0x10c));
}

TEST_CASE("Floating-point registers need FS, and writing them makes it dirty") {
  BareHart h;
  for (unsigned csr : {1u, 2u, 3u}) CHECK_FALSE(h.csrr(csr));
  REQUIRE(h.csrw(kMstatus, 1ull << 13));
  REQUIRE(h.csrw(3, 0xffff));
  CHECK(h.csrr(3) == 0xff);
  CHECK(h.csrr(2) == 7);
  CHECK(h.csrr(1) == 31);
  CHECK((*h.csrr(kMstatus) & kMstatusFs) == kMstatusFs);
  REQUIRE(h.csrw(3, 0));
}

TEST_CASE("Reading with set or clear and x0 writes nothing; csrrw to x0 reads nothing") {
  BareHart h;
  REQUIRE(h.csrw(0x340, 0x55));
  CHECK(exec_csr(h.hart, CsrAccess::kReadClear, 0x340, 7, 0, true, false, 0) == SysResult::kNext);
  CHECK(h.hart.x[7] == 0x55);
  CHECK(exec_csr(h.hart, CsrAccess::kReadSet, 0x340, 7, 0xa0, true, true, 0) == SysResult::kNext);
  CHECK(h.hart.x[7] == 0x55);
  CHECK(exec_csr(h.hart, CsrAccess::kReadClear, 0x340, 7, 0x11, true, true, 0) == SysResult::kNext);
  CHECK(h.hart.x[7] == 0xf5);
  CHECK(h.csrr(0x340) == 0xe4);
}

TEST_CASE("Names of numbers with and without rows") {
  CHECK(csr_name(0x3b3) == "pmpaddr3");
  CHECK(csr_name(0x3ae) == "pmpcfg14");
  CHECK(csr_name(0xb03) == "mhpmcounter3");
  CHECK(csr_name(0x7c0) == "0x7c0");
}
