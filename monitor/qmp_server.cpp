#include "monitor/qmp_server.h"

#include "monitor/json_framer.h"
#include "monitor/qmp_dispatcher.h"
#include "monitor/qmp_events.h"

namespace hv {
namespace {

class Session final : public QmpServer, public CharFrontend, public VmObserver {
 public:
  Session(MonitorContext& context, CharBackend& backend, bool pretty)
      : context_(context), backend_(backend), pretty_(pretty) {
    context_.vm.add_observer(*this);
    backend_.set_frontend(this);
  }

  ~Session() override {
    backend_.set_frontend(nullptr);
    context_.vm.remove_observer(*this);
  }

  // --- QmpServer
  void flush() override {
    const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(pending_.data()),
                                         pending_.size());
    pending_.erase(0, backend_.write(bytes));
    const bool was_blocked = std::exchange(blocked_, !pending_.empty());
    if (was_blocked && !blocked_) backend_.accept_input();
  }

  // --- CharFrontend
  void output_ready() override { flush(); }

  size_t can_receive() override { return blocked_ ? 0 : 4096; }

  void receive(std::span<const uint8_t> bytes) override {
    framer_.feed(bytes, [this](std::string_view text, std::string_view fault) {
      send(fault.empty() ? qmp_dispatch(context_, negotiated_, text)
                         : qmp_error_reply({"GenericError", std::string(fault)}));
    });
  }

  void opened() override {
    framer_.reset();
    pending_.clear();
    blocked_ = false;
    negotiated_ = false;
    send({{"QMP", {{"version", qmp_version()}, {"capabilities", Json::array()}}}});
  }

  void closed() override {
    framer_.reset();
    pending_.clear();
    blocked_ = false;
    negotiated_ = false;
  }

  // --- VmObserver
  void on_stop() override { send_event("STOP"); }
  void on_resume() override { send_event("RESUME"); }
  void on_reset(bool by_guest) override { send_event("RESET", reset_data(by_guest)); }
  void on_powerdown() override { send_event("POWERDOWN"); }
  void on_balloon(uint64_t bytes) override { send_event("BALLOON_CHANGE", {{"actual", bytes}}); }
  void on_serial_port(const std::string& id, bool open) override {
    send_event("VSERPORT_CHANGE", {{"open", open}, {"id", id}});
  }
  void on_disk_error(const DiskError& error) override {
    send_event("BLOCK_IO_ERROR", disk_error_data(error));
  }
  void on_shutdown(ShutdownCause cause) override { send_event("SHUTDOWN", shutdown_data(cause)); }

 private:
  void send(const Json& message) {
    pending_ += to_text(message, pretty_);
    pending_ += "\r\n";
    flush();
  }

  void send_event(std::string_view name, const Json& data = nullptr) {
    if (negotiated_ && pending_.size() < kMaxPending) send(qmp_event(name, data));
  }

  MonitorContext& context_;
  CharBackend& backend_;
  const bool pretty_;
  JsonFramer framer_;
  std::string pending_;   // what the back end has not taken yet
  bool blocked_ = false;  // the back end is full
  bool negotiated_ = false;
};

}  // namespace

std::unique_ptr<QmpServer> QmpServer::create(MonitorContext& context, CharBackend& backend,
                                             bool pretty) {
  return std::make_unique<Session>(context, backend, pretty);
}

}  // namespace hv
