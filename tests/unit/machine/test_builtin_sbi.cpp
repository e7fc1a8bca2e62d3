// Expected values: RISC-V Supervisor Binary Interface Specification 2.0.
#include <catch2/catch.hpp>

#include "sbi_rig.h"

using namespace hv;
using namespace hv::test;

namespace {

constexpr uint64_t kBase = 0x10, kTime = 0x54494d45, kIpi = 0x735049, kRfence = 0x52464e43,
                   kHsm = 0x48534d, kSrst = 0x53525354, kDbcn = 0x4442434e, kPmu = 0x504d55,
                   kDbtr = 0x44425452;
// Chapter 3, table of errors.
constexpr int64_t kOk = 0, kNotSupported = -2, kInvalidParam = -3, kInvalidAddress = -5,
                  kAlreadyAvailable = -6;
constexpr uint64_t kSsip = 1 << 1, kStip = 1 << 5;
constexpr unsigned kCsrSie = 0x104;

void check(const Called& called, int64_t error, uint64_t value = 0) {
  CHECK(called.result == SysResult::kNext);
  CHECK(called.error == error);
  CHECK(called.value == value);
  CHECK(called.others_kept);
}

// Sv39 leaf and table entries (privileged specification 10.3.1, 10.4.1).
constexpr uint64_t kPteValid = 1, kPteReadWrite = 6, kPteAccessedDirty = 0xc0;
constexpr uint64_t pte(uint64_t address, uint64_t flags) {
  return address >> 12 << 10 | flags;
}
constexpr uint64_t kLeaf = kPteValid | kPteReadWrite | kPteAccessedDirty;

// Maps the 4 KiB page at virtual 0 to `page` for a root at `root`.
void map_page_zero(GuestMemory& memory, uint64_t root, uint64_t page) {
  const uint64_t entries[] = {pte(root + 0x1000, kPteValid), pte(root + 0x2000, kPteValid),
                              pte(page, kLeaf)};
  for (unsigned level = 0; level < 3; ++level)
    memory.write(root + 0x1000 * level, &entries[level], 8);
}

}  // namespace

TEST_CASE("sbi base: versions, ids and probing", "[sbi]") {
  SbiRig rig(1);
  check(rig.ecall(0, kBase, 0), kOk, 2 << 24);
  const Called id = rig.ecall(0, kBase, 1);
  CHECK(id.error == kOk);
  CHECK(id.value > 11);  // not one of those that are given out
  CHECK(rig.ecall(0, kBase, 2).error == kOk);
  for (const uint64_t present :
       {kBase, kTime, kIpi, kRfence, kHsm, kSrst, kDbcn, kPmu, kDbtr, uint64_t{0}, uint64_t{1},
        uint64_t{2}, uint64_t{3}, uint64_t{4}, uint64_t{5}, uint64_t{6}, uint64_t{7}, uint64_t{8}})
    check(rig.ecall(0, kBase, 3, {present}), kOk, 1);
  // SUSP, NACL, STA, CPPC, FWFT, reserved, and an id with bits above 31.
  for (const uint64_t absent : {0x53555350ull, 0x4e41434cull, 0x535441ull, 0x43505043ull,
                                0x46574654ull, 9ull, 1ull << 32 | 0x10})
    check(rig.ecall(0, kBase, 3, {absent}), kOk, 0);
  for (uint64_t function = 4; function <= 6; ++function)
    check(rig.ecall(0, kBase, function), kOk, 0);
}

TEST_CASE("sbi: unknown extensions and functions are not supported", "[sbi]") {
  SbiRig rig(1);
  check(rig.ecall(0, 9, 0), kNotSupported);
  check(rig.ecall(0, 0x53555350, 0), kNotSupported);
  check(rig.ecall(0, ~0ull, 0), kNotSupported);
  for (const auto& [extension, function] : std::vector<std::pair<uint64_t, uint64_t>>{{kBase, 7},
                                                                                      {kTime, 1},
                                                                                      {kIpi, 1},
                                                                                      {kRfence, 7},
                                                                                      {kHsm, 4},
                                                                                      {kSrst, 1},
                                                                                      {kDbcn, 3},
                                                                                      {kPmu, 8}})
    check(rig.ecall(0, extension, function), kNotSupported);
  for (uint64_t hfence = 3; hfence <= 6; ++hfence)
    check(rig.ecall(0, kRfence, hfence, {1, 0, 0, 0, 0}), kNotSupported);
}

