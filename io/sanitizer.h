// Which sanitizer the build has.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define HV_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HV_THREAD_SANITIZER 1
#endif
#endif
