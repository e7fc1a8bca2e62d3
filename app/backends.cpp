#include "app/backends.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "io/log.h"
#include "net/filter_dump.h"
#include "net/netdev.h"

namespace hv {
namespace {

constexpr int kDrainMs = 1000;
// Descriptors of all shares together at most, however many the host would give.
constexpr rlim_t kMaxShareDescriptors = 256 << 10;

// "unix:/path,server=on": the chardev in the words of query-chardev.
std::string describe_chardev(const KeyValues& options) {
  const auto get = [&](std::string_view key) { return options.get(key).value_or(""); };
  const std::string backend = get("backend");
  std::string text = backend;
  if (backend == "socket") {
    if (options.get("path"))
      text = "unix:" + get("path");
    else if (options.get("fd"))
      text = "fd:" + get("fd");
    else
      text = fmt::format("tcp:{}:{}", get("host"), get("port"));
    if (parse_bool(get("server")).value_or(false)) text += ",server=on";
  } else if (options.get("path")) {
    text += ":" + get("path");
  }
  return text;
}

}  // namespace

Result<std::unique_ptr<HostBackends>> HostBackends::create(const Options& options,
                                                           EventLoop& main_loop,
                                                           const CharEscapes& escapes) {
  std::unique_ptr<HostBackends> backends(new HostBackends(main_loop));
  for (const ObjectOptions::Rng& rng : options.objects.rngs) {
    if (access(rng.filename.c_str(), R_OK) != 0)
      return fail_errno(errno, "-object rng-random,id={},filename={}: cannot be read", rng.id,
                        rng.filename);
    backends->rng_files_[rng.id] = rng.filename;
  }
  HV_TRY(backends->open_drives(options));
  HV_TRY(backends->open_file_systems(options));
  HV_TRY(backends->start_io_threads(options));
  HV_TRY(backends->open_chardevs(options, escapes));
  HV_TRY(backends->open_netdevs(options));
  return backends;
}

HostBackends::~HostBackends() {
  drives_.clear();
  netdevs_.clear();
  // From here on the threads' loops are ours, and so is what lives on them.
  for (auto& [id, thread] : threads_) thread.thread->stop();
  for (auto& [id, chardev] : chardevs_) chardev.backend->drain(kDrainMs);
  chardevs_.clear();
}

Result<> HostBackends::add_io_thread(const std::string& id, int64_t poll_max_ns, bool by_user) {
  HV_TRY_ASSIGN(auto thread, IoThread::create(id));
  EventLoop& loop = thread->loop();
  loop.run_on_loop([&] { loop.set_poll_max_ns(poll_max_ns); });
  threads_[id] = {std::move(thread), poll_max_ns, by_user};
  return {};
}

Result<> HostBackends::start_io_threads(const Options& options) {
  for (const ObjectOptions::IoThread& object : options.objects.iothreads)
    HV_TRY(add_io_thread(object.id, object.poll_max_ns, true));
  if (!threads_.contains(kDefaultIoThread))
    HV_TRY(add_io_thread(kDefaultIoThread, kDefaultPollMaxNs, false));
  return {};
}

Result<> HostBackends::open_chardevs(const Options& options, const CharEscapes& escapes) {
  EventLoop& io_loop = threads_.at(kDefaultIoThread).thread->loop();
  for (const KeyValues& values : options.chardevs) {
    const std::string id = values.get("id").value_or("");
    const bool is_monitor =
        std::ranges::find(options.monitors, id, &MonitorOptions::chardev) != options.monitors.end();
    HV_TRY_ASSIGN(auto backend, create_chardev(is_monitor ? main_loop_ : io_loop, values, escapes));
    chardevs_[id] = {std::move(backend), describe_chardev(values), is_monitor};
  }
  return {};
}

Result<> HostBackends::open_drives(const Options& options) {
  for (const DriveOptions& drive : options.drives) {
    HV_TRY_ASSIGN(drives_[drive.id].disk, open_disk(drive.disk));
  }
  return {};
}

Result<> HostBackends::open_file_systems(const Options& options) {
  if (options.file_systems.empty()) return {};
  // Guests hold many files open. Nothing here uses select(2), which the usual soft limit is for.
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  const auto budget = std::make_shared<FdBudget>(
      static_cast<unsigned>(std::min<rlim_t>(limit.rlim_cur / 4 * 3, kMaxShareDescriptors)));
  for (const FsOptions& fs : options.file_systems) {
    HV_TRY_ASSIGN(file_systems_[fs.id], LocalFs::create(fs, budget));
  }
  return {};
}

Result<std::unique_ptr<LocalFs>> HostBackends::claim_fsdev(const std::string& id) {
  const auto fs = file_systems_.find(id);
  if (fs == file_systems_.end()) return fail("fsdev={}: there is no such -fsdev or -virtfs", id);
  if (!fs->second) return fail("fsdev={}: another device has it already", id);
  return std::move(fs->second);
}

Result<std::unique_ptr<Disk>> HostBackends::claim_drive(const std::string& id) {
  const auto drive = drives_.find(id);
  if (drive == drives_.end()) return fail("drive={}: there is no such -drive or -blockdev", id);
  if (!drive->second.disk) return fail("drive={}: another device has it already", id);
  return std::move(drive->second.disk);
}

Result<> HostBackends::open_netdevs(const Options& options) {
  const NetdevContext context{[this](const std::string& id) { return claim_chardev(id); }};
  for (const KeyValues& netdev : options.netdevs) {
    const std::string id = netdev.get("id").value_or("");
    HV_TRY_ASSIGN(auto endpoint, create_netdev(netdev, context));
    for (const ObjectOptions::Dump& dump : options.objects.dumps) {
      if (dump.netdev != id) continue;
      auto filter = FilterDump::create({.file = dump.file,
                                        .max_length = dump.max_length,
                                        .from_guest = dump.from_guest,
                                        .to_guest = dump.to_guest},
                                       std::move(endpoint));
      if (!filter) return fail("-object filter-dump,id={}: {}", dump.id, filter.error().message);
      endpoint = std::move(*filter);
    }
    netdevs_[id].endpoint = std::move(endpoint);
  }
  return {};
}

Result<std::unique_ptr<NetEndpoint>> HostBackends::claim_netdev(const std::string& id) {
  const auto netdev = netdevs_.find(id);
  if (netdev == netdevs_.end()) return fail("netdev={}: there is no such -netdev", id);
  if (!netdev->second.endpoint) return fail("netdev={}: another device has it already", id);
  return std::move(netdev->second.endpoint);
}

void HostBackends::warn_of_unused() const {
  for (const auto& [id, netdev] : netdevs_)
    if (netdev.endpoint) warn(fmt::format("netdev {} has no peer", id));
}

Result<CharBackend*> HostBackends::claim_chardev(const std::string& id) {
  const auto chardev = chardevs_.find(id);
  if (chardev == chardevs_.end()) return fail("chardev={}: there is no such -chardev", id);
  // A monitor's lives on another loop than a device's.
  if (chardev->second.claimed || chardev->second.is_monitor)
    return fail("chardev={}: something else uses it already", id);
  chardev->second.claimed = true;
  return chardev->second.backend.get();
}

Result<CharBackend*> HostBackends::claim_monitor_chardev(const std::string& id) {
  if (const auto chardev = chardevs_.find(id); chardev != chardevs_.end())
    chardev->second.is_monitor = false;
  return claim_chardev(id);
}

Result<EventLoop*> HostBackends::io_loop(const std::string& iothread_id) {
  const auto thread = threads_.find(iothread_id.empty() ? kDefaultIoThread : iothread_id);
  if (thread == threads_.end() || (!iothread_id.empty() && !thread->second.by_user))
    return fail("iothread={}: there is no such -object iothread", iothread_id);
  return &thread->second.thread->loop();
}

Result<std::string> HostBackends::rng_source(const std::string& object_id) {
  const auto rng = rng_files_.find(object_id);
  if (rng == rng_files_.end())
    return fail("rng={}: there is no such -object rng-random or rng-builtin", object_id);
  return rng->second;
}

std::vector<MonitorContext::IoThreadInfo> HostBackends::iothread_infos() const {
  std::vector<MonitorContext::IoThreadInfo> infos;
  for (const auto& [id, thread] : threads_)
    if (thread.by_user) infos.push_back({id, thread.thread->thread_id(), thread.poll_max_ns});
  return infos;
}

std::vector<MonitorContext::ChardevInfo> HostBackends::chardev_infos() const {
  std::vector<MonitorContext::ChardevInfo> infos;
  infos.reserve(chardevs_.size());
  for (const auto& [id, chardev] : chardevs_)
    infos.push_back({id, chardev.description, chardev.claimed});
  return infos;
}

}  // namespace hv
