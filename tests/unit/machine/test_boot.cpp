#include <catch2/catch.hpp>

#include "hw/machine/boot.h"
#include "tests/unit/machine/image_fixtures.h"
#include "tests/unit/machine/temporary_file.h"

namespace hv {
namespace {

constexpr uint64_t kBase = 0x80000000, kMiB = 1 << 20;

std::unique_ptr<GuestMemory> ram(uint64_t size) {
  return GuestMemory::create(kBase, size).value();
}

std::string error_of(const BootImages::Files& files, uint64_t memory_size) {
  auto memory = ram(memory_size);
  auto result = BootImages::read(files, *memory);
  if (result) {
    auto placed = result->place_device_tree(std::vector<uint8_t>(6000), *memory);
    REQUIRE(!placed);
    return placed.error().message;
  }
  return result.error().message;
}

TEST_CASE("BootImages: kernel, initrd and tree stand where QEMU puts them") {
  // QEMU 10, -m 256M, an Image of 31 MiB and an initrd of 6987711 bytes: linux,initrd-start is
  // 0x88200000 and -end 0x888a9fbf; the tree is in the last 2 MiB (seen with -m 4G: 0x17fe00000).
  TemporaryFile kernel(linux_image(30 * kMiB, 31 * kMiB)), initrd(Bytes(6987711, 1));
  auto memory = ram(256 * kMiB);
  auto boot = BootImages::read(
                  {.kernel = kernel.path(), .initrd = initrd.path(), .append = "quiet"}, *memory)
                  .value();
  REQUIRE(boot.place_device_tree(std::vector<uint8_t>(6000), *memory));
  CHECK(boot.firmware() == Firmware::kBuiltin);
  CHECK(boot.start_address() == 0x80200000);
  CHECK(boot.kernel_entry() == 0x80200000);
  REQUIRE(boot.arguments().initrd);
  CHECK(boot.arguments().initrd->start == 0x88200000);
  CHECK(boot.arguments().initrd->end == 0x888a9fbf);
  CHECK(boot.arguments().command_line == "quiet");
  CHECK(boot.device_tree_address() == kBase + 254 * kMiB);

  auto large = ram(4096 * kMiB);
  auto large_boot =
      BootImages::read({.kernel = kernel.path(), .initrd = initrd.path()}, *large).value();
  REQUIRE(large_boot.place_device_tree(std::vector<uint8_t>(6000), *large));
  CHECK(large_boot.arguments().initrd->start == 0x80200000 + 512 * kMiB);
  CHECK(large_boot.device_tree_address() == 0x17fe00000);
}

TEST_CASE("BootImages: on a small machine the initrd goes behind the kernel") {
  TemporaryFile kernel(linux_image(20 * kMiB, 30 * kMiB + 1)), initrd(Bytes(2 * kMiB, 1));
  auto memory = ram(48 * kMiB);
  auto boot = BootImages::read({.kernel = kernel.path(), .initrd = initrd.path()}, *memory).value();
  CHECK(boot.arguments().initrd->start == 0x80200000 + 30 * kMiB + 4096);
}

TEST_CASE("BootImages: firmware begins at the start of RAM, the kernel behind it") {
  TemporaryFile firmware(Bytes(300'000, 0x13)), kernel(linux_image(8192, 8192));
  auto memory = ram(64 * kMiB);
  auto boot = BootImages::read({.bios = firmware.path(), .kernel = kernel.path()}, *memory).value();
  CHECK(boot.firmware() == Firmware::kGuest);
  CHECK(boot.start_address() == kBase);
  CHECK(boot.kernel_entry() == 0x80200000);

  TemporaryFile large_firmware(Bytes(2 * kMiB + 1, 0x13));
  auto above =
      BootImages::read({.bios = large_firmware.path(), .kernel = kernel.path()}, *memory).value();
  CHECK(above.kernel_entry() == 0x80400000);

  TemporaryFile low_kernel(elf_file(EM_RISCV, kBase, {{kBase, kBase, 16, 16}}));
  CHECK_THAT(error_of({.bios = firmware.path(), .kernel = low_kernel.path()}, 64 * kMiB),
             Catch::Contains("inside the firmware"));
}

TEST_CASE("BootImages: without firmware a kernel begins in M-mode at its entry") {
  TemporaryFile elf(elf_file(EM_RISCV, kBase + 4, {{kBase, kBase, 16, 16}}));
  TemporaryFile flat(Bytes(100, 0x13));
  auto memory = ram(kMiB);
  auto boot = BootImages::read({.bios = "none", .kernel = elf.path()}, *memory).value();
  CHECK(boot.firmware() == Firmware::kNone);
  CHECK(boot.start_address() == kBase + 4);
  // The last 2 MiB would begin below RAM: the tree still finds a place behind the program.
  REQUIRE(boot.place_device_tree(std::vector<uint8_t>(6000), *memory));
  CHECK(boot.device_tree_address() > kBase + 16);
  CHECK(boot.device_tree_address() + 6000 <= kBase + kMiB);
  CHECK(BootImages::read({.bios = "none", .kernel = flat.path()}, *memory)->start_address() ==
        kBase);
}

TEST_CASE("BootImages: what is missing or too large is said in one line") {
  TemporaryFile kernel(linux_image(8192, 40 * kMiB)), initrd(Bytes(30 * kMiB, 1));
  CHECK(error_of({}, kMiB) ==
        "nothing to boot: give a kernel with -kernel FILE, or firmware with -bios FILE");
  CHECK(error_of({.bios = "none"}, kMiB) ==
        "nothing to boot: give a kernel with -kernel FILE, or firmware with -bios FILE");
  CHECK(error_of({.bios = "/nonexistent"}, kMiB) ==
        "-bios /nonexistent: No such file or directory");
  CHECK(error_of({.kernel = kernel.path(), .initrd = "/nonexistent"}, 64 * kMiB) ==
        "-initrd /nonexistent: No such file or directory");
  CHECK(error_of({.bios = initrd.path(), .initrd = initrd.path()}, 64 * kMiB) ==
        "-initrd " + initrd.path() + ": needs -kernel");
  CHECK_THAT(error_of({.kernel = kernel.path()}, 32 * kMiB), Catch::Contains("-m"));
  CHECK(error_of({.kernel = kernel.path()}, 41 * kMiB) ==
        "-kernel " + kernel.path() +
            ": does not fit into 41 MiB of guest memory; use -m 42M or more");
  CHECK_THAT(
      error_of({.kernel = kernel.path()}, 42 * kMiB),
      Catch::Contains("no room for the kernel, the initrd, and the device tree; use -m 43M"));
  CHECK_THAT(error_of({.kernel = kernel.path(), .initrd = initrd.path()}, 64 * kMiB),
             Catch::Contains("no room for the kernel and the initrd; use -m 74M or more"));
}

TEST_CASE("BootImages: every load restores the images and leaves the rest of RAM alone") {
  TemporaryFile kernel(linux_image(8192, 16384));
  auto memory = ram(16 * kMiB);
  auto boot = BootImages::read({.kernel = kernel.path()}, *memory).value();
  REQUIRE(boot.place_device_tree(FdtBuilder().finish(), *memory));
  for (int round = 0; round < 2; ++round) {
    std::memset(memory->data(), 0xee, memory->size());
    boot.load(*memory);
    CHECK(memory->data()[2 * kMiB + 8191] == 0x5a);
    CHECK(memory->data()[2 * kMiB + 8192] == 0xee);
    const uint8_t* tree = memory->host(boot.device_tree_address(), 4);
    CHECK(Bytes(tree, tree + 4) == Bytes{0xd0, 0x0d, 0xfe, 0xed});
  }
}

TEST_CASE("BootRom: holds struct fw_dynamic_info version 2 and ignores stores") {
  BootRom rom;
  rom.set_next_stage(0x80200000);
  // OpenSBI, docs/firmware/fw_dynamic.md: magic "OSBI", version, next address, next mode (1 = S),
  // options, boot hart.
  const uint64_t expected[] = {0x4942534f, 2, 0x80200000, 1, 0, 0};
  for (unsigned i = 0; i < 6; ++i) CHECK(rom.mmio_read(8 * i, 8) == expected[i]);
  CHECK(rom.mmio_read(0, 4) == 0x4942534f);
  CHECK(rom.mmio_read(3, 1) == 0x49);
  rom.mmio_write(0, 8, 0);
  CHECK(rom.mmio_read(0, 8) == 0x4942534f);
  CHECK(rom.mmio_read(0xeff8, 8) == 0);
}

}  // namespace
}  // namespace hv
