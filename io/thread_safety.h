// Clang thread-safety annotations, an annotated mutex, and thread roles.
//
// A role is a capability on an object that holds nothing: a function that may run only on a hart
// thread says HV_REQUIRES(kHartThread) in its declaration and clang checks its callers. Calls
// through function pointers escape the analysis, so entry points also call assert_here().
#pragma once

#include <cassert>
#include <mutex>

#if defined(__clang__)
#define HV_TSA(x) __attribute__((x))
#else
#define HV_TSA(x)
#endif
#define HV_CAPABILITY(name) HV_TSA(capability(name))
#define HV_SCOPED_CAPABILITY HV_TSA(scoped_lockable)
#define HV_GUARDED_BY(x) HV_TSA(guarded_by(x))
#define HV_REQUIRES(...) HV_TSA(requires_capability(__VA_ARGS__))
#define HV_EXCLUDES(...) HV_TSA(locks_excluded(__VA_ARGS__))
#define HV_ACQUIRE(...) HV_TSA(acquire_capability(__VA_ARGS__))
#define HV_RELEASE(...) HV_TSA(release_capability(__VA_ARGS__))
#define HV_RETURN_CAPABILITY(x) HV_TSA(lock_returned(x))
#define HV_TRY_ACQUIRE(...) HV_TSA(try_acquire_capability(__VA_ARGS__))
#define HV_ASSERTS(x) HV_TSA(assert_capability(x))
#define HV_NO_TSA HV_TSA(no_thread_safety_analysis)

namespace hv {

class HV_CAPABILITY("mutex") Mutex {
 public:
  void lock() HV_ACQUIRE() { mutex_.lock(); }
  void unlock() HV_RELEASE() { mutex_.unlock(); }
  bool try_lock() HV_TRY_ACQUIRE(true) { return mutex_.try_lock(); }
  std::mutex& native() { return mutex_; }

 private:
  std::mutex mutex_;
};

class HV_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) HV_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() HV_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Which kind of thread this is; set once when a thread starts.
enum class Role { kNone, kMain, kIo, kHart, kWorker };
inline thread_local Role current_role = Role::kNone;

class HV_CAPABILITY("role") ThreadRole {
 public:
  constexpr explicit ThreadRole(Role role) : role_(role) {}
  // Aborts (debug builds) when the caller runs on a thread of another role.
  void assert_here() const HV_ASSERTS(this) { assert(current_role == role_); }

 private:
  Role role_;
};

inline constexpr ThreadRole kMainThread{Role::kMain};
inline constexpr ThreadRole kHartThread{Role::kHart};

}  // namespace hv
