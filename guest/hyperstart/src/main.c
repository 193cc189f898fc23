// hyperstart, PID 1 of a pod's virtual machine.
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "boot.h"
#include "channel.h"
#include "log.h"
#include "loop.h"
#include "process.h"
#include "session.h"
#include "stream.h"

static void signals_ready(struct watch *watch, uint32_t events) {
  (void)events;
  struct signalfd_siginfo info;
  while (read(watch->fd, &info, sizeof info) == sizeof info) continue;
  process_reap();
}

static void watch_children(void) {
  static struct watch watch;
  sigset_t signals;
  sigfillset(&signals);
  sigdelset(&signals, SIGSEGV);
  sigdelset(&signals, SIGBUS);
  sigdelset(&signals, SIGABRT);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  watch.fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  watch.ready = signals_ready;
  loop_watch(&watch, EPOLLIN);
}

int main(void) {
  boot_file_systems();
  boot_modules();
  boot_defaults();
  loop_init();
  watch_children();
  channel_open(boot_port(), session_receive);
  log_line("ready");
  for (;;) {
    loop_step();
    stream_pump();
    channel_flush();
  }
}
