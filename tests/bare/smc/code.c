// Functions: a chain of simple operations on a0, perhaps in a loop, with their record.
#include "smc.h"

u8 arenas[ARENA_BYTES] __attribute__((aligned(4096)));
struct Function functions[ARENAS * PAGES * SITES];

static const u8 kSizes[] = {2, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12, 12, 16, 4, 8};
enum { X0 = 0, RA = 1, SP = 2, T0 = 5, T1 = 6, S1 = 9, A0 = 10, A1 = 11 };

void put_half(u8* to, u64 bits) {
  to[0] = (u8)bits;
  to[1] = (u8)(bits >> 8);
}
void put_word(u8* to, u64 bits) {
  put_half(to, bits);
  put_half(to + 2, bits >> 16);
}
static u64 i_type(u64 opcode, u64 rd, u64 funct3, u64 rs1, long imm) {
  return ((u64)imm & 0xfff) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}
static u64 addi(u64 rd, u64 rs1, long imm) {
  return i_type(0x13, rd, 0, rs1, imm);
}
static u64 r_type(u64 opcode, u64 rd, u64 funct3, u64 rs1, u64 rs2, u64 funct7) {
  return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}
static u64 add(u64 rd, u64 rs1, u64 rs2) {
  return r_type(0x33, rd, 0, rs1, rs2, 0);
}
static u64 store(u64 rs2, u64 rs1, u64 imm) {  // sd
  return r_type(0x23, imm & 31, 3, rs1, rs2, imm >> 5);
}
static u64 branch(u64 funct3, u64 rs1, u64 rs2, long offset) {
  const u64 o = (u64)offset;
  return (o >> 12 & 1) << 31 | (o >> 5 & 63) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 |
         (o >> 1 & 15) << 8 | (o >> 11 & 1) << 7 | 0x63;
}
static u64 jal(u64 rd, long offset) {
  const u64 o = (u64)offset;
  return (o >> 20 & 1) << 31 | (o >> 1 & 1023) << 21 | (o >> 11 & 1) << 20 | (o >> 12 & 255) << 12 |
         rd << 7 | 0x6f;
}
static u64 c_imm(u64 base, u64 rd, long imm) {  // c.addi, c.li
  return base | ((u64)imm >> 5 & 1) << 12 | rd << 7 | ((u64)imm & 31) << 2;
}

u64 encode(const struct Function* f, const struct Op* op, u8* to) {
  const long v = op->value;
  const long way = (long)functions[op->callee].start - (long)(f->start + op->at);
  switch (op->kind) {
    case kCAddi:
      put_half(to, c_imm(0x0001, A0, v));
      break;
    case kAddi:
      put_word(to, addi(A0, A0, v));
      break;
    case kXori:
      put_word(to, i_type(0x13, A0, 4, A0, v));
      break;
    case kCLiAdd:
      put_half(to, c_imm(0x4001, T0, v));
      put_half(to + 2, 0x9516);  // c.add a0, t0
      break;
    case kLuiAdd:
      put_word(to, ((u64)v & 0xfffff) << 12 | T0 << 7 | 0x37);
      put_word(to + 4, add(A0, A0, T0));
      break;
    case kMul:
      put_word(to, addi(T0, X0, v));
      put_word(to + 4, r_type(0x33, A0, 0, A0, T0, 1));
      break;
    case kPc:
      put_word(to, ((u64)v & 0xfffff) << 12 | T0 << 7 | 0x17);
      put_word(to + 4, add(A0, A0, T0));
      break;
    case kAmo:
      put_word(to, addi(T0, X0, v));
      put_word(to + 4, r_type(0x2f, X0, 3, A1, T0, 0));  // amoadd.d
      break;
    case kRotate:
      put_word(to, i_type(0x13, T0, 5, A0, v));
      put_word(to + 4, i_type(0x13, A0, 1, A0, 64 - v));
      put_word(to + 8, r_type(0x33, A0, 6, A0, T0, 0));
      break;
    case kBranch:
      put_word(to, i_type(0x13, T0, 7, A0, 1));
      put_word(to + 4, branch(0, T0, X0, 8));
      put_word(to + 8, addi(A0, A0, v));
      break;
    case kCount:
      put_word(to, i_type(0x03, T0, 3, A1, 0));
      put_word(to + 4, addi(T0, T0, v));
      put_word(to + 8, store(T0, A1, 0));
      break;
    case kFlip:
      put_word(to, r_type(0x53, 0, 0, A0, 0, 0x79));          // fmv.d.x ft0, a0
      put_word(to + 4, r_type(0x53, 0, (u64)v, 0, 0, 0x11));  // fsgnj.d or fsgnjn.d
      put_word(to + 8, r_type(0x53, A0, 0, 0, 0, 0x71));      // fmv.x.d a0, ft0
      break;
    case kPool:
      put_word(to, T0 << 7 | 0x17);
      put_word(to + 4, i_type(0x03, T0, 3, T0, f->pool + 8 * (op - f->ops) - op->at));
      put_word(to + 8, add(A0, A0, T0));
      break;
    case kSelect:
      put_word(to, branch(v & 1, X0, X0, 12));  // beq: always, bne: never
      put_word(to + 4, addi(A0, A0, v >> 1));
      put_word(to + 8, jal(X0, 8));
      put_word(to + 12, i_type(0x13, A0, 4, A0, (v >> 1) + 7));
      break;
    case kCall:
      put_word(to, jal(RA, way));
      break;
    case kFarCall:
      put_word(to, ((u64)(way + 0x800) & 0xfffff000) | RA << 7 | 0x17);
      put_word(to + 4, i_type(0x67, RA, 0, RA, way));
      break;
  }
  return op->size;
}

