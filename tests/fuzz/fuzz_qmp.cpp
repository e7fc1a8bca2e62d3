// A QMP client that sends anything, in packets of any size.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "fake_machine.h"
#include "monitor/json.h"

// Everything is made anew for each input, so that a crash is a unit test.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  hv::QmpFixture qmp({.start_paused = true}, data[0] & 1);
  const size_t step = std::max<size_t>(1, data[0] >> 1);
  std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  qmp.client.take();
  // query-cpus-fast needs real harts.
  if (input.find("cpus") != std::string_view::npos) return 0;
  while (!input.empty()) {
    qmp.client.send(input.substr(0, step));
    input.remove_prefix(std::min(step, input.size()));
  }
  // Whatever came in, each line that went out is JSON.
  const std::string replies = qmp.client.take();
  for (size_t at = 0; at < replies.size();) {
    const size_t end = replies.find("\r\n", at);
    if (end == std::string::npos) std::abort();
    if (!hv::parse_json(std::string_view(replies).substr(at, end - at))) std::abort();
    at = end + 2;
  }
  return 0;
}
