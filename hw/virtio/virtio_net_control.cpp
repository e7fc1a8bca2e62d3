// virtio-net: the control queue (virtio 1.2, section 5.1.6.5).
#include <algorithm>
#include <array>
#include <cstring>

#include "hw/virtio/net_features.h"
#include "hw/virtio/virtio_net.h"
#include "io/iov.h"

namespace hv {

using namespace net_feature;

namespace {

enum Group : uint8_t {
  kGroupRx = 0,
  kGroupMac = 1,
  kGroupVlan = 2,
  kGroupAnnounce = 3,
  kGroupMq = 4,
  kGroupGuestOffloads = 5,
};
constexpr uint8_t kMacTableSet = 0, kMacAddrSet = 1;
constexpr uint8_t kVlanAdd = 0, kVlanDel = 1;
constexpr uint8_t kAnnounceAck = 0;
constexpr uint8_t kMqPairsSet = 0;
constexpr uint8_t kGuestOffloadsSet = 0;

constexpr uint8_t kOk = 0, kError = 1;

// More than any command of use has: a table of this many addresses overflows anyway.
constexpr size_t kMaxCommand = 64 << 10;

template <class T>
bool take(std::span<const uint8_t>& data, T& value) {
  if (data.size() < sizeof value) return false;
  std::memcpy(&value, data.data(), sizeof value);
  data = data.subspan(sizeof value);
  return true;
}

// The whole of `data` is one T.
template <class T>
bool take_only(std::span<const uint8_t> data, T& value) {
  return data.size() == sizeof value && take(data, value);
}

bool take_table(std::span<const uint8_t>& data, NetFilter::Table& table) {
  uint32_t count = 0;
  if (!take(data, count) || count > data.size() / sizeof(MacAddress)) return false;
  table.overflow = count > NetFilter::kMaxAddresses;
  if (table.overflow) {
    data = data.subspan(count * sizeof(MacAddress));
    return true;
  }
  for (uint32_t i = 0; i < count; ++i) {
    MacAddress& address = table.addresses.emplace_back();
    (void)take(data, address);
  }
  return true;
}

}  // namespace

bool VirtioNetDevice::handle_control() {
  VirtQueue& vq = queue(control_index_);
  DescriptorChain chain;
  std::vector<uint8_t> data;
  for (unsigned taken = 0; taken < vq.size() && live(); ++taken) {
    if (!vq.pop(chain)) break;
    std::array<uint8_t, 2> header;
    if (!take_front(chain.readable, header.data(), header.size()) || chain.writable.empty()) {
      break_device("a control command without header or acknowledgement");
      break;
    }
    const uint64_t length = total_length(chain.readable);
    bool done = false;
    if (length <= kMaxCommand) {
      data.resize(length);
      copy_from_pieces(chain.readable, 0, data.data(), data.size());
      done = run_command(header[0], header[1], data);
    }
    const uint8_t ack = done ? kOk : kError;
    copy_to_pieces(chain.writable, 0, &ack, sizeof ack);
    vq.push(chain.head, sizeof ack);
  }
  publish(control_index_);
  return true;
}

bool VirtioNetDevice::run_command(uint8_t group, uint8_t command, std::span<const uint8_t> data) {
  switch (group) {
    case kGroupRx:
      return set_rx_mode(command, data);
    case kGroupMac:
      return set_mac(command, data);
    case kGroupVlan:
      return negotiated_ & kCtrlVlan && set_vlan(command, data);
    case kGroupAnnounce:
      if (!(negotiated_ & kGuestAnnounce) || command != kAnnounceAck || !data.empty()) return false;
      status_ &= static_cast<uint16_t>(~kAnnounce);
      return true;
    case kGroupMq:
      return negotiated_ & kMq && command == kMqPairsSet && set_pairs(data);
    case kGroupGuestOffloads:
      return negotiated_ & kCtrlGuestOffloads && command == kGuestOffloadsSet &&
             set_guest_offloads(data);
  }
  return false;
}

bool VirtioNetDevice::set_rx_mode(uint8_t command, std::span<const uint8_t> data) {
  constexpr bool NetFilter::* kModes[] = {&NetFilter::promiscuous, &NetFilter::all_multicast,
                                          &NetFilter::all_unicast, &NetFilter::no_multicast,
                                          &NetFilter::no_unicast,  &NetFilter::no_broadcast};
  constexpr uint8_t kFirstExtra = 2;
  uint8_t on = 0;
  if (command >= std::size(kModes) || !take_only(data, on)) return false;
  if (!(negotiated_ & (command < kFirstExtra ? kCtrlRx : kCtrlRxExtra))) return false;
  filter_.*kModes[command] = on != 0;
  return true;
}

bool VirtioNetDevice::set_mac(uint8_t command, std::span<const uint8_t> data) {
  if (command == kMacAddrSet) {
    MacAddress mac;
    if (!(negotiated_ & kCtrlMacAddr) || !take_only(data, mac)) return false;
    uint64_t packed = 0;
    std::memcpy(&packed, mac.data(), mac.size());
    mac_ = packed;
    return true;
  }
  NetFilter::Table unicast, multicast;
  if (command != kMacTableSet || !(negotiated_ & kCtrlRx) || !take_table(data, unicast) ||
      !take_table(data, multicast) || !data.empty())
    return false;
  filter_.unicast = std::move(unicast);
  filter_.multicast = std::move(multicast);
  return true;
}

bool VirtioNetDevice::set_vlan(uint8_t command, std::span<const uint8_t> data) {
  uint16_t id = 0;
  if (command > kVlanDel || !take_only(data, id) || id >= filter_.vlans.size()) return false;
  filter_.vlans[id] = command == kVlanAdd;
  return true;
}

bool VirtioNetDevice::set_pairs(std::span<const uint8_t> data) {
  uint16_t pairs = 0;
  if (!take_only(data, pairs) || pairs < 1 || pairs > max_pairs_) return false;
  const unsigned before = active_pairs_;
  active_pairs_ = pairs;
  endpoint_->set_active_pairs(pairs);
  for (unsigned pair = before; pair < active_pairs_; ++pair) {
    rx_[pair].waiting = true;  // whether the endpoint waits is not known
    service(rx_index(pair));
    service(tx_index(pair));
  }
  return true;
}

bool VirtioNetDevice::set_guest_offloads(std::span<const uint8_t> data) {
  uint64_t wanted = 0;
  if (!take_only(data, wanted) || wanted & ~(negotiated_ & kGuestOffloads)) return false;
  apply_guest_offloads(wanted);
  return true;
}

void VirtioNetDevice::apply_guest_offloads(uint64_t features) {
  const bool checksum = features & kGuestCsum;
  endpoint_->set_receive_offloads({.checksum = checksum,
                                   .tso4 = checksum && features & kGuestTso4,
                                   .tso6 = checksum && features & kGuestTso6,
                                   .ecn = checksum && features & kGuestEcn});
}

}  // namespace hv