u64 evaluate(const struct Function* f, u64 a, u64 address, struct Evaluation* e) {
  for (u64 round = 0; round < (f->loops ? f->loops : 1u); ++round) {
    for (const struct Op* op = f->ops; op < f->ops + f->count; ++op) {
      const u64 v = (u64)(long)op->value, upper = (u64)(int)((unsigned)op->value << 12);
      if (op == e->watched) ++e->times;
      switch (op->kind) {
        case kCAddi:
        case kAddi:
        case kCLiAdd:
        case kPool:
          a += v;
          break;
        case kXori:
          a ^= v;
          break;
        case kLuiAdd:
          a += upper;
          break;
        case kMul:
          a *= v;
          break;
        case kPc:
          a += address + op->at + upper;
          break;
        case kAmo:
        case kCount:
          e->counted += v;
          break;
        case kRotate:
          a = a >> v | a << (64 - v);
          break;
        case kBranch:
          if (a & 1) a += v;
          break;
        case kFlip:
          if (v) a ^= 1ul << 63;
          break;
        case kSelect:
          if (v & 1)
            a += (u64)((long)v >> 1);
          else
            a ^= (u64)(((long)v >> 1) + 7);
          break;
        default: {
          const struct Function* callee = &functions[op->callee];
          a = evaluate(callee, a, address - f->start + callee->start, e);
        }
      }
    }
  }
  return a;
}

u64 call(u64 address, u64 argument, u64* data) {
  return ((u64(*)(u64, u64*))address)(argument, data);
}

struct Function* site(u64 arena, u64 page, u64 index) {
  return &functions[(arena * PAGES + page) * SITES + index];
}

static void choose_value(struct Op* op) {
  const long wide = (long)random_below(4095) - 2047;
  switch (op->kind) {
    case kCAddi:
    case kCLiAdd:
      op->value = (int)random_below(31) + 1 - (random_below(2) ? 32 : 0);
      break;
    case kLuiAdd:
    case kPc:
      op->value = (int)random_below(0xffffe) + 1;
      break;
    case kMul:
      op->value = (int)(wide | 1);
      break;
    case kRotate:
      op->value = (int)random_below(63) + 1;
      break;
    case kFlip:
      op->value = (int)random_below(2);
      break;
    case kSelect:
      op->value = (int)random_below(2000);
      break;
    case kPool:
      op->value = (int)random_bits();
      break;
    default:
      op->value = (int)wide;
  }
}

void change_op(struct Op* op) {
  const struct Op before = *op;
  if (op->kind >= kPlainKinds) return;  // calls: by change_atomically
  do {
    if (random_below(2)) {
      do {
        op->kind = (u8)random_below(kPlainKinds);
      } while (kSizes[op->kind] != before.size);
    }
    choose_value(op);
  } while (op->kind == before.kind && op->value == before.value);
}

