// Stand-ins for what a QMP session talks to.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "hw/machine/vm.h"
#include "io/char_backend.h"
#include "monitor/qmp_server.h"

namespace hv {

// A board that only counts.
class FakeMachine final : public VirtMachine {
 public:
  explicit FakeMachine(int* resets = nullptr) : resets_(resets) {}
  Result<> reset() override {
    if (resets_) ++*resets_;
    return {};
  }
  void resume() override {}
  void pause() override {}
  VcpuSet& vcpus() override { std::abort(); }
  GuestMemory& memory() override { std::abort(); }
  const std::vector<uint8_t>& device_tree() const override { return tree_; }
  std::vector<DeviceInfo> devices() const override { return {}; }

 private:
  int* resets_;
  std::vector<uint8_t> tree_;
};

// A client: what it sends goes to the front end, what it is sent is kept.
class FakeClient final : public CharBackend {
 public:
  void set_frontend(CharFrontend* frontend) override {
    frontend_ = frontend;
    if (frontend_) frontend_->opened();
  }
  size_t write(std::span<const uint8_t> bytes) override {
    const size_t count = std::min(bytes.size(), room);
    received.append(reinterpret_cast<const char*>(bytes.data()), count);
    room -= count;
    return count;
  }
  size_t output_room() const override { return room; }
  void accept_input() override { ++accepted; }
  void drain(int) override {}

  void send(std::string_view text) {
    frontend_->receive({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  // What has come since the last call.
  std::string take() { return std::exchange(received, {}); }
  CharFrontend& frontend() { return *frontend_; }

  size_t room = SIZE_MAX;
  std::string received;
  int accepted = 0;

 private:
  CharFrontend* frontend_ = nullptr;
};

// A machine and a QMP session on it, negotiated unless said otherwise.
struct QmpFixture {
  explicit QmpFixture(Vm::Options options = {}, bool negotiate = true)
      : loop(EventLoop::create("main", WaitKind::kEpoll).value()), vm(*loop, options) {
    vm.set_machine(std::make_unique<FakeMachine>(&resets));
    server = QmpServer::create(context, client, false);
    if (negotiate) {
      client.send(R"({"execute":"qmp_capabilities"})");
      client.take();
    }
  }

  // Sends one request and gives all that comes back.
  std::string ask(std::string_view request) {
    client.send(request);
    return client.take();
  }

  int resets = 0;
  std::unique_ptr<EventLoop> loop;
  Vm vm;
  MonitorContext context{
      vm, "guest", "00000000-0000-0000-0000-000000000000",
      [] { return std::vector<MonitorContext::IoThreadInfo>{{"t0", 4711, 32768}}; },
      [] { return std::vector<MonitorContext::ChardevInfo>{{"serial0", "null", true}}; }};
  FakeClient client;
  std::unique_ptr<QmpServer> server;
};

}  // namespace hv
