#include <catch2/catch.hpp>

#include "cpu/decode.h"
#include "cpu/disasm.h"

using namespace hv;

namespace {

ExtensionSet all() {
  ExtensionSet set;
  for (unsigned i = 0; i < static_cast<unsigned>(Ext::kCount); ++i)
    set.set(static_cast<Ext>(i), true);
  return set;
}

constexpr int kSink = kRegSink;

struct Case {
  uint32_t word;
  const char* text;  // by GNU objdump -M no-aliases, at address 0
  Op op;
  int rd, rs1, rs2;  // -1: not an operand
  int64_t imm;
};

constexpr int64_t kNoImm = INT64_MIN;

// Words of extensions that objdump 2.40 does not know, as the specification spells them.
const Case kNewer[] = {
    {0x0ec5d533, "czero.eqz\ta0,a1,a2", Op::czero_eqz, 10, 11, 12, kNoImm},
    {0x81c5c573, "mop.r.0\ta0,a1", Op::mop_r, 10, 11, -1, kNoImm},
    {0xcdf5c573, "mop.r.31\ta0,a1", Op::mop_r, 10, 11, -1, kNoImm},
    {0x82c5c573, "mop.rr.0\ta0,a1,a2", Op::mop_rr, 10, 11, 12, kNoImm},
    {0xcec5c573, "mop.rr.7\ta0,a1,a2", Op::mop_rr, 10, 11, 12, kNoImm},
    {0x00200033, "ntl.p1", Op::add, kSink, -1, -1, kNoImm},
    {0x00500033, "ntl.all", Op::add, kSink, -1, -1, kNoImm},
};
const Case kNewerCompressed[] = {
    {0x81a8, "c.lbu\ta0,2(a1)", Op::lbu, 10, 11, -1, 2},
    {0x81c8, "c.lbu\ta0,1(a1)", Op::lbu, 10, 11, -1, 1},
    {0x85a8, "c.lhu\ta0,2(a1)", Op::lhu, 10, 11, -1, 2},
    {0x85c8, "c.lh\ta0,0(a1)", Op::lh, 10, 11, -1, 0},
    {0x89e8, "c.sb\ta0,3(a1)", Op::sb, -1, 11, 10, 3},
    {0x8da8, "c.sh\ta0,2(a1)", Op::sh, -1, 11, 10, 2},
    {0x9d61, "c.zext.b\ta0", Op::andi, 10, 10, -1, 0xff},
    {0x9d65, "c.sext.b\ta0", Op::sext_b, 10, 10, -1, kNoImm},
    {0x9d69, "c.zext.h\ta0", Op::zext_h, 10, 10, -1, kNoImm},
    {0x9d6d, "c.sext.h\ta0", Op::sext_h, 10, 10, -1, kNoImm},
    {0x9d71, "c.zext.w\ta0", Op::add_uw, 10, 10, 0, kNoImm},
    {0x9d75, "c.not\ta0", Op::xori, 10, 10, -1, -1},
    {0x9d4d, "c.mul\ta0,a1", Op::mul, 10, 10, 11, kNoImm},
    {0x6081, "c.mop.1", Op::addi, kSink, 0, -1, kNoImm},
    {0x6781, "c.mop.15", Op::addi, kSink, 0, -1, kNoImm},
    {0x900a, "c.ntl.p1", Op::add, kSink, -1, -1, kNoImm},
};

// One word for each operand format, as objdump reads it.
const Case kWide[] = {
    {0x12345537, "lui\ta0,0x12345", Op::lui, 10, -1, -1, 0x12345000},
    {0xfffff517, "auipc\ta0,0xfffff", Op::auipc, 10, -1, -1, -4096},
    {0x0100056f, "jal\ta0,0x10", Op::jal, 10, -1, 4, 16},
    {0xffdff06f, "jal\tzero,0xfffffffffffffffc", Op::jal, kSink, -1, 4, -4},
    {0x00c580e7, "jalr\tra,12(a1)", Op::jalr, 1, 11, 4, 12},
    {0x00c58463, "beq\ta1,a2,0x8", Op::beq, 4, 11, 12, 8},
    {0xfe0718e3, "bne\ta4,zero,0xfffffffffffffff0", Op::bne, 4, 14, 0, -16},
    {0xfec5b783, "ld\ta5,-20(a1)", Op::ld, 15, 11, -1, -20},
    {0xfec5bf23, "sd\ta2,-2(a1)", Op::sd, -1, 11, 12, -2},
    {0x00c58513, "addi\ta0,a1,12", Op::addi, 10, 11, -1, 12},
    {0x02a59513, "slli\ta0,a1,0x2a", Op::slli, 10, 11, -1, 42},
    {0x40a5d51b, "sraiw\ta0,a1,0xa", Op::sraiw, 10, 11, -1, 10},
    {0x00c58533, "add\ta0,a1,a2", Op::add, 10, 11, 12, kNoImm},
    {0x00c58033, "add\tzero,a1,a2", Op::add, kSink, 11, 12, kNoImm},
    {0x60059513, "clz\ta0,a1", Op::clz, 10, 11, -1, kNoImm},
    {0x0ff0000f, "fence\tiorw,iorw", Op::fence, -1, -1, -1, 0x0ff0000f},
    {0x8330000f, "fence.tso", Op::fence, -1, -1, -1, static_cast<int32_t>(0x8330000f)},
    {0x0000100f, "fence.i", Op::fence_i, -1, -1, -1, 0x100f},
    {0x00000073, "ecall", Op::ecall, -1, -1, -1, 0x73},
    {0x300025f3, "csrrs\ta1,mstatus,zero", Op::csrrs, 11, 0, -1, 0x300},
    {0xc0051073, "csrrw\tzero,cycle,a0", Op::csrrw, kSink, 10, -1, 0xc00},
    {0x305fd5f3, "csrrwi\ta1,mtvec,31", Op::csrrwi, 11, 31, -1, 0x305},
    {0x12c58073, "sfence.vma\ta1,a2", Op::sfence_vma, -1, 11, 12, 0x12c58073},
    {0x0045a00f, "cbo.zero\t(a1)", Op::cbo_zero, -1, 11, -1, 0x0045a00f},
    {0x31459513, "aes64ks1i\ta0,a1,0x4", Op::aes64ks1i, 10, 11, -1, 4},
    {0xf0c58533, "sm4ed\ta0,a1,a2,0x3", Op::sm4ed, 10, 11, 12, 3},
    {0x0205e013, "prefetch.i\t32(a1)", Op::ori, kSink, 11, -1, kNoImm},
    {0xfe35e013, "prefetch.w\t-32(a1)", Op::ori, kSink, 11, -1, kNoImm},
    {0x00d00073, "wrs.nto", Op::wrs_nto, -1, -1, -1, 0xd00073},
    {0x01d00073, "wrs.sto", Op::wrs_sto, -1, -1, -1, 0x1d00073},
    {0x1605a52f, "lr.w.aqrl\ta0,(a1)", Op::lr_w, 10, 11, -1, 3},
    {0x0cc5b52f, "amoswap.d.aq\ta0,a2,(a1)", Op::amoswap_d, 10, 11, 12, 2},
    {0x00c5a507, "flw\tfa0,12(a1)", Op::flw, 10, 11, -1, 12},
    {0x00c5a007, "flw\tft0,12(a1)", Op::flw, 0, 11, -1, 12},
    {0x00c5a527, "fsw\tfa2,10(a1)", Op::fsw, -1, 11, 12, 10},
    {0x00c5f553, "fadd.s\tfa0,fa1,fa2", Op::fadd_s, 10, 11, 12, 7},
    {0x00c58053, "fadd.s\tft0,fa1,fa2,rne", Op::fadd_s, 0, 11, 12, 0},
    {0x58057553, "fsqrt.s\tfa0,fa0", Op::fsqrt_s, 10, 10, -1, 7},
    {0x6ac5f543, "fmadd.d\tfa0,fa1,fa2,fa3", Op::fmadd_d, 10, 11, 12, 13 << 8 | 7},
    {0xc0051053, "fcvt.w.s\tzero,fa0,rtz", Op::fcvt_w_s, kSink, 10, -1, 1},
    {0xd0057053, "fcvt.s.w\tft0,a0", Op::fcvt_s_w, 0, 10, -1, 7},
    {0xa0c5a053, "feq.s\tzero,fa1,fa2", Op::feq_s, kSink, 11, 12, kNoImm},
    {0xe0051553, "fclass.s\ta0,fa0", Op::fclass_s, 10, 10, -1, kNoImm},
    {0xf2050053, "fmv.d.x\tft0,a0", Op::fmv_d_x, 0, 10, -1, kNoImm},
    {0x00c59507, "flh\tfa0,12(a1)", Op::flh, 10, 11, -1, 12},
    {0x00c59527, "fsh\tfa2,10(a1)", Op::fsh, -1, 11, 12, 10},
    {0x04c5f553, "fadd.h\tfa0,fa1,fa2", Op::fadd_h, 10, 11, 12, 7},
    {0x40258553, "fcvt.s.h\tfa0,fa1", Op::fcvt_s_h, 10, 11, -1, 0},
    // As binutils 2.41 writes them.
    {0xf0148553, "fli.s\tfa0,0x1.4p-2", Op::fli_s, 10, 9, -1, kNoImm},
    {0xf2108553, "fli.d\tfa0,min", Op::fli_d, 10, 1, -1, kNoImm},
    {0xf41f0553, "fli.h\tfa0,inf", Op::fli_h, 10, 30, -1, kNoImm},
    {0x4045f553, "fround.s\tfa0,fa1", Op::fround_s, 10, 11, -1, 7},
    {0x42559553, "froundnx.d\tfa0,fa1,rtz", Op::froundnx_d, 10, 11, -1, 1},
    {0xa4c5c553, "fleq.h\ta0,fa1,fa2", Op::fleq_h, 10, 11, 12, kNoImm},
    {0xc2859553, "fcvtmod.w.d\ta0,fa1,rtz", Op::fcvtmod_w_d, 10, 11, -1, kNoImm},
};

const Case kCompressed[] = {
    {0x0808, "c.addi4spn\ta0,sp,16", Op::addi, 10, 2, -1, 16},
    {0x41cc, "c.lw\ta1,4(a1)", Op::lw, 11, 11, -1, 4},
    {0x6588, "c.ld\ta0,8(a1)", Op::ld, 10, 11, -1, 8},
    {0x2588, "c.fld\tfa0,8(a1)", Op::fld, 10, 11, -1, 8},
    {0xc1c8, "c.sw\ta0,4(a1)", Op::sw, -1, 11, 10, 4},
    {0xe588, "c.sd\ta0,8(a1)", Op::sd, -1, 11, 10, 8},
    {0xa588, "c.fsd\tfa0,8(a1)", Op::fsd, -1, 11, 10, 8},
    {0x0001, "c.addi\tzero,0", Op::addi, kSink, 0, -1, 0},
    {0x1101, "c.addi\tsp,-32", Op::addi, 2, 2, -1, -32},
    {0x2501, "c.addiw\ta0,0", Op::addiw, 10, 10, -1, 0},
    {0x557d, "c.li\ta0,-1", Op::addi, 10, 0, -1, -1},
    {0x7105, "c.addi16sp\tsp,-480", Op::addi, 2, 2, -1, -480},
    {0x7515, "c.lui\ta0,0xfffe5", Op::lui, 10, -1, -1, -27 * 4096},
    {0x9115, "c.srli\ta0,0x25", Op::srli, 10, 10, -1, 37},
    {0x8515, "c.srai\ta0,0x5", Op::srai, 10, 10, -1, 5},
    {0x9975, "c.andi\ta0,-3", Op::andi, 10, 10, -1, -3},
    {0x8d0d, "c.sub\ta0,a1", Op::sub, 10, 10, 11, kNoImm},
    {0x9c25, "c.addw\ts0,s1", Op::addw, 8, 8, 9, kNoImm},
    {0xbffd, "c.j\t0xfffffffffffffffe", Op::jal, kSink, -1, 2, -2},
    {0xc111, "c.beqz\ta0,0x4", Op::beq, 2, 10, 0, 4},
    {0xfd75, "c.bnez\ta0,0xfffffffffffffffc", Op::bne, 2, 10, 0, -4},
    {0x1502, "c.slli\ta0,0x20", Op::slli, 10, 10, -1, 32},
    {0x2522, "c.fldsp\tfa0,8(sp)", Op::fld, 10, 2, -1, 8},
    {0x4512, "c.lwsp\ta0,4(sp)", Op::lw, 10, 2, -1, 4},
    {0x6522, "c.ldsp\ta0,8(sp)", Op::ld, 10, 2, -1, 8},
    {0x8502, "c.jr\ta0", Op::jalr, kSink, 10, 2, 0},
    {0x852e, "c.mv\ta0,a1", Op::add, 10, 0, 11, kNoImm},
    {0x9002, "c.ebreak", Op::ebreak, -1, -1, -1, 0x9002},
    {0x9502, "c.jalr\ta0", Op::jalr, 1, 10, 2, 0},
    {0x952e, "c.add\ta0,a1", Op::add, 10, 10, 11, kNoImm},
    {0xa42a, "c.fsdsp\tfa0,8(sp)", Op::fsd, -1, 2, 10, 8},
    {0xc22a, "c.swsp\ta0,4(sp)", Op::sw, -1, 2, 10, 4},
    {0xe42a, "c.sdsp\ta0,8(sp)", Op::sd, -1, 2, 10, 8},
};

void check(const Case& expected, unsigned length) {
  CAPTURE(expected.text);
  const Decoded decoded = decode(expected.word, all());
  CHECK(decoded.op == expected.op);
  CHECK(decoded.length == length);
  if (expected.rd >= 0) CHECK(decoded.fields.rd == expected.rd);
  if (expected.rs1 >= 0) CHECK(decoded.fields.rs1 == expected.rs1);
  if (expected.rs2 >= 0) CHECK(decoded.fields.rs2 == expected.rs2);
  if (expected.imm != kNoImm) CHECK(decoded.fields.imm == expected.imm);
  CHECK(disassemble(expected.word, 0, all()) == expected.text);
}

bool is_illegal(uint32_t word, const ExtensionSet& set = all()) {
  const Decoded decoded = decode(word, set);
  return decoded.op == Op::kIllegal && decoded.fields.imm == static_cast<int32_t>(word);
}

}  // namespace

