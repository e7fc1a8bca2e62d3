// The C-a keys of a terminal. Internal to main-loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace hv {

// Takes the escape sequences out of a stream of typed bytes. Not thread-safe.
class EscapeKeys {
 public:
  enum class Action { kNone, kQuit, kHelp, kBreak };
  struct Outcome {
    std::optional<uint8_t> data;  // what the guest gets
    Action action = Action::kNone;
  };

  // `key` starts a sequence; typed twice it is sent once.
  explicit EscapeKeys(uint8_t key) : key_(key) {}

  Outcome type(uint8_t byte);
  // One line per sequence, each with \r\n.
  std::string help() const;

 private:
  std::string key_name() const;

  uint8_t key_;
  bool escaped_ = false;  // the last byte was the escape key
};

}  // namespace hv