// One that lies across a page or eight bytes where there is one, half of the time.
struct Op* choose_op(struct Function* f) {
  struct Op* op = &f->ops[random_below(f->count)];
  if (random_below(2)) return op;
  const u64 border = random_below(2) ? PAGE : 8;
  for (u64 i = 0; i < f->count; ++i) {
    struct Op* other = &f->ops[i];
    if (other->size == 4 && (f->start + other->at + 2) % border == 0) return other;
  }
  return op;
}

// The code around the ops. Functions that call keep ra and the loop's counter on the stack.
static const u64 kEnter[] = {0x1141 /* c.addi sp, -16 */, 0xe406 /* c.sdsp ra, 8 */,
                             0xe026 /* c.sdsp s1, 0 */};
static const u64 kLeave[] = {0x60a2 /* c.ldsp ra, 8 */, 0x6482 /* c.ldsp s1, 0 */,
                             0x0141 /* c.addi sp, 16 */};

static void lay_out(struct Function* f) {
  u64 at = (f->calls ? 6 : 0) + (f->loops ? 4 : 0);
  for (u64 i = 0; i < f->count; ++i) {
    f->ops[i].size = kSizes[f->ops[i].kind];
    f->ops[i].at = (u16)at;
    at += f->ops[i].size;
  }
  at += (f->loops ? 8 : 0) + (f->calls ? 6 : 0) + 2;
  f->pool = (u16)at;
  f->size = (u16)(at + 8 * f->count);
}

void write_code(const struct Function* f) {
  u8 code[CELL];
  u64 at = 0, top;
  const u64 counter = f->calls ? S1 : T1;
  for (u64 i = 0; f->calls && i < 3; ++i, at += 2) put_half(code + at, kEnter[i]);
  if (f->loops) {
    put_word(code + at, addi(counter, X0, f->loops));
    at += 4;
  }
  top = at;
  for (u64 i = 0; i < f->count; ++i) {
    at += encode(f, &f->ops[i], code + at);
    const u64 constant = (u64)(long)f->ops[i].value;
    put_word(code + f->pool + 8 * i, constant);
    put_word(code + f->pool + 8 * i + 4, constant >> 32);
  }
  if (f->loops) {
    put_word(code + at, addi(counter, counter, -1));
    put_word(code + at + 4, branch(1, counter, X0, (long)top - (long)(at + 4)));
    at += 8;
  }
  for (u64 i = 0; f->calls && i < 3; ++i, at += 2) put_half(code + at, kLeave[i]);
  put_half(code + at, 0x8082);  // ret
  put(f->start, code, f->size);
}

#define MAX_SIZE 224  // of any function
const u8 kCells[SITES] = {1, 2, 4, 5, 6, 7};
u64 page_of(u64 arena, u64 page) {
  return (arena * PAGES + page) * PAGE;
}
u64 cell_of(const struct Function* f) {
  const u64 index = (u64)(f - functions);
  return index / SITES * PAGE + kCells[index % SITES] * CELL;
}
static void place(struct Function* f) {
  const u64 index = (u64)(f - functions), base = cell_of(f);
  // Across pages the boundary is somewhere in the instructions.
  f->start = (u32)(index % SITES == ACROSS ? base + CELL - 2 - random_below(f->pool / 2 - 1) * 2
                                           : base + random_below((CELL - MAX_SIZE) / 2) * 2);
}

void generate(struct Function* f, unsigned how) {
  f->calls = 0;
  f->loops = (u8)(how & STRAIGHT || random_below(3) == 0 ? 0 : 1 + random_below(24));
  f->count = (u8)(2 + random_below(MAX_OPS - 1));
  for (u64 i = 0; i < f->count; ++i) {
    f->ops[i].kind = (u8)random_below(kPlainKinds);
    choose_value(&f->ops[i]);
  }
  // There is always something that one store changes.
  f->ops[f->count - 1].kind = random_below(2) ? kAddi : kCAddi;
  choose_value(&f->ops[f->count - 1]);
  lay_out(f);
  place(f);
  write_code(f);
}

void ensure(struct Function* f) {
  if (f->start == 0) generate(f, 0);
}

static u32 choose_callee(u64 arena, u64 level) {
  const u64 page = PLAIN_PAGES + (random_below(4) ? level - 1 : random_below(level));
  return (u32)(site(arena, page, random_below(SITES)) - functions);
}