TEST_CASE("decode unpacks the operands of every 32-bit format") {
  for (const auto& expected : kWide) check(expected, 4);
  for (const auto& expected : kNewer) check(expected, 4);
}

TEST_CASE("decode expands compressed instructions to their base operation") {
  for (const auto& expected : kCompressed) check(expected, 2);
  for (const auto& expected : kNewerCompressed) check(expected, 2);
}

TEST_CASE("decode ignores what follows a compressed instruction") {
  CHECK(decode(0xffff1101, all()).fields.imm == -32);
  CHECK(decode(0xffff0000, all()).fields.imm == 0);
}

TEST_CASE("reserved encodings are illegal") {
  CHECK(is_illegal(0x0000));      // all zeros: c.addi4spn with 0
  CHECK(is_illegal(0xffffffff));  // all ones
  CHECK(is_illegal(0x2001));      // c.addiw with rd = x0
  CHECK(is_illegal(0x6101));      // c.addi16sp with 0
  CHECK(is_illegal(0x6501));      // c.lui with 0
  CHECK(is_illegal(0x4002));      // c.lwsp with rd = x0
  CHECK(is_illegal(0x6002));      // c.ldsp with rd = x0
  CHECK(is_illegal(0x8002));      // c.jr with rs1 = x0
  CHECK(is_illegal(0x9000));      // quadrant 0, funct3 4, 100 in bits 12:10
  CHECK(is_illegal(0x8c40));      // c.sh with bit 6 set
  CHECK(is_illegal(0x9c79));      // reserved in quadrant 1
  CHECK(is_illegal(0x6001));      // c.lui with 0 and an even register
  CHECK(is_illegal(0x6881));      // and one above 15
  CHECK(is_illegal(0x31b59513));  // aes64ks1i with round 11
  CHECK(is_illegal(0x00c5d553));  // fadd.s with rounding mode 5
  CHECK(is_illegal(0x00c5e553));  // and 6
  CHECK(is_illegal(0x00b6250f));  // amo opcode with an unused funct
}

