// Character back ends: -chardev and the values of -serial.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "io/char_backend.h"
#include "io/key_values.h"
#include "main-loop/event_loop.h"

namespace hv {

// What the escape key of a terminal asks for; called on the chardev's loop.
struct CharEscapes {
  uint8_t key = 0x01;          // C-a; -echr chooses another
  std::function<void()> quit;  // C-a x
};

// -chardev BACKEND,id=ID,...: stdio, pty, file, socket (unix and tcp; server, wait, fd, reconnect),
// pipe, null, ringbuf. Creates it on `loop`; call on the main thread before the loop runs harts.
// stdio: mux=on (or signal=off) turns on the C-a keys. Prints where a pty or a listening socket is.
// Keys that are not understood fail with one line.
Result<std::unique_ptr<CharBackend>> create_chardev(EventLoop& loop, KeyValues options,
                                                    const CharEscapes& escapes);

// -serial VALUE: stdio, mon:stdio, pty, file:PATH, unix:PATH[,server=on][,wait=off],
// tcp:HOST:PORT[,server=on][,wait=off], pipe:PATH, null, none (nullptr). "chardev:ID" is the
// caller's. Returns the equivalent -chardev options.
Result<KeyValues> serial_to_chardev_options(const std::string& value);

}  // namespace hv
