// Random page tables, privileges and accesses against a plain walk of the specification.
// HV_WALK_SEED repeats a run, HV_WALK_ROUNDS makes it longer.
#include <cstdlib>
#include <map>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/unit/cpu/bare_hart.h"
#include "tests/unit/cpu/reference_walk.h"

using namespace hv;
using hv::test::BareHart;
using hv::test::ReferenceWalk;
using Kind = ReferenceWalk::Kind;

namespace {

constexpr uint64_t kTables = BareHart::kRam + 0x10'0000, kTableCount = 12;
// A superpage-aligned region, so that leaves of level 1 may be well formed.
constexpr uint64_t kData = BareHart::kRam + 0x40'0000, kDataPages = 64;
constexpr unsigned kAccessesPerRound = 400;

const bool kNapot = CpuConfig::parse("rv64,svnapot=on").has_value();

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 0) : otherwise;
}

class Fuzz : public BareHart {
 public:
  explicit Fuzz(uint64_t seed) : BareHart(kNapot ? "rv64,svnapot=on" : "rv64"), random_(seed) {
    open_pmp();
    for (uint64_t at = 0; at < kDataPages * 4096; at += 8) poke<uint64_t>(kData + at, kData + at);
    reference_.is_ram = [this](uint64_t at) { return memory->host(at, 8) != nullptr; };
    reference_.read = [this](uint64_t at) {
      const auto found = written_.find(at);
      return found == written_.end() ? peek<uint64_t>(at) : found->second;
    };
    reference_.write = [this](uint64_t at, uint64_t value) { written_[at] = value; };
    reference_.napot = kNapot;
  }

  void round() {
    levels_ = 3 + static_cast<unsigned>(below(3));
    for (uint64_t i = 0; i < 4; ++i) indices_[i] = chance(2) ? 511 - below(2) : below(512);
    for (uint64_t table = 0; table < kTableCount; ++table)
      for (const uint64_t index : indices_) change_entry(table, index);
    set_satp();
    for (unsigned i = 0; i < kAccessesPerRound; ++i) {
      change_something();
      access();
    }
  }

  // Accesses that a page table brought to RAM.
  uint64_t mapped() const { return mapped_; }

 private:
  uint64_t below(uint64_t limit) { return random_() % limit; }
  bool chance(uint64_t one_in) { return below(one_in) == 0; }

  // Table i holds entries of level i % 5 and points to tables of the level below.
  uint64_t random_entry(uint64_t table) {
    const uint64_t level = table % 5;
    // Mostly what a kernel would write, with some right missing; else anything.
    uint64_t flags = below(256) | kPteValid | kPteRead | kPteAccessed | kPteDirty;
    if (chance(4)) flags = below(256) | (chance(4) ? 0 : kPteValid);
    uint64_t entry = 0;
    if (level != 0 && !chance(6)) {
      const uint64_t next = level - 1 + (level - 1 < 2 && chance(2) ? 5 : 0);
      entry = (kTables + next * 4096) >> 12 << 10 | kPteValid;
      if (chance(8)) entry |= flags & (kPteUser | kPteAccessed | kPteDirty | kPteGlobal);
    } else {
      uint64_t page = (kData >> 12) + below(kDataPages);
      if (level == 1 && !chance(4)) page = kData >> 12;
      if (level > 1) page = chance(2) ? BareHart::kRam >> 12 : 0;
      entry = page << 10 | flags;
      if (chance(4)) entry &= ~(chance(2) ? kPteDirty : kPteAccessed | kPteDirty);
      if (kNapot && chance(6)) entry = (entry & ~(15ull << 10)) | 8ull << 10 | 1ull << 63;
    }
    if (chance(40)) entry |= 1ull << (54 + below(7));
    if (chance(20)) entry |= below(4) << 61;
    if (!kNapot && chance(60)) entry |= 1ull << 63;
    if (chance(60)) entry = (1ull << 42) | kPteValid;  // points outside RAM
    return entry;
  }

  void change_entry(uint64_t table, uint64_t index) {
    poke<uint64_t>(kTables + table * 4096 + index * 8, random_entry(table));
  }

  void set_satp() {
    const uint64_t root = kTables + (levels_ - 1) * 4096;
    hart.csr.satp = uint64_t{levels_ + 5} << 60 | below(3) << 44 | root >> 12;
    reference_.levels = levels_;
    reference_.root = root;
    // The tables of another round may have had this number.
    mmu->flush(std::nullopt, std::nullopt);
  }

  uint64_t random_address() {
    uint64_t address = below(4096);
    for (unsigned level = 0; level < levels_; ++level)
      address |= indices_[below(4)] << (12 + 9 * level);
    const unsigned unused = 64 - (12 + 9 * levels_);
    address = static_cast<uint64_t>(static_cast<int64_t>(address << unused) >> unused);
    if (chance(30)) address ^= 1ull << (64 - unused + below(unused));
    return address;
  }

  void change_something() {
    if (chance(6)) {
      const uint64_t table = below(kTableCount);
      change_entry(table, indices_[below(4)]);
      if (table % 5 == 0 && chance(2)) {
        // A leaf's change needs a flush of its addresses only; all that the tables may map.
        flush_each();
      } else {
        mmu->flush(std::nullopt, std::nullopt);
      }
    }
    if (chance(40)) {
      hart.csr.menvcfg = (chance(2) ? kEnvcfgAdue : 0) | (chance(2) ? kEnvcfgPbmte : 0);
      mmu->flush(std::nullopt, std::nullopt);
    }
    const auto toggle = [&](uint64_t bit) {
      if (chance(4)) hart.csr.mstatus ^= bit;
    };
    toggle(kMstatusSum);
    toggle(kMstatusMxr);
    toggle(kMstatusMprv);
    if (chance(3)) hart.csr.mstatus ^= 1ull << 11 | (chance(2) ? 1ull << 12 : 0);
    if ((hart.csr.mstatus >> 11 & 3) == 2) hart.csr.mstatus &= ~(3ull << 11);
    if (chance(3)) {
      constexpr Priv kPrivs[] = {Priv::kUser, Priv::kSupervisor, Priv::kMachine};
      hart.priv = kPrivs[below(3)];
    }
    state_changed(hart);
  }

