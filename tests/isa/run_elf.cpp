// Runs a static RISC-V ELF program in machine mode on one hart, with the Linux system calls write
// and exit: the same binary runs under qemu-riscv64.
//
// usage: run_elf [--time] PROGRAM
//   --time  print retired instructions, CPU seconds and MIPS on stderr

#include <elf.h>
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/cpu/test_machine.h"

namespace {

using hv::test::TestMachine;

constexpr uint64_t kRamSize = 64 << 20;
constexpr uint64_t kWriteCall = 64, kExitCall = 93;
constexpr int kA0 = 10, kA1 = 11, kA2 = 12, kA7 = 17, kSp = 2;
constexpr int kFailed = 125;

// Puts the segments into RAM; 0: not a program for this machine.
uint64_t load(TestMachine& machine, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  Elf64_Ehdr header;
  if (bytes.size() < sizeof(header)) return 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_machine != EM_RISCV) return 0;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, bytes.data() + header.e_phoff + i * sizeof(segment), sizeof(segment));
    if (segment.p_type != PT_LOAD || segment.p_memsz == 0) continue;
    // The linker may begin the first segment below RAM, with the file's headers.
    const uint64_t skip =
        segment.p_vaddr < TestMachine::kRam ? TestMachine::kRam - segment.p_vaddr : 0;
    if (segment.p_filesz <= skip) continue;
    if (!machine.memory->write(segment.p_vaddr + skip, bytes.data() + segment.p_offset + skip,
                               segment.p_filesz - skip))
      return 0;
  }
  return header.e_entry;
}

// The machine has trapped: performs the call and lets it go on, or returns the exit status.
int serve_call(TestMachine& machine, bool& done) {
  hv::Hart& hart = machine.hart;
  if (hart.csr.mcause != static_cast<uint64_t>(hv::Cause::kEcallMachine)) {
    fmt::print(stderr, "trap: mcause {} mepc {:#x} mtval {:#x}\n", hart.csr.mcause, hart.csr.mepc,
               hart.csr.mtval);
    done = true;
    return kFailed;
  }
  hart.pc = hart.csr.mepc + 4;
  if (hart.x[kA7] == kExitCall) {
    done = true;
    return static_cast<int>(hart.x[kA0]);
  }
  if (hart.x[kA7] == kWriteCall) {
    const uint8_t* from = machine.memory->host(hart.x[kA1], hart.x[kA2]);
    uint64_t left = from ? hart.x[kA2] : 0;
    while (left != 0) {
      const ssize_t written = write(static_cast<int>(hart.x[kA0]), from, left);
      if (written <= 0) break;
      from += written;
      left -= static_cast<uint64_t>(written);
    }
    hart.x[kA0] = hart.x[kA2] - left;
  }
  return 0;
}

double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace

int main(int argc, char** argv) {
  const bool timed = argc > 1 && std::string_view(argv[1]) == "--time";
  if (argc != (timed ? 3 : 2)) {
    fmt::print(stderr, "usage: run_elf [--time] PROGRAM\n");
    return kFailed;
  }
  TestMachine machine("max", kRamSize);
  machine.hart.pc = load(machine, argv[argc - 1]);
  if (machine.hart.pc == 0) {
    fmt::print(stderr, "{}: not a RISC-V program\n", argv[argc - 1]);
    return kFailed;
  }
  machine.hart.x[kSp] = machine.trap_vector;

  const double start = cpu_seconds();
  int status = 0;
  for (bool done = false; !done;) {
    machine.engine->run(machine.hart);
    if (machine.trapped()) status = serve_call(machine, done);
  }
  if (timed) {
    const double seconds = cpu_seconds() - start;
    fmt::print(stderr, "{} instructions, {:.3f} s, {:.1f} MIPS\n", machine.hart.instret, seconds,
               static_cast<double>(machine.hart.instret) / seconds / 1e6);
  }
  return status;
}
