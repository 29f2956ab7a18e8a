#ifndef CLINUX_H
#define CLINUX_H

// The few Linux calls and constants that Swift does not see. Each returns what the call returns; errno is set.

#include <stdint.h>

/// F_OFD_SETLK: an exclusive lock of one byte that dies with its open file description. `locked` 0 gives it back.
int ckprov_ofd_lock(int fd, int64_t byte, int locked);

/// F_OFD_GETLK: 1 if another open file description holds the byte, 0 if none does, -1 on error.
int ckprov_ofd_is_locked(int fd, int64_t byte);

/// renameat2 with RENAME_NOREPLACE.
int ckprov_rename_noreplace(const char *from, const char *to);

/// renameat2 with RENAME_EXCHANGE.
int ckprov_rename_exchange(const char *one, const char *other);

/// Takes the locale for UTF-8 that the C library has built in, for all threads. 0 if there is none.
int ckprov_name_characters(void);

/// wcwidth: columns of a terminal, -1 for what is not printed or not known.
int ckprov_columns(uint32_t scalar);

/// Notes a file that must not outlive the program. Its place is what forgets it; -1 if there is none left, and then a signal leaves the file.
int ckprov_note_temporary_file(const char *path);
void ckprov_forget_temporary_file(int place);

/// From now on SIGHUP, SIGINT and SIGTERM remove the files that are noted before they end the program; what is ignored stays so.
void ckprov_remove_temporary_files_on_signals(void);

/// The arguments that the program was started with, as the C library gave them: without /proc, Swift's CommandLine has none.
int ckprov_argument_count(void);
const char *ckprov_argument(int number);

/// What one thread at a time may do. `count` is odd while one does it, and grows by one at each start and end.
typedef struct {
  uint32_t count, waiting;
} ckprov_turn;

uint32_t ckprov_turn_look(const ckprov_turn *turn);

/// 1 if it is this thread's turn now, 0 if it is another one's, or was since `seen`.
int ckprov_turn_begin(ckprov_turn *turn, uint32_t seen);

/// Sleeps until the turn has changed from what was seen; may return earlier.
void ckprov_turn_wait(ckprov_turn *turn, uint32_t seen);

/// Wakes all who sleep.
void ckprov_turn_end(ckprov_turn *turn);

#endif
