// Expected replies are QEMU 10.0's to the same requests.
#include <catch2/catch.hpp>

#include "fake_machine.h"
#include "monitor/json.h"
#include "monitor/qmp_command.h"

namespace hv {
namespace {

std::string error_text(std::string_view error_class, std::string_view description) {
  return fmt::format("{{\"error\": {{\"class\": \"{}\", \"desc\": \"{}\"}}}}\r\n", error_class,
                     description);
}
const std::string kDone = "{\"return\": {}}\r\n";

// "EVENT {data}" or "return ..." for each line, time stamps left out.
std::vector<std::string> summary(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find("\r\n", at);
    const Json line = parse_json(text.substr(at, end - at)).value();
    if (line.contains("event")) {
      CHECK(line["timestamp"]["seconds"].is_number_integer());
      CHECK(line["timestamp"]["microseconds"].get<int>() < 1000000);
      lines.push_back(line["event"].get<std::string>() +
                      (line.contains("data") ? " " + to_text(line["data"]) : ""));
    } else {
      lines.push_back(to_text(line));
    }
    at = end + 2;
  }
  return lines;
}
using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("QMP: greeting, then only qmp_capabilities until it has been served") {
  QmpFixture qmp({}, false);
  const Json greeting = parse_json(qmp.client.take()).value();
  CHECK(greeting["QMP"]["version"]["qemu"]["major"] == 10);
  CHECK(greeting["QMP"]["version"]["package"].is_string());
  CHECK(greeting["QMP"]["capabilities"] == Json::array());

  CHECK(
      qmp.ask(R"({"execute":"query-status"})") ==
      error_text("CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'"));
  qmp.vm.system_powerdown();
  CHECK(qmp.client.take().empty());
  CHECK(qmp.ask(R"({"execute":"qmp_capabilities"})") == kDone);
  CHECK(qmp.ask(R"({"execute":"qmp_capabilities"})") ==
        error_text("CommandNotFound",
                   "Capabilities negotiation is already complete, command ignored"));
}

TEST_CASE("QMP: a new client starts with the greeting") {
  QmpFixture qmp;
  qmp.client.send(R"({"execute":)");
  qmp.client.frontend().closed();
  qmp.client.frontend().opened();
  CHECK(qmp.client.take().starts_with("{\"QMP\": "));
  CHECK(summary(qmp.ask(R"({"execute":"query-status"})")).front().find("CommandNotFound") !=
        std::string::npos);
}

TEST_CASE("QMP: faults in the envelope") {
  QmpFixture qmp;
  CHECK(qmp.ask(R"({"execute":"nope"})") ==
        error_text("CommandNotFound", "The command nope has not been found"));
  CHECK(qmp.ask(R"({"execute":"query-status","arguments":{"x":1}})") ==
        error_text("GenericError", "Parameter 'x' is unexpected"));
  CHECK(qmp.ask(R"({"execute":"query-status","arguments":[]})") ==
        error_text("GenericError", "QMP input member 'arguments' must be an object"));
  CHECK(qmp.ask(R"({"execute":5})") ==
        error_text("GenericError", "QMP input member 'execute' must be a string"));
  CHECK(qmp.ask(R"({"arguments":{}})") ==
        error_text("GenericError", "QMP input lacks member 'execute'"));
  CHECK(qmp.ask(R"({"execute":"query-status","foo":1})") ==
        error_text("GenericError", "QMP input member 'foo' is unexpected"));
  CHECK(qmp.ask("[1,2]") == error_text("GenericError", "QMP input must be a JSON object"));
  CHECK(qmp.ask("}") == error_text("GenericError", "JSON parse error, expecting value"));
}

TEST_CASE("QMP: arguments are checked against the command's row") {
  QmpFixture qmp({}, false);
  qmp.client.take();
  CHECK(qmp.ask(R"({"execute":"qmp_capabilities","arguments":{"enable":5}})") ==
        error_text("GenericError", "Invalid parameter type for 'enable', expected: array"));
  CHECK(qmp.ask(R"({"execute":"qmp_capabilities","arguments":{"enable":[],"y":1}})") ==
        error_text("GenericError", "Parameter 'y' is unexpected"));
  CHECK(qmp.ask(R"({"execute":"qmp_capabilities","arguments":{"enable":["oob"]}})")
            .starts_with("{\"error\": {\"class\": \"GenericError\""));
  CHECK(qmp.ask(R"({"execute":"qmp_capabilities","arguments":{"enable":[]}})") == kDone);
}

TEST_CASE("QMP: any id comes back, with errors too") {
  QmpFixture qmp;
  CHECK(qmp.ask(R"({"execute":"query-status","id":{"a":[1,"x"]}})") ==
        "{\"return\": {\"status\": \"prelaunch\", \"running\": false}, "
        "\"id\": {\"a\": [1, \"x\"]}}\r\n");
  CHECK(parse_json(qmp.ask(R"({"execute":"nope","id":7})")).value()["id"] == 7);
}

TEST_CASE("QMP: two requests in one packet get two replies") {
  QmpFixture qmp;
  CHECK(summary(qmp.ask(R"({ "execute": "query-kvm" }{ "execute":"query-target"})")) ==
        Lines{R"({"return": {"enabled": false, "present": false}})",
              R"({"return": {"arch": "riscv64"}})"});
}

TEST_CASE("QMP: queries answer with QEMU's members") {
  QmpFixture qmp;
  CHECK(qmp.ask(R"({"execute":"query-name"})") == "{\"return\": {\"name\": \"guest\"}}\r\n");
  CHECK(qmp.ask(R"({"execute":"query-uuid"})") ==
        "{\"return\": {\"UUID\": \"00000000-0000-0000-0000-000000000000\"}}\r\n");
  const Json threads = parse_json(qmp.ask(R"({"execute":"query-iothreads"})")).value()["return"];
  CHECK(threads == parse_json(R"([{"id": "t0", "thread-id": 4711, "poll-max-ns": 32768,
                                   "poll-grow": 0, "poll-shrink": 0, "aio-max-batch": 0}])")
                       .value());
  CHECK(qmp.ask(R"({"execute":"query-chardev"})") ==
        "{\"return\": [{\"label\": \"serial0\", \"filename\": \"null\", "
        "\"frontend-open\": true}]}\r\n");
  const Json commands = parse_json(qmp.ask(R"({"execute":"query-commands"})")).value()["return"];
  CHECK(commands.size() == qmp_commands().size());
  CHECK(std::ranges::find(commands, Json{{"name", "query-cpus-fast"}}) != commands.end());
}

