#include <catch2/catch.hpp>

#include "hw/machine/memory_map.h"
#include "tests/unit/machine/image_fixtures.h"
#include "tests/unit/machine/temporary_file.h"
#include "tests/unit/machine/virt_rig.h"

namespace hv {
namespace {

// Bare-metal program for 0x80000000, all harts. Every hart stores a1 and a2 in a record of 16 bytes
// at 0x80020008. Hart 0 waits for two others' records, counts resets in RAM at 0x80010030 and
// resets until it was there five times; it checks that the image is whole each time, then spoils
// it. Status 7: something is wrong. QEMU 10 runs it to status 0 (-bios none -kernel).
constexpr uint32_t kResetter[] = {
    0xf14022f3,  // 000: csrrs x5,mhartid,x0
    0x06551c63,  // 004: bne x10,x5,8000007c <broken>
    0x00020317,  // 008: auipc x6,0x20
    0x00429293,  // 00c: slli x5,x5,0x4
    0x00530333,  // 010: add x6,x6,x5
    0x00b33023,  // 014: sd x11,0(x6)
    0x00c33423,  // 018: sd x12,8(x6)
    0x06051863,  // 01c: bne x10,x0,8000008c <park>
    0x01833283,  // 020: ld x5,24(x6)
    0xfe028ee3,  // 024: beq x5,x0,80000020 <others>
    0x02833283,  // 028: ld x5,40(x6)
    0xfe028ae3,  // 02c: beq x5,x0,80000020 <others>
    0x00010317,  // 030: auipc x6,0x10
    0x00033383,  // 034: ld x7,0(x6)
    0x00138393,  // 038: addi x7,x7,1
    0x00733023,  // 03c: sd x7,0(x6)
    0x00000e17,  // 040: auipc x28,0x0
    0x054e0e13,  // 044: addi x28,x28,84
    0x000e2e83,  // 048: lw x29,0(x28)
    0x05a00f13,  // 04c: addi x30,x0,90
    0x03ee9663,  // 050: bne x29,x30,8000007c <broken>
    0x000e2023,  // 054: sw x0,0(x28)
    0x001002b7,  // 058: lui x5,0x100
    0x00500e13,  // 05c: addi x28,x0,5
    0x01c3e863,  // 060: bltu x7,x28,80000070 <reset>
    0x00005eb7,  // 064: lui x29,0x5
    0x555e8e93,  // 068: addi x29,x29,1365
    0x01c0006f,  // 06c: jal x0,80000088 <finish>
    0x00007eb7,  // 070: lui x29,0x7
    0x777e8e93,  // 074: addi x29,x29,1911
    0x0100006f,  // 078: jal x0,80000088 <finish>
    0x001002b7,  // 07c: lui x5,0x100
    0x00073eb7,  // 080: lui x29,0x73
    0x333e8e93,  // 084: addi x29,x29,819
    0x01d2a023,  // 088: sw x29,0(x5)
    0x10500073,  // 08c: wfi
    0xffdff06f,  // 090: jal x0,8000008c <park>
    0x0000005a,  // 094: .word 0x0000005a
};
constexpr uint64_t kCounter = 0x80010030, kRecords = 0x80020008;
constexpr unsigned kHarts = 3;

std::vector<uint8_t> program(std::span<const uint32_t> words) {
  std::vector<uint8_t> bytes(words.size_bytes());
  std::memcpy(bytes.data(), words.data(), bytes.size());
  return bytes;
}

uint64_t word_at(Vm& vm, uint64_t address) {
  uint64_t word = 0;
  REQUIRE(vm.machine().memory().read(address, &word, sizeof word));
  return word;
}

TEST_CASE("VirtMachine: a guest resets itself; images return, other RAM stays, it ends with 0") {
  TemporaryFile kernel(program(kResetter));
  VirtConfig config = board_config();
  config.smp = kHarts;
  config.bios = "none";
  config.kernel = kernel.path();
  VirtRig rig;
  REQUIRE(rig.create(config));
  CHECK(rig.run() == 0);
  CHECK(word_at(rig.vm, kCounter) == 5);
}

TEST_CASE("VirtMachine: harts without firmware begin with a0 = hart id, a1 = device tree") {
  TemporaryFile kernel(program(kResetter));
  VirtConfig config = board_config();
  config.smp = kHarts;
  config.bios = "none";
  config.kernel = kernel.path();
  VirtRig rig;
  REQUIRE(rig.create(config));
  rig.run();
  for (unsigned hart = 0; hart < kHarts; ++hart) {
    const uint64_t tree = word_at(rig.vm, kRecords + 16 * hart);
    CHECK((word_at(rig.vm, tree) & 0xffffffff) == 0xedfe0dd0);
    // a2: struct fw_dynamic_info, in the boot ROM.
    CHECK(word_at(rig.vm, kRecords + 16 * hart + 8) == memory_map::kBootRom.base);
  }
}

TEST_CASE("VirtMachine: the test finisher's code becomes the exit status") {
  // lui t0, 0x100; lui t1, 0x73; addi t1, t1, 0x333 ((7 << 16) | 0x3333); sw t1, 0(t0); j .
  // (words from binutils; QEMU 10 exits with 7)
  constexpr uint32_t kFail[] = {0x001002b7, 0x00073337, 0x33330313, 0x0062a023, 0x0000006f};
  TemporaryFile kernel(program(kFail));
  VirtConfig config = board_config();
  config.bios = "none";
  config.kernel = kernel.path();
  VirtRig rig;
  REQUIRE(rig.create(config));
  CHECK(rig.run() == 7);
}

TEST_CASE("VirtMachine: stop, reset and continue while harts run") {
  constexpr uint32_t kSpin[] = {0x0000006f};  // j .
  TemporaryFile kernel(program(kSpin));
  VirtConfig config = board_config();
  config.smp = 4;
  config.bios = "none";
  config.kernel = kernel.path();
  VirtRig rig;
  REQUIRE(rig.create(config));
  REQUIRE(rig.vm.launch());
  for (int round = 0; round < 20; ++round) {
    rig.vm.stop();
    for (unsigned i = 0; i < 4; ++i)
      CHECK(rig.vm.machine().vcpus().at(i).hart().pc == memory_map::kRamBase);
    REQUIRE(rig.vm.system_reset());
    REQUIRE(rig.vm.cont());
    REQUIRE(rig.vm.system_reset());
  }
}

std::string error_of(const VirtConfig& config) {
  VirtRig rig;
  auto result = rig.create(config);
  REQUIRE(!result);
  return result.error().message;
}

KeyValues device(std::string_view text) {
  return KeyValues::parse("-device", text, "driver").value();
}

TEST_CASE("VirtMachine: options that cannot be are refused in one line") {
  TemporaryFile kernel(linux_image(8192, 8192));
  VirtConfig config = board_config();
  CHECK_THAT(error_of(config), Catch::Contains("nothing to boot"));
  config.kernel = kernel.path();
  config.smp = 0;
  CHECK(error_of(config) == "-smp 0: the board takes 1 to 64 harts");
  config.smp = 65;
  CHECK(error_of(config) == "-smp 65: the board takes 1 to 64 harts");
  config.smp = 1;
  config.memory_size = 0;
  CHECK_THAT(error_of(config), Catch::StartsWith("-m: "));
  config.memory_size = 1ull << 60;
  CHECK_THAT(error_of(config), Catch::StartsWith("-m: cannot allocate"));
  config.memory_size = 16 << 20;
  config.dtb = kernel.path();
  CHECK_THAT(error_of(config), Catch::Contains("not a flattened device tree"));
  config.dtb.clear();
  config.dumpdtb = "/nonexistent/tree";
  CHECK_THAT(error_of(config), Catch::Contains("dumpdtb=/nonexistent/tree"));
}

TEST_CASE("VirtMachine: devices fill the slots from the last one") {
  TemporaryFile kernel(linux_image(8192, 8192));
  VirtConfig config = board_config();
  config.kernel = kernel.path();
  config.devices = {device("virtio-rng-device,id=first"), device("virtio-rng-device")};
  VirtRig rig;
  REQUIRE(rig.create(config));
  const auto devices = rig.vm.machine().devices();
  REQUIRE(devices.size() == 2);
  CHECK(devices[0].type == "virtio-rng-device");
  CHECK(devices[0].id == "first");
  CHECK(devices[0].slot == "virtio-mmio-bus.7");
  CHECK(devices[1].slot == "virtio-mmio-bus.6");
}

TEST_CASE("VirtMachine: an id or a slot that is taken, and a ninth device, are refused") {
  TemporaryFile kernel(linux_image(8192, 8192));
  VirtConfig config = board_config();
  config.kernel = kernel.path();
  config.devices = {device("virtio-rng-device,id=a"), device("virtio-rng-device,id=a")};
  CHECK(error_of(config) == "-device virtio-rng-device: id=a is used twice");
  config.devices = {device("virtio-rng-device,bus=virtio-mmio-bus.3"),
                    device("virtio-rng-device,bus=virtio-mmio-bus.3")};
  CHECK_THAT(error_of(config), Catch::Contains("virtio-mmio-bus.3"));
  config.devices.assign(9, device("virtio-rng-device"));
  CHECK_THAT(error_of(config), Catch::StartsWith("-device "));
}

TEST_CASE("machine_help: names the board as scripts look for it") {
  CHECK_THAT(machine_help(), Catch::Contains("RISC-V VirtIO board"));
}

}  // namespace
}  // namespace hv
