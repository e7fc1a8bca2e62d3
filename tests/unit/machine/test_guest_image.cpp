#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "hw/machine/guest_image.h"
#include "tests/unit/machine/image_fixtures.h"

namespace hv {
namespace {

constexpr uint64_t kBase = 0x80000000, kAddress = 0x80200000, kPlenty = 64 << 20;

std::string kernel_error(Bytes file) {
  auto result = parse_kernel("-kernel k", std::move(file), kAddress, kPlenty);
  REQUIRE(!result);
  return result.error().message;
}

TEST_CASE("parse_kernel: an Image goes to the address it is given and takes image_size bytes") {
  const Bytes file = linux_image(0x3000, 0x12345);
  const GuestImage image = parse_kernel("-kernel k", file, kAddress, kPlenty).value();
  CHECK(image.entry == kAddress);
  CHECK(image.low == kAddress);
  CHECK(image.high == kAddress + 0x12345);
  REQUIRE(image.segments.size() == 1);
  CHECK(image.segments[0].address == kAddress);
  CHECK(image.segments[0].bytes == file);
}

TEST_CASE("parse_kernel: an Image with an EFI stub must have all of its PE sections") {
  CHECK(parse_kernel("-kernel k", linux_efi_image(0x3000, 0x3000), kAddress, kPlenty));
  CHECK(kernel_error(linux_efi_image(0x2fff, 0x3000)) ==
        "-kernel k: truncated: the kernel has 12288 bytes, the file 12287");
}

TEST_CASE("parse_kernel: an Image that needs more memory than there is says so") {
  CHECK(kernel_error(linux_image(0x3000, 65 << 20)) ==
        "-kernel k: the kernel needs 65 MiB of guest memory, -m gives 64");
  CHECK_THAT(kernel_error(linux_image(0x3000, ~0ull)), Catch::Contains("-m gives 64"));
}

TEST_CASE("parse_kernel: a flat binary is taken as it is") {
  const GuestImage image = parse_kernel("-kernel k", Bytes(100, 0x13), kAddress, kPlenty).value();
  CHECK(image.entry == kAddress);
  CHECK(image.high == kAddress + 100);
}

TEST_CASE("parse_kernel: files that are recognisably something else are refused by name") {
  Bytes arm64(4096), x86(4096), efi(4096), tree(4096), cpio(4096), xz(4096);
  put_text(arm64, 0x38, "ARM\x64");
  put_text(x86, 0x202, "HdrS");
  put_text(efi, 0, "MZ");
  put_text(tree, 0, "\xd0\x0d\xfe\xed");
  put_text(cpio, 0, "070701");
  put_text(xz, 0, "\xfd\x37zXZ");
  CHECK(kernel_error(arm64) == "-kernel k: is a kernel for arm64, not riscv64");
  CHECK(kernel_error(x86) == "-kernel k: is a kernel for x86, not riscv64");
  CHECK_THAT(kernel_error(efi), Catch::Contains("EFI application"));
  CHECK_THAT(kernel_error(tree), Catch::Contains("-dtb"));
  CHECK_THAT(kernel_error(cpio), Catch::Contains("-initrd"));
  CHECK_THAT(kernel_error(xz), Catch::Contains("xz"));
}

TEST_CASE("parse_firmware: a kernel given as firmware is refused") {
  auto result = parse_firmware("-bios k", linux_image(0x3000, 0x3000), kBase);
  REQUIRE(!result);
  CHECK(result.error().message == "-bios k: is a Linux kernel; a kernel goes with -kernel");
}

TEST_CASE("parse_firmware: packed files are refused, for nothing unpacks them") {
  for (const Bytes& magic : {Bytes{0x1f, 0x8b, 8}, Bytes{0x28, 0xb5, 0x2f, 0xfd}}) {
    auto result = parse_firmware("-bios k", magic, kBase);
    REQUIRE(!result);
    CHECK_THAT(result.error().message, Catch::Contains("unpack it first"));
  }
}

TEST_CASE("parse_elf: segments go to their physical addresses, a physical entry stays") {
  const Bytes file =
      elf_file(EM_RISCV, kBase + 8,
               {{0xffff0000, kBase, 0x100, 0x100}, {0xffff1000, kBase + 0x1000, 0x20, 0x80}});
  const GuestImage image = parse_kernel("-kernel k", file, kAddress, kPlenty).value();
  CHECK(image.entry == kBase + 8);
  CHECK(image.low == kBase);
  CHECK(image.high == kBase + 0x1080);
  REQUIRE(image.segments.size() == 2);
  CHECK(image.segments[0].bytes == Bytes(0x100, 1));
  CHECK(image.segments[1].bytes == Bytes(0x20, 2));
  CHECK(image.segments[1].memory_size == 0x80);
}

TEST_CASE("parse_elf: an entry in a segment's virtual memory is where that segment is loaded") {
  constexpr uint64_t kVirtual = 0xffffffff80200000;
  const std::vector<ElfSegment> segments{{kVirtual, kBase, 0x100, 0x100},
                                         {kVirtual + 0x1000, kBase + 0x4000, 0x20, 0x80}};
  const auto entry = [&](uint64_t address) {
    return parse_kernel("-kernel k", elf_file(EM_RISCV, address, segments), kAddress, kPlenty)
        .value()
        .entry;
  };
  CHECK(entry(kVirtual + 8) == kBase + 8);
  CHECK(entry(kVirtual + 0x1010) == kBase + 0x4010);
  CHECK(entry(kBase + 8) == kBase + 8);
}

TEST_CASE("parse_elf: a position-independent file linked for 0 goes where flat firmware goes") {
  // As OpenSBI 1.6's fw_jump.elf: ET_DYN, entry 0.
  Bytes file = elf_file(EM_RISCV, 4, {{0, 0, 0x100, 0x100}, {0x4000, 0x4000, 0x10, 0x20}});
  put_le(file, offsetof(Elf64_Ehdr, e_type), 2, ET_DYN);
  const GuestImage image = parse_firmware("-bios f", file, kBase).value();
  CHECK(image.entry == kBase + 4);
  CHECK(image.low == kBase);
  CHECK(image.high == kBase + 0x4020);
  CHECK(image.segments[0].address == kBase);
  CHECK(image.segments[1].address == kBase + 0x4000);

  Bytes fixed = elf_file(EM_RISCV, 4, {{0, 0, 0x100, 0x100}});
  CHECK(parse_firmware("-bios f", fixed, kBase)->low == 0);
}

TEST_CASE("parse_elf: foreign, damaged and truncated files") {
  const ElfSegment segment{kBase, kBase, 0x100, 0x100};
  CHECK(kernel_error(elf_file(EM_X86_64, kBase, {segment})) ==
        "-kernel k: is for x86-64, not riscv64");
  CHECK(kernel_error(elf_file(EM_AARCH64, kBase, {segment})) ==
        "-kernel k: is for arm64, not riscv64");
  Bytes rv32 = elf_file(EM_RISCV, kBase, {segment});
  rv32[EI_CLASS] = ELFCLASS32;
  CHECK(kernel_error(rv32) == "-kernel k: is for 32-bit RISC-V, not riscv64");
  CHECK_THAT(kernel_error(elf_file(EM_RISCV, 0, {})), Catch::Contains("no segments"));
  CHECK_THAT(kernel_error(elf_file(EM_RISCV, 0, {{kBase, kBase, 0x100, 0x80}})),
             Catch::Contains("impossible size"));
  CHECK_THAT(kernel_error(elf_file(EM_RISCV, 0, {{0, ~0ull - 0x10, 0x10, 0x100}})),
             Catch::Contains("impossible size"));

  const Bytes whole = elf_file(EM_RISCV, kBase, {segment});
  for (size_t size = 4; size < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    CHECK_THAT(kernel_error(cut), Catch::Contains("truncated"));
  }
}

// What "ld -Ttext=ADDRESS-OF-RAM" makes: the file's headers a page before the code. QEMU 10 runs
// it.
TEST_CASE("leave_out_headers: what a linker put below RAM is dropped, anything else is not") {
  auto memory = GuestMemory::create(kBase, 4 << 20).value();
  Bytes bytes(0x1008, 0x11);
  GuestImage image;
  image.segments.push_back({kBase - 0x1000, bytes, 0x1100});
  image.low = kBase - 0x1000;
  image.high = kBase + 0x100;
  leave_out_headers(image, *memory);
  CHECK_FALSE(check_in_ram("-kernel k", image, *memory));
  const Bytes magic{0x7f, 'E', 'L', 'F'};
  std::ranges::copy(magic, image.segments[0].bytes.begin());
  leave_out_headers(image, *memory);
  CHECK(check_in_ram("-kernel k", image, *memory));
  CHECK(image.segments[0].address == kBase);
  CHECK(image.segments[0].bytes == Bytes(8, 0x11));
  CHECK(image.segments[0].memory_size == 0x100);
}

TEST_CASE("check_in_ram: names what is missing") {
  auto memory = GuestMemory::create(kBase, 4 << 20).value();
  const auto error = [&](uint64_t low, uint64_t high) {
    GuestImage image;
    image.low = low;
    image.high = high;
    auto result = check_in_ram("-kernel k", image, *memory);
    return result ? std::string() : result.error().message;
  };
  CHECK(error(kBase, kBase + (4 << 20)).empty());
  CHECK(error(kBase, kBase + (4 << 20) + 1) ==
        "-kernel k: does not fit into 4 MiB of guest memory; use -m 5M or more");
  CHECK(error(kBase, 1ull << 62) ==
        "-kernel k: does not fit into 4 MiB of guest memory: it ends at 0x4000000000000000");
  CHECK_THAT(error(0xffffffff80000000, 0xffffffff80001000), Catch::Contains("not as vmlinux"));
  CHECK_THAT(error(0x1000, 0x2000), Catch::Contains("is linked for 0x1000, outside RAM"));
}

TEST_CASE("load_image: bytes and zeroes reach RAM, nothing beside them changes") {
  auto memory = GuestMemory::create(kBase, 1 << 20).value();
  std::memset(memory->data(), 0xee, memory->size());
  GuestImage image;
  image.segments.push_back({kBase + 0x1000, Bytes(0x10, 7), 0x20});
  load_image(image, *memory);
  const uint8_t* at = memory->data() + 0x1000;
  CHECK(at[-1] == 0xee);
  CHECK(Bytes(at, at + 0x10) == Bytes(0x10, 7));
  CHECK(Bytes(at + 0x10, at + 0x20) == Bytes(0x10, 0));
  CHECK(at[0x20] == 0xee);
}

TEST_CASE("load_image: whoever watches memory is told of every byte, zeroes too") {
  struct Watcher final : WriteWatcher {
    void written(uint64_t address, uint64_t length) override {
      for (uint64_t i = 0; i < length; ++i) told.at(address - kBase + i) = true;
    }
    std::vector<bool> told = std::vector<bool>(0x4000);
  };
  auto memory = GuestMemory::create(kBase, 0x4000).value();
  Watcher watcher;
  memory->set_watcher(&watcher);
  GuestImage image;
  image.segments.push_back({.address = kBase, .bytes = {1, 2}, .memory_size = 0x3000});
  load_image(image, *memory);
  memory->set_watcher(nullptr);
  CHECK(std::ranges::count(watcher.told, true) == 0x3000);
}

}  // namespace
}  // namespace hv
