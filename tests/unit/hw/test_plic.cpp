#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "fakes.h"
#include "hw/intc/plic.h"

using namespace hv;
using namespace hv::test;

namespace {

// Register layout: RISC-V PLIC specification 1.0.0, chapter 3.
constexpr uint64_t priority(unsigned source) {
  return 4 * source;
}
constexpr uint64_t pending_word(unsigned index) {
  return 0x1000 + 4 * index;
}
constexpr uint64_t enable_word(unsigned context, unsigned index) {
  return 0x2000 + 0x80 * context + 4 * index;
}
constexpr uint64_t threshold(unsigned context) {
  return 0x200000 + 0x1000 * context;
}
constexpr uint64_t claim(unsigned context) {
  return 0x200004 + 0x1000 * context;
}

constexpr HartIrq kMei = HartIrq::kMachineExternal, kSei = HartIrq::kSupervisorExternal;
// Contexts of harts 0 and 1.
constexpr unsigned kM0 = 0, kS0 = 1, kM1 = 2, kS1 = 3;

struct PlicRig {
  FakeHart harts[2]{FakeHart(0), FakeHart(1)};
  Plic plic{{&harts[0], &harts[1]}};

  uint32_t read(uint64_t offset) { return static_cast<uint32_t>(plic.mmio_read(offset, 4)); }
  void write(uint64_t offset, uint32_t value) { plic.mmio_write(offset, 4, value); }
  void enable(unsigned context, unsigned source) {
    const uint64_t offset = enable_word(context, source / 32);
    write(offset, read(offset) | 1u << source % 32);
  }
};

}  // namespace

TEST_CASE("plic: a source goes from line to claim to completion", "[plic]") {
  PlicRig rig;
  rig.write(priority(10), 1);
  rig.enable(kS0, 10);
  CHECK_FALSE(rig.harts[0].level(kSei));

  rig.plic.set_irq(10, true);
  CHECK(rig.harts[0].level(kSei));
  CHECK_FALSE(rig.harts[0].level(kMei));
  CHECK_FALSE(rig.harts[1].level(kSei));
  CHECK(rig.read(pending_word(0)) == 1u << 10);

  CHECK(rig.read(claim(kS0)) == 10);
  CHECK_FALSE(rig.harts[0].level(kSei));
  CHECK(rig.read(pending_word(0)) == 0);
  CHECK(rig.read(claim(kS0)) == 0);

  rig.plic.set_irq(10, false);
  rig.write(claim(kS0), 10);
  CHECK_FALSE(rig.harts[0].level(kSei));
  CHECK(rig.read(claim(kS0)) == 0);
}

// As on a host where the hart that wakes takes the processor of the thread that woke it.
TEST_CASE("plic: a hart that has been woken can lower its wire at once", "[plic]") {
  PlicRig rig;
  rig.write(priority(10), 1);
  rig.enable(kS0, 10);
  bool low = false;
  rig.harts[0].on_notice = [&] {
    CHECK(rig.read(claim(kS0)) == 10);
    low = !rig.harts[0].level(kSei);
  };
  rig.plic.set_irq(10, true);
  CHECK(rig.harts[0].notices() == 1);
  CHECK(low);
}

TEST_CASE("plic: a line still high at completion pends again", "[plic]") {
  PlicRig rig;
  rig.write(priority(3), 1);
  rig.enable(kM1, 3);
  rig.plic.set_irq(3, true);
  CHECK(rig.read(claim(kM1)) == 3);
  rig.write(claim(kM1), 3);
  CHECK(rig.harts[1].level(kMei));
  CHECK(rig.read(claim(kM1)) == 3);
}

TEST_CASE("plic: a line that rose again while in service pends at completion", "[plic]") {
  PlicRig rig;
  rig.write(priority(3), 1);
  rig.enable(kM0, 3);
  rig.plic.set_irq(3, true);
  CHECK(rig.read(claim(kM0)) == 3);
  rig.plic.set_irq(3, false);
  rig.plic.set_irq(3, true);
  CHECK(rig.read(pending_word(0)) == 0);  // the gateway is shut
  CHECK_FALSE(rig.harts[0].level(kMei));
  rig.write(claim(kM0), 3);
  CHECK(rig.harts[0].level(kMei));
}

