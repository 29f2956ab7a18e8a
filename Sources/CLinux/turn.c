#define _GNU_SOURCE
#include "CLinux.h"

#include <linux/futex.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

uint32_t ckprov_turn_look(const ckprov_turn *turn) { return __atomic_load_n(&turn->count, __ATOMIC_ACQUIRE); }

int ckprov_turn_begin(ckprov_turn *turn, uint32_t seen) {
  return !(seen & 1) && __atomic_compare_exchange_n(&turn->count, &seen, seen + 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void ckprov_turn_wait(ckprov_turn *turn, uint32_t seen) {
  __atomic_fetch_add(&turn->waiting, 1, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, &turn->count, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
  __atomic_fetch_sub(&turn->waiting, 1, __ATOMIC_RELAXED);
}

void ckprov_turn_end(ckprov_turn *turn) {
  __atomic_fetch_add(&turn->count, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&turn->waiting, __ATOMIC_SEQ_CST)) syscall(SYS_futex, &turn->count, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
