// The kinds of character back ends behind create_chardev(). Internal to main-loop.
//
// Each factory takes its own keys out of `options` and runs on the main thread; an error names what
// is wrong without the option, which create_chardev() puts in front.
#pragma once

#include <memory>
#include <string>

#include "io/char_backend.h"
#include "io/key_values.h"
#include "io/result.h"
#include "main-loop/chardev.h"
#include "main-loop/event_loop.h"

namespace hv {

struct CharContext {
  EventLoop& loop;
  std::string label;           // the chardev's id
  const CharEscapes* escapes;  // nullptr: no C-a keys
};

using CharResult = Result<std::unique_ptr<CharBackend>>;

// signal=on|off. The standard descriptors, or others for tests.
CharResult create_stdio(const CharContext& context, KeyValues& options, int input_fd = 0,
                        int output_fd = 1);
CharResult create_pty(const CharContext& context, KeyValues& options);
CharResult create_file(const CharContext& context, KeyValues& options);     // path, append
CharResult create_pipe(const CharContext& context, KeyValues& options);     // path
CharResult create_null(const CharContext& context, KeyValues& options);     // no keys
CharResult create_ringbuf(const CharContext& context, KeyValues& options);  // size
// path | host, port, nodelay | fd; server, wait, reconnect, reconnect-ms
CharResult create_socket(const CharContext& context, KeyValues& options);

}  // namespace hv