TEST_CASE("sbi: what S-mode finds at its entry", "[sbi]") {
  SbiRig rig(1);
  rig.on_hart(0, [](Hart& hart) {
    CHECK(hart.priv == Priv::kSupervisor);
    CHECK(hart.pc == SbiRig::kEntry);
    CHECK(hart.x[10] == 0);
    CHECK(hart.x[11] == SbiRig::kTree);
  });
  CHECK(rig.csr(0, 0x180) == 0);              // satp
  CHECK((rig.csr(0, 0x100) & 2) == 0);        // sstatus.SIE
  CHECK((rig.csr(0, 0x100) >> 13 & 3) == 1);  // sstatus.FS: initial
  CHECK(rig.csr(0, kCsrSie) == 0);
  CHECK(rig.csr(0, 0x303) == 0x222);  // mideleg: SSI, STI, SEI
  // medeleg: at least what OpenSBI 1.6 delegates, and never the supervisor's own calls.
  const uint64_t medeleg = rig.csr(0, 0x302);
  CHECK((medeleg & 0xb108) == 0xb108);
  CHECK((medeleg & (1 << 9 | 1 << 11)) == 0);
  CHECK((rig.csr(0, 0x306) & 7) == 7);  // mcounteren
  CHECK((rig.csr(0, 0x106) & 7) == 7);  // scounteren
  // menvcfg: STCE, PBMTE, ADUE, CBZE, CBCFE, CBIE for Sstc, Svpbmt, Svadu, Zicboz, Zicbom.
  CHECK(rig.csr(0, 0x30a) == 0xe0000000000000f0);
  CHECK(rig.csr(0, 0x3a0) == 0x1f);  // pmpcfg0: NAPOT, RWX
  // All of RAM is open to S-mode.
  rig.on_hart(0, [](Hart& hart) {
    uint64_t value;
    CHECK(hart.mmu->load(SbiRig::kRam, 8, value));
    CHECK(hart.mmu->store(SbiRig::kRam + SbiRig::kRamSize - 8, 8, 1));
  });
}

TEST_CASE("sbi: menvcfg names only extensions that the hart has", "[sbi]") {
  SbiRig rig(1, "rv64,sstc=off,svpbmt=off,svadu=off,zicboz=off");
  CHECK(rig.csr(0, 0x30a) == 0x70);
}