TEST_CASE("plic: a request stays when its line drops before the claim", "[plic]") {
  PlicRig rig;
  rig.write(priority(95), 1);
  rig.enable(kS1, 95);
  rig.plic.set_irq(95, true);
  rig.plic.set_irq(95, false);
  CHECK(rig.harts[1].level(kSei));
  CHECK(rig.read(pending_word(2)) == 1u << 31);
  CHECK(rig.read(claim(kS1)) == 95);
  rig.write(claim(kS1), 95);
  CHECK_FALSE(rig.harts[1].level(kSei));
}

TEST_CASE("plic: raising a line that is high counts once", "[plic]") {
  PlicRig rig;
  rig.write(priority(1), 1);
  rig.enable(kM0, 1);
  rig.plic.set_irq(1, true);
  rig.plic.set_irq(1, true);
  CHECK(rig.read(claim(kM0)) == 1);
  rig.plic.set_irq(1, true);
  CHECK(rig.read(claim(kM0)) == 0);
  CHECK(rig.harts[0].calls(kMei) == 2);  // up and down, nothing in between
}

TEST_CASE("plic: highest priority first, lowest number among equals", "[plic]") {
  PlicRig rig;
  for (const auto& [source, level] :
       std::vector<std::pair<unsigned, unsigned>>{{7, 2}, {40, 5}, {33, 5}, {2, 1}, {90, 7}}) {
    rig.write(priority(source), level);
    rig.enable(kM0, source);
    rig.plic.set_irq(source, true);
  }
  for (const unsigned expected : {90u, 33u, 40u, 7u, 2u, 0u})
    CHECK(rig.read(claim(kM0)) == expected);
}

TEST_CASE("plic: priority 0 never interrupts", "[plic]") {
  PlicRig rig;
  rig.enable(kM0, 5);
  rig.plic.set_irq(5, true);
  CHECK(rig.read(pending_word(0)) == 1u << 5);
  CHECK_FALSE(rig.harts[0].level(kMei));
  CHECK(rig.read(claim(kM0)) == 0);
  rig.write(priority(5), 1);
  CHECK(rig.harts[0].level(kMei));
  rig.write(priority(5), 0);
  CHECK_FALSE(rig.harts[0].level(kMei));
}

TEST_CASE("plic: the threshold masks priorities up to its own, but not claims", "[plic]") {
  PlicRig rig;
  rig.write(priority(5), 3);
  rig.enable(kM0, 5);
  rig.write(threshold(kM0), 3);
  rig.plic.set_irq(5, true);
  CHECK_FALSE(rig.harts[0].level(kMei));
  rig.write(threshold(kM0), 2);
  CHECK(rig.harts[0].level(kMei));
  rig.write(threshold(kM0), 7);
  CHECK_FALSE(rig.harts[0].level(kMei));
  // Specification, chapter 8: claims are not affected by the threshold.
  CHECK(rig.read(claim(kM0)) == 5);
}

TEST_CASE("plic: enabling a pending source raises the wire", "[plic]") {
  PlicRig rig;
  rig.write(priority(64), 1);
  rig.plic.set_irq(64, true);
  CHECK(rig.harts[0].calls(kSei) == 0);
  rig.enable(kS0, 64);
  CHECK(rig.harts[0].level(kSei));
  rig.write(enable_word(kS0, 2), 0);
  CHECK_FALSE(rig.harts[0].level(kSei));
}

TEST_CASE("plic: a source enabled for two harts is claimed by one", "[plic]") {
  PlicRig rig;
  rig.write(priority(8), 1);
  rig.enable(kS0, 8);
  rig.enable(kS1, 8);
  rig.plic.set_irq(8, true);
  CHECK(rig.harts[0].level(kSei));
  CHECK(rig.harts[1].level(kSei));
  CHECK(rig.read(claim(kS1)) == 8);
  CHECK_FALSE(rig.harts[0].level(kSei));
  CHECK(rig.read(claim(kS0)) == 0);
  // The other hart may complete it: it has the source enabled.
  rig.write(claim(kS0), 8);
  CHECK(rig.harts[1].level(kSei));
}