TEST_CASE("hints decode as the operations they are") {
  CHECK(decode(0x4001, all()).op == Op::addi);         // c.li with rd = x0
  CHECK(decode(0x6005, all()).op == Op::lui);          // c.lui with rd = x0
  CHECK(decode(0x0502, all()).op == Op::slli);         // c.slli by 0
  CHECK(decode(0x900a, all()).op == Op::add);          // c.add with rd = x0 (ntl.p1)
  CHECK(decode(0x0100000f, all()).op == Op::fence);    // pause
  const Decoded prefetch = decode(0x0205e013, all());  // prefetch.i 32(a1)
  CHECK(prefetch.op == Op::ori);
  CHECK(prefetch.fields.rd == kRegSink);
}

TEST_CASE("an extension that is off takes its instructions with it") {
  const auto without = [](Ext ext) {
    ExtensionSet set = all();
    set.set(ext, false);
    return set;
  };
  CHECK(is_illegal(0x02c58533, without(Ext::kM)));
  CHECK(is_illegal(0x0cc5b52f, without(Ext::kA)));
  CHECK(is_illegal(0x00c5f553, without(Ext::kF)));
  CHECK(is_illegal(0x2588, without(Ext::kD)));  // c.fld needs d as well as c
  CHECK(is_illegal(0x0808, without(Ext::kC)));
  CHECK(is_illegal(0x0045a00f, without(Ext::kZicboz)));
  CHECK(is_illegal(0x300025f3, without(Ext::kZicsr)));
  CHECK(is_illegal(0x0000100f, without(Ext::kZifencei)));
  CHECK(is_illegal(0x16c58073, without(Ext::kSvinval)));
  CHECK(is_illegal(0x60059513, without(Ext::kZbb)));
  CHECK(is_illegal(0x04c5f553, without(Ext::kZfh)));        // fadd.h
  CHECK_FALSE(is_illegal(0x40258553, without(Ext::kZfh)));  // fcvt.s.h
  CHECK(is_illegal(0x40258553, without(Ext::kZfhmin)));
  CHECK(is_illegal(0x42258553, without(Ext::kZfhmin)));  // fcvt.d.h
  CHECK(is_illegal(0x42258553, without(Ext::kD)));
  CHECK(is_illegal(0x28c5852f, without(Ext::kZabha)));  // amocas.b is of two extensions
  CHECK(is_illegal(0x28c5852f, without(Ext::kZacas)));
  CHECK_FALSE(is_illegal(0x00c5852f, without(Ext::kZacas)));  // amoadd.b
  CHECK_FALSE(is_illegal(0x28c5a52f, without(Ext::kZabha)));  // amocas.w
  for (const Ext ext : {Ext::kZfa, Ext::kZfh}) CHECK(is_illegal(0xa4c5c553, without(ext)));
  for (const Ext ext : {Ext::kZfa, Ext::kD}) CHECK(is_illegal(0x42559553, without(ext)));
  CHECK_FALSE(is_illegal(0x4045f553, without(Ext::kD)));
  CHECK(is_illegal(0xc285f553));  // fcvtmod.w.d with a rounding mode other than rtz
  CHECK_FALSE(is_illegal(0x2588, without(Ext::kF)));
  CHECK(is_illegal(0x8000, without(Ext::kZcb)));
  CHECK(is_illegal(0x9d4d, without(Ext::kM)));    // c.mul is M's
  CHECK(is_illegal(0x9d65, without(Ext::kZbb)));  // c.sext.b is Zbb's
  CHECK(is_illegal(0x9d71, without(Ext::kZba)));  // c.zext.w is Zba's
  CHECK(is_illegal(0x6081, without(Ext::kZcmop)));
  CHECK(is_illegal(0x81c5c573, without(Ext::kZimop)));
  CHECK(is_illegal(0x00d00073, without(Ext::kZawrs)));
  CHECK(is_illegal(0x30c58533 | 1u << 25, without(Ext::kZkne)));  // aes64es
  CHECK(is_illegal(0x3ac58533, without(Ext::kZknd)));             // aes64ds
  CHECK(is_illegal(0x10259513, without(Ext::kZknh)));
  CHECK(is_illegal(0x10859513, without(Ext::kZksh)));
  CHECK(is_illegal(0xf0c58533, without(Ext::kZksed)));
  CHECK(decode(0x0205e013, without(Ext::kZicbop)).op == Op::ori);
  CHECK(decode(0x900a, without(Ext::kZihintntl)).op == Op::add);
  CHECK(decode(0x0100000f, without(Ext::kZihintpause)).op == Op::fence);
}
