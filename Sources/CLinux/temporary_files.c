#define _GNU_SOURCE
#include "CLinux.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Who takes a name out of its place has it alone: the handler to remove the file, or the program to forget it.
static _Atomic(char *) names[64];

int ckprov_note_temporary_file(const char *path) {
  char *name = strdup(path);
  if (!name) return -1;
  for (int place = 0; place < (int)(sizeof names / sizeof *names); place++) {
    char *none = NULL;
    if (atomic_compare_exchange_strong(&names[place], &none, name)) return place;
  }
  free(name);
  return -1;
}

void ckprov_forget_temporary_file(int place) {
  if (place >= 0) free(atomic_exchange(&names[place], NULL));
}

// Only what a signal handler may call. The signal is raised again, so that the program ends by it.
static void remove_and_end(int number) {
  for (size_t place = 0; place < sizeof names / sizeof *names; place++) {
    char *name = atomic_exchange(&names[place], NULL);
    if (name) unlink(name);
  }
  raise(number);
}

void ckprov_remove_temporary_files_on_signals(void) {
  const int numbers[] = {SIGHUP, SIGINT, SIGTERM};
  for (size_t index = 0; index < sizeof numbers / sizeof *numbers; index++) {
    struct sigaction action;
    if (sigaction(numbers[index], NULL, &action) != 0 || action.sa_handler == SIG_IGN) continue;
    memset(&action, 0, sizeof action);
    action.sa_handler = remove_and_end;
    action.sa_flags = SA_RESETHAND;
    sigaction(numbers[index], &action, NULL);
  }
}