TEST_CASE("sbi time: set_timer with and without Sstc", "[sbi]") {
  SbiRig rig(1, GENERATE(as<const char*>{}, "rv64", "rv64,sstc=off"));
  check(rig.ecall(0, kTime, 0, {0}), kOk);
  SbiRig::wait_until([&] { return (rig.mip(0) & kStip) != 0; });
  check(rig.ecall(0, kTime, 0, {~0ull}), kOk);
  CHECK((rig.mip(0) & kStip) == 0);
  check(rig.ecall(0, kTime, 0, {rig.clock.now() + 20'000}), kOk);  // 2 ms
  SbiRig::wait_until([&] { return (rig.mip(0) & kStip) != 0; });
}

TEST_CASE("sbi ipi: hart masks", "[sbi]") {
  SbiRig rig(4);
  for (unsigned id = 1; id < 4; ++id) rig.start(id);
  const auto pending = [&] {
    unsigned mask = 0;
    for (unsigned id = 0; id < 4; ++id)
      if (rig.harts->at(id).hart().mip.fetch_and(~kSsip) & kSsip) mask |= 1u << id;
    return mask;
  };
  check(rig.ecall(0, kIpi, 0, {0b0110, 0}), kOk);
  CHECK(pending() == 0b0110);
  check(rig.ecall(0, kIpi, 0, {0b11, 2}), kOk);
  CHECK(pending() == 0b1100);
  check(rig.ecall(0, kIpi, 0, {1, 0}), kOk);  // itself
  CHECK(pending() == 0b0001);
  check(rig.ecall(0, kIpi, 0, {0, ~0ull}), kOk);  // the mask is ignored
  CHECK(pending() == 0b1111);
  check(rig.ecall(0, kIpi, 0, {0, 0}), kOk);
  CHECK(pending() == 0);
  // One hart that does not exist, and nobody is interrupted.
  check(rig.ecall(0, kIpi, 0, {0b10001, 0}), kInvalidParam);
  check(rig.ecall(0, kIpi, 0, {0b11, 3}), kInvalidParam);
  check(rig.ecall(0, kIpi, 0, {1, 4}), kInvalidParam);
  check(rig.ecall(0, kIpi, 0, {0b10, ~0ull - 1}), kInvalidParam);
  check(rig.ecall(0, kIpi, 0, {~0ull, 0}), kInvalidParam);
  CHECK(pending() == 0);
}

TEST_CASE("sbi rfence: fence.i reaches the harts of the mask", "[sbi]") {
  SbiRig rig(3);
  rig.start(1);
  rig.start(2);
  const unsigned before1 = rig.engines[1]->fences, before2 = rig.engines[2]->fences;
  check(rig.ecall(0, kRfence, 0, {0b010, 0}), kOk);
  CHECK(rig.engines[1]->fences == before1 + 1);
  CHECK(rig.engines[2]->fences == before2);
  check(rig.ecall(0, kRfence, 0, {0b1000, 0}), kInvalidParam);
}

TEST_CASE("sbi rfence: sfence.vma makes a changed page-table entry visible", "[sbi]") {
  SbiRig rig(2);
  rig.start(1);
  constexpr uint64_t kRoot = SbiRig::kRam + 0x10000, kPage1 = SbiRig::kRam + 0x20000,
                     kPage2 = SbiRig::kRam + 0x21000, kAsid = 5;
  const uint64_t one = 1, two = 2;
  rig.memory->write(kPage1, &one, 8);
  rig.memory->write(kPage2, &two, 8);
  map_page_zero(*rig.memory, kRoot, kPage1);
  rig.write_csr(1, 0x180, 8ull << 60 | kAsid << 44 | kRoot >> 12);
  const auto load = [&] {
    uint64_t value = 0;
    rig.on_hart(1, [&](Hart& hart) { CHECK(hart.mmu->load(0, 8, value)); });
    return value;
  };
  CHECK(load() == 1);
  map_page_zero(*rig.memory, kRoot, kPage2);
  SECTION("a range") {
    check(rig.ecall(0, kRfence, 1, {0b10, 0, 0, 0x1000}), kOk);
  }
  SECTION("a range that begins below") {
    check(rig.ecall(0, kRfence, 1, {0b10, 0, ~0xfffull, 0x1000}), kOk);
    check(rig.ecall(0, kRfence, 1, {0b10, 0, 0, 0x5000}), kOk);
  }
  SECTION("start and size 0 mean everything") {
    check(rig.ecall(0, kRfence, 1, {0b10, 0, 0, 0}), kOk);
  }
  SECTION("size -1 means everything") {
    check(rig.ecall(0, kRfence, 1, {0b10, 0, 0x123000, ~0ull}), kOk);
  }
  SECTION("one address space") {
    check(rig.ecall(0, kRfence, 2, {0b10, 0, 0, 0x1000, kAsid}), kOk);
  }
  SECTION("all harts") {
    check(rig.ecall(0, kRfence, 1, {0, ~0ull, 0, 0}), kOk);
  }
  SECTION("legacy, every hart") {
    CHECK(rig.ecall(0, 6, 0, {0, 0, 0}).error == 0);
  }
  CHECK(load() == 2);
}

TEST_CASE("sbi rfence: bad ranges and masks", "[sbi]") {
  SbiRig rig(1);
  check(rig.ecall(0, kRfence, 1, {1, 0, ~0xfffull, 0x2000}), kInvalidAddress);
  check(rig.ecall(0, kRfence, 2, {1, 0, ~0xfffull, 0x2000, 1}), kInvalidAddress);
  check(rig.ecall(0, kRfence, 1, {2, 0, 0, 0}), kInvalidParam);
  check(rig.ecall(0, kRfence, 1, {1, 0, ~0xfffull, 0x1000}), kOk);  // up to the very top
}

TEST_CASE("sbi hsm: start, status, stop and start again", "[sbi]") {
  SbiRig rig(2);
  check(rig.ecall(0, kHsm, 2, {0}), kOk, 0);
  check(rig.ecall(0, kHsm, 2, {1}), kOk, 1);
  check(rig.ecall(0, kHsm, 2, {2}), kInvalidParam);

  check(rig.ecall(0, kHsm, 0, {1, SbiRig::kEntry + 0x100, 0xabc}), kOk);
  rig.wait_state(1, HsmState::kStarted);
  rig.on_hart(1, [](Hart& hart) {
    CHECK(hart.pc == SbiRig::kEntry + 0x100);
    CHECK(hart.x[10] == 1);
    CHECK(hart.x[11] == 0xabc);
    CHECK(hart.priv == Priv::kSupervisor);
    CHECK(hart.csr.satp == 0);
    CHECK((hart.csr.mstatus & kMstatusSie) == 0);
  });
  check(rig.ecall(0, kHsm, 2, {1}), kOk, 0);
  check(rig.ecall(0, kHsm, 0, {1, SbiRig::kEntry, 0}), kAlreadyAvailable);
  check(rig.ecall(0, kHsm, 0, {0, SbiRig::kEntry, 0}), kAlreadyAvailable);

  rig.write_csr(1, 0x180, 8ull << 60 | 0x80010);
  rig.ecall(1, kTime, 0, {0});
  rig.ecall(1, kHsm, 1);
  rig.wait_state(1, HsmState::kStopped);
  check(rig.ecall(0, kHsm, 2, {1}), kOk, 1);
  // A stopped hart takes no IPI along into its next life, nor a timer.
  check(rig.ecall(0, kIpi, 0, {2, 0}), kOk);
  check(rig.ecall(0, kHsm, 0, {1, SbiRig::kEntry, 7}), kOk);
  rig.wait_state(1, HsmState::kStarted);
  rig.on_hart(1, [](Hart& hart) {
    CHECK(hart.pc == SbiRig::kEntry);
    CHECK(hart.x[11] == 7);
    CHECK(hart.csr.satp == 0);
    update_timers(hart);
    CHECK((hart.mip & (kSsip | kStip)) == 0);
  });
}

TEST_CASE("sbi hsm: start refuses what cannot be", "[sbi]") {
  SbiRig rig(2);
  check(rig.ecall(0, kHsm, 0, {2, SbiRig::kEntry, 0}), kInvalidParam);
  check(rig.ecall(0, kHsm, 0, {~0ull, SbiRig::kEntry, 0}), kInvalidParam);
  for (const uint64_t address :
       {uint64_t{0}, SbiRig::kRam - 2, SbiRig::kRam + SbiRig::kRamSize, SbiRig::kEntry + 1,
        ~uint64_t{0}, ~uint64_t{1}, uint64_t{0x10000000}})
    check(rig.ecall(0, kHsm, 0, {1, address, 0}), kInvalidAddress);
  CHECK(rig.harts->at(1).hsm_state() == HsmState::kStopped);
}

TEST_CASE("sbi hsm: retentive suspend returns after an interrupt", "[sbi]") {
  SbiRig rig(2);
  rig.start(1);
  rig.write_csr(1, kCsrSie, kSsip);
  const Called suspended = rig.ecall(1, kHsm, 3, {0, 0, 0});
  CHECK(suspended.result == SysResult::kWait);
  CHECK(suspended.error == kOk);
  CHECK(suspended.others_kept);
  SbiRig::wait_until([&] { return rig.harts->at(1).is_sleeping(); });
  check(rig.ecall(0, kHsm, 2, {1}), kOk, 4);
  check(rig.ecall(0, kIpi, 0, {2, 0}), kOk);
  rig.on_hart(1, [&](Hart& hart) {
    CHECK(hart.pc == suspended.pc);
    CHECK(hart.x[10] == 0);
  });
  check(rig.ecall(0, kHsm, 2, {1}), kOk, 0);
}

TEST_CASE("sbi hsm: non-retentive suspend resumes at its address", "[sbi]") {
  SbiRig rig(1);
  rig.write_csr(0, kCsrSie, kStip);
  rig.ecall(0, kTime, 0, {rig.clock.now() + 20'000});
  const Called suspended = rig.ecall(0, kHsm, 3, {0x80000000, SbiRig::kEntry + 0x40, 99});
  CHECK(suspended.result == SysResult::kWait);
  rig.on_hart(0, [](Hart& hart) {
    CHECK(hart.pc == SbiRig::kEntry + 0x40);
    CHECK(hart.x[10] == 0);
    CHECK(hart.x[11] == 99);
    CHECK(hart.csr.satp == 0);
    CHECK((hart.csr.mstatus & kMstatusSie) == 0);
    CHECK((hart.mip & kStip) != 0);  // what has woken it
  });
}

TEST_CASE("sbi hsm: suspend types that do not exist", "[sbi]") {
  SbiRig rig(1);
  for (const uint64_t type : {1u, 0x0fffffffu, 0x10000000u, 0x7fffffffu, 0x80000001u, 0x8fffffffu,
                              0x90000000u, 0xffffffffu})
    check(rig.ecall(0, kHsm, 3, {type, SbiRig::kEntry, 0}), kInvalidParam);
  check(rig.ecall(0, kHsm, 3, {0x80000000, 0, 0}), kInvalidAddress);
}

TEST_CASE("sbi srst: shutdown and reboot stop the calling hart", "[sbi]") {
  SbiRig rig(1);
  const auto [type, reason, shutdowns, status, cause] =
      GENERATE(table<unsigned, unsigned, unsigned, int, ShutdownCause>(
          {{0, 0, 1, 0, ShutdownCause::kGuestShutdown},
           {0, 1, 1, 1, ShutdownCause::kGuestPanic},
           {1, 0, 0, -1, ShutdownCause{}},
           {2, 1, 0, -1, ShutdownCause{}}}));
  rig.ecall(0, kSrst, 0, {type, reason});
  rig.wait_state(0, HsmState::kStopped);
  CHECK(rig.control.shutdowns == shutdowns);
  CHECK(rig.control.resets == 1 - shutdowns);
  if (shutdowns) {
    CHECK(rig.control.last_status == status);
    CHECK(rig.control.last_cause == cause);
  } else {
    CHECK(rig.control.last_reset_by_guest);
  }
}

TEST_CASE("sbi srst: reserved and foreign types and reasons", "[sbi]") {
  SbiRig rig(1);
  for (const uint64_t type : {3u, 0xefffffffu, 0xf0000000u, 0xffffffffu})
    check(rig.ecall(0, kSrst, 0, {type, 0}), kInvalidParam);
  for (const uint64_t reason : {2u, 0xdfffffffu, 0xe0000000u, 0xf0000000u})
    check(rig.ecall(0, kSrst, 0, {0, reason}), kInvalidParam);
  CHECK(rig.control.shutdowns == 0);
  CHECK(rig.control.resets == 0);
}

TEST_CASE("sbi dbcn: write, in part when the console is full", "[sbi]") {
  SbiRig rig(1);
  const std::string text = "Hello, console";
  constexpr uint64_t kText = SbiRig::kRam + 0x1000;
  rig.memory->write(kText, text.data(), text.size());
  check(rig.ecall(0, kDbcn, 0, {text.size(), kText, 0}), kOk, text.size());
  CHECK(rig.console.output() == text);
  check(rig.ecall(0, kDbcn, 0, {0, kText, 0}), kOk, 0);
  rig.console.set_room(5);
  check(rig.ecall(0, kDbcn, 0, {text.size(), kText, 0}), kOk, 5);
  check(rig.ecall(0, kDbcn, 0, {text.size(), kText, 0}), kOk, 0);
  CHECK(rig.console.output() == text + "Hello");
}

TEST_CASE("sbi dbcn: memory outside RAM is refused", "[sbi]") {
  SbiRig rig(1);
  constexpr uint64_t kEnd = SbiRig::kRam + SbiRig::kRamSize;
  const uint64_t function = GENERATE(0u, 1u);
  for (const auto& [count, low, high] :
       std::vector<std::tuple<uint64_t, uint64_t, uint64_t>>{{1, SbiRig::kRam - 1, 0},
                                                             {2, kEnd - 1, 0},
                                                             {1, kEnd, 0},
                                                             {1, SbiRig::kRam, 1},
                                                             {~0ull, SbiRig::kRam, 0},
                                                             {2, ~0ull, 0},
                                                             {1, 0x10000000, 0}})
    check(rig.ecall(0, kDbcn, function, {count, low, high}), kInvalidParam);
  CHECK(rig.console.output().empty());
}

TEST_CASE("sbi dbcn: read takes what has come and no more", "[sbi]") {
  SbiRig rig(1);
  std::string input = "abc";
  rig.sbi->set_console_input([&](std::span<uint8_t> bytes) {
    const size_t count = std::min(bytes.size(), input.size());
    std::copy_n(input.begin(), count, bytes.begin());
    input.erase(0, count);
    return count;
  });
  constexpr uint64_t kBuffer = SbiRig::kRam + 0x1000;
  check(rig.ecall(0, kDbcn, 1, {2, kBuffer, 0}), kOk, 2);
  check(rig.ecall(0, kDbcn, 1, {100, kBuffer + 2, 0}), kOk, 1);
  check(rig.ecall(0, kDbcn, 1, {100, kBuffer + 3, 0}), kOk, 0);
  char seen[5] = {};
  rig.memory->read(kBuffer, seen, 4);
  CHECK(std::string(seen) == "abc");
  input = "z";
  CHECK(rig.ecall(0, 2, 0).error == 'z');  // legacy getchar
  CHECK(rig.ecall(0, 2, 0).error == -1);
}

TEST_CASE("sbi dbcn: write_byte waits for room", "[sbi]") {
  SbiRig rig(1);
  check(rig.ecall(0, kDbcn, 2, {0x141}), kOk);  // one byte: 'A'
  rig.console.set_room(0);
  const uint64_t extension = GENERATE(as<uint64_t>{}, kDbcn, 1);  // and legacy putchar
  std::thread host([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    rig.console.set_room(1);
  });
  CHECK(rig.ecall(0, extension, 2, {'B'}).error == 0);
  host.join();
  CHECK(rig.console.output() == "AB");
}

TEST_CASE("sbi legacy: only a0 changes", "[sbi]") {
  SbiRig rig(1);
  const Called called = rig.ecall(0, 0, 0, {~0ull, 0x5555});
  CHECK(called.error == 0);
  CHECK(called.value == 0x5555);
}

TEST_CASE("sbi legacy: IPIs through a mask in the caller's memory", "[sbi]") {
  SbiRig rig(2);
  rig.start(1);
  constexpr uint64_t kMask = SbiRig::kRam + 0x2000;
  const uint64_t mask = 0b10;
  rig.memory->write(kMask, &mask, 8);
  CHECK(rig.ecall(0, 4, 0, {kMask}).error == 0);
  CHECK((rig.mip(0) & kSsip) == 0);
  CHECK((rig.mip(1) & kSsip) != 0);
  CHECK(rig.ecall(1, 3, 0).error > 0);  // clear_ipi: one was pending
  CHECK((rig.mip(1) & kSsip) == 0);
  CHECK(rig.ecall(1, 3, 0).error == 0);

  const unsigned fences = rig.engines[1]->fences;
  CHECK(rig.ecall(0, 5, 0, {kMask}).error == 0);
  CHECK(rig.engines[1]->fences == fences + 1);
}

TEST_CASE("sbi legacy: a fault on the mask is the caller's, at the ecall", "[sbi]") {
  SbiRig rig(1);
  constexpr uint64_t kRoot = SbiRig::kRam + 0x10000, kVector = SbiRig::kEntry + 0x800;
  rig.write_csr(0, 0x105, kVector);  // stvec
  uint64_t ecall_pc = 0;
  rig.on_hart(0, [&](Hart& hart) { ecall_pc = hart.pc; });
  uint64_t bad = 0, cause = 0;
  SECTION("nothing there: load access fault") {
    bad = 0x40;
    cause = 5;
  }
  SECTION("not mapped: load page fault") {
    map_page_zero(*rig.memory, kRoot, SbiRig::kRam);
    rig.write_csr(0, 0x180, 8ull << 60 | kRoot >> 12);
    bad = 0x5008;
    cause = 13;
  }
  const Called called = rig.ecall(0, 4, 0, {bad});
  CHECK(called.result == SysResult::kException);
  CHECK(called.pc == kVector);
  CHECK(rig.csr(0, 0x141) == ecall_pc);  // sepc
  CHECK(rig.csr(0, 0x142) == cause);     // scause
  CHECK(rig.csr(0, 0x143) == bad);       // stval
}

TEST_CASE("sbi legacy: shutdown", "[sbi]") {
  SbiRig rig(1);
  rig.ecall(0, 8, 0);
  rig.wait_state(0, HsmState::kStopped);
  CHECK(rig.control.shutdowns == 1);
  CHECK(rig.control.last_status == 0);
}

TEST_CASE("sbi: every extension and function survives random arguments", "[sbi][fuzz]") {
  SbiRig rig(2);
  uint64_t state = Catch::rngSeed();
  INFO("Catch rng seed " << state);
  const auto random = [&state] {
    state = state * 6364136223846793005 + 1442695040888963407;
    return state >> 33 | state << 31;
  };
  const uint64_t extensions[] = {kBase, kTime, kIpi, kRfence, kDbcn, kDbtr, 0, 3, 5, 6, 7, 9};
  for (int i = 0; i < 3000; ++i) {
    const auto argument = [&]() -> uint64_t {
      switch (random() % 4) {
        case 0:
          return random() % 8;
        case 1:
          return ~0ull - random() % 8;
        case 2:
          return SbiRig::kRam + random() % SbiRig::kRamSize;
        default:
          return random();
      }
    };
    // The byte functions of DBCN and putchar are left out: a full console would block them.
    const Called called = rig.ecall(0, extensions[random() % std::size(extensions)], random() % 8,
                                    {argument(), argument(), argument(), argument(), argument()});
    REQUIRE(called.others_kept);
    if (called.result == SysResult::kException)
      rig.on_hart(0, [](Hart& hart) { hart.csr.mstatus &= ~kMstatusSie; });
  }
  check(rig.ecall(0, kBase, 0), kOk, 2 << 24);
}

// SBI 2.0, chapter 11.
TEST_CASE("sbi pmu: numbers and CSRs of the counters", "[sbi]") {
  SbiRig rig(1);
  check(rig.ecall(0, kPmu, 0), kOk, 19);
  // CSR number, width - 1 = 63.
  check(rig.ecall(0, kPmu, 1, {0}), kOk, 0xc00 | 63 << 12);
  check(rig.ecall(0, kPmu, 1, {1}), kInvalidParam);
  check(rig.ecall(0, kPmu, 1, {2}), kOk, 0xc02 | 63 << 12);
  check(rig.ecall(0, kPmu, 1, {18}), kOk, 0xc12 | 63 << 12);
  check(rig.ecall(0, kPmu, 1, {19}), kInvalidParam);
  check(rig.ecall(0, kPmu, 7, {0, 0, 0}), kNotSupported);
  SbiRig without(1, "rv64,zihpm=off");
  check(without.ecall(0, kBase, 3, {kPmu}), kOk, 0);
  check(without.ecall(0, kPmu, 0), kNotSupported);
}

TEST_CASE("sbi pmu: a counter is matched, started, read, stopped and given back", "[sbi]") {
  constexpr uint64_t kInstructions = 2, kAll = 0x7fffd, kClear = 2, kSkip = 1;
  constexpr int64_t kAlreadyStarted = -7, kAlreadyStopped = -8;
  SbiRig rig(1);
  const auto execute = [&](unsigned count) {
    rig.on_hart(0, [=](Hart& hart) { hart.instret += count; });
  };
  const Called matched = rig.ecall(0, kPmu, 2, {0, kAll, kClear, kInstructions, 0});
  REQUIRE(matched.error == kOk);
  const uint64_t counter = matched.value, bit = 1ull << counter;
  REQUIRE(kAll >> counter & 1);
  const auto csr = static_cast<unsigned>(0xc00 + counter);
  execute(5);
  CHECK(rig.csr(0, csr) == 0);
  check(rig.ecall(0, kPmu, 3, {0, bit, 1, 1000}), kOk);
  execute(11);  // the call itself does not count
  CHECK(rig.csr(0, csr) == 1010);
  check(rig.ecall(0, kPmu, 3, {0, bit, 1, 1000}), kAlreadyStarted);
  check(rig.ecall(0, kPmu, 4, {counter, 1, 0}), kOk);
  execute(7);
  CHECK(rig.csr(0, csr) == 1010);
  check(rig.ecall(0, kPmu, 4, {0, bit, 0}), kAlreadyStopped);

  // It is still taken: another event gets another counter.
  const Called second = rig.ecall(0, kPmu, 2, {0, kAll, 0, 0x10021, 0});
  REQUIRE(second.error == kOk);
  CHECK(second.value != counter);
  check(rig.ecall(0, kPmu, 2, {0, bit, 0, kInstructions, 0}), kNotSupported);
  check(rig.ecall(0, kPmu, 2, {0, bit, kSkip | kClear, kInstructions, 0}), kOk, counter);
  CHECK(rig.csr(0, csr) == 0);

  // Reset gives it back.
  check(rig.ecall(0, kPmu, 3, {0, bit, 0, 0}), kOk);
  check(rig.ecall(0, kPmu, 4, {0, bit, 1}), kOk);
  check(rig.ecall(0, kPmu, 3, {0, bit, 0, 0}), kInvalidParam);
  check(rig.ecall(0, kPmu, 2, {0, bit, 0, kInstructions, 0}), kOk, counter);
}

TEST_CASE("sbi pmu: what does not exist is refused", "[sbi]") {
  SbiRig rig(1);
  check(rig.ecall(0, kPmu, 2, {0, 0x7fffd, 0, 3, 0}), kNotSupported);        // cache references
  check(rig.ecall(0, kPmu, 2, {0, 0x7fffd, 0, 0xf0000, 0}), kNotSupported);  // firmware event
  check(rig.ecall(0, kPmu, 2, {0, 0x7fffd, 0, 0x20000, 0x1234}), kNotSupported);
  check(rig.ecall(0, kPmu, 2, {0, 0x7fffd, 1 << 8, 2, 0}), kInvalidParam);
  check(rig.ecall(0, kPmu, 2, {0, 5, 0, 1, 0}), kNotSupported);  // the fixed ones are not given out
  check(rig.ecall(0, kPmu, 2, {19, 1, 0, 2, 0}), kInvalidParam);
  check(rig.ecall(0, kPmu, 3, {19, 1, 0, 0}), kInvalidParam);
  check(rig.ecall(0, kPmu, 3, {0, 1 << 19, 0, 0}), kInvalidParam);
  check(rig.ecall(0, kPmu, 4, {~0ull, 1, 0}), kInvalidParam);
}

TEST_CASE("sbi pmu: filters, and an overflow interrupts S-mode until it is started anew", "[sbi]") {
  constexpr uint64_t kUinh = 1 << 5, kAutoStart = 4;
  SbiRig rig(1, "rv64,sscofpmf=on");
  const Called matched = rig.ecall(0, kPmu, 2, {0, 0x7fff8, kUinh | kAutoStart, 2, 0});
  REQUIRE(matched.error == kOk);
  const uint64_t bit = 1ull << matched.value;
  const auto event = static_cast<unsigned>(0x320 + matched.value);
  CHECK(rig.csr(0, event) == (1ull << 60 | 2));
  check(rig.ecall(0, kPmu, 4, {0, bit, 0}), kOk);
  check(rig.ecall(0, kPmu, 3, {0, bit, 1, ~0ull}), kOk);
  rig.on_hart(0, [](Hart& hart) { hart.instret += 10; });
  CHECK((rig.csr(0, 0xda0) & bit) == bit);
  CHECK((rig.mip(0) & 1 << 13) != 0);
  CHECK((rig.csr(0, 0x303) & 1 << 13) != 0);
  check(rig.ecall(0, kPmu, 4, {0, bit, 0}), kOk);
  check(rig.ecall(0, kPmu, 3, {0, bit, 1, 0}), kOk);
  CHECK((rig.csr(0, 0xda0) & bit) == 0);
}
