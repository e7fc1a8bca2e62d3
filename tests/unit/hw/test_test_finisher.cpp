#include <catch2/catch.hpp>

#include "fakes.h"
#include "hw/misc/test_finisher.h"

using namespace hv;
using namespace hv::test;

TEST_CASE("test finisher: pass shuts down with status 0", "[finisher]") {
  FakeSystemControl control;
  TestFinisher finisher(control);
  const unsigned size = GENERATE(2u, 4u);
  finisher.mmio_write(0, size, 0x5555);
  CHECK(control.shutdowns == 1);
  CHECK(control.last_cause == ShutdownCause::kGuestShutdown);
  CHECK(control.last_status == 0);
  CHECK(control.resets == 0);
}

TEST_CASE("test finisher: fail shuts down with the code of bits 31:16", "[finisher]") {
  FakeSystemControl control;
  TestFinisher finisher(control);
  finisher.mmio_write(0, 4, 0x3333 | 42 << 16);
  CHECK(control.shutdowns == 1);
  CHECK(control.last_cause == ShutdownCause::kGuestPanic);
  CHECK(control.last_status == 42);
}

TEST_CASE("test finisher: reset asks for a reset by the guest", "[finisher]") {
  FakeSystemControl control;
  TestFinisher finisher(control);
  finisher.mmio_write(0, 4, 0x7777);
  CHECK(control.resets == 1);
  CHECK(control.last_reset_by_guest);
  CHECK(control.shutdowns == 0);
}

TEST_CASE("test finisher: other values and offsets do nothing", "[finisher]") {
  FakeSystemControl control;
  TestFinisher finisher(control);
  finisher.mmio_write(0, 4, 0x1234);
  finisher.mmio_write(0, 4, 0);
  finisher.mmio_write(4, 4, 0x5555);
  finisher.mmio_write(0, 2, 0x33);
  CHECK(control.shutdowns == 0);
  CHECK(control.resets == 0);
  CHECK(finisher.mmio_read(0, 4) == 0);
}

TEST_CASE("test finisher: the node is a syscon", "[finisher]") {
  FakeSystemControl control;
  FakeFdtNode node;
  TestFinisher(control).describe_fdt(node);
  CHECK(node.props ==
        std::map<std::string, std::string>{{"compatible", "sifive,test1,sifive,test0,syscon"}});
}
