#include <catch2/catch.hpp>

#include "fakes.h"
#include "hw/char/uart16550.h"

using namespace hv;
using namespace hv::test;

namespace {

// Register offsets and bits: PC16550D data sheet, table II.
enum : uint64_t { kRbr = 0, kThr = 0, kIer = 1, kIir = 2, kFcr = 2, kLcr = 3, kMcr = 4, kLsr = 5 };
enum : uint64_t { kMsr = 6, kScr = 7, kDll = 0, kDlm = 1 };
constexpr unsigned kIrq = 10;

struct UartRig {
  FakeIrqSink sink;
  FakeCharBackend host;
  Uart16550 uart{IrqLine(sink, kIrq), &host};

  unsigned read(uint64_t reg) { return static_cast<unsigned>(uart.mmio_read(reg, 1)); }
  void write(uint64_t reg, unsigned value) { uart.mmio_write(reg, 1, value); }
  bool irq() const { return sink.level(kIrq); }
  std::string read_all() {
    std::string text;
    while (read(kLsr) & 1) text.push_back(static_cast<char>(read(kRbr)));
    return text;
  }
};

}  // namespace

TEST_CASE("uart: power-on state", "[uart]") {
  UartRig rig;
  CHECK(rig.read(kIer) == 0);
  CHECK(rig.read(kIir) == 0x01);
  CHECK(rig.read(kLcr) == 0);
  CHECK(rig.read(kMcr) == 0);
  CHECK(rig.read(kLsr) == 0x60);
  CHECK((rig.read(kMsr) & 0x0f) == 0);
  CHECK_FALSE(rig.irq());
}

TEST_CASE("uart: polled output reaches the host at once", "[uart]") {
  UartRig rig;
  for (const char c : std::string("Hello\r\n")) {
    REQUIRE(rig.read(kLsr) & 0x20);
    rig.write(kThr, static_cast<unsigned char>(c));
  }
  CHECK(rig.host.output() == "Hello\r\n");
}

TEST_CASE("uart: polled input", "[uart]") {
  UartRig rig;
  CHECK(rig.host.send("ab") == 1);  // without FIFOs the receiver holds one character
  CHECK(rig.read(kLsr) == 0x61);
  CHECK(rig.read(kRbr) == 'a');
  CHECK(rig.read(kLsr) == 0x60);
  CHECK(rig.host.accepts() == 1);
  CHECK(rig.host.send("b") == 1);
  CHECK(rig.read(kRbr) == 'b');
}

TEST_CASE("uart: divisor latch, line control and scratch hold their values", "[uart]") {
  UartRig rig;
  rig.write(kLcr, 0x80);
  rig.write(kDll, 0x12);
  rig.write(kDlm, 0x34);
  CHECK(rig.read(kDll) == 0x12);
  CHECK(rig.read(kDlm) == 0x34);
  CHECK(rig.host.output().empty());
  rig.write(kLcr, 0x03);
  CHECK(rig.read(kLcr) == 0x03);
  CHECK(rig.read(kIer) == 0);
  rig.write(kScr, 0xa5);
  CHECK(rig.read(kScr) == 0xa5);
  rig.write(kLcr, 0x83);
  CHECK(rig.read(kDll) == 0x12);
}

TEST_CASE("uart: registers have the bits of a 16550A and no more", "[uart]") {
  UartRig rig;
  rig.write(kIer, 0xff);
  CHECK(rig.read(kIer) == 0x0f);
  rig.write(kMcr, 0xff);
  CHECK(rig.read(kMcr) == 0x1f);
}

