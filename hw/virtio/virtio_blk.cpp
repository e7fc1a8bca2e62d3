#include "hw/virtio/virtio_blk.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <tuple>

#include "io/clock.h"
#include "io/iov.h"
#include "io/log.h"

namespace hv {

namespace {

constexpr uint32_t kDeviceIdBlock = 2;
constexpr uint32_t kSector = 512;
constexpr size_t kIdLength = 20;

// Feature bits (section 5.2.3).
constexpr uint64_t kSegMax = 1 << 2;
constexpr uint64_t kReadOnly = 1 << 5;
constexpr uint64_t kBlkSize = 1 << 6;
constexpr uint64_t kFlush = 1 << 9;
constexpr uint64_t kTopology = 1 << 10;
constexpr uint64_t kConfigWce = 1 << 11;
constexpr uint64_t kMultiQueue = 1 << 12;
constexpr uint64_t kDiscard = 1 << 13;
constexpr uint64_t kWriteZeroes = 1 << 14;

// Request types and states (section 5.2.6).
enum RequestType : uint32_t {
  kTypeIn = 0,
  kTypeOut = 1,
  kTypeFlush = 4,
  kTypeGetId = 8,
  kTypeDiscard = 11,
  kTypeWriteZeroes = 13,
};
enum RequestStatus : uint8_t { kStatusOk = 0, kStatusIoError = 1, kStatusUnsupported = 2 };

struct RequestHeader {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
};

struct RangeSegment {
  uint64_t sector;
  uint32_t sectors;
  uint32_t flags;
};
constexpr uint32_t kRangeUnmap = 1;

// Longest range of one DISCARD or WRITE_ZEROES, in sectors: 2 GiB, as QEMU offers.
constexpr uint32_t kMaxRangeSectors = 4194303;

// The configuration space (section 5.2.4).
struct BlkConfig {
  uint64_t capacity;  // sectors
  uint32_t size_max;
  uint32_t seg_max;
  uint16_t cylinders;
  uint8_t heads;
  uint8_t sectors;
  uint32_t blk_size;
  uint8_t physical_block_exp;
  uint8_t alignment_offset;
  uint16_t min_io_size;
  uint32_t opt_io_size;
  uint8_t writeback;
  uint8_t unused0;
  uint16_t num_queues;
  uint32_t max_discard_sectors;
  uint32_t max_discard_seg;
  uint32_t discard_sector_alignment;
  uint32_t max_write_zeroes_sectors;
  uint32_t max_write_zeroes_seg;
  uint8_t write_zeroes_may_unmap;
  uint8_t unused1[3];
  uint32_t tail;  // the structure is padded to 8; the space ends before this
};
constexpr size_t kConfigSize = 60;
static_assert(offsetof(BlkConfig, writeback) == 32 && offsetof(BlkConfig, tail) == kConfigSize);

// block_size as the guest sees it, or what is wrong with it.
Result<uint32_t> block_size_option(std::string_view name, uint32_t value, uint32_t minimum) {
  if (value == 0) return minimum;
  if (!std::has_single_bit(value) || value < kSector)
    return fail("-device {}: {}={} is not a power of two of 512 or more",
                VirtioBlkDevice::kType.name, name, value);
  if (value < minimum)
    return fail("-device {}: {}={} is too small: it must be {} or more here",
                VirtioBlkDevice::kType.name, name, value, minimum);
  return value;
}

// The loops that serve a device, and which of them serves each queue.
Result<std::vector<EventLoop*>> map_queues(const VirtioContext& context,
                                           const VirtioBlkDevice::Config& config,
                                           std::vector<unsigned>& part_of_queue) {
  constexpr std::string_view kMapping = "iothread-vq-mapping";
  const auto bad = [kMapping](const std::string& what) {
    return fail("-device {}: {}: {}", VirtioBlkDevice::kType.name, kMapping, what);
  };
  part_of_queue.assign(config.num_queues, 0);
  KeyValues mapping = config.iothread_vq_mapping;
  if (mapping.empty()) {
    HV_TRY_ASSIGN(EventLoop * loop, context.backends.io_loop(config.iothread));
    return std::vector{loop};
  }
  if (!config.iothread.empty()) return bad("excludes iothread=");
  std::vector<EventLoop*> loops;
  std::vector<bool> assigned(config.num_queues);
  unsigned with_queues = 0;
  for (unsigned i = 0; !mapping.empty(); ++i) {
    KeyValues entry = mapping.take_below(std::to_string(i));
    const auto thread = entry.take("iothread");
    if (!thread || thread->empty()) return bad(fmt::format("entry {} names no iothread", i));
    HV_TRY_ASSIGN(EventLoop * loop, context.backends.io_loop(*thread));
    if (std::ranges::count(loops, loop)) return bad(fmt::format("names {} twice", *thread));
    loops.push_back(loop);
    KeyValues queues = entry.take_below("vqs");
    HV_TRY(entry.expect_empty("iothread, vqs"));
    if (!queues.empty()) ++with_queues;
    for (const auto& [position, text] : queues.items()) {
      const auto queue = parse_number(text);
      if (!queue || *queue >= config.num_queues)
        return bad(fmt::format("vqs has {}; queues are 0 to {}", text, config.num_queues - 1));
      if (assigned[*queue]) return bad(fmt::format("names queue {} twice", *queue));
      assigned[*queue] = true;
      part_of_queue[*queue] = i;
    }
  }
  if (with_queues == 0) {
    for (unsigned queue = 0; queue < config.num_queues; ++queue)
      part_of_queue[queue] = queue % static_cast<unsigned>(loops.size());
  } else if (with_queues != loops.size() || std::ranges::count(assigned, false)) {
    return bad("all entries must have vqs, or none; and each queue must be in one of them");
  }
  return loops;
}

uint64_t offered_features(const VirtioBlkDevice::Config& config, const Disk& disk) {
  uint64_t features = kVirtioVersion1 | kSegMax | kBlkSize | kTopology;
  if (config.event_idx) features |= kVirtioRingEventIdx;
  if (config.indirect_desc) features |= kVirtioRingIndirectDesc;
  if (config.config_wce) features |= kConfigWce;
  if (config.config_wce || config.write_cache == "on") features |= kFlush;
  if (config.num_queues > 1) features |= kMultiQueue;
  if (disk.read_only()) return features | kReadOnly;
  if (config.discard) features |= kDiscard;
  if (config.write_zeroes) features |= kWriteZeroes;
  return features;
}

}  // namespace

// A chain and what becomes of it. Belongs to the queue's pool; in use from pop() to push().
class VirtioBlkDevice::Request final : public DiskRequest {
 public:
  Request(VirtioBlkDevice& device, unsigned queue_index)
      : device(device), queue_index(queue_index) {}

