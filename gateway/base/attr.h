/**
 * Compiler attributes under one name each. Other files use no `__attribute__` of their own.
 */
#ifndef CORRAL_BASE_ATTR_H
#define CORRAL_BASE_ATTR_H

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_argument)                                                  \
    __attribute__((format(printf, format_index, first_argument)))
#define NO_RETURN __attribute__((noreturn))
/** A large local that is written before it is read: the release does not zero it (meson.build). */
#if __has_attribute(uninitialized)
#define NOT_ZEROED __attribute__((uninitialized))
#else
#define NOT_ZEROED
#endif
/** A type of so many bytes that are computed with together; in base/lane.h only. */
#define VECTOR(bytes) __attribute__((vector_size(bytes)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/** A function of rare paths: calls of it are laid out away from the common way. */
#define COLD __attribute__((cold))

/** A rare path that would make the common one save registers for it. */
#define NO_INLINE __attribute__((noinline))

/** Whether a sanitizer watches memory or threads: gcc tells by macros, clang when it is asked. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
enum { SANITIZED = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) };
#else
enum { SANITIZED = 0 };
#endif

/** The struct that holds `member`, from a pointer to that member. */
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

#endif