TEST_CASE("plic: completion by a context without the source, or of none, is ignored", "[plic]") {
  PlicRig rig;
  rig.write(priority(8), 1);
  rig.enable(kS0, 8);
  rig.plic.set_irq(8, true);
  CHECK(rig.read(claim(kS0)) == 8);
  rig.write(claim(kM0), 8);
  rig.write(claim(kS0), 9);
  rig.write(claim(kS0), 0);
  rig.write(claim(kS0), 96);
  rig.write(claim(kS0), 0xffffffff);
  CHECK_FALSE(rig.harts[0].level(kSei));
  rig.write(claim(kS0), 8);
  CHECK(rig.harts[0].level(kSei));
}

TEST_CASE("plic: registers keep what exists", "[plic]") {
  PlicRig rig;
  rig.write(priority(1), 0xffffffff);
  CHECK(rig.read(priority(1)) == 7);
  rig.write(priority(0), 7);
  CHECK(rig.read(priority(0)) == 0);
  rig.write(priority(96), 7);
  CHECK(rig.read(priority(96)) == 0);
  rig.write(threshold(kM1), 0xff);
  CHECK(rig.read(threshold(kM1)) == 7);
  rig.write(enable_word(kM0, 0), 0xffffffff);
  CHECK(rig.read(enable_word(kM0, 0)) == 0xfffffffe);
  rig.write(enable_word(kM0, 2), 0xffffffff);
  CHECK(rig.read(enable_word(kM0, 2)) == 0xffffffff);
  rig.write(enable_word(kM0, 3), 0xffffffff);
  CHECK(rig.read(enable_word(kM0, 3)) == 0);
  rig.write(pending_word(0), 0xffffffff);
  CHECK(rig.read(pending_word(0)) == 0);
  CHECK(rig.read(threshold(4)) == 0);  // no third hart
  CHECK(rig.read(claim(4)) == 0);
  CHECK(rig.read(0x5ffffc) == 0);
}

TEST_CASE("plic: lines that do not exist are ignored", "[plic]") {
  PlicRig rig;
  rig.plic.set_irq(0, true);
  rig.plic.set_irq(96, true);
  rig.plic.set_irq(~0u, true);
  for (unsigned word = 0; word < 3; ++word) CHECK(rig.read(pending_word(word)) == 0);
}

TEST_CASE("plic: reset clears everything and lowers the wires", "[plic]") {
  PlicRig rig;
  rig.write(priority(8), 1);
  rig.write(threshold(kS1), 2);
  rig.enable(kS0, 8);
  rig.plic.set_irq(8, true);
  rig.plic.reset();
  CHECK_FALSE(rig.harts[0].level(kSei));
  CHECK(rig.read(pending_word(0)) == 0);
  CHECK(rig.read(priority(8)) == 0);
  CHECK(rig.read(enable_word(kS0, 0)) == 0);
  CHECK(rig.read(threshold(kS1)) == 0);
}

TEST_CASE("plic: the node is as QEMU's virt writes it", "[plic]") {
  PlicRig rig;
  FakeFdtNode node;
  const uint32_t phandles[] = {4, 2};
  rig.plic.describe_fdt(node, phandles);
  CHECK(node.props ==
        std::map<std::string, std::string>{{"#address-cells", "<0>"},
                                           {"#interrupt-cells", "<1>"},
                                           {"compatible", "sifive,plic-1.0.0,riscv,plic0"},
                                           {"interrupt-controller", ""},
                                           {"interrupts-extended", "<4 11 4 9 2 11 2 9>"},
                                           {"riscv,ndev", "<95>"}});
}