  void done(int error) override { device.finished(*this, error); }

  VirtioBlkDevice& device;
  const unsigned queue_index;
  DescriptorChain chain;      // without the header and the status byte once these are taken
  uint8_t* status = nullptr;  // in guest RAM
};

struct VirtioBlkDevice::RequestQueue {
  std::vector<std::unique_ptr<Request>> all;
  std::vector<Request*> free;
  bool unpublished = false;
};

Result<std::unique_ptr<VirtioDevice>> VirtioBlkDevice::create(const VirtioContext& context,
                                                              const Config& options) {
  Config config = options;
  if (config.drive.empty())
    return fail("-device {}: drive=ID is missing: it names the -drive or -blockdev", kType.name);
  if (config.write_cache != "auto" && !parse_bool(config.write_cache))
    return fail("-device {}: write-cache={} is unknown: use on, off or auto", kType.name,
                config.write_cache);
  if (!std::has_single_bit(config.queue_size))
    return fail("-device {}: queue-size={} is not a power of two", kType.name, config.queue_size);
  if (config.serial.size() > kIdLength)
    return fail("-device {}: serial={} is longer than {} bytes", kType.name, config.serial,
                kIdLength);
  for (const auto& [name, value, words] :
       {std::tuple{"werror", &config.werror, "report, ignore, enospc, stop or auto"},
        std::tuple{"rerror", &config.rerror, "report, ignore, stop or auto"}}) {
    const bool known = *value == "auto" || *value == "report" || *value == "ignore" ||
                       *value == "stop" || (*value == "enospc" && value == &config.werror);
    if (!known)
      return fail("-device {}: {}={} is unknown: use {}", kType.name, name, *value, words);
  }
  auto shared = std::make_shared<Shared>();
  HV_TRY_ASSIGN(const auto loops, map_queues(context, config, shared->part_of_queue));
  HV_TRY_ASSIGN(auto disk, context.backends.claim_drive(config.drive));
  HV_TRY(disk->lock(config.share_rw));
  HV_TRY_ASSIGN(config.logical_block_size,
                block_size_option("logical_block_size", config.logical_block_size,
                                  std::max(kSector, disk->block_size())));
  HV_TRY_ASSIGN(config.physical_block_size,
                block_size_option("physical_block_size", config.physical_block_size,
                                  config.logical_block_size));
  const bool write_cache = config.write_cache == "auto"
                               ? !disk->write_through()
                               : parse_bool(config.write_cache).value_or(true);
  config.write_cache = write_cache ? "on" : "off";
  shared->write_cache = write_cache;
  std::vector<std::unique_ptr<VirtioDevice>> others;
  for (size_t i = 1; i < loops.size(); ++i) {
    auto handle = disk->share();
    if (!handle)
      return fail("-device {}: iothread-vq-mapping: drive {} (snapshot=on) takes one IO thread",
                  kType.name, config.drive);
    others.emplace_back(new VirtioBlkDevice(context, config, *loops[i], std::move(handle), shared));
  }
  auto first = std::unique_ptr<VirtioBlkDevice>(
      new VirtioBlkDevice(context, config, *loops[0], std::move(disk), shared));
  first->other_parts_ = std::move(others);
  return first;
}

std::vector<std::unique_ptr<VirtioDevice>> VirtioBlkDevice::take_other_parts() {
  return std::move(other_parts_);
}

VirtioBlkDevice::VirtioBlkDevice(const VirtioContext& context, const Config& config,
                                 EventLoop& loop, std::unique_ptr<Disk> disk,
                                 std::shared_ptr<Shared> shared)
    : VirtioDevice({.device_id = kDeviceIdBlock,
                    .features = offered_features(config, *disk),
                    .queue_count = config.num_queues,
                    .queue_size = config.queue_size},
                   context.memory, loop),
      config_(config),
      control_(context.control),
      disk_(std::move(disk)),
      shared_(std::move(shared)),
      queues_(config.num_queues) {}

VirtioBlkDevice::~VirtioBlkDevice() = default;

void VirtioBlkDevice::read_config(uint32_t offset, std::span<uint8_t> to) {
  BlkConfig space{};
  space.capacity = disk_->size() / kSector;
  // A chain of the queue's length less header and status, as QEMU.
  space.seg_max = config_.queue_size - 2u;
  space.blk_size = config_.logical_block_size;
  space.physical_block_exp = static_cast<uint8_t>(
      std::countr_zero(config_.physical_block_size / config_.logical_block_size));
  space.writeback = shared_->write_cache;
  space.num_queues = config_.num_queues;
  space.discard_sector_alignment = config_.logical_block_size / kSector;
  // Whole blocks, for Linux cuts a longer range into pieces of just this length.
  space.max_discard_sectors = space.max_write_zeroes_sectors =
      kMaxRangeSectors / space.discard_sector_alignment * space.discard_sector_alignment;
  space.max_discard_seg = space.max_write_zeroes_seg = 1;
  space.write_zeroes_may_unmap = 1;
  const auto* bytes = reinterpret_cast<const uint8_t*>(&space);
  for (size_t i = 0; i < to.size(); ++i) to[i] = offset + i < kConfigSize ? bytes[offset + i] : 0;
}

void VirtioBlkDevice::write_config(uint32_t offset, std::span<const uint8_t> from) {
  const uint32_t at = offsetof(BlkConfig, writeback);
  if (config_.config_wce && offset <= at && at - offset < from.size())
    shared_->write_cache = from[at - offset] & 1;
}

void VirtioBlkDevice::reset_config() {
  shared_->write_cache = config_.write_cache == "on";
}

bool VirtioBlkDevice::write_cache_on() const {
  return negotiated_ & kConfigWce ? shared_->write_cache.load() : (negotiated_ & kFlush) != 0;
}

void VirtioBlkDevice::on_attach() {
  if (memory().locked()) loop().register_memory(memory().data(), memory().size());
  disk_->attach(loop());
  publish_soon_ = loop().make_bottom_half([this] { publish_completions(); });
}

void VirtioBlkDevice::on_detach() {
  publish_soon_.reset();
  disk_->detach();
}

void VirtioBlkDevice::on_start(uint64_t features) {
  negotiated_ = features;
}

// Requests of a queue that broke before they were finished.
void VirtioBlkDevice::on_stop() {
  for (RequestQueue& rq : queues_) {
    rq.free.clear();
    for (auto& request : rq.all) rq.free.push_back(request.get());
    rq.unpublished = false;
  }
  stopped_.clear();
}

void VirtioBlkDevice::on_hold() {
  disk_->hurry();
}

void VirtioBlkDevice::on_release() {
  for (Request* request : std::exchange(stopped_, {})) submit(*request);
  disk_->flush_batch();
}

DiskError::Action VirtioBlkDevice::action_for(const Request& request, int error) const {
  const bool read = request.op == DiskOp::kRead;
  const std::string& policy = read ? config_.rerror : config_.werror;
  if (policy == "ignore") return DiskError::Action::kIgnore;
  const bool stop =
      policy == "stop" || (!read && error == ENOSPC && (policy == "enospc" || policy == "auto"));
  return stop && control_ ? DiskError::Action::kStop : DiskError::Action::kReport;
}

// The guest can make errors as fast as it likes: what stops nothing is told once a second.
void VirtioBlkDevice::report_error(const Request& request, int error, DiskError::Action action) {
  const int64_t now_ns = monotonic_now_ns();
  if (action != DiskError::Action::kStop && now_ns - reported_ns_ < 1'000'000'000) return;
  reported_ns_ = now_ns;
  const bool write = request.op != DiskOp::kRead;
  warn(fmt::format("drive {}: {} at byte {} failed: {}{}", config_.drive, write ? "write" : "read",
                   request.offset, std::generic_category().message(error),
                   action == DiskError::Action::kStop ? "; the machine stops" : ""));
  if (control_) control_->report_disk_error({config_.drive, write, error, action});
}

bool VirtioBlkDevice::handle_queue(unsigned index) {
  VirtQueue& vq = queue(index);
  RequestQueue& rq = queues_[index];
  for (unsigned taken = 0; taken < vq.size() && live(); ++taken) {
    if (rq.free.empty()) {
      rq.all.push_back(std::make_unique<Request>(*this, index));
      rq.free.push_back(rq.all.back().get());
    }
    Request& request = *rq.free.back();
    if (!vq.pop(request.chain)) break;
    rq.free.pop_back();
    begin(request);
  }
  disk_->flush_batch();
  publish(index);
  return true;
}

void VirtioBlkDevice::begin(Request& request) {
  RequestHeader header;
  request.status = take_last(request.chain.writable);
  if (!take_front(request.chain.readable, &header, sizeof header) || !request.status)
    return break_device("a request without header or status byte");
  // What was here last time points to buffers of that chain.
  request.offset = request.length = 0;
  request.iov = {};
  switch (header.type) {
    case kTypeIn:
      return begin_transfer(request, DiskOp::kRead, header.sector);
    case kTypeOut:
      return begin_transfer(request, DiskOp::kWrite, header.sector);
    case kTypeFlush:
      request.op = DiskOp::kFlush;
      return submit(request);
    case kTypeGetId:
      return get_id(request);
    case kTypeDiscard:
      if (!(features() & kDiscard)) break;
      return begin_range(request, DiskOp::kDiscard);
    case kTypeWriteZeroes:
      if (!(features() & kWriteZeroes)) break;
      return begin_range(request, DiskOp::kWriteZeroes);
  }
  complete(request, kStatusUnsupported, 0);
}

bool VirtioBlkDevice::in_bounds(uint64_t sector, uint64_t length) const {
  const uint64_t capacity = disk_->size() / kSector;
  return sector <= capacity && length <= (capacity - sector) * kSector &&
         sector * kSector % config_.logical_block_size == 0 &&
         length % config_.logical_block_size == 0;
}

void VirtioBlkDevice::begin_transfer(Request& request, DiskOp op, uint64_t sector) {
  const auto& pieces = op == DiskOp::kRead ? request.chain.writable : request.chain.readable;
  const uint64_t length = total_length(pieces);
  if (!in_bounds(sector, length) || (op == DiskOp::kWrite && disk_->read_only()))
    return complete(request, kStatusIoError, 0);
  request.op = op;
  request.offset = sector * kSector;
  request.length = length;
  request.iov = pieces;
  submit(request);
}

void VirtioBlkDevice::begin_range(Request& request, DiskOp op) {
  RangeSegment segment;
  if (!take_front(request.chain.readable, &segment, sizeof segment))
    return complete(request, kStatusIoError, 0);
  const uint32_t known_flags = op == DiskOp::kWriteZeroes ? kRangeUnmap : 0;
  if (!request.chain.readable.empty() || (segment.flags & ~known_flags))
    return complete(request, kStatusUnsupported, 0);
  if (segment.sectors > kMaxRangeSectors ||
      !in_bounds(segment.sector, uint64_t{segment.sectors} * kSector))
    return complete(request, kStatusIoError, 0);
  request.op = op;
  request.may_unmap = segment.flags & kRangeUnmap;
  request.offset = segment.sector * kSector;
  request.length = uint64_t{segment.sectors} * kSector;
  submit(request);
}

// The serial number, padded with zeroes, not terminated when it fills all 20 bytes.
void VirtioBlkDevice::get_id(Request& request) {
  char id[kIdLength] = {};
  std::memcpy(id, config_.serial.data(), config_.serial.size());
  uint32_t written = 0;
  for (const iovec& piece : request.chain.writable) {
    const size_t part = std::min(piece.iov_len, kIdLength - written);
    copy_to_guest(piece.iov_base, id + written, part);
    written += static_cast<uint32_t>(part);
  }
  complete(request, kStatusOk, written);
}

// A write must be stable at its end if the guest has had the cache off since before it made the
// write available (section 5.2.6.2), perhaps in the middle of this sweep.
void VirtioBlkDevice::submit(Request& request) {
  begin_request();
  disk_->set_write_through(!write_cache_on());
  disk_->submit(request);
}

void VirtioBlkDevice::finished(Request& request, int error) {
  if (error != 0 && live()) {
    const DiskError::Action action = action_for(request, error);
    report_error(request, error, action);
    if (action == DiskError::Action::kStop) {
      stopped_.push_back(&request);
      return end_request();
    }
    if (action == DiskError::Action::kIgnore) error = 0;
  }
  const uint64_t data = request.op == DiskOp::kRead && error == 0 ? request.length : 0;
  complete(request, error ? kStatusIoError : kStatusOk, static_cast<uint32_t>(data));
  // The last of a burst is shown at once; while others are on their way, together with what else
  // completes in this round.
  queues_[request.queue_index].unpublished = true;
  if (disk_->in_flight() == 0)
    publish_completions();
  else
    publish_soon_->schedule();
  end_request();
}

void VirtioBlkDevice::complete(Request& request, uint8_t status, uint32_t data_written) {
  queues_[request.queue_index].free.push_back(&request);
  if (!live()) return;
  copy_to_guest(request.status, &status, 1);
  queue(request.queue_index).push(request.chain.head, data_written + 1);
}

void VirtioBlkDevice::publish_completions() {
  for (unsigned i = 0; i < queues_.size(); ++i)
    if (std::exchange(queues_[i].unpublished, false)) publish(i);
}

}  // namespace hv
