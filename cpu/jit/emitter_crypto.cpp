// Zkne, Zknd, Zknh and Zksh. Zksed, with a box that the host does not have, is left to its rows'
// bodies.
#include <optional>

#include "cpu/jit/emitter.h"

namespace hv::jit {
namespace {

// The exclusive or of the operand rotated right by each of three amounts; the last may be a shift.
struct Hash {
  bool word;
  unsigned first, second, last;
  bool shifts;
};

std::optional<Hash> hash_of(Op kind) {
  switch (kind) {
    case Op::sha256sum0:
      return Hash{true, 2, 13, 22, false};
    case Op::sha256sum1:
      return Hash{true, 6, 11, 25, false};
    case Op::sha256sig0:
      return Hash{true, 7, 18, 3, true};
    case Op::sha256sig1:
      return Hash{true, 17, 19, 10, true};
    case Op::sha512sum0:
      return Hash{false, 28, 34, 39, false};
    case Op::sha512sum1:
      return Hash{false, 14, 18, 41, false};
    case Op::sha512sig0:
      return Hash{false, 1, 8, 7, true};
    case Op::sha512sig1:
      return Hash{false, 19, 61, 6, true};
    case Op::sm3p0:
      return Hash{true, 32 - 9, 32 - 17, 0, true};
    case Op::sm3p1:
      return Hash{true, 32 - 15, 32 - 23, 0, true};
    default:
      return std::nullopt;
  }
}

}  // namespace

bool Emitter::emit_hash(const TraceOp& op) {
  const std::optional<Hash> hash = hash_of(op.kind);
  if (!hash) return false;
  const unsigned rd = op.fields.rd;
  if (rd >= 32) return true;
  const auto width = [&](const x86::Gp& reg) { return hash->word ? reg.r32() : reg; };
  const x86::Gp s = width(source(op.fields.rs1, x86::rax));
  const x86::Gp rcx = width(x86::rcx), rdx = width(x86::rdx);
  const auto rotated = [&](const x86::Gp& to, unsigned amount) {
    if (features_.bmi2) {
      a_.rorx(to, s, amount);
    } else {
      a_.mov(to, s);
      a_.ror(to, amount);
    }
  };
  rotated(rcx, hash->first);
  rotated(rdx, hash->second);
  a_.xor_(rcx, rdx);
  if (hash->shifts) {
    a_.mov(rdx, s);
    if (hash->last) a_.shr(rdx, hash->last);
  } else {
    rotated(rdx, hash->last);
  }
  a_.xor_(rcx, rdx);
  if (hash->word)
    a_.movsxd(target(rd), rcx);
  else
    a_.mov(target(rd), rcx);
  written(rd);
  return true;
}

bool Emitter::emit_aes(const TraceOp& op) {
  bool decrypts = false, mixes = false;
  switch (op.kind) {
    case Op::aes64es:
      break;
    case Op::aes64esm:
      mixes = true;
      break;
    case Op::aes64ds:
      decrypts = true;
      break;
    case Op::aes64dsm:
      decrypts = mixes = true;
      break;
    case Op::aes64im:
    case Op::aes64ks1i:
    case Op::aes64ks2:
      return emit_aes_key(op);
    default:
      return false;
  }
  if (!features_.aesni) return false;
  const unsigned rd = op.fields.rd;
  if (rd >= 32) return true;
  const x86::Gp s = source(op.fields.rs1, x86::rax), t = source(op.fields.rs2, x86::rcx);
  // A round of the host's on the whole state, with a key of zero; the guest's is the lower half.
  a_.movq(x86::xmm0, s);
  a_.movq(x86::xmm1, t);
  a_.punpcklqdq(x86::xmm0, x86::xmm1);
  a_.pxor(x86::xmm1, x86::xmm1);
  if (decrypts && mixes)
    a_.aesdec(x86::xmm0, x86::xmm1);
  else if (decrypts)
    a_.aesdeclast(x86::xmm0, x86::xmm1);
  else if (mixes)
    a_.aesenc(x86::xmm0, x86::xmm1);
  else
    a_.aesenclast(x86::xmm0, x86::xmm1);
  a_.movq(target(rd), x86::xmm0);
  written(rd);
  return true;
}

bool Emitter::emit_aes_key(const TraceOp& op) {
  if (!features_.aesni) return false;
  const unsigned rd = op.fields.rd;
  if (rd >= 32) return true;
  const x86::Gp s = source(op.fields.rs1, x86::rax);
  switch (op.kind) {
    case Op::aes64im:
      a_.movq(x86::xmm0, s);
      a_.aesimc(x86::xmm0, x86::xmm0);
      a_.movq(target(rd), x86::xmm0);
      break;
    case Op::aes64ks1i: {
      // Of word 1 the host gives the substituted one in word 0, and in word 1 that rotated and with
      // the round's constant.
      constexpr unsigned kNoRotation = 10;
      static constexpr uint8_t kConstants[] = {1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36, 0};
      const auto round = static_cast<unsigned>(op.fields.imm);
      a_.movq(x86::xmm0, s);
      a_.aeskeygenassist(x86::xmm0, x86::xmm0, kConstants[round]);
      a_.pshufd(x86::xmm0, x86::xmm0, round == kNoRotation ? 0x00 : 0x55);
      a_.movq(target(rd), x86::xmm0);
      break;
    }
    default: {
      const x86::Gp t = source(op.fields.rs2, x86::rcx);
      a_.mov(x86::rdx, s);
      a_.shr(x86::rdx, 32);
      a_.xor_(x86::rdx, t);
      a_.mov(x86::rax, x86::rdx);
      a_.shl(x86::rax, 32);
      a_.xor_(x86::rdx, x86::rax);
      a_.mov(target(rd), x86::rdx);
      break;
    }
  }
  written(rd);
  return true;
}

}  // namespace hv::jit
