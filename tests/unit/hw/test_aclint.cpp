#include <catch2/catch.hpp>
#include <thread>

#include "fakes.h"
#include "hw/intc/aclint.h"

using namespace hv;
using namespace hv::test;

namespace {

// Offsets as SiFive's CLINT has them (FU540 manual, chapter 9).
constexpr uint64_t kMtimecmp = 0x4000, kMtime = 0xbff8;

struct ClintRig {
  FakeHart harts[3]{FakeHart(0), FakeHart(1), FakeHart(2)};
  GuestClock clock;
  Clint clint{{&harts[0], &harts[1], &harts[2]}, clock};
};

}  // namespace

TEST_CASE("clint: MSIP drives one hart's software interrupt", "[aclint]") {
  ClintRig rig;
  rig.clint.mmio_write(4, 4, 1);
  CHECK_FALSE(rig.harts[0].level(HartIrq::kMachineSoftware));
  CHECK(rig.harts[1].level(HartIrq::kMachineSoftware));
  CHECK(rig.clint.mmio_read(4, 4) == 1);
  CHECK(rig.clint.mmio_read(0, 8) == 1ull << 32);
  rig.clint.mmio_write(4, 4, 0xfffffffe);  // only bit 0 exists
  CHECK_FALSE(rig.harts[1].level(HartIrq::kMachineSoftware));
  CHECK(rig.clint.mmio_read(4, 4) == 0);
}

TEST_CASE("clint: a 64-bit MSIP store reaches two harts", "[aclint]") {
  ClintRig rig;
  rig.clint.mmio_write(0, 8, 1ull << 32 | 1);
  CHECK(rig.harts[0].level(HartIrq::kMachineSoftware));
  CHECK(rig.harts[1].level(HartIrq::kMachineSoftware));
  CHECK_FALSE(rig.harts[2].level(HartIrq::kMachineSoftware));
}

TEST_CASE("clint: MTIMECMP in one store and in halves", "[aclint]") {
  ClintRig rig;
  rig.clint.mmio_write(kMtimecmp + 8, 8, 0x0123456789abcdef);
  CHECK(rig.harts[1].mtimecmp() == 0x0123456789abcdef);
  CHECK(rig.clint.mmio_read(kMtimecmp + 8, 8) == 0x0123456789abcdef);
  CHECK(rig.clint.mmio_read(kMtimecmp + 8, 4) == 0x89abcdef);
  CHECK(rig.clint.mmio_read(kMtimecmp + 12, 4) == 0x01234567);
  rig.clint.mmio_write(kMtimecmp + 12, 4, 0xffffffff);
  CHECK(rig.harts[1].mtimecmp() == 0xffffffff89abcdef);
  rig.clint.mmio_write(kMtimecmp + 8, 4, 5);
  CHECK(rig.harts[1].mtimecmp() == 0xffffffff00000005);
  CHECK(rig.harts[0].mtimecmp() == ~0ull);
}

TEST_CASE("clint: MTIME reads the guest clock", "[aclint]") {
  ClintRig rig;
  CHECK(rig.clint.mmio_read(kMtime, 8) == 0);  // not started
  rig.clock.resume();
  const uint64_t before = rig.clock.now();
  const uint64_t seen = rig.clint.mmio_read(kMtime, 8);
  CHECK(seen >= before);
  CHECK(seen <= rig.clock.now());
  rig.clock.pause();
  CHECK(rig.clint.mmio_read(kMtime, 4) == (rig.clock.now() & 0xffffffff));
  CHECK(rig.clint.mmio_read(kMtime + 4, 4) == rig.clock.now() >> 32);
}

