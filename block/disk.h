// A disk image with asynchronous scatter/gather operations.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "io/key_values.h"
#include "io/result.h"
#include "main-loop/event_loop.h"

namespace hv {

class ThrottleGroup;
struct ThrottleConfig;

enum class DiskOp : uint8_t { kRead, kWrite, kFlush, kDiscard, kWriteZeroes };

// One request. The caller keeps it and its buffers (guest RAM, no copy) in place until done() has
// run; the disk owns it from submit() to done().
class DiskRequest {
 public:
  DiskOp op = DiskOp::kRead;
  bool may_unmap = false;  // write zeroes may free the range
  uint64_t offset = 0;     // bytes
  uint64_t length = 0;     // bytes; the sum of iov for reads and writes
  std::span<const iovec> iov;

  // `error` 0 or an errno value. The disk's loop; never from inside submit().
  virtual void done(int error) = 0;

 protected:
  ~DiskRequest() = default;

 private:
  friend class Disk;
};

// driver=null-co.
struct NullDiskOptions {
  uint64_t size = 1ull << 30;  // bytes
  int64_t latency_ns = 0;      // 0: done in the next round of the loop
  bool read_zeroes = false;    // else reads leave the buffers as they are
};

struct DiskOptions {
  std::string filename;
  std::string format;  // "raw"; "": raw, unless the file begins as another format does
  bool read_only = false;
  bool snapshot = false;       // writes go to a temporary overlay and vanish
  bool direct = false;         // O_DIRECT (cache.direct)
  bool no_flush = false;       // flushes succeed at once (cache.no-flush)
  bool write_through = false;  // every write is followed by a flush (cache=writethrough)
  bool use_uring = true;       // aio=io_uring|threads
  bool discard_unmap = false;  // discard=unmap|ignore
  bool share_rw = false;       // other processes may write the image too
  bool locking = true;         // locking=on|off
  bool lock_later = false;     // open_disk() leaves the lock to Disk::lock()
  enum class DetectZeroes : uint8_t { kOff, kOn, kUnmap };
  DetectZeroes detect_zeroes = DetectZeroes::kOff;
  std::shared_ptr<ThrottleGroup> throttle;  // nullptr: no limits
  std::optional<NullDiskOptions> null;      // driver=null-co: no file at all
};

// Loop thread of the disk unless stated. Short reads and writes are resubmitted inside; a request
// is done exactly once.
class Disk {
 public:
  virtual ~Disk() = default;

  // Before use, any thread, once: the loop that will submit and complete.
  virtual void attach(EventLoop& loop) = 0;
  // Loop thread: completes or waits out everything in flight, then forgets the loop.
  virtual void detach() = 0;

  virtual void submit(DiskRequest& request) = 0;
  // Ends a batch: everything submitted so far is on its way to the host.
  virtual void flush_batch() = 0;
  // What only waits for its turn (throttling) goes now: somebody waits for all to end.
  virtual void hurry() {}
  // Another handle on the same image, for another loop; both may be used at once. nullptr when this
  // kind of disk has state of its own that loops cannot share (snapshot=on). Main thread.
  virtual std::unique_ptr<Disk> share() { return nullptr; }

  virtual uint64_t size() const = 0;  // bytes, any thread
  virtual bool read_only() const = 0;
  virtual unsigned block_size()
      const = 0;  // smallest unit of transfer (O_DIRECT alignment), any thread
  virtual unsigned in_flight() const = 0;

  // Every write is followed by a flush: at first as the options say, then as the guest's write
  // cache setting says.
  virtual bool write_through() const = 0;
  virtual void set_write_through(bool on) = 0;

  // Takes the image lock, or changes it; the one who uses the disk says whether others may write.
  // Fails when another process (or another drive) uses the image in a way that conflicts. Main
  // thread.
  virtual Result<> lock(bool share_rw) = 0;
};

// Opens and locks an image, with its filters on top. Fails with one line naming the file: missing,
// a directory, no permission, locked by another process, size not a multiple of 512, a format other
// than raw. Main thread.
Result<std::unique_ptr<Disk>> open_disk(const DiskOptions& options);

// What options name that stands elsewhere on the command line.
struct DiskLookup {
  // -blockdev driver=raw,file=NODE: the options of the -blockdev NODE, nullptr when there is none.
  std::function<const DiskOptions*(const std::string& node_name)> node;
  // The budget of that name: of -object throttle-group, or one that drives share by
  // throttling.group= (made with `config` when it is new). nullptr when there is none.
  std::function<std::shared_ptr<ThrottleGroup>(const std::string& name,
                                               const ThrottleConfig* config)>
      throttle_group;
};

// -drive and -blockdev keys (file, format, cache, cache.direct, readonly, snapshot, aio, discard,
// detect-zeroes, throttling.*, driver, filename, file.* ...) to options. Keys of the drive itself
// (if, id, node-name, index, media, serial, werror, rerror) stay behind, as do unknown ones. The
// options say lock_later: the device that gets the disk locks it.
Result<DiskOptions> take_disk_options(KeyValues& values, const DiskLookup& lookup = {});

}  // namespace hv
