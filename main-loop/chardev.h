// Character back ends: -chardev and the values of -serial.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

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
// pipe, null, ringbuf. Creates it on `loop`; call on the main thread before harts run, with the
// loop running or not yet run. It is destroyed before its loop, by any thread, or, once the loop
// has stopped, by the thread that has adopted it.
//
// mux=on (stdio: also signal=off) turns on the C-a keys. Prints where a pty is (stdout, the line
// that QEMU prints) or what a server with wait=on, the default, waits for (stderr); that call
// returns when the first peer has connected. Keys that are not understood fail with one line.
Result<std::unique_ptr<CharBackend>> create_chardev(EventLoop& loop, KeyValues options,
                                                    const CharEscapes& escapes);

// Takes at most `max` of the bytes that a ringbuf keeps, oldest first; nullopt when `backend` is of
// another kind. Any thread.
std::optional<std::vector<uint8_t>> ringbuf_read(CharBackend& backend, size_t max);

// -serial VALUE: stdio, mon:stdio, pty, file:PATH, pipe:PATH, unix:PATH[,server=on][,wait=off],
// tcp:HOST:PORT[,server=on][,wait=off], null. "none" and "chardev:ID" are the caller's. Returns the
// equivalent -chardev options without an id.
Result<KeyValues> serial_to_chardev_options(const std::string& value);

}  // namespace hv
