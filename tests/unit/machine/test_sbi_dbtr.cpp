// Expected values: RISC-V Supervisor Binary Interface Specification 3.0, chapter 19, and what
// OpenSBI does on QEMU where it leaves room.
#include <catch2/catch.hpp>

#include "sbi_rig.h"

using namespace hv;
using namespace hv::test;

namespace {

constexpr uint64_t kBase = 0x10, kDbtr = 0x44425452, kHsm = 0x48534d;
constexpr int64_t kOk = 0, kFailed = -1, kNotSupported = -2, kInvalidParam = -3,
                  kInvalidAddress = -5, kNoSharedMemory = -9, kBadRange = -11;
enum Function : uint64_t {
  kNumber,
  kSetMemory,
  kRead,
  kInstall,
  kUpdate,
  kUninstall,
  kEnable,
  kDisable
};

// mcontrol and mcontrol6 (Debug specification 1.0, 5.7.11 and 5.7.12).
constexpr uint64_t kType2 = 2ull << 60, kType6 = 6ull << 60, kDmode = 1ull << 59, kChain = 1 << 11,
                   kM = 1 << 6, kS = 1 << 4, kU = 1 << 3, kExecute = 4, kStore = 2, kLoad = 1,
                   kWord6 = 3 << 16, kVs = 1 << 24, kVu = 1 << 23, kHit0 = 1 << 22;
// trig_state.
constexpr uint64_t kMapped = 1, kStateU = 2, kStateS = 4;

constexpr uint64_t kShared = SbiRig::kRam + 0x3008, kData = SbiRig::kRam + 0x5000;
constexpr uint64_t kEnd = SbiRig::kRam + SbiRig::kRamSize;
using Words = std::array<uint64_t, 4>;

struct Triggers : SbiRig {
  explicit Triggers(unsigned harts = 1, const char* cpu = "rv64") : SbiRig(harts, cpu) {}

  Called dbtr(Function function, std::initializer_list<uint64_t> arguments = {}) {
    const Called called = ecall(0, kDbtr, function, arguments);
    CHECK(called.result == SysResult::kNext);
    CHECK(called.others_kept);
    return called;
  }
  void put(unsigned entry, const Words& words) {
    REQUIRE(memory->write(kShared + 32 * entry, words.data(), 32));
  }
  Words get(unsigned entry) {
    Words words{};
    REQUIRE(memory->read(kShared + 32 * entry, words.data(), 32));
    return words;
  }
  void set_memory() { REQUIRE(dbtr(kSetMemory, {kShared, 0, 0}).error == kOk); }
  int64_t install(uint64_t tdata1, uint64_t address) {
    put(0, {~0ull, tdata1, address, 0});
    return dbtr(kInstall, {1}).error;
  }
  // The first trigger, which is the one that can be read.
  Words read() {
    put(0, {7, 7, 7, 7});
    REQUIRE(dbtr(kRead, {0, 1}).error == kOk);
    return get(0);
  }
  // Whether an access in this mode ends in a breakpoint exception for the address.
  bool caught(uint64_t kind, uint64_t address, Priv priv = Priv::kSupervisor) {
    bool breakpoint = false;
    on_hart(0, [&](Hart& hart) {
      const uint64_t pc = hart.pc;
      hart.priv = priv;
      state_changed(hart);
      uint64_t value = 0;
      bool passed = false;
      if (kind == kLoad) passed = hart.mmu->load(address, 4, value);
      if (kind == kStore) passed = hart.mmu->store(address, 4, value);
      FetchResult result;
      hart.pc = address;
      if (kind == kExecute) passed = hart.mmu->fetch(address, result);
      breakpoint =
          !passed && hart.exception_cause == Cause::kBreakpoint && hart.exception_tval == address;
      CHECK(passed != breakpoint);
      hart.pc = pc;
      hart.priv = Priv::kSupervisor;
      state_changed(hart);
    });
    return breakpoint;
  }
};

void check(const Called& called, int64_t error, uint64_t value = 0) {
  CHECK(called.error == error);
  CHECK(called.value == value);
}

}  // namespace

