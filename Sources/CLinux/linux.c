#define _GNU_SOURCE
#include "CLinux.h"

#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

static struct flock one_byte(int64_t byte, short type) {
  struct flock lock;
  memset(&lock, 0, sizeof lock);
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

int ckprov_ofd_lock(int fd, int64_t byte, int locked) {
  struct flock lock = one_byte(byte, locked ? F_WRLCK : F_UNLCK);
  return fcntl(fd, F_OFD_SETLK, &lock);
}

int ckprov_ofd_is_locked(int fd, int64_t byte) {
  struct flock lock = one_byte(byte, F_WRLCK);
  if (fcntl(fd, F_OFD_GETLK, &lock) != 0) return -1;
  return lock.l_type != F_UNLCK;
}

int ckprov_rename_noreplace(const char *from, const char *to) {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

int ckprov_rename_exchange(const char *one, const char *other) {
  return renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
}

int ckprov_name_characters(void) { return setlocale(LC_CTYPE, "C.UTF-8") != NULL; }

int ckprov_columns(uint32_t scalar) { return wcwidth((wchar_t)scalar); }

static int argument_count;
static char **arguments;

__attribute__((constructor)) static void keep_arguments(int count, char **values) {
  argument_count = count;
  arguments = values;
}

int ckprov_argument_count(void) { return argument_count; }

const char *ckprov_argument(int number) { return arguments[number]; }