  void flush_each() {
    std::vector<uint64_t> addresses{0};
    for (unsigned level = 0; level < levels_; ++level) {
      std::vector<uint64_t> more;
      for (const uint64_t address : addresses)
        for (const uint64_t index : indices_) more.push_back(address | index << (12 + 9 * level));
      addresses = more;
    }
    const unsigned unused = 64 - (12 + 9 * levels_);
    for (const uint64_t address : addresses)
      mmu->flush(static_cast<uint64_t>(static_cast<int64_t>(address << unused) >> unused),
                 std::nullopt);
  }

  // Where the specification says the access goes, or its cause.
  std::optional<Cause> expect(uint64_t address, Kind kind, uint64_t& physical) {
    Priv priv = hart.priv;
    // MPRV is 0 in any lower mode: what leaves M-mode clears it.
    if (kind != Kind::kFetch && priv == Priv::kMachine && hart.csr.mstatus & kMstatusMprv)
      priv = static_cast<Priv>(hart.csr.mstatus >> 11 & 3);
    constexpr Cause kPageFaults[] = {Cause::kFetchPageFault, Cause::kLoadPageFault,
                                     Cause::kStorePageFault};
    constexpr Cause kAccessFaults[] = {Cause::kFetchAccess, Cause::kLoadAccess,
                                       Cause::kStoreAccess};
    const auto which = static_cast<size_t>(kind);
    auto result = ReferenceWalk::Result::kMapped;
    physical = address;
    if (priv != Priv::kMachine) {
      reference_.user = priv == Priv::kUser;
      reference_.sum = hart.csr.mstatus & kMstatusSum;
      reference_.mxr = hart.csr.mstatus & kMstatusMxr;
      reference_.hardware_ad = hart.csr.menvcfg & kEnvcfgAdue;
      reference_.pbmt = hart.csr.menvcfg & kEnvcfgPbmte;
      result = reference_.translate(address, kind, physical);
    }
    if (result == ReferenceWalk::Result::kPageFault) return kPageFaults[which];
    if (result == ReferenceWalk::Result::kAccessFault || !reference_.is_ram(physical & ~7ull))
      return kAccessFaults[which];
    return std::nullopt;
  }

  bool perform(uint64_t address, Kind kind, uint64_t physical) {
    uint64_t value = 0;
    if (kind == Kind::kFetch) {
      FetchResult fetched{};
      if (!mmu->fetch(address, fetched)) return false;
      CHECK(fetched.physical == physical);
    } else if (kind == Kind::kLoad) {
      if (!mmu->load(address, 8, value)) return false;
      CHECK(value == peek<uint64_t>(physical));
    } else {
      const bool atomic = chance(3);
      uint64_t found = 0;
      if (atomic) {
        if (!mmu->atomic_host(address, 8, Access::kStore, found)) return false;
        CHECK(found == physical);
      } else {
        // The same value again, so that the tables, which may be mapped, stay what they are.
        const uint8_t* before = memory->host(physical, 8);
        if (before) value = peek<uint64_t>(physical);
        if (!mmu->store(address, 8, value)) return false;
      }
    }
    return true;
  }

  void access() {
    const uint64_t address = random_address() & ~7ull;
    const auto kind = static_cast<Kind>(below(3));
    written_.clear();
    uint64_t physical = 0;
    const std::optional<Cause> cause = expect(address, kind, physical);
    INFO("address " << std::hex << address << " kind " << static_cast<int>(kind) << " priv "
                    << static_cast<int>(hart.priv) << " mstatus " << hart.csr.mstatus << " menvcfg "
                    << hart.csr.menvcfg << " satp " << hart.csr.satp << " expected cause "
                    << (cause ? static_cast<int>(*cause) : -1) << " physical " << physical);
    const bool done = perform(address, kind, physical);
    REQUIRE(done == !cause.has_value());
    mapped_ += done && physical != address;
    if (cause) {
      CHECK(hart.exception_cause == *cause);
      CHECK(hart.exception_tval == address);
    }
    // A walk writes what the reference writes, where it writes, and nothing else.
    for (const auto& [at, value] : written_) CHECK(peek<uint64_t>(at) == value);
  }

  std::mt19937_64 random_;
  ReferenceWalk reference_{};
  std::map<uint64_t, uint64_t> written_;
  uint64_t indices_[4] = {};
  unsigned levels_ = 3;
  uint64_t mapped_ = 0;
};

}  // namespace

TEST_CASE("Random page tables translate as the specification's walk does") {
  const uint64_t seed = from_environment("HV_WALK_SEED", std::random_device()());
  const uint64_t rounds = from_environment("HV_WALK_ROUNDS", 300);
  INFO("HV_WALK_SEED=" << seed);
  Fuzz fuzz(seed);
  for (uint64_t round = 0; round < rounds; ++round) fuzz.round();
  CHECK(fuzz.mapped() >= rounds * kAccessesPerRound / 40);
}
