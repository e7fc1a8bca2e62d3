#include "main-loop/chardev.h"

#include <signal.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "main-loop/char_backends.h"

namespace hv {
namespace {

struct Kind {
  std::string_view name;
  CharResult (*create)(const CharContext&, KeyValues&);
  std::string_view keys;  // for the error about an unknown one
};

constexpr std::array kKinds = {
    Kind{"file", create_file, "path, append, mux"},
    Kind{"null", create_null, "none"},
    Kind{"pipe", create_pipe, "path, mux"},
    Kind{"pty", create_pty, "mux"},
    Kind{"ringbuf", create_ringbuf, "size"},
    Kind{"socket", create_socket,
         "path, host, port, nodelay, fd, server, wait, reconnect, reconnect-ms, mux"},
    Kind{"stdio",
         [](const CharContext& context, KeyValues& options) {
           return create_stdio(context, options);
         },
         "signal, mux"},
};

// A peer that goes away while we write shows as EPIPE, not as the end of the process.
void ignore_sigpipe() {
  struct sigaction current{};
  if (sigaction(SIGPIPE, nullptr, &current) == 0 && current.sa_handler == SIG_DFL)
    signal(SIGPIPE, SIG_IGN);
}

Result<std::unique_ptr<CharBackend>> create(EventLoop& loop, const std::string& name,
                                            KeyValues& options, const CharEscapes& escapes) {
  const auto kind = std::ranges::find(kKinds, name, &Kind::name);
  if (kind == kKinds.end())
    return fail("there is no such back end (file, null, pipe, pty, ringbuf, socket, stdio)");
  CharContext context{.loop = loop, .label = options.take("id").value_or(""), .escapes = nullptr};
  const bool in_memory = name == "null" || name == "ringbuf";
  if (!in_memory) {
    HV_TRY_ASSIGN(const auto mux, options.take_bool("mux"));
    const bool no_signals =
        name == "stdio" && parse_bool(options.get("signal").value_or("")) == false;
    if (mux.value_or(no_signals)) context.escapes = &escapes;
  }
  // Nothing is opened or truncated for options that are wrong.
  for (const auto& [key, value] : options.items()) {
    const std::string list = fmt::format(", {}, ", kind->keys);
    if (list.find(fmt::format(", {}, ", key)) == std::string::npos)
      return fail("there is no key '{}' (there are: {})", key, kind->keys);
  }
  return kind->create(context, options);
}

// "PATH,key=value" or "HOST:PORT,key=value" to the keys after it.
Result<KeyValues> socket_options(std::string_view kind, const std::string& text) {
  HV_TRY_ASSIGN(auto given, KeyValues::parse("-serial", text, "address"));
  const std::string address = given.take("address").value_or("");
  if (address.empty()) return fail("{}: the address is missing", kind);
  KeyValues options("-serial");
  options.add("backend", "socket");
  if (kind == "unix") {
    options.add("path", address);
  } else {
    const size_t colon = address.rfind(':');
    if (colon == std::string::npos) return fail("tcp:{}: it must be tcp:HOST:PORT", address);
    std::string host = address.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    options.add("host", host);
    options.add("port", address.substr(colon + 1));
  }
  for (const auto& [key, value] : given.items()) {
    // The short form that old command lines have.
    if (key == "nowait")
      options.add("wait", "off");
    else
      options.add(key, value);
  }
  return options;
}

}  // namespace

Result<std::unique_ptr<CharBackend>> create_chardev(EventLoop& loop, KeyValues options,
                                                    const CharEscapes& escapes) {
  ignore_sigpipe();
  const std::string name = options.take("backend").value_or("");
  const std::string id = options.get("id").value_or("");
  auto backend = create(loop, name, options, escapes);
  if (!backend)
    return fail("{} {}{}{}: {}", options.option(), name, id.empty() ? "" : ",id=", id,
                backend.error().message);
  return backend;
}

Result<KeyValues> serial_to_chardev_options(const std::string& value) {
  KeyValues options("-serial");
  std::string_view text = value;
  const bool monitor = text.starts_with("mon:");
  if (monitor) text.remove_prefix(4);
  const size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  const std::string rest(colon == std::string_view::npos ? "" : text.substr(colon + 1));

  if (colon == std::string_view::npos && (text == "stdio" || text == "pty" || text == "null")) {
    options.add("backend", text);
    if (monitor && text == "stdio") options.add("signal", "off");
  } else if (kind == "file" || kind == "pipe") {
    if (rest.empty()) return fail("{}: the path is missing", value);
    options.add("backend", kind);
    options.add("path", rest);
  } else if (kind == "unix" || kind == "tcp") {
    HV_TRY_ASSIGN(options, socket_options(kind, rest));
  } else {
    return fail(
        "'{}' is not a character device (stdio, mon:stdio, pty, file:PATH, pipe:PATH, unix:PATH, "
        "tcp:HOST:PORT, null, none, chardev:ID)",
        value);
  }
  if (monitor) options.add("mux", "on");
  return options;
}

}  // namespace hv