TEST_CASE("sbi dbtr: is there with the triggers", "[sbi]") {
  Triggers with;
  check(with.ecall(0, kBase, 3, {kDbtr}), kOk, 1);
  check(with.ecall(0, kDbtr, 8), kNotSupported);
  Triggers without(1, "rv64,debug=off");
  check(without.ecall(0, kBase, 3, {kDbtr}), kOk, 0);
  for (uint64_t function = 0; function < 8; ++function)
    check(without.ecall(0, kDbtr, function), kNotSupported);
}

TEST_CASE("sbi dbtr: the number of triggers by configuration", "[sbi]") {
  Triggers rig;
  for (const uint64_t possible : {uint64_t{0}, kType2, kType6, kType2 | kS | kU | kExecute,
                                  kType6 | kS | kU | kLoad | kStore | kWord6})
    check(rig.dbtr(kNumber, {possible}), kOk, 2);
  for (const uint64_t type : {1, 3, 4, 5, 7, 15}) check(rig.dbtr(kNumber, {type << 60}), kOk, 0);
  for (const uint64_t impossible :
       {kType6 | kChain, kType6 | 1 << 7, kType6 | kVs, kType6 | kVu, kType6 | kM, kType2 | kDmode})
    check(rig.dbtr(kNumber, {impossible}), kOk, 0);
}

TEST_CASE("sbi dbtr: shared memory", "[sbi]") {
  Triggers rig;
  for (const Function function : {kRead, kInstall, kUpdate})
    check(rig.dbtr(function, {0, 0}), kNoSharedMemory);
  check(rig.dbtr(kSetMemory, {kShared, 0, 1}), kInvalidParam);
  check(rig.dbtr(kSetMemory, {~0ull, ~0ull, 1}), kInvalidParam);
  check(rig.dbtr(kSetMemory, {kShared + 4, 0, 0}), kInvalidParam);
  // trig_max * XLEN / 2 bytes.
  for (const uint64_t outside : {uint64_t{0}, SbiRig::kRam - 8, kEnd - 56, kEnd, ~uint64_t{7}})
    check(rig.dbtr(kSetMemory, {outside, 0, 0}), kInvalidAddress);
  check(rig.dbtr(kSetMemory, {kShared, 1, 0}), kInvalidAddress);
  check(rig.dbtr(kSetMemory, {kShared & ~7ull, ~0ull, 0}), kInvalidAddress);
  check(rig.dbtr(kRead, {0, 0}), kNoSharedMemory);
  check(rig.dbtr(kSetMemory, {kEnd - 64, 0, 0}), kOk);
  check(rig.dbtr(kSetMemory, {kShared, 0, 0}), kOk);
  check(rig.dbtr(kRead, {0, 1}), kOk);
  check(rig.dbtr(kSetMemory, {~0ull, ~0ull, 0}), kOk);
  check(rig.dbtr(kRead, {0, 1}), kNoSharedMemory);
}

TEST_CASE("sbi dbtr: a trigger stops what it names until it is uninstalled", "[sbi]") {
  const uint64_t type = GENERATE(kType2, kType6);
  const uint64_t kind = GENERATE(kLoad, kStore, kExecute);
  Triggers rig;
  rig.set_memory();
  REQUIRE(rig.install(type | kS | kind, kData) == kOk);
  CHECK(rig.get(0) == Words{0, type | kS | kind, kData, 0});
  for (const uint64_t access : {kLoad, kStore, kExecute})
    CHECK(rig.caught(access, kData) == (access == kind));
  CHECK_FALSE(rig.caught(kind, kData + 4));
  CHECK_FALSE(rig.caught(kind, kData, Priv::kUser));
  check(rig.dbtr(kUninstall, {0, 1}), kOk);
  CHECK_FALSE(rig.caught(kind, kData));
  CHECK(rig.read() == Words{0, 0, 0, 0});
}

