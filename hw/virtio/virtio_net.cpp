#include "hw/virtio/virtio_net.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "hw/virtio/net_features.h"
#include "io/log.h"
#include "net/null_endpoint.h"

namespace hv {

using namespace net_feature;

namespace {

constexpr uint32_t kDeviceIdNetwork = 1;
constexpr std::string_view kFirstMac = "52:54:00:12:34:56";

// The configuration space (section 5.1.4).
struct NetConfig {
  uint8_t mac[6];
  uint16_t status;
  uint16_t max_pairs;
  uint16_t mtu;
};
static_assert(sizeof(NetConfig) == 12);

uint64_t pack(const MacAddress& mac) {
  uint64_t packed = 0;
  std::memcpy(&packed, mac.data(), mac.size());
  return packed;
}

uint64_t offered_features(const VirtioNetDevice::Config& config, const NetEndpoint& endpoint) {
  uint64_t features = kVirtioVersion1 | kMac;
  const auto offer = [&](bool wanted, uint64_t bit) { features |= wanted ? bit : 0; };
  offer(config.event_idx, kVirtioRingEventIdx);
  offer(config.indirect_desc, kVirtioRingIndirectDesc);
  offer(config.mrg_rxbuf, kMrgRxbuf);
  offer(config.status, kStatus);
  offer(config.host_mtu != 0, kMtu);
  // Each offload needs the checksum's (section 5.1.3.1), and ECN one of the segmentations.
  const NetEndpoint::Traits& traits = endpoint.traits();
  if (config.csum && traits.transmit.checksum) {
    features |= kCsum;
    offer(config.gso && config.host_tso4 && traits.transmit.tso4, kHostTso4);
    offer(config.gso && config.host_tso6 && traits.transmit.tso6, kHostTso6);
    offer(config.host_ecn && traits.transmit.ecn && features & (kHostTso4 | kHostTso6), kHostEcn);
  }
  if (config.guest_csum && traits.receive.checksum) {
    features |= kGuestCsum;
    offer(config.guest_tso4 && traits.receive.tso4, kGuestTso4);
    offer(config.guest_tso6 && traits.receive.tso6, kGuestTso6);
    offer(config.guest_ecn && traits.receive.ecn && features & (kGuestTso4 | kGuestTso6),
          kGuestEcn);
  }
  if (config.ctrl_vq) {
    features |= kCtrlVq;
    offer(config.ctrl_rx, kCtrlRx);
    offer(config.ctrl_rx_extra, kCtrlRxExtra);
    offer(config.ctrl_vlan, kCtrlVlan);
    offer(config.ctrl_mac_addr, kCtrlMacAddr);
    offer(config.ctrl_guest_offloads && features & kGuestCsum, kCtrlGuestOffloads);
    offer(config.guest_announce && config.status, kGuestAnnounce);
    offer(config.mq && traits.pairs > 1, kMq);
  }
  return features;
}

}  // namespace

Result<std::unique_ptr<VirtioDevice>> VirtioNetDevice::create(const VirtioContext& context,
                                                              const Config& config) {
  for (const auto& [name, size] :
       {std::pair{"rx_queue_size", config.rx_queue_size}, {"tx_queue_size", config.tx_queue_size}})
    if (!std::has_single_bit(size))
      return fail("-device {}: {}={} is not a power of two", kType.name, name, size);
  const auto mac = parse_mac(config.mac.empty() ? kFirstMac : config.mac);
  if (!mac)
    return fail("-device {}: mac={} is not an address such as {}", kType.name, config.mac,
                kFirstMac);
  if ((*mac)[0] & 1)
    return fail("-device {}: mac={} is a multicast address", kType.name, config.mac);
  if (config.host_mtu != 0 && config.host_mtu < 68)
    return fail("-device {}: host_mtu={} is too small: the least is 68", kType.name,
                config.host_mtu);
  HV_TRY_ASSIGN(EventLoop * loop, context.backends.io_loop(config.iothread));
  std::unique_ptr<NetEndpoint> endpoint;
  if (config.netdev.empty()) {
    warn(fmt::format("nic {} has no peer", kType.name));
    endpoint = std::make_unique<NullEndpoint>();
  } else {
    HV_TRY_ASSIGN(endpoint, context.backends.claim_netdev(config.netdev));
  }
  return std::unique_ptr<VirtioDevice>(
      new VirtioNetDevice(context, config, *loop, std::move(endpoint), *mac));
}

VirtioNetDevice::VirtioNetDevice(const VirtioContext& context, const Config& config,
                                 EventLoop& loop, std::unique_ptr<NetEndpoint> endpoint,
                                 const MacAddress& mac)
    : VirtioDevice(
          {.device_id = kDeviceIdNetwork,
           .features = offered_features(config, *endpoint),
           .queue_count = 2 * (config.mq && config.ctrl_vq ? endpoint->traits().pairs : 1) +
                          (config.ctrl_vq ? 1 : 0),
           .queue_size = std::max(config.rx_queue_size, config.tx_queue_size)},
          context.memory, loop),
      config_(config),
      endpoint_(std::move(endpoint)),
      max_pairs_(features() & kMq ? endpoint_->traits().pairs : 1),
      power_on_mac_(pack(mac)),
      mac_(power_on_mac_),
      rx_(max_pairs_),
      tx_(max_pairs_) {}

VirtioNetDevice::~VirtioNetDevice() = default;

uint16_t VirtioNetDevice::queue_max_size(unsigned queue) const {
  constexpr uint16_t kControlQueueSize = 64;
  if (queue == 2 * max_pairs_) return kControlQueueSize;
  return queue % 2 == 0 ? config_.rx_queue_size : config_.tx_queue_size;
}

void VirtioNetDevice::read_config(uint32_t offset, std::span<uint8_t> to) {
  NetConfig space{};
  const uint64_t mac = mac_;
  std::memcpy(space.mac, &mac, sizeof space.mac);
  space.status = status_;
  space.max_pairs = static_cast<uint16_t>(max_pairs_);
  space.mtu = config_.host_mtu;
  const auto* bytes = reinterpret_cast<const uint8_t*>(&space);
  for (size_t i = 0; i < to.size(); ++i) to[i] = offset + i < sizeof space ? bytes[offset + i] : 0;
}

void VirtioNetDevice::reset_config() {
  mac_ = power_on_mac_;
  status_ &= static_cast<uint16_t>(~kAnnounce);
}

void VirtioNetDevice::on_attach() {
  endpoint_->attach(loop(), *this);
  status_ = endpoint_->link_up() ? kLinkUp : 0;
}

void VirtioNetDevice::on_detach() {
  endpoint_->detach();
}

void VirtioNetDevice::on_start(uint64_t features) {
  negotiated_ = features;
  // Section 5.1.2: without MQ the driver knows of one pair, and the control queue follows that.
  control_index_ = features & kMq ? 2 * max_pairs_ : 2;
  active_pairs_ = 1;
  header_is_valid_ = features & kCsum;
  filter_ = NetFilter();
  filter_.filter_vlans = features & kCtrlVlan;
  for (unsigned pair = 0; pair < max_pairs_; ++pair)
    rx_[pair].start(queue(rx_index(pair)), features & kMrgRxbuf);
  apply_guest_offloads(features);
  endpoint_->set_active_pairs(1);
}

void VirtioNetDevice::on_stop() {
  for (NetRxQueue& rx : rx_) rx.stop();
  for (unsigned pair = 0; pair < max_pairs_; ++pair)
    if (std::exchange(tx_[pair].waiting, false)) endpoint_->transmit_forget(pair);
  apply_guest_offloads(0);
  // Again, for a command or a link that crossed the reset.
  reset_config();
}

bool VirtioNetDevice::handle_queue(unsigned index) {
  if (index == control_index_ && negotiated_ & kCtrlVq) return handle_control();
  if (index / 2 >= active_pairs_) return false;
  return index % 2 == 0 ? handle_rx(index / 2) : handle_tx(index / 2);
}

void VirtioNetDevice::link_changed() {
  uint16_t status = endpoint_->link_up() ? kLinkUp : 0;
  const uint16_t before = status_;
  // Who is behind the new link has not heard of the guest yet.
  if (status & ~before && negotiated_ & kGuestAnnounce && live()) status |= kAnnounce;
  if (status == before) return;
  status_ = status;
  if (config_.status) config_changed();
}

}  // namespace hv
