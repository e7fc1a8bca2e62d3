// A temporary image, a loop driven by the test, and requests that remember how they ended.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "block/disk.h"
#include "main-loop/event_loop.h"

namespace hv {

// Removes itself. `contents` are looked at through a descriptor of its own.
class TemporaryImage {
 public:
  explicit TemporaryImage(uint64_t size, const char* directory = "/var/tmp") {
    path_ = std::string(directory) + "/hartvisor-test-XXXXXX";
    fd_ = mkstemp(path_.data());
    REQUIRE(fd_ >= 0);
    REQUIRE(ftruncate(fd_, static_cast<off_t>(size)) == 0);
  }
  ~TemporaryImage() {
    close(fd_);
    unlink(path_.c_str());
  }
  const std::string& path() const { return path_; }
  int fd() const { return fd_; }

  void write(uint64_t offset, const std::vector<uint8_t>& bytes) {
    REQUIRE(pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
            static_cast<ssize_t>(bytes.size()));
  }
  std::vector<uint8_t> read(uint64_t offset, size_t size) const {
    std::vector<uint8_t> bytes(size);
    REQUIRE(pread(fd_, bytes.data(), size, static_cast<off_t>(offset)) ==
            static_cast<ssize_t>(size));
    return bytes;
  }
  uint64_t allocated() const {
    struct stat info;
    REQUIRE(fstat(fd_, &info) == 0);
    return static_cast<uint64_t>(info.st_blocks) * 512;
  }

 private:
  std::string path_;
  int fd_ = -1;
};

inline std::vector<uint8_t> random_bytes(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

class TestRequest final : public DiskRequest {
 public:
  static constexpr int kNotDone = -1;
  int error = kNotDone;
  int times = 0;
  std::vector<iovec> pieces;

  TestRequest() = default;
  TestRequest(DiskOp what, uint64_t at, std::vector<iovec> buffers) : pieces(std::move(buffers)) {
    op = what;
    offset = at;
    for (const iovec& piece : pieces) length += piece.iov_len;
    iov = pieces;
  }
  TestRequest(DiskOp what, uint64_t at, uint64_t size) {
    op = what;
    offset = at;
    length = size;
  }
  void done(int result) override {
    error = result;
    ++times;
  }
};

struct DiskRig {
  std::unique_ptr<EventLoop> loop;
  std::unique_ptr<Disk> disk;

  DiskRig(std::unique_ptr<Disk> made, WaitKind kind) : disk(std::move(made)) {
    auto created = EventLoop::create("test", kind);
    REQUIRE(created);
    loop = std::move(*created);
    disk->attach(*loop);
  }
  DiskRig(const DiskOptions& options, WaitKind kind) : DiskRig(open(options), kind) {}
  ~DiskRig() {
    disk->detach();
    disk.reset();
  }

  static std::unique_ptr<Disk> open(const DiskOptions& options) {
    auto disk = open_disk(options);
    INFO((disk ? std::string() : disk.error().message));
    REQUIRE(disk);
    return std::move(*disk);
  }

  // Submits and waits.
  int run(TestRequest& request) {
    disk->submit(request);
    CHECK(request.times == 0);
    disk->flush_batch();
    while (request.times == 0) loop->run_once();
    CHECK(request.times == 1);
    return request.error;
  }
  int run(TestRequest&& request) { return run(request); }
  int write(uint64_t offset, std::vector<uint8_t>& bytes) {
    return run(TestRequest(DiskOp::kWrite, offset, {{bytes.data(), bytes.size()}}));
  }
  int read(uint64_t offset, std::vector<uint8_t>& bytes) {
    return run(TestRequest(DiskOp::kRead, offset, {{bytes.data(), bytes.size()}}));
  }
};

inline DiskOptions image_options(const TemporaryImage& image) {
  DiskOptions options;
  options.filename = image.path();
  options.format = "raw";
  return options;
}

}  // namespace hv