TEST_CASE("sbi dbtr: reading tells state and configuration", "[sbi]") {
  Triggers rig;
  rig.set_memory();
  CHECK(rig.read() == Words{0, 0, 0, 0});
  constexpr uint64_t kControl = kType6 | kWord6 | kStore;
  REQUIRE(rig.install(kControl | kS, kData) == kOk);
  CHECK(rig.read() == Words{kMapped | kStateS, kControl | kS, kData, 0});
  check(rig.dbtr(kDisable, {0, 1}), kOk);
  CHECK(rig.read() == Words{kMapped | kStateS, kControl, kData, 0});
  CHECK_FALSE(rig.caught(kStore, kData));
  check(rig.dbtr(kEnable, {0, 1}), kOk);
  CHECK(rig.caught(kStore, kData));
  CHECK(rig.read() == Words{kMapped | kStateS, kControl | kS | kHit0, kData, 0});

  rig.put(0, {0, kControl | kS | kU, kData + 8, 0});
  check(rig.dbtr(kUpdate, {1}), kOk);
  CHECK(rig.read() == Words{kMapped | kStateS | kStateU, kControl | kS | kU, kData + 8, 0});
  CHECK_FALSE(rig.caught(kStore, kData));
  CHECK(rig.caught(kStore, kData + 8, Priv::kUser));
}

TEST_CASE("sbi dbtr: each trigger has its index, and one given back is used again", "[sbi]") {
  Triggers rig;
  rig.set_memory();
  const bool together = GENERATE(true, false);
  const Words load{5, kType6 | kS | kLoad, kData, 0}, store{5, kType2 | kS | kStore, kData + 8, 0};
  if (together) {
    rig.put(0, load);
    rig.put(1, store);
    check(rig.dbtr(kInstall, {2}), kOk);
    CHECK(rig.get(0)[0] == 0);
    CHECK(rig.get(1)[0] == 1);
  } else {
    REQUIRE(rig.install(load[1], load[2]) == kOk);
    CHECK(rig.get(0)[0] == 0);
    REQUIRE(rig.install(store[1], store[2]) == kOk);
    CHECK(rig.get(0)[0] == 1);
  }
  CHECK(rig.caught(kLoad, kData));
  CHECK(rig.caught(kStore, kData + 8));
  CHECK_FALSE(rig.caught(kStore, kData));
  rig.put(0, load);
  check(rig.dbtr(kInstall, {1}), kFailed, 0);  // there are two
  check(rig.dbtr(kUninstall, {0, 1}), kOk);
  CHECK_FALSE(rig.caught(kLoad, kData));
  CHECK(rig.caught(kStore, kData + 8));
  // Room for one: nothing of an array of two is installed, and the second is what fails.
  rig.put(0, load);
  rig.put(1, store);
  check(rig.dbtr(kInstall, {2}), kFailed, 1);
  CHECK_FALSE(rig.caught(kLoad, kData));
  REQUIRE(rig.install(load[1], load[2]) == kOk);
  CHECK(rig.get(0)[0] == 0);
  check(rig.dbtr(kDisable, {0, 3}), kOk);
  CHECK_FALSE(rig.caught(kLoad, kData));
  CHECK_FALSE(rig.caught(kStore, kData + 8));
  check(rig.dbtr(kEnable, {1, 1}), kOk);
  CHECK_FALSE(rig.caught(kLoad, kData));
  CHECK(rig.caught(kStore, kData + 8));
  check(rig.dbtr(kUninstall, {0, 3}), kOk);
  CHECK_FALSE(rig.caught(kStore, kData + 8));
}

TEST_CASE("sbi dbtr: configurations that are refused", "[sbi]") {
  struct Row {
    uint64_t tdata1, tdata3;
    int64_t error;
  };
  constexpr uint64_t kGood = kType6 | kS | kLoad;
  const Row row = GENERATE_COPY(
      Row{kGood | kM, 0, kInvalidParam}, Row{kGood | kDmode, 0, kInvalidParam},
      Row{kType2 | kM, 0, kInvalidParam}, Row{kType2 | kDmode, 0, kInvalidParam},
      // What these triggers do not have: match, action, vs, vu, textra.
      Row{kGood | 1 << 7, 0, kNotSupported}, Row{kGood | 1 << 12, 0, kNotSupported},
      Row{kGood | kVs, 0, kNotSupported}, Row{kGood | kVu, 0, kNotSupported},
      Row{kGood, 1, kNotSupported},
      // Types that they do not have.
      Row{kS | kLoad, 0, kFailed}, Row{3ull << 60, 0, kFailed}, Row{15ull << 60, 0, kFailed});
  Triggers rig;
  rig.set_memory();
  CAPTURE(row.tdata1);
  const Words good{9, kGood, kData, 0}, bad{9, row.tdata1, kData, row.tdata3};
  rig.put(0, good);
  rig.put(1, bad);
  check(rig.dbtr(kInstall, {2}), row.error, 1);
  CHECK(rig.get(0) == good);
  CHECK_FALSE(rig.caught(kLoad, kData));

  REQUIRE(rig.install(kGood, kData) == kOk);
  rig.put(0, {0, row.tdata1, kData + 8, row.tdata3});
  // An update that changes the type is an invalid parameter.
  check(rig.dbtr(kUpdate, {1}), row.tdata1 >> 60 == 6 ? row.error : kInvalidParam, 0);
  CHECK(rig.caught(kLoad, kData));
}