// A chain function keeps its place, which others know.
static void generate_chained(struct Function* f, u64 arena, u64 level) {
  const u32 start = f->start;
  f->loops = (u8)(random_below(2) ? 0 : 1 + random_below(level ? 2 : 8));
  f->count = (u8)(2 + random_below(3));
  f->calls = level != 0;
  for (u64 i = 0; i < f->count; ++i) {
    f->ops[i].kind = (u8)random_below(kPlainKinds);
    choose_value(&f->ops[i]);
  }
  for (u64 i = 0; level && i < 1 + random_below(2); ++i) {
    struct Op* op = &f->ops[i];
    op->kind = random_below(2) ? kCall : kFarCall;
    op->callee = choose_callee(arena, level);
  }
  struct Op* last = &f->ops[f->count - 1];
  last->kind = level && random_below(2) ? kCall : kAddi;
  choose_value(last);
  if (level) last->callee = choose_callee(arena, level);
  lay_out(f);
  if (start == 0) place(f);
  write_code(f);
}

void generate_chains(u64 arena) {
  for (u64 level = 0; level < CHAIN_PAGES; ++level)
    for (u64 i = 0; i < SITES; ++i)
      generate_chained(site(arena, PLAIN_PAGES + level, i), arena, level);
}

// Only the halfword, or the aligned word, that the new code differs in.
int change_atomically(struct Function* f, struct Op** which, struct Store* store) {
  const u64 first = random_below(f->count);
  for (u64 i = 0; i < f->count; ++i) {
    struct Op* op = &f->ops[(first + i) % f->count];
    const struct Op old = *op;
    u8 before[16], after[16];
    encode(f, op, before);
    if (op->kind == kCall) {
      const u64 page = (u64)(f - functions) / SITES;
      op->callee = choose_callee(page / PAGES, page % PAGES - PLAIN_PAGES);
    } else if (op->kind <= kXori || op->kind == kSelect) {
      do {
        choose_value(op);
        // The two halves of a select are separate instructions.
        if (op->kind == kSelect) op->value = old.value ^ 1;
      } while (op->value == old.value);
    }
    encode(f, op, after);
    u64 low = 0, high = op->size;
    while (low < high && before[low] == after[low] && before[low + 1] == after[low + 1]) low += 2;
    while (high > low && before[high - 1] == after[high - 1] && before[high - 2] == after[high - 2])
      high -= 2;
    const u64 offset = f->start + op->at + low;
    if (high - low == 2 || (high - low == 4 && offset % 4 == 0)) {
      *which = op;
      u64 value = 0;
      for (u64 k = high; k > low; --k) value = value << 8 | after[k - 1];
      *store = (struct Store){offset, high - low, value};
      return 1;
    }
    *op = old;
  }
  return 0;
}

void store_at(u64 mapping, const struct Store* store) {
  const u64 address = address_of(mapping, store->offset);
  if (store->size == 2)
    *(volatile u16*)address = (u16)store->value;
  else
    *(volatile u32*)address = (u32)store->value;
}

// ld t0, 0(a1); bnez t0, out; switch; A: ++data[1]; loop; B: ++data[2]; loop; out: ret
void make_loop(struct Loop* loop, u64 cell_offset) {
  loop->start = cell_offset + random_below(100) * 4;
  u8 code[48];
  put_word(code, i_type(0x03, T0, 3, A1, 0));
  put_word(code + 4, branch(1, T0, X0, 40));
  const u64 ways[][2] = {
      {branch(0, X0, X0, 20), branch(1, X0, X0, 20)},
      {jal(X0, 20), jal(X0, 4)},
      {jal(X0, 20), addi(X0, X0, 0)},
  };
  const u64* way = ways[random_below(3)];
  for (u64 i = 0; i < 2; ++i) loop->to[i] = (struct Store){loop->start + 8, 4, way[1 - i]};
  put_word(code + 8, way[1]);
  for (u64 i = 0; i < 2; ++i) {
    u8* at = code + 12 + 16 * i;
    put_word(at, i_type(0x03, T0, 3, A1, 8 + 8 * (long)i));
    put_word(at + 4, addi(T0, T0, 1));
    put_word(at + 8, store(T0, A1, 8 + 8 * i));
    put_word(at + 12, jal(X0, -24 - 16 * (long)i));
  }
  put_half(code + 44, 0x8082);
  put(loop->start, code, 46);
}