// Devices raise level lines from their own threads and raise again only once served; four contexts
// that all have every source enabled wait for their wire and serve what they claim. Each raise must
// be claimed exactly once, so nobody waits for ever and no claim finds an idle device.
TEST_CASE("plic: racing devices and harts lose and duplicate nothing", "[plic]") {
  PlicRig rig;
  constexpr unsigned kDevices = 3, kSourcesEach = 5, kRaises = 1500;
  constexpr unsigned kAll = kDevices * kSourcesEach;
  const auto source_of = [](unsigned line) { return 1 + line * 6; };  // over all words
  struct Line {
    std::atomic<unsigned> raised{0}, served{0};
  };
  std::array<Line, kAll> lines;
  for (unsigned i = 0; i < kAll; ++i) {
    rig.write(priority(source_of(i)), 1 + i % 7);
    for (unsigned context = 0; context < 4; ++context) rig.enable(context, source_of(i));
  }

  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(120);
  std::atomic<bool> stuck{false}, done{false};
  std::atomic<unsigned> spurious{0}, unexpected{0};
  std::vector<std::thread> devices, harts;
  for (unsigned device = 0; device < kDevices; ++device)
    devices.emplace_back([&, device] {
      for (unsigned raise = 0; raise < kRaises && !stuck;) {
        bool raised_any = false;
        for (unsigned i = 0; i < kSourcesEach; ++i) {
          Line& line = lines[device * kSourcesEach + i];
          if (line.served.load() != line.raised.load() || line.raised.load() > raise) continue;
          ++line.raised;
          rig.plic.set_irq(source_of(device * kSourcesEach + i), true);
          raised_any = true;
        }
        bool all_there = true;
        for (unsigned i = 0; i < kSourcesEach; ++i)
          all_there &= lines[device * kSourcesEach + i].served.load() > raise;
        if (all_there) ++raise;
        if (!raised_any) std::this_thread::yield();
        if (std::chrono::steady_clock::now() > give_up) stuck = true;
      }
    });
  for (unsigned context = 0; context < 4; ++context)
    harts.emplace_back([&, context] {
      const FakeHart& hart = rig.harts[context / 2];
      while (!done) {
        if (!hart.level(context % 2 ? kSei : kMei)) {
          std::this_thread::yield();
          continue;
        }
        const uint32_t source = rig.read(claim(context));
        if (source == 0) {
          ++spurious;
          continue;
        }
        Line& line = lines[(source - 1) / 6];
        if (line.raised.load() != line.served.load() + 1) ++unexpected;
        rig.plic.set_irq(source, false);
        ++line.served;
        rig.write(claim(context), source);
      }
    });
  for (auto& thread : devices) thread.join();
  done = true;
  for (auto& thread : harts) thread.join();

  CHECK_FALSE(stuck);
  CHECK(unexpected == 0);
  for (const Line& line : lines) {
    CHECK(line.raised == kRaises);
    CHECK(line.served == kRaises);
  }
  for (const FakeHart& hart : rig.harts) {
    CHECK_FALSE(hart.overlapped());
    CHECK_FALSE(hart.level(kMei));
    CHECK_FALSE(hart.level(kSei));
  }
  INFO("spurious claims: " << spurious);
}

// One side enables and disables a source while the other pulses its line: whatever the order, a
// source that is pending and enabled in the end has its wire up.
TEST_CASE("plic: enable racing with a line leaves the wire right", "[plic]") {
  PlicRig rig;
  rig.write(priority(17), 1);
  for (unsigned round = 0; round < 3000; ++round) {
    std::thread device([&] { rig.plic.set_irq(17, true); });
    rig.write(enable_word(kS0, 0), 0);
    rig.write(enable_word(kS0, 0), 1u << 17);
    device.join();
    REQUIRE(rig.harts[0].level(kSei));
    REQUIRE(rig.read(claim(kS0)) == 17);
    REQUIRE_FALSE(rig.harts[0].level(kSei));
    rig.plic.set_irq(17, false);
    rig.write(claim(kS0), 17);
    REQUIRE_FALSE(rig.harts[0].level(kSei));
  }
}