TEST_CASE("sbi dbtr: chains are not supported, and none may be left open", "[sbi]") {
  Triggers rig;
  rig.set_memory();
  rig.put(0, {0, kType6 | kS | kLoad | kChain, kData, 0});
  rig.put(1, {0, kType6 | kS | kLoad, kData, 0});
  check(rig.dbtr(kInstall, {1}), kInvalidParam, 0);
  check(rig.dbtr(kInstall, {2}), kNotSupported, 0);
  REQUIRE(rig.install(kType6 | kS | kLoad, kData) == kOk);
  rig.put(0, {0, kType6 | kS | kLoad | kChain, kData, 0});
  check(rig.dbtr(kUpdate, {1}), kInvalidParam, 0);
}

TEST_CASE("sbi dbtr: ranges and indices that do not exist", "[sbi]") {
  Triggers rig;
  rig.set_memory();
  for (const auto& [base, count] : std::vector<std::pair<uint64_t, uint64_t>>{
           {2, 0}, {0, 2}, {1, 1}, {0, ~0ull}, {1, ~0ull}, {~0ull, 1}, {~0ull, 2}})
    check(rig.dbtr(kRead, {base, count}), kBadRange);
  check(rig.dbtr(kRead, {1, 0}), kOk);
  check(rig.dbtr(kInstall, {3}), kBadRange);
  check(rig.dbtr(kInstall, {~0ull}), kBadRange);
  check(rig.dbtr(kInstall, {0}), kOk);
  check(rig.dbtr(kUpdate, {2}), kBadRange);
  check(rig.dbtr(kUpdate, {~0ull}), kBadRange);
  check(rig.dbtr(kUpdate, {0}), kOk);
  for (const uint64_t index : {uint64_t{2}, ~uint64_t{0}}) {
    rig.put(0, {index, kType6 | kS | kLoad, kData, 0});
    check(rig.dbtr(kUpdate, {1}), kInvalidParam, 0);
  }
  rig.put(0, {1, kType6 | kS | kLoad, kData, 0});
  check(rig.dbtr(kUpdate, {1}), kFailed, 0);
  CHECK_FALSE(rig.caught(kLoad, kData));

  REQUIRE(rig.install(kType6 | kS | kLoad, kData) == kOk);
  for (const Function function : {kUninstall, kEnable, kDisable})
    for (const auto& [base, mask] : std::vector<std::pair<uint64_t, uint64_t>>{
             {0, 2}, {0, 3}, {1, 1}, {2, 1}, {~0ull, 1}, {~0ull, 2}, {0, 1ull << 63}, {0, ~0ull}})
      check(rig.dbtr(function, {base, mask}), kInvalidParam);
  CHECK(rig.caught(kLoad, kData));
}

TEST_CASE("sbi dbtr: a hart that starts anew has no triggers", "[sbi]") {
  Triggers rig(2);
  rig.start(1);
  REQUIRE(rig.ecall(1, kDbtr, kSetMemory, {kShared, 0, 0}).error == kOk);
  rig.put(0, {0, kType6 | kS | kLoad, kData, 0});
  REQUIRE(rig.ecall(1, kDbtr, kInstall, {1}).error == kOk);
  CHECK_FALSE(rig.caught(kLoad, kData));  // on hart 0
  rig.ecall(1, kHsm, 1);
  rig.wait_state(1, HsmState::kStopped);
  rig.start(1);
  check(rig.ecall(1, kDbtr, kRead, {0, 1}), kNoSharedMemory);
  check(rig.ecall(1, kDbtr, kUninstall, {0, 1}), kInvalidParam);
  rig.on_hart(1, [](Hart& hart) {
    uint64_t value;
    CHECK(hart.mmu->load(kData, 4, value));
  });
}