// The order of stores and loads in which drivers tell UART types apart: no FIFO, broken FIFO
// (16550), 16550A, and the larger ones that answer to EFR, EXCR or a 64-byte FIFO.
TEST_CASE("uart: type probes find a 16550A with 16-byte FIFOs", "[uart]") {
  UartRig rig;
  // Loopback: MCR outputs appear as MSR inputs.
  rig.write(kMcr, 0x10 | 0x0a);
  CHECK((rig.read(kMsr) & 0xf0) == 0x90);
  rig.write(kMcr, 0);
  // FIFOs that work: IIR 7:6 = 11.
  rig.write(kLcr, 0);
  CHECK(rig.read(kIir) >> 6 == 0);
  rig.write(kFcr, 0x01);
  CHECK(rig.read(kIir) >> 6 == 3);
  // No EFR behind DLAB or LCR = 0xbf.
  rig.write(kLcr, 0x80);
  CHECK(rig.read(2) != 0);
  rig.write(kLcr, 0xbf);
  CHECK(rig.read(2) != 0);
  // No EXCR1 behind LCR = 0xe0: bit 4 does not follow MCR.LOOP.
  rig.write(kLcr, 0xe0);
  const unsigned before = rig.read(2);
  rig.write(kLcr, 0);
  rig.write(kMcr, 0x10);
  rig.write(kLcr, 0xe0);
  CHECK(((rig.read(2) ^ before) & 0x10) == 0);
  rig.write(kLcr, 0);
  rig.write(kMcr, 0);
  // No 64-byte FIFO: FCR bit 5 does not come back in IIR, with or without DLAB.
  rig.write(kFcr, 0x21);
  CHECK(rig.read(kIir) >> 5 == 6);
  rig.write(kFcr, 0x01);
  rig.write(kLcr, 0x80);
  rig.write(kFcr, 0x21);
  CHECK(rig.read(kIir) >> 5 == 6);
  rig.write(kLcr, 0);
  // No unit-enable bit in IER.
  rig.write(kIer, 0x40);
  CHECK((rig.read(kIer) & 0x40) == 0);
}

TEST_CASE("uart: a receive FIFO takes 16 characters", "[uart]") {
  UartRig rig;
  rig.write(kFcr, 0x07);
  CHECK(rig.host.send("0123456789abcdefXYZ") == 16);
  CHECK(rig.host.frontend()->can_receive() == 0);
  CHECK(rig.read_all() == "0123456789abcdef");
  CHECK(rig.host.accepts() > 0);
  CHECK((rig.read(kLsr) & 2) == 0);
}

TEST_CASE("uart: receive interrupt by trigger level, else time-out", "[uart]") {
  UartRig rig;
  const auto [fcr, level] =
      GENERATE(table<unsigned, unsigned>({{0x01, 1}, {0x41, 4}, {0x81, 8}, {0xc1, 14}}));
  rig.write(kFcr, fcr);
  rig.write(kIer, 0x01);
  CHECK_FALSE(rig.irq());
  if (level > 1) {
    rig.host.send(std::string(level - 1, 'x'));
    CHECK(rig.irq());
    CHECK(rig.read(kIir) == 0xcc);
    rig.read_all();
    CHECK_FALSE(rig.irq());
  }
  rig.host.send(std::string(level, 'y'));
  CHECK(rig.irq());
  CHECK(rig.read(kIir) == 0xc4);
  rig.read(kRbr);
  if (level > 1) CHECK(rig.read(kIir) == 0xcc);
  rig.read_all();
  CHECK(rig.read(kIir) == 0xc1);
  CHECK_FALSE(rig.irq());
}

TEST_CASE("uart: THRE interrupt is raised by enabling it and cleared by reading IIR", "[uart]") {
  UartRig rig;
  rig.write(kIer, 0x02);
  CHECK(rig.irq());
  CHECK(rig.read(kIir) == 0x02);
  CHECK_FALSE(rig.irq());
  CHECK(rig.read(kIir) == 0x01);
  // Drivers test for chips that do not raise it a second time.
  rig.write(kIer, 0x00);
  rig.write(kIer, 0x02);
  CHECK(rig.read(kIir) == 0x02);
  // A byte sent empties THR again.
  rig.write(kThr, 'x');
  CHECK(rig.irq());
  CHECK(rig.read(kIir) == 0x02);
  CHECK_FALSE(rig.irq());
  // Writing IER with the bit already set is no new edge.
  rig.write(kIer, 0x03);
  CHECK_FALSE(rig.irq());
}

