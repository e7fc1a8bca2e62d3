// 9P requests out of a fuzzer's input.
#pragma once

#include <cstring>
#include <iterator>
#include <span>
#include <type_traits>
#include <vector>

#include "fs9p/codec.h"
#include "fuzz_input.h"

namespace hv {

inline constexpr const char* kP9Names[] = {"f",
                                           "d",
                                           "e",
                                           "s",
                                           "u",
                                           "r",
                                           "p",
                                           "new",
                                           "x",
                                           "..",
                                           "secret",
                                           "../secret",
                                           ".virtfs_metadata",
                                           "",
                                           ".",
                                           "user.a"};

// Fields as the message has them, small numbers and known names more often than not.
struct P9Filler {
  FuzzInput& input;
  template <class T>
  void operator()(const char*, T& field) {
    using namespace p9;
    const auto name = [this] { return kP9Names[input.take<uint8_t>() % std::size(kP9Names)]; };
    if constexpr (std::is_integral_v<T>) {
      const uint8_t choice = input.take<uint8_t>();
      field = choice < 200 ? static_cast<T>(choice % 8) : input.take<T>();
    } else if constexpr (std::is_same_v<T, Text>) {
      field = name();
    } else if constexpr (std::is_same_v<T, Name>) {
      field.text = name();
    } else if constexpr (std::is_same_v<T, Names>) {
      field.count = input.take<uint8_t>() % 5;
      for (auto& item : std::span(field.items).first(field.count)) item = name();
    }
  }
};

// A request of any type with any bytes behind it, and most of the time a size that says so.
inline void make_p9_frame(FuzzInput& input, std::vector<uint8_t>& frame) {
  const uint8_t choice = input.take<uint8_t>();
  const uint16_t tag = choice % 16;
  const auto fill = [&]<class Message>(Message message) {
    p9::visit_fields(message, P9Filler{input});
    p9::encode(frame, tag, message);
  };
  frame.clear();
  switch (input.take<uint8_t>() & 0x7f) {
#define FIELD(type, name)
#define REPLY(name, id, fields)
#define REQUEST(name, id, fields) \
  case id:                        \
    fill(p9::name());             \
    break;
#include "fs9p/messages.inc"
    default:
      break;
  }
  const auto more = input.bytes(input.take<uint8_t>() % 64);
  frame.insert(frame.end(), more.begin(), more.end());
  if (choice < 200 && frame.size() >= 4) {
    const auto size = static_cast<uint32_t>(frame.size());
    std::memcpy(frame.data(), &size, sizeof size);
  }
}

}  // namespace hv
