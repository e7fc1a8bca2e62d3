#include "tests/isa/stream/stream.h"

#include <string>

#include "cpu/isa/rows.h"

namespace hv::test {
namespace {

using isa::Row;

// CSR numbers that behave the same everywhere: FP state, supervisor registers that just keep what
// is written (illegal in U-mode), machine registers and disabled counters (illegal), no CSR at all.
constexpr uint32_t kFloatCsrs[] = {0x001, 0x002, 0x003};
constexpr uint32_t kOtherCsrs[] = {0x140, 0x143, 0x142, 0x340, 0x341, 0xc00, 0xc02, 0x5c0};
constexpr uint32_t kRoundingMode = 0x002;

constexpr uint32_t kNoGroup = ~0u;
constexpr unsigned kMaxSkip = 4;  // groups; the longest ones then stay within c.beqz's reach

}  // namespace

Stream::Stream(const Options& options, Random& random)
    : options_(options),
      random_(random),
      choices_(choose_rows(options.extensions, true, options.oracle)),
      absent_(choose_rows(options.extensions, false, options.oracle)) {
  generate(options.groups);
}

std::vector<uint8_t> Stream::code() const {
  std::vector<uint8_t> bytes;
  for (const Instruction& instruction : instructions_)
    for (unsigned i = 0; i < instruction.length; ++i)
      bytes.push_back(static_cast<uint8_t>(instruction.word >> 8 * i));
  return bytes;
}

void Stream::generate(unsigned groups) {
  while (next_group_ < groups) {
    if (random_.percent(3)) {
      add_loop();
    } else if (random_.percent(1)) {
      add_walk();
    } else {
      add_group();
    }
  }
  land(true);
  end_ = at_;
  group_ = kNoGroup;
  emit(row_named("ebreak").match);
}

void Stream::add_group() {
  land(false);
  group_ = next_group_++;
  if (random_.percent(2)) return add_stack_move();
  if (random_.below(300) == 0) return add_illegal();
  add_row(random_.pick(choices_));
}

void Stream::add_row(const Choice& choice) {
  switch (choice.shape) {
    case Shape::kPlain:
      return emit_random(*choice.row);
    case Shape::kAddress:
      return add_address_row(*choice.row);
    case Shape::kConditional:
      return add_conditional(*choice.row);
    case Shape::kJump:
      return add_jump(*choice.row);
    case Shape::kIndirect:
      return add_indirect(*choice.row);
    case Shape::kCsr:
      return add_csr(*choice.row);
  }
}

void Stream::add_loop() {
  land(true);  // a jump into the loop would miss the counter's first value
  const uint32_t group = next_group_++;
  group_ = group;
  const unsigned counter = free_register(1u << 1);  // c.jalr writes x1
  emit(encode_i("addi", counter, 0, static_cast<int>(random_.between(2, 5))));
  reserved_ |= 1u << counter;
  const uint32_t start = at_;
  const unsigned body = random_.between(2, 10);
  for (unsigned i = 0; i < body; ++i) add_group();
  land(true);
  reserved_ &= ~(1u << counter);
  group_ = group;
  emit(encode_i("addi", counter, counter, -1));
  const Row& bne = row_named("bne");
  emit(
      with_offset(bne, bne.match | counter << 15, static_cast<int>(start) - static_cast<int>(at_)));
}

// A loop with a pointer that steps through the scratch pages.
void Stream::add_walk() {
  land(true);
  const uint32_t group = next_group_++;
  group_ = group;
  // Misaligned accesses only where the pages allow all, as in add_address_row().
  const bool plain = random_.percent(75);
  const unsigned pointer = emit_address(plain ? 1 : 8, plain, 1u << 1);
  reserved_ |= 1u << pointer;
  const unsigned counter = free_register(1u << 1);
  reserved_ |= 1u << counter;
  const unsigned width = plain ? random_.between(1, 80) : 8 * random_.between(1, 8);
  // From emit_address()'s first and last address to the ends of the scratch pages.
  const unsigned room = plain ? 0xf00 : 0xa00;
  const auto rounds = static_cast<int>(random_.between(5, room / width < 200 ? room / width : 200));
  const int step =
      plain && random_.percent(30) ? -static_cast<int>(width) : static_cast<int>(width);
  emit(encode_i("addi", counter, 0, rounds));
  const uint32_t start = at_;
  constexpr std::string_view kLoads[] = {"lb", "lh", "lw", "ld", "lbu", "lhu", "lwu", "flw", "fld"};
  constexpr std::string_view kStores[] = {"sb", "sh", "sw", "sd", "fsw", "fsd"};
  const unsigned body = random_.between(1, 6);
  const unsigned advance = random_.between(0, body);
  for (unsigned i = 0; i <= body; ++i) {
    group_ = group;
    if (i == advance) {
      emit(encode_i("addi", pointer, pointer, step));
      continue;
    }
    if (random_.percent(30)) {
      add_group();
      continue;
    }
    const bool store = random_.percent(40);
    const auto offset = static_cast<uint32_t>(random_.between(0, 8)) * (plain ? 3 : 8);
    const Row& row = row_named(store ? random_.pick(kStores) : random_.pick(kLoads));
    const uint32_t word = (random_word(row, reserved_, random_) & ~(31u << 15)) | pointer << 15;
    emit(store ? (word & 0x01ff'f07f) | (offset >> 5) << 25 | (offset & 31) << 7
               : (word & 0x000f'ffff) | offset << 20);
  }
  land(true);
  reserved_ &= ~(1u << counter | 1u << pointer);
  group_ = group;
  emit(encode_i("addi", counter, counter, -1));
  const Row& bne = row_named("bne");
  emit(
      with_offset(bne, bne.match | counter << 15, static_cast<int>(start) - static_cast<int>(at_)));
}

void Stream::add_jump(const Row& row) {
  emit_random(row);
  fixups_.push_back({instructions_.size() - 1, &row, 0, random_.between(1, kMaxSkip)});
}

void Stream::add_indirect(const Row& row) {
  const unsigned base = free_register();
  emit(row_named("auipc").match | base << 7);
  const uint32_t from = at_ - 4;
  if (row.length == 4) {
    unsigned link = static_cast<unsigned>(random_.below(32));
    if (reserved_ >> link & 1) link = 0;
    emit(encode_i(row.id, link, base, 0));
  } else {
    emit(encode_i("addi", base, base, 0));
  }
  fixups_.push_back({instructions_.size() - 1, nullptr, from, random_.between(1, kMaxSkip)});
  if (row.length == 2) {
    if (reserved_ & 1u << 1 && row.format == Format::kCJalr) {
      emit(row_named("c_jr").match | base << 7, 2);
    } else {
      emit(row.match | base << 7, 2);
    }
  }
}

void Stream::add_csr(const Row& row) {
  const bool floating = random_.percent(80);
  const uint32_t number = floating ? random_.pick(kFloatCsrs) : random_.pick(kOtherCsrs);
  emit((random_word(row, reserved_, random_) & 0xfffff) | number << 20);
  // A reserved rounding mode makes half of all FP instructions illegal: seldom for long.
  if (floating && random_.percent(80))
    emit(row_named("csrrwi").match | kRoundingMode << 20 |
         static_cast<uint32_t>(random_.below(5)) << 15);
}

unsigned Stream::emit_address(unsigned alignment, bool plain_pages, uint32_t avoid) {
  const unsigned address = free_register(avoid);
  emit(encode_i("andi", address, static_cast<unsigned>(random_.below(32)),
                static_cast<int>(0x7ffu & ~(alignment - 1))));
  const unsigned base = plain_pages || random_.percent(70) ? 2 : 8;
  emit(encode_r("add", address, address, base));
  return address;
}

void Stream::add_address_row(const Row& row) {
  // Cache blocks and what lies across two pages only where all is allowed: which of two faults
  // comes first, and with which address, is not settled.
  const bool cache_block = row.format == Format::kCbo;
  const bool may_fault = !cache_block && atomics_may_fault(options_.oracle);
  const bool aligned = may_fault ? random_.percent(95) : !cache_block;
  const unsigned address = emit_address(aligned ? 16 : 1, !aligned || !may_fault);
  const uint32_t reserved = reserved_ | 1u << address;
  const uint32_t word = (random_word(row, reserved, random_) & ~(31u << 15)) | address << 15;
  const unsigned rd = word >> 7 & 31;
  if (row.id.starts_with("amocas") && random_.percent(60)) {
    // Else it would never find what it compares with.
    const std::string_view load = row.id.ends_with("_b")   ? "lb"
                                  : row.id.ends_with("_h") ? "lh"
                                  : row.id.ends_with("_w") ? "lw"
                                                           : "ld";
    emit(encode_i(load, rd, address, 0));
  }
  emit(word);
}

// LR and SC of one size, with a few instructions between them. An SC without an LR of its size and
// address just before is not settled by the specification; nor is whether one that fails because
// its LR faulted faults too, so both lie in pages that allow all.
void Stream::add_conditional(const Row& row) {
  std::string load(row.id);
  load[0] = 'l';
  load[1] = 'r';
  const unsigned address = emit_address(16, true);
  const uint32_t reserved = reserved_ | 1u << address;
  const Row& reserve = row_named(load);
  const auto at_address = [&](uint32_t word) { return (word & ~(31u << 15)) | address << 15; };
  emit(at_address(random_word(reserve, reserved, random_)));
  for (unsigned i = static_cast<unsigned>(random_.below(3)); i > 0; --i)
    emit(random_word(row_named(random_.percent(50) ? "add" : "xori"), reserved, random_));
  if (random_.percent(
          15))  // another hart would store so: the SC fails unless the value is the same
    emit(row_named("sd").match | address << 15 | static_cast<uint32_t>(random_.below(32)) << 20);
  emit(at_address(random_word(row, reserved, random_)));
}

void Stream::add_stack_move() {
  const Row& row = row_named("c_addi16sp");
  if (!row.allowed(options_.extensions)) return emit_random(row_named("addi"));
  const auto move = [&](uint32_t steps) {  // of 16 bytes, 6 bits
    emit(row.match | (steps >> 5 & 1) << 12 | (steps & 1) << 6 | (steps >> 2 & 1) << 5 |
             (steps >> 3 & 3) << 3 | (steps >> 1 & 1) << 2,
         2);
  };
  const auto steps = random_.between(1, 31);
  move(steps);
  emit(row_named("addi").match | free_register() << 7 | 2u << 15);  // the moved value, seen
  move(64 - steps);
}

void Stream::add_illegal() {
  const unsigned kind = static_cast<unsigned>(random_.below(4));
  if (kind == 0) return emit(0, 2);
  if (kind == 1 || absent_.empty()) return emit(~0u);
  emit_random(*random_.pick(absent_).row);
}

void Stream::emit(uint32_t word, unsigned length) {
  instructions_.push_back({at_, word, static_cast<uint8_t>(length), group_});
  at_ += length;
}

void Stream::emit_random(const Row& row) {
  emit(random_word(row, reserved_, random_), row.length);
}

// Jumps whose groups have passed land here.
void Stream::land(bool all) {
  std::erase_if(fixups_, [&](Fixup& fixup) {
    if (!all && fixup.groups_left-- > 0) return false;
    Instruction& instruction = instructions_[fixup.instruction];
    if (fixup.row) {
      instruction.word =
          with_offset(*fixup.row, instruction.word, static_cast<int>(at_ - instruction.offset));
    } else {
      instruction.word |= (at_ - fixup.behind) << 20;
    }
    return true;
  });
}

unsigned Stream::free_register(uint32_t avoid) {
  for (;;) {
    const unsigned number = random_.between(1, 31);
    if (!((reserved_ | avoid) >> number & 1)) return number;
  }
}

}  // namespace hv::test