TEST_CASE("uart: reading IIR clears THRE only when it is what IIR says", "[uart]") {
  UartRig rig;
  rig.write(kIer, 0x03);
  rig.host.send("a");
  CHECK(rig.read(kIir) == 0x04);
  rig.read(kRbr);
  CHECK(rig.read(kIir) == 0x02);
  CHECK(rig.read(kIir) == 0x01);
}

TEST_CASE("uart: interrupts by priority", "[uart]") {
  UartRig rig;
  rig.write(kIer, 0x0f);
  rig.host.send("a");
  rig.host.frontend()->receive_break();  // no room: an overrun
  rig.write(kMcr, 0x10);                 // modem inputs change
  CHECK(rig.read(kIir) == 0x06);
  CHECK((rig.read(kLsr) & 0x02) != 0);
  CHECK(rig.read(kIir) == 0x04);
  CHECK(rig.read(kRbr) == 'a');
  CHECK(rig.read(kIir) == 0x02);
  CHECK(rig.read(kIir) == 0x00);
  CHECK((rig.read(kMsr) & 0x0f) != 0);
  CHECK(rig.read(kIir) == 0x01);
  CHECK_FALSE(rig.irq());
}

TEST_CASE("uart: a full host holds output back and loses none", "[uart]") {
  UartRig rig;
  rig.write(kFcr, 0x01);
  rig.host.set_room(3);
  std::string sent;
  // As a polled driver writes: only while THR is empty.
  for (char c = 'a'; c <= 'd'; ++c) {
    REQUIRE(rig.read(kLsr) & 0x20);
    rig.write(kThr, static_cast<unsigned char>(c));
  }
  CHECK(rig.host.output() == "abc");
  CHECK((rig.read(kLsr) & 0x60) == 0);
  // As an interrupt-driven one: up to 16 at once after THRE.
  rig.write(kIer, 0x02);
  CHECK_FALSE(rig.irq());
  rig.host.grow_room(1);
  CHECK(rig.host.output() == "abcd");
  CHECK(rig.irq());
  CHECK(rig.read(kIir) == 0xc2);
  for (int i = 0; i < 16; ++i) rig.write(kThr, '0' + static_cast<unsigned>(i));
  CHECK((rig.read(kLsr) & 0x20) == 0);
  CHECK_FALSE(rig.irq());
  rig.host.grow_room(10);
  CHECK_FALSE(rig.irq());
  CHECK((rig.read(kLsr) & 0x60) == 0);
  rig.host.grow_room(100);
  CHECK(rig.irq());
  CHECK(rig.host.output() == "abcd0123456789:;<=>?");
}

TEST_CASE("uart: clearing or disabling the FIFOs keeps output that waits for the host", "[uart]") {
  UartRig rig;
  rig.write(kFcr, 0x01);
  rig.host.set_room(0);
  rig.write(kThr, 'a');
  rig.write(kThr, 'b');
  rig.write(kFcr, 0x07);
  rig.write(kFcr, 0x00);
  rig.host.grow_room(10);
  CHECK(rig.host.output() == "ab");
  CHECK((rig.read(kLsr) & 0x60) == 0x60);
}

TEST_CASE("uart: loopback sends what is written to the receiver", "[uart]") {
  UartRig rig;
  rig.write(kFcr, 0x01);
  rig.write(kMcr, 0x10);
  CHECK(rig.host.send("h") == 0);  // the line is cut
  rig.write(kThr, 'l');
  rig.write(kThr, 'o');
  CHECK(rig.host.output().empty());
  CHECK(rig.read_all() == "lo");
  const unsigned accepts = rig.host.accepts();
  rig.write(kMcr, 0);
  CHECK(rig.host.accepts() > accepts);
  CHECK(rig.host.send("h") == 1);
  CHECK(rig.read_all() == "h");
}

