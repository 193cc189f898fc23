// probe: run inside pods by tests. Every subcommand prints what it saw on standard output and nothing else.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

#define FLOOD_CHUNK 4096

// Lines of 63 digits and a newline, numbered, so that a reader can tell loss and repetition.
static int command_flood(int count, char **arguments) {
  if (count != 1) return 2;
  unsigned long long left = strtoull(arguments[0], NULL, 10);
  char chunk[FLOOD_CHUNK];
  for (unsigned long long line = 0; left > 0;) {
    for (size_t at = 0; at < sizeof chunk; at += 64) {
      char text[65];
      snprintf(text, sizeof text, "%063llu\n", line++);
      memcpy(chunk + at, text, 64);
    }
    size_t length = left < sizeof chunk ? (size_t)left : sizeof chunk;
    for (size_t done = 0; done < length;) {
      ssize_t put = write(STDOUT_FILENO, chunk + done, length - done);
      if (put < 0) return 1;
      done += (size_t)put;
    }
    left -= length;
  }
  return 0;
}

static int command_exit(int count, char **arguments) {
  return count == 1 ? atoi(arguments[0]) : 2;
}

static volatile sig_atomic_t terminated;

static void note_termination(int signal) {
  terminated = signal;
}

// Sleeps for so many seconds, or until SIGTERM, which it obeys with exit code 0.
static int command_sleep(int count, char **arguments) {
  struct sigaction action = {.sa_handler = note_termination};
  sigaction(SIGTERM, &action, NULL);
  double seconds = count == 1 ? strtod(arguments[0], NULL) : 1e9;
  struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
  while (!terminated && nanosleep(&time, &time) < 0 && errno == EINTR) continue;
  return 0;
}

static int command_cat(int count, char **arguments) {
  char chunk[FLOOD_CHUNK];
  int input = count == 1 ? open(arguments[0], O_RDONLY) : STDIN_FILENO;
  ssize_t got;
  if (input < 0) {
    perror(arguments[0]);
    return 1;
  }
  while ((got = read(input, chunk, sizeof chunk)) > 0) {
    if (write(STDOUT_FILENO, chunk, (size_t)got) != got) return 1;
  }
  return got < 0 ? 1 : 0;
}

static int command_echo(int count, char **arguments) {
  for (int index = 0; index < count; index++) printf("%s%s", index > 0 ? " " : "", arguments[index]);
  printf("\n");
  return 0;
}

static int command_write(int count, char **arguments) {
  if (count != 2) return 2;
  int fd = open(arguments[0], O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, arguments[1], strlen(arguments[1])) < 0) {
    perror(arguments[0]);
    return 1;
  }
  return 0;
}

// Takes so many bytes of memory and touches them, then waits.
static int command_allocate(int count, char **arguments) {
  if (count != 1) return 2;
  size_t size = strtoull(arguments[0], NULL, 10);
  char *memory = malloc(size);
  if (memory == NULL) return 1;
  for (size_t at = 0; at < size; at += 4096) memory[at] = 1;
  printf("allocated\n");
  fflush(stdout);
  return command_sleep(0, NULL);
}

static const struct {
  const char *name;
  int (*run)(int count, char **arguments);
} commands[] = {
    {"serve", command_serve}, {"udp-serve", command_udp_serve}, {"get", command_get},       {"tcp", command_tcp},
    {"udp", command_udp},     {"resolve", command_resolve},     {"report", command_report}, {"flood", command_flood},
    {"exit", command_exit},   {"sleep", command_sleep},         {"cat", command_cat},       {"echo", command_echo},
    {"write", command_write}, {"allocate", command_allocate},
};

int main(int count, char **arguments) {
  for (size_t index = 0; count > 1 && index < sizeof commands / sizeof commands[0]; index++) {
    if (strcmp(arguments[1], commands[index].name) == 0) return commands[index].run(count - 2, arguments + 2);
  }
  fprintf(stderr, "usage: probe serve PORT TEXT | udp-serve PORT TEXT | get URL | tcp HOST PORT | udp HOST PORT TEXT | resolve "
                  "NAME | report |"
                  " flood BYTES | exit CODE | sleep [SECONDS] | cat [FILE] | echo TEXT... | write FILE TEXT | allocate BYTES\n");
  return 2;
}
