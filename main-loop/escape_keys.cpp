#include "main-loop/escape_keys.h"

#include <fmt/format.h>

namespace hv {

EscapeKeys::Outcome EscapeKeys::type(uint8_t byte) {
  if (!escaped_) {
    escaped_ = byte == key_;
    return escaped_ ? Outcome{} : Outcome{.data = byte};
  }
  escaped_ = false;
  if (byte == key_) return {.data = byte};
  switch (byte) {
    case 'x':
      return {.action = Action::kQuit};
    case 'b':
      return {.action = Action::kBreak};
    case 'h':
      return {.action = Action::kHelp};
    default:
      return {};  // an unknown sequence means nothing
  }
}

std::string EscapeKeys::key_name() const {
  if (key_ >= 1 && key_ <= 26) return fmt::format("C-{:c}", 'a' + key_ - 1);
  if (key_ > 0x20 && key_ < 0x7f) return fmt::format("{:c}", key_);
  return fmt::format("0x{:02x}", key_);
}

std::string EscapeKeys::help() const {
  const std::string key = key_name();
  return fmt::format(
      "\r\n{0} h    show this help\r\n{0} x    quit\r\n{0} b    send a break\r\n"
      "{0} {0}  send {0}\r\n",
      key);
}

}  // namespace hv
