// Tells Linux's perf what compiled code is: -perfmap and -jitdump. docs/MANUAL.md says how to use
// the files. What cannot be written any more (a full disk) is reported once, and the guest goes on.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "cpu/jit/code_listener.h"
#include "io/result.h"
#include "io/unique_fd.h"

namespace hv {

// /tmp/perf-PID.map: lines "address size name", in hexadecimal without 0x. perf report looks for it
// when a sample is in executable memory that is no file's. It has no times: of two pieces of code
// that lay at one address perf takes one.
class PerfMap final : public CodeListener {
 public:
  static Result<std::unique_ptr<PerfMap>> create();
  void code_made(const std::string& name, const void* address,
                 std::span<const uint8_t> code) override;

 private:
  PerfMap(std::string path, UniqueFd file) : path_(std::move(path)), file_(std::move(file)) {}

  const std::string path_;
  UniqueFd file_;
};

// jit-PID.dump in the current directory: names, bytes and times, from which perf inject --jit makes
// an object file for each piece of code. perf record learns of it by its being mapped.
// Format: Linux, tools/perf/Documentation/jitdump-specification.txt.
class JitDump final : public CodeListener {
 public:
  static Result<std::unique_ptr<JitDump>> create();
  ~JitDump() override;
  void code_made(const std::string& name, const void* address,
                 std::span<const uint8_t> code) override;

 private:
  JitDump(std::string path, UniqueFd file) : path_(std::move(path)), file_(std::move(file)) {}

  const std::string path_;
  UniqueFd file_;
  void* mark_ = nullptr;
  uint64_t index_ = 0;
};

}  // namespace hv
