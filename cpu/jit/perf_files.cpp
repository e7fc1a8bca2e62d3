#include "cpu/jit/perf_files.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <ctime>
#include <type_traits>
#include <vector>

#include "io/log.h"

namespace hv {
namespace {

constexpr size_t kMarkBytes = 4096;

struct DumpHeader {
  uint32_t magic = 0x4a695444;  // in the host's byte order
  uint32_t version = 1;
  uint32_t total_size = sizeof(DumpHeader);
  uint32_t elf_machine = EM_X86_64;
  uint32_t padding = 0;
  uint32_t pid;
  uint64_t timestamp;
  uint64_t flags = 0;
};
static_assert(sizeof(DumpHeader) == 40 && std::has_unique_object_representations_v<DumpHeader>);

// The name with its NUL and the code follow.
struct CodeLoad {
  uint32_t id = 0;
  uint32_t total_size;
  uint64_t timestamp;
  uint32_t pid;
  uint32_t tid;
  uint64_t virtual_address;
  uint64_t code_address;
  uint64_t code_size;
  uint64_t code_index;
};
static_assert(sizeof(CodeLoad) == 56 && std::has_unique_object_representations_v<CodeLoad>);

// perf record -k 1 takes its times from this clock, too.
uint64_t timestamp() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint32_t process_id() {
  return static_cast<uint32_t>(::getpid());
}

template <class T>
void append(std::vector<uint8_t>& bytes, const T& value) {
  const auto raw = std::bit_cast<std::array<uint8_t, sizeof(T)>>(value);
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

// After a failure the file is closed, so that it ends with a whole entry as far as possible.
void write_all(UniqueFd& file, const std::string& path, std::span<const uint8_t> bytes) {
  while (file.valid() && !bytes.empty()) {
    const ssize_t count = ::write(file.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      warn(fmt::format("{}: cannot be written to: {}", path, std::strerror(errno)));
      file.reset();
      return;
    }
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

}  // namespace

Result<std::unique_ptr<PerfMap>> PerfMap::create() {
  std::string path = fmt::format("/tmp/perf-{}.map", process_id());
  // The name is easily foreseen, in a directory where everybody writes.
  UniqueFd file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_APPEND | O_CLOEXEC, 0644));
  if (!file.valid()) return fail_errno(errno, "-perfmap: cannot open {}", path);
  return std::unique_ptr<PerfMap>(new PerfMap(std::move(path), std::move(file)));
}

void PerfMap::code_made(const std::string& name, const void* address,
                        std::span<const uint8_t> code) {
  const std::string line =
      fmt::format("{:x} {:x} {}\n", reinterpret_cast<uintptr_t>(address), code.size(), name);
  write_all(file_, path_, {reinterpret_cast<const uint8_t*>(line.data()), line.size()});
}

Result<std::unique_ptr<JitDump>> JitDump::create() {
  std::string path = fmt::format("jit-{}.dump", process_id());
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file.valid()) return fail_errno(errno, "-jitdump: cannot open {}", path);
  std::unique_ptr<JitDump> dump(new JitDump(std::move(path), std::move(file)));
  std::vector<uint8_t> header;
  append(header, DumpHeader{.pid = process_id(), .timestamp = timestamp()});
  write_all(dump->file_, dump->path_, header);
  // Executable, for perf record notes no other mappings.
  void* const mark =
      ::mmap(nullptr, kMarkBytes, PROT_READ | PROT_EXEC, MAP_PRIVATE, dump->file_.get(), 0);
  if (mark == MAP_FAILED)
    return fail_errno(errno, "-jitdump: cannot map {} executable, as perf needs it", dump->path_);
  dump->mark_ = mark;
  return dump;
}

JitDump::~JitDump() {
  if (mark_) ::munmap(mark_, kMarkBytes);
}

void JitDump::code_made(const std::string& name, const void* address,
                        std::span<const uint8_t> code) {
  const uint64_t at = reinterpret_cast<uintptr_t>(address);
  std::vector<uint8_t> record;
  append(record, CodeLoad{.total_size = static_cast<uint32_t>(sizeof(CodeLoad) + name.size() + 1 +
                                                              code.size()),
                          .timestamp = timestamp(),
                          .pid = process_id(),
                          .tid = static_cast<uint32_t>(::gettid()),
                          .virtual_address = at,
                          .code_address = at,
                          .code_size = code.size(),
                          .code_index = ++index_});
  record.insert(record.end(), name.begin(), name.end());
  record.push_back(0);
  record.insert(record.end(), code.begin(), code.end());
  write_all(file_, path_, record);
}

}  // namespace hv