TEST_CASE("QMP: run states and events come in QEMU's order") {
  QmpFixture qmp;
  CHECK(qmp.ask(R"({"execute":"stop"})") == kDone);
  CHECK(summary(qmp.ask(R"({"execute":"cont"})")) == Lines{"RESUME", R"({"return": {}})"});
  CHECK(summary(qmp.ask(R"({"execute":"query-status"})")) ==
        Lines{R"({"return": {"status": "running", "running": true}})"});
  CHECK(qmp.ask(R"({"execute":"cont"})") == kDone);
  CHECK(summary(qmp.ask(R"({"execute":"stop"})")) == Lines{"STOP", R"({"return": {}})"});
  CHECK(summary(qmp.ask(R"({"execute":"query-status"})")) ==
        Lines{R"({"return": {"status": "paused", "running": false}})"});
  CHECK(summary(qmp.ask(R"({"execute":"system_reset"})")) ==
        Lines{R"(RESET {"guest": false, "reason": "host-qmp-system-reset"})", R"({"return": {}})"});
  CHECK(qmp.resets == 1);
  CHECK(summary(qmp.ask(R"({"execute":"system_powerdown"})")) ==
        Lines{"POWERDOWN", R"({"return": {}})"});
  CHECK(summary(qmp.ask(R"({"execute":"quit","id":3})")) ==
        Lines{R"(SHUTDOWN {"guest": false, "reason": "host-qmp-quit"})",
              R"({"return": {}, "id": 3})"});
  CHECK(qmp.vm.exit_status() == 0);
}

TEST_CASE("QMP: a guest that powers off under -no-shutdown stops and must be reset") {
  QmpFixture qmp({.no_shutdown = true});
  qmp.ask(R"({"execute":"cont"})");
  qmp.vm.request_shutdown(ShutdownCause::kGuestShutdown, 0);
  qmp.loop->run_once(0);
  CHECK(summary(qmp.client.take()) ==
        Lines{R"(SHUTDOWN {"guest": true, "reason": "guest-shutdown"})", "STOP"});
  CHECK(summary(qmp.ask(R"({"execute":"query-status"})")) ==
        Lines{R"({"return": {"status": "shutdown", "running": false}})"});
  CHECK(qmp.ask(R"({"execute":"cont"})") ==
        error_text("GenericError", "Resetting the Virtual Machine is required"));
}

TEST_CASE("QMP: a client that does not read is not read from either") {
  QmpFixture qmp;
  qmp.client.room = 5;
  qmp.client.send(R"({"execute":"query-kvm"})");
  CHECK(qmp.client.take() == "{\"ret");
  CHECK(qmp.client.frontend().can_receive() == 0);

  // Events wait, up to a bound.
  for (size_t i = 0; i < QmpServer::kMaxPending / 32; ++i) qmp.vm.system_powerdown();
  qmp.client.room = SIZE_MAX;
  qmp.client.frontend().output_ready();
  const std::string rest = qmp.client.take();
  CHECK(rest.starts_with("urn\": "));
  CHECK(rest.size() < QmpServer::kMaxPending + 200);
  CHECK(qmp.client.accepted == 1);
  CHECK(qmp.client.frontend().can_receive() > 0);
}

TEST_CASE("QMP: without a balloon its commands say so") {
  QmpFixture qmp;
  const std::string none = error_text("DeviceNotActive", "No balloon device has been activated");
  CHECK(qmp.ask(R"({"execute":"query-balloon"})") == none);
  CHECK(qmp.ask(R"({"execute":"balloon","arguments":{"value":1048576}})") == none);
  CHECK(qmp.ask(R"({"execute":"qom-get","arguments":{"path":"/x","property":"y"}})") ==
        error_text("DeviceNotFound", "Device '/x' not found"));
}

}  // namespace hv