// Privileged specification 3.2.1: mtime is a read-write register.
TEST_CASE("clint: a store to MTIME sets the time and has every hart compare", "[aclint]") {
  ClintRig rig;
  rig.clint.mmio_write(kMtimecmp + 8, 8, 1ull << 40);
  const unsigned compared[] = {rig.harts[0].timer_updates(), rig.harts[1].timer_updates(),
                               rig.harts[2].timer_updates()};
  rig.clint.mmio_write(kMtime, 8, 0x0123456789abcdef);
  CHECK(rig.clock.now() == 0x0123456789abcdef);
  CHECK(rig.clint.mmio_read(kMtime, 8) == 0x0123456789abcdef);
  for (size_t i = 0; i < 3; ++i) CHECK(rig.harts[i].timer_updates() > compared[i]);
  CHECK(rig.harts[1].mtimecmp() == 1ull << 40);
  rig.clint.mmio_write(kMtime, 4, 5);
  CHECK(rig.clock.now() == 0x0123456700000005);
  rig.clint.mmio_write(kMtime + 4, 4, 0xffffffff);
  CHECK(rig.clock.now() == 0xffffffff00000005);
  rig.clint.reset();  // as QEMU's
  CHECK(rig.clock.now() == 0);
}

TEST_CASE("clint: harts that do not exist read 0 and ignore stores", "[aclint]") {
  ClintRig rig;
  rig.clint.mmio_write(3 * 4, 4, 1);
  rig.clint.mmio_write(8, 8, ~0ull);  // hart 2 and nobody
  rig.clint.mmio_write(kMtimecmp + 3 * 8, 8, 1);
  CHECK(rig.harts[2].level(HartIrq::kMachineSoftware));
  CHECK(rig.clint.mmio_read(3 * 4, 4) == 0);
  CHECK(rig.clint.mmio_read(kMtimecmp + 3 * 8, 8) == 0);
  CHECK(rig.clint.mmio_read(0x3ffc, 4) == 0);
  CHECK(rig.clint.mmio_read(0xfffc, 4) == 0);
}

TEST_CASE("clint: reset lowers MSIP and moves MTIMECMP out of reach", "[aclint]") {
  ClintRig rig;
  rig.clint.mmio_write(0, 4, 1);
  rig.clint.mmio_write(kMtimecmp, 8, 7);
  rig.clint.reset();
  CHECK_FALSE(rig.harts[0].level(HartIrq::kMachineSoftware));
  CHECK(rig.harts[0].mtimecmp() == ~0ull);
}

TEST_CASE("clint: racing stores to one MSIP leave wire and register alike", "[aclint]") {
  ClintRig rig;
  const auto writer = [&](uint32_t last) {
    for (uint32_t i = 0; i < 20'000; ++i) rig.clint.mmio_write(0, 4, (i ^ last) & 1);
  };
  std::thread other(writer, 0);
  writer(1);
  other.join();
  CHECK(rig.clint.mmio_read(0, 4) == rig.harts[0].level(HartIrq::kMachineSoftware));
  CHECK_FALSE(rig.harts[0].overlapped());
}

TEST_CASE("clint: the node is as QEMU's virt writes it", "[aclint]") {
  ClintRig rig;
  FakeFdtNode node;
  const uint32_t phandles[] = {4, 2, 9};
  rig.clint.describe_fdt(node, phandles);
  CHECK(node.props ==
        std::map<std::string, std::string>{{"compatible", "sifive,clint0,riscv,clint0"},
                                           {"interrupts-extended", "<4 3 4 7 2 3 2 7 9 3 9 7>"}});
}

TEST_CASE("sswi: SETSSIP sets and never clears", "[aclint]") {
  FakeHart harts[2]{FakeHart(0), FakeHart(1)};
  AclintSswi sswi({&harts[0], &harts[1]});
  sswi.mmio_write(4, 4, 0);
  CHECK(harts[1].calls(HartIrq::kSupervisorSoftware) == 0);
  sswi.mmio_write(4, 4, 1);
  CHECK(harts[1].level(HartIrq::kSupervisorSoftware));
  CHECK_FALSE(harts[0].level(HartIrq::kSupervisorSoftware));
  CHECK(sswi.mmio_read(4, 4) == 0);
  sswi.mmio_write(4, 4, 0);
  CHECK(harts[1].level(HartIrq::kSupervisorSoftware));
  sswi.mmio_write(8, 4, 1);
  sswi.mmio_write(0x3ffc, 4, 1);
}