TEST_CASE("uart: loopback overrun shows in LSR once", "[uart]") {
  UartRig rig;
  rig.write(kMcr, 0x10);
  rig.write(kThr, '1');
  rig.write(kThr, '2');
  CHECK(rig.read(kLsr) == 0x63);
  CHECK(rig.read(kLsr) == 0x61);
}

TEST_CASE("uart: modem inputs follow MCR in loopback and record changes", "[uart]") {
  UartRig rig;
  rig.write(kMcr, 0x10);
  rig.read(kMsr);
  for (const auto& [mcr, msr] : std::vector<std::pair<unsigned, unsigned>>{
           {0x11, 0x22}, {0x12, 0x13}, {0x14, 0x41}, {0x18, 0x8c}, {0x10, 0x08}}) {
    rig.write(kMcr, mcr);
    CHECK(rig.read(kMsr) == msr);
  }
  CHECK((rig.read(kMsr) & 0x0f) == 0);
}

TEST_CASE("uart: a break arrives as a zero character with its LSR bit", "[uart]") {
  UartRig rig;
  rig.write(kFcr, 0x01);
  rig.write(kIer, 0x05);
  rig.host.send("a");
  rig.host.frontend()->receive_break();
  rig.host.send("b");
  // The break is second: LSR says only that an error waits in the FIFO.
  CHECK(rig.read(kIir) == 0xc4);
  CHECK(rig.read(kLsr) == 0xe1);
  CHECK(rig.read(kRbr) == 'a');
  CHECK(rig.read(kIir) == 0xc6);
  CHECK(rig.read(kLsr) == 0xf1);
  CHECK(rig.read(kIir) == 0xc4);
  CHECK(rig.read(kRbr) == 0);
  CHECK(rig.read(kLsr) == 0x61);
  CHECK(rig.read(kRbr) == 'b');
}

TEST_CASE("uart: firmware's console takes input in order", "[uart]") {
  UartRig rig;
  rig.write(kFcr, 0x01);
  rig.write(kIer, 0x01);
  rig.host.send("xyz");
  CHECK(rig.irq());
  uint8_t bytes[2];
  CHECK(rig.uart.take_input(bytes) == 2);
  CHECK(bytes[0] == 'x');
  CHECK(bytes[1] == 'y');
  CHECK(rig.irq());
  CHECK(rig.uart.take_input(bytes) == 1);
  CHECK(bytes[0] == 'z');
  CHECK_FALSE(rig.irq());
  CHECK(rig.uart.take_input(bytes) == 0);
}

TEST_CASE("uart: reset drops state and the interrupt", "[uart]") {
  UartRig rig;
  rig.write(kFcr, 0x01);
  rig.write(kIer, 0x0f);
  rig.write(kScr, 0x55);
  rig.host.send("abc");
  CHECK(rig.irq());
  rig.uart.reset();
  CHECK_FALSE(rig.irq());
  CHECK(rig.read(kIer) == 0);
  CHECK(rig.read(kScr) == 0);
  CHECK(rig.read(kLsr) == 0x60);
  CHECK(rig.read(kIir) == 0x01);
}

TEST_CASE("uart: works with nothing connected", "[uart]") {
  FakeIrqSink sink;
  Uart16550 uart(IrqLine(sink, kIrq), nullptr);
  for (int i = 0; i < 100; ++i) {
    REQUIRE(uart.mmio_read(kLsr, 1) & 0x20);
    uart.mmio_write(kThr, 1, 'x');
  }
  uart.reset();
}

TEST_CASE("uart: wide accesses see one register", "[uart]") {
  UartRig rig;
  rig.uart.mmio_write(kScr, 8, 0x1122334455667788);
  CHECK(rig.uart.mmio_read(kScr, 8) == 0x88);
}

TEST_CASE("uart: the node is as QEMU's virt writes it", "[uart]") {
  UartRig rig;
  FakeFdtNode node;
  rig.uart.describe_fdt(node);
  CHECK(node.props == std::map<std::string, std::string>{{"clock-frequency", "<3686400>"},
                                                         {"compatible", "ns16550a"},
                                                         {"interrupts", "<10>"}});
}
