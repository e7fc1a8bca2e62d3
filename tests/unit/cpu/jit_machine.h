// A machine that compiles, or does not, whatever HV_ENGINE says.
#pragma once

#include <memory>
#include <optional>

#include "tests/unit/cpu/test_machine.h"

namespace hv::test {

// nullopt: the interpreter.
struct JitMachine : TestMachine {
  explicit JitMachine(std::optional<JitOptions> options, uint64_t ram_size = 16 << 20)
      : TestMachine("max", ram_size) {
    std::unique_ptr<Jit> jit;
    if (options) jit = Jit::create(hart, *options);
    engine = std::make_unique<Interpreter>(hart, std::move(jit));
  }
};

}  // namespace hv::test
